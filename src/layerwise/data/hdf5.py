"""Rows in HDF5 files: one data set, chosen by name or found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from ..errors import DataError, nearest
from .arrays import check_block

Kind = Literal["inputs", "targets"]

# In order of preference; the first of each is what the Mocha tutorial's files use.
CONVENTIONAL = {
    "inputs": ("data", "inputs", "input", "x", "X", "images", "features"),
    "targets": ("label", "labels", "targets", "target", "y", "Y", "classes"),
}


class Hdf5Source:
    """The rows of one data set of an HDF5 file.

    The file is opened for each read and closed again. That costs well under a millisecond a block, leaves no
    handle that a forked or pickled copy could share, and does not lock the file between reads. Read large
    blocks: a chunked, compressed data set unpacks whole chunks whatever part of them is asked for.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str
        Full name of the data set within it, as `find_dataset` returns it.

    Attributes
    ----------
    piece : int
        Rows of a chunk; 1 where the file keeps all rows in one run.

    Raises
    ------
    DataError
        When the file is damaged; reading raises it too.
    """

    sparse = False

    def __init__(self, path: Path, dataset: str) -> None:
        # Absolute, so that a later change of the working directory does not lose the file.
        self.path = path.absolute()
        self.dataset = dataset
        self.name = f"{path}::{dataset}"
        try:
            with h5py.File(self.path, "r") as file:
                found = file[dataset]
                self.shape: tuple[int, ...] = tuple(found.shape or ())
                self.dtype: np.dtype = found.dtype
                self.piece = found.chunks[0] if found.chunks else 1
        except OSError as error:
            raise damaged(path, error) from error

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` up to, not including, `stop`."""
        check_block(start, stop, self.shape[0], self.name)
        try:
            with h5py.File(self.path, "r") as file:
                found = file[self.dataset]
                if h5py.check_string_dtype(found.dtype) is not None:
                    found = found.asstr()
                return np.asarray(found[start:stop])
        except OSError as error:
            raise damaged(self.path, error, f", rows {start} to {stop - 1}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{self.name}: text that is not UTF-8", "write the labels as UTF-8 or numbers") from error


def split_path(text: str) -> tuple[str, str | None]:
    """Split ``path::data-set``; the second part is None where there is none.

    Examples
    --------
    >>> split_path("digits.h5::train/data")
    ('digits.h5', 'train/data')
    """
    path, mark, name = text.rpartition("::")
    return (path, name or None) if mark and path else (text, None)


def is_hdf5(path: Path) -> bool:
    """Say whether a file begins as an HDF5 file does; a damaged one may still do so."""
    return os.path.isfile(path) and bool(h5py.is_hdf5(path))


def damaged(path: Path, error: Exception, where: str = "") -> DataError:
    """Return the error for a file that says it is HDF5 but cannot be read."""
    return DataError(
        f"{path}{where}: this HDF5 file cannot be read: {error}", "it may be cut short or in use; copy it again"
    )


def find_dataset(path: Path, name: str | None, kind: Kind) -> str:
    """Return the full name of the data set to use.

    A `name` is looked up as it stands; the name of a group restricts the search to that group. Without a
    name, the conventional names are tried, then the only data set of a fitting shape is taken: two or more
    dimensions for inputs, one value a row for targets.

    Raises
    ------
    DataError
        When there is no such data set, none that fits, or more than one; the message lists what the file
        holds.
    """
    try:
        with h5py.File(path, "r") as file:
            return _find(file, path, name, kind)
    except OSError as error:
        raise damaged(path, error) from error


def _find(file: h5py.File, path: Path, name: str | None, kind: Kind) -> str:
    group: h5py.Group = file
    held = _datasets(file)
    if name is not None:
        found = file.get(name.strip("/") or "/")
        if isinstance(found, h5py.Dataset):
            return str(found.name).lstrip("/")
        if not isinstance(found, h5py.Group):
            short = {full.rsplit("/", 1)[-1]: full for full in held}
            near = nearest(name, held) or short.get(nearest(name, short) or "")
            raise DataError(
                f"{path}: no data set named {name!r}; it holds {_listing(held)}",
                f"did you mean {near!r}?" if near else "give the name of one of these",
            )
        group = found
        prefix = str(group.name).strip("/") + "/"
        held = {full: dataset for full, dataset in held.items() if group.name == "/" or full.startswith(prefix)}
    for usual in CONVENTIONAL[kind]:
        if isinstance(group.get(usual), h5py.Dataset):
            return str(group[usual].name).lstrip("/")
    fitting = [full for full, dataset in held.items() if _fits(dataset, kind)]
    if len(fitting) == 1:
        return fitting[0]
    count = "several data sets" if fitting else "no data set"
    example = (fitting or list(held) or ["NAME"])[0]
    raise DataError(
        f"{path}: {count} could be the {kind}; it holds {_listing(held)}",
        f"name the one to use, for example {path}::{example}",
    )


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    held: dict[str, h5py.Dataset] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            held[name] = item

    file.visititems(keep)
    return held


def _fits(dataset: h5py.Dataset, kind: Kind) -> bool:
    shape = dataset.shape or ()
    if kind == "inputs":
        return len(shape) >= 2 and dataset.dtype.kind in "buif"
    return len(shape) == 1 or (len(shape) == 2 and dataset.shape[-1] == 1)


def _listing(held: dict[str, h5py.Dataset], most: int = 12) -> str:
    if not held:
        return "no data sets"
    words = [f"{name} {tuple(dataset.shape or ())} {dataset.dtype}" for name, dataset in held.items()]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
