"""Rows in NumPy's own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataError
from .arrays import check_block


class NpySource:
    """The rows of a ``.npy`` file, through a memory map that is opened for each read.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    DataError
        When the file is damaged or holds Python objects.
    """

    sparse = False

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.name = str(path)
        rows = self._open()
        self.shape: tuple[int, ...] = rows.shape
        self.dtype = rows.dtype

    def _open(self) -> np.ndarray:
        try:
            found: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{self.name}: this NumPy file cannot be read: {error}",
                "it may be cut short, or hold Python objects; write it anew with numpy.save(file, array)",
            ) from error
        return found

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` up to, not including, `stop`."""
        check_block(start, stop, self.shape[0], self.name)
        return np.array(self._open()[start:stop])
