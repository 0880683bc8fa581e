"""IDX files, MNIST's own format, gzip or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ..errors import DataError
from .arrays import check_block

TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
GZIP = b"\x1f\x8b"


class IdxSource:
    """The rows of an IDX file: through a memory map, or unpacked into memory where it is gzip.

    Parameters
    ----------
    path : Path
        The file: two zero bytes, one for the type, one for the number of dimensions, their sizes, the values.

    Raises
    ------
    DataError
        When the file is shorter or longer than its head says, or damaged.
    """

    sparse = False

    def __init__(self, path: Path) -> None:
        self.path, self.name = path.absolute(), str(path)
        self.rows = self._open()
        self.shape: tuple[int, ...] = self.rows.shape
        self.dtype = self.rows.dtype

    def _open(self) -> np.ndarray:
        packed = _is_gzip(self.path)
        try:
            held = gzip.decompress(self.path.read_bytes()) if packed else np.memmap(self.path, np.uint8, "r").data
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise DataError(f"{self.name}: this gzip file cannot be read: {error}", "copy it again") from error
        count = held[3]
        sizes = np.frombuffer(held, ">u4", count, 4) if len(held) >= 4 + 4 * count else np.zeros(0, int)
        shape, dtype = tuple(int(size) for size in sizes), np.dtype(TYPES[held[2]])
        expected = 4 + 4 * count + math.prod(shape) * dtype.itemsize
        if len(shape) != count or len(held) != expected:
            raise DataError(
                f"{self.name} has {len(held)} bytes, its head says {expected}", "it may be cut short; copy it again"
            )
        return np.frombuffer(held, dtype, offset=4 + 4 * count).reshape(shape)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` up to, not including, `stop`."""
        check_block(start, stop, self.shape[0], self.name)
        return np.array(self.rows[start:stop])


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP


def is_idx(path: Path) -> bool:
    """Say whether a file begins as an IDX file does."""
    try:
        with gzip.open(path) if _is_gzip(path) else path.open("rb") as file:
            head = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in TYPES and 1 <= head[3] <= 8
