"""The Mocha tutorial's list file: a text file with the path of one HDF5 file per line."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DataError
from .hdf5 import Hdf5Source, Kind, find_dataset, is_hdf5, split_path
from .several import SeveralSource

SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")


def open_list_file(path: Path, name: str | None, kind: Kind) -> SeveralSource:
    """Open the rows of several HDF5 files, one after another.

    Parameters
    ----------
    path : Path
        The list file. Each line is a path, looked up from the list file's folder first and from the working
        directory next, with ``::data-set`` after it where wanted; blank lines and lines that begin with ``#``
        are passed over.
    name : str or None
        Data set to read in every file; None finds it in each.
    kind : {"inputs", "targets"}
        What is looked for where there is no name.

    Raises
    ------
    DataError
        Naming the line, when a file is missing or damaged, or differs from the first in row shape or dtype.
    """
    entries = [(number, line.strip()) for number, line in enumerate(_lines(path), 1)]
    parts = [
        (f"{path}, line {number}", _open_line(path, number, entry, name, kind))
        for number, entry in entries
        if entry and not entry.startswith("#")
    ]
    if not parts:
        raise DataError(f"{path} lists no files", "write the path of one HDF5 file on each line")
    return SeveralSource(parts, str(path))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8-sig").splitlines()


def is_list_file(path: Path) -> bool:
    """Say whether a file is text whose first entry looks like an HDF5 file's path, or is one."""
    with path.open("rb") as file:
        head = file.read(65536)
    if b"\0" in head:
        return False
    try:
        # A character may be cut at the end of what was read.
        lines = head.decode("utf-8-sig", errors="strict" if len(head) < 65536 else "ignore").splitlines()
    except UnicodeDecodeError:
        return False
    entries = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not entries:
        return bool(lines)
    file_name = split_path(entries[0])[0]
    return file_name.lower().endswith(SUFFIXES) or is_hdf5(_resolve(path.parent, file_name))


def _resolve(folder: Path, entry: str) -> Path:
    beside = folder / entry
    # os.path says False to a name that no file system allows, where Path.exists raises.
    return beside if os.path.exists(beside) else Path(entry)


def _open_line(path: Path, number: int, entry: str, name: str | None, kind: Kind) -> Hdf5Source:
    file_name, own = split_path(entry)
    file = _resolve(path.parent, file_name)
    where = f"{path}, line {number}"
    if not is_hdf5(file):
        fault = "is not an HDF5 file" if os.path.exists(file) else "does not exist"
        raise DataError(
            f"{where}: {file_name} {fault}",
            f"paths are looked up from {path.parent.absolute()} first, then from {Path.cwd()}",
        )
    try:
        return Hdf5Source(file, find_dataset(file, name or own, kind))
    except DataError as error:
        raise DataError(f"{where}: {error.message}", error.hint) from error
