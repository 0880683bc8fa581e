"""Where rows that were computed are kept: in memory within a limit, beyond it in a file that leaves no trace."""

from __future__ import annotations

import math
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, RunError
from .arrays import ArraySource, check_block
from .features import BLOCK_BYTES, WINDOW_BYTES, Dense, Features, Streamed, blocks, bytes_of, numpy_of
from .source import Source, load_rows
from .sparse import SparseSource, load_sparse
from .sparse_features import Sparse


class Store:
    """Keeps rows in memory where all of them take no more than a limit, and in a file where they take more.

    Parameters
    ----------
    limit : float
        In GiB, of each set of rows.
    folder : Path or None
        Where files go; None: the system's temporary folder.

    Examples
    --------
    >>> small, large = Store(1.0), Store(1e-9)
    >>> rows = torch.rand(5, 3)
    >>> type(small.keep([rows], 5)).__name__, type(large.keep([rows], 5)).__name__
    ('Dense', 'Streamed')
    """

    def __init__(self, limit: float, folder: Path | None = None) -> None:
        self.limit, self.folder = limit * 2**30, folder

    def keep(self, computed: Iterable[Tensor], rows: int) -> Features:
        """Keep blocks of rows that are computed one after another, `rows` in all.

        Raises
        ------
        RunError
            When a file cannot be written.
        """
        kept: Tensor | None = None
        file: SpilledRows | None = None
        at = 0
        for block in computed:
            if at == 0 and block[0].nbytes * rows > self.limit:
                file = SpilledRows(rows, block, self.folder)
            elif at == 0:
                kept = block.new_empty(rows, *block.shape[1:])
            if file is not None:
                file.append(block)
            elif kept is not None:
                kept[at : at + len(block)] = block
            device, dtype = block.device, block.dtype
            at += len(block)
        if at == 0:
            raise DataError("there are no rows to encode", "give at least one row")
        if file is not None:
            return Streamed(file, device, dtype, trusted=True)
        assert kept is not None
        return Dense(kept)

    def settle(self, features: Features) -> Features:
        """Bring rows into memory where they are within the limit, as some of a file's rows may be."""
        if isinstance(features, (Dense, Sparse)) or bytes_of(features) > self.limit:
            return features
        return self.keep(blocks(features, features.block), features.shape[0])

    def open(self, source: Source, dtype: torch.dtype) -> Features:
        """Return a source's rows, read into memory where they are within the limit, and always where they are sparse.

        Raises
        ------
        DataError
            When the rows are beyond it, and the file keeps so many in one piece that a part is not read by itself.
        """
        if isinstance(source, SparseSource):
            return Sparse(load_sparse(source, dtype=dtype))
        if math.prod(source.shape) * dtype.itemsize <= self.limit:
            return Dense(load_rows(source, dtype=dtype))
        features = Streamed(source, dtype=dtype)
        row_bytes = math.prod(source.shape[1:]) * dtype.itemsize
        if features.block > 1 and features.block * row_bytes > WINDOW_BYTES:
            raise DataError(
                f"{source.name} keeps {features.block} rows in one piece, {features.block * row_bytes / 2**20:.0f} "
                f"MiB, expected at most {WINDOW_BYTES / 2**20:.0f} MiB to read it block by block",
                f"write it anew with {max(1, BLOCK_BYTES // row_bytes)} rows a chunk or row group, or raise "
                f"memory_limit to {math.prod(source.shape) * dtype.itemsize / 2**30:.1f} (GiB) or more",
            )
        return features


class SpilledRows:
    """A source of rows in a file without a name: it is gone when nobody reads it any more, however the process ends.

    Parameters
    ----------
    rows : int
        How many there will be.
    like : Tensor, shape (n, ...)
        Rows of the same shape and dtype.
    folder : Path or None
        Whose disk is used; None: that of the temporary folder.
    """

    sparse = False
    name = "codes"

    def __init__(self, rows: int, like: Tensor, folder: Path | None) -> None:
        values = numpy_of(like[:1])
        self.shape: tuple[int, ...] = (rows, *values.shape[1:])
        self.dtype = values.dtype
        self.row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        self.folder = folder or Path(tempfile.gettempdir())
        try:
            # unbuffered: what was written is there for the memory map
            self.file = tempfile.TemporaryFile(dir=self.folder, buffering=0)  # noqa: SIM115 - open while it is read
        except OSError as error:
            raise self._refused(error) from error
        weakref.finalize(self, self.file.close)

    def __reduce__(self) -> tuple[Any, ...]:
        return ArraySource, (self.read(0, self.shape[0]), self.name)  # a file without a name is of one process

    def append(self, block: Tensor) -> None:
        """Write further rows."""
        data = numpy_of(block).data.cast("B")
        try:
            while data:
                data = data[self.file.write(data) :]
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> RunError:
        return RunError(
            f"{self.folder}: codes of {self.shape[0] * self.row_bytes / 2**30:.1f} GiB that exceed memory_limit could "
            f"not be written: {error.strerror or error}",
            "give a run_dir on a disk with more room, or raise memory_limit",
        )

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` up to, not including, `stop`."""
        check_block(start, stop, self.shape[0], self.name)
        return np.array(np.memmap(self.file, self.dtype, "r", 0, self.shape)[start:stop])
