"""A fitted transformer of scikit-learn as a file that holds no code: skops, with scikit-learn's own types alone."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

from sklearn.compose import ColumnTransformer

from ..errors import PlanError, RunError, install

# What scikit-learn's own transformers hold beside its types and those that skops trusts by itself.
TRUSTED = ("numpy.dtype",)


def check_skops() -> None:
    """Refuse to make what could not be written, before anything is trained.

    Raises
    ------
    PlanError
        When skops is not installed.
    """
    _skops()


def written_estimator(estimator: ColumnTransformer) -> bytes:
    """Return a fitted transformer as the bytes of a skops file."""
    found: bytes = _skops().dumps(estimator)
    return found


def read_estimator(file: Path) -> ColumnTransformer:
    """Read a transformer from a skops file; no code of the file is run.

    Raises
    ------
    RunError
        When the file is damaged, or holds anything that is not scikit-learn's, NumPy's or SciPy's own.
    """
    skops = _skops()
    try:
        foreign = sorted(set(skops.get_untrusted_types(file=os.fspath(file))) - set(TRUSTED))
        if foreign:
            raise RunError(
                f"{file} holds {', '.join(foreign)}, which is none of scikit-learn's own types",
                "do not use it: nothing that layerwise writes holds anything else",
            )
        found = skops.load(os.fspath(file), trusted=list(TRUSTED))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise RunError(f"{file} cannot be read: {error}", "copy the folder again, or train the model again") from error
    if not isinstance(found, ColumnTransformer):
        raise RunError(f"{file} holds a {type(found).__name__}, expected a ColumnTransformer", "train the model again")
    return found


def _skops() -> Any:
    try:
        from skops import io
    except ImportError as error:
        raise PlanError(
            "a model of a table keeps its preparation with skops, which is not installed",
            install(["skops"], "tables"),
        ) from error
    return io
