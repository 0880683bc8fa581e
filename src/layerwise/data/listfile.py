"""The Mocha tutorial's list file: a text file with the path of one HDF5 file per line."""

from __future__ import annotations

import os
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import numpy as np

from ..errors import DataError
from .arrays import check_block
from .hdf5 import Hdf5Source, Kind, find_dataset, is_hdf5, split_path

SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")


class ListFileSource:
    """The rows of several HDF5 files, one after another.

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

    sparse = False

    def __init__(self, path: Path, name: str | None, kind: Kind) -> None:
        self.name = str(path)
        self.parts: list[Hdf5Source] = []
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            entry = line.strip()
            if entry and not entry.startswith("#"):
                self._add(_open_line(path, number, entry, name, kind), f"{path}, line {number}")
        if not self.parts:
            raise DataError(f"{path} lists no files", "write the path of one HDF5 file on each line")
        self.stops = list(accumulate(part.shape[0] for part in self.parts))
        self.shape: tuple[int, ...] = (self.stops[-1], *self.parts[0].shape[1:])
        self.dtype = self.parts[0].dtype
        self.piece = max(part.piece for part in self.parts)

    def _add(self, part: Hdf5Source, where: str) -> None:
        if not part.shape:
            raise DataError(f"{where}: {part.name} is a single value, expected rows", "name another data set")
        first = self.parts[0] if self.parts else part
        for word, found, expected in (
            ("rows of shape", part.shape[1:], first.shape[1:]),
            ("dtype", part.dtype, first.dtype),
        ):
            if found != expected:
                raise DataError(
                    f"{where}: {part.name} has {word} {found}, the files before it {expected}",
                    "list only files of one shape and dtype",
                )
        self.parts.append(part)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` up to, not including, `stop`, across files where need be."""
        check_block(start, stop, self.shape[0], self.name)
        index = min(bisect_right(self.stops, start), len(self.parts) - 1)
        blocks = []
        while True:
            offset = self.stops[index] - self.parts[index].shape[0]
            last = min(stop, self.stops[index])
            blocks.append(self.parts[index].read(start - offset, last - offset))
            start, index = last, index + 1
            if start >= stop:
                return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


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
