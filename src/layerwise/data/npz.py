"""``.npz`` files of NumPy arrays; those that hold a sparse matrix are told apart (`layerwise.data.sparse.open_npz`)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from ..errors import DataError, nearest
from .arrays import ArraySource
from .hdf5 import CONVENTIONAL, Kind
from .table import listing


def is_sparse(path: Path) -> bool:
    """Say whether a ``.npz`` file holds a matrix that `scipy.sparse.save_npz` wrote; not where it is damaged."""
    try:
        with zipfile.ZipFile(path) as file:
            return "format.npy" in file.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def open_arrays(path: Path, name: str | None, kind: Kind) -> ArraySource:
    """Read one array of a ``.npz`` file into memory: by name, by a usual name, or the only one that fits.

    Raises
    ------
    DataError
        When the file is damaged or holds Python objects, or no array fits, or several do.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            names = list(file.files)
            held: dict[str, np.ndarray] = {key: file[key] for key in names if name in (None, key)}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: this NumPy file cannot be read: {error}",
            "it may be cut short, or hold Python objects; write it anew with numpy.savez(file, data=..., label=...)",
        ) from error
    key = name if name is not None else _usual(held, kind, path)
    if key not in held:
        near = nearest(key, names)
        raise DataError(
            f"{path}: no array named {key!r}; it holds {listing(names)}",
            f"did you mean {near!r}?" if near else "give the name of one of these",
        )
    return ArraySource(held[key], f"{path}::{key}")


def _usual(held: dict[str, np.ndarray], kind: Kind, path: Path) -> str:
    for usual in CONVENTIONAL[kind]:
        if usual in held:
            return usual
    fitting = [key for key, rows in held.items() if (rows.ndim >= 2) == (kind == "inputs")]
    if len(fitting) == 1:
        return fitting[0]
    words = listing([f"{key} {rows.shape}" for key, rows in held.items()])
    count = "several arrays" if fitting else "no array"
    raise DataError(
        f"{path}: {count} could be the {kind}; it holds {words}",
        f"name the one to use, for example {path}::{(fitting or list(held) or ['NAME'])[0]}",
    )
