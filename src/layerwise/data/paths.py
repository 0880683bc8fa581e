"""Which files a path, a pattern or a list of them names, and whether they are there."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from ..errors import DataError, nearest

NOT_READ = (".feather", ".arrow", ".mat", ".pkl", ".pt", ".xlsx", ".xls", ".json")
READ = "HDF5, lists of it, CSV, TSV, Parquet, .npy, .npz and IDX"


def paths_of(x: Any) -> list[Path]:
    """Return the files that a path, a pattern such as ``part-*.csv``, or a list of them names; empty where none.

    The files of a pattern come in the order of their names, those of a list in the list's.
    """
    if isinstance(x, (str, os.PathLike)):
        text = os.fspath(x)
        if os.path.exists(text) or not any(mark in text for mark in "*?["):
            return [Path(text)]
        return [Path(found) for found in sorted(glob.glob(text))]
    if isinstance(x, (list, tuple)) and x and all(isinstance(item, (str, os.PathLike)) for item in x):
        return [path for item in x for path in paths_of(item)]
    return []


def check_file(path: Path) -> None:
    """Refuse a path that is no file, or an empty one, or one of a format that is not read.

    Raises
    ------
    DataError
        With the nearest name where there is no such file.
    """
    if os.path.isdir(path):
        inside = sorted(item.name for item in path.iterdir() if item.suffix in (".h5", ".hdf5", ".csv", ".parquet"))
        raise DataError(
            f"{path} is a folder, expected a file, a list of files or a pattern",
            f"give a file in it, for example {path / inside[0]}" if inside else "give the path of a file",
        )
    if not os.path.exists(path):  # False, where Path.exists raises, for a name that no file system allows
        folder = path.parent
        if not os.path.isdir(folder):
            raise DataError(f"{path} does not exist: there is no folder {folder}", "check the path")
        near = nearest(path.name, (item.name for item in folder.iterdir()))
        raise DataError(
            f"{path} does not exist",
            f"did you mean {folder / near}?" if near else f"nothing in {folder.absolute()} has a name like it",
        )
    if path.suffix.lower() in NOT_READ:
        raise DataError(
            f"{path}: {path.suffix} files cannot be read, only {READ}",
            "write a CSV or Parquet file, or pass the array or frame in Python",
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty", "give a file with rows")
