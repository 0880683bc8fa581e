"""The rows that a stage learns from, wherever they are: in memory, or in a file that is larger than memory.

Rows of a file are read in contiguous blocks. An epoch takes the blocks in a random order, some at a time (a window),
and shuffles the rows within each window; rows in memory are one block, so that their window is the whole set and their
order a plain permutation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .source import Source, as_floats, as_tensor, check_finite
from .sparse_features import from_tensor

# Small enough that a window has blocks from many places, large enough that reading one costs more than finding it.
BLOCK_BYTES = 4 * 2**20
# Two are in memory at a time: one that is dealt from, one that is read meanwhile.
WINDOW_BYTES = 128 * 2**20

Span = tuple[int, int]


class Held(Protocol):
    """Rows in memory, of which any can be taken."""

    def take(self, rows: Tensor) -> Tensor:
        """Return some rows, by number."""
        ...


class Features(Protocol):
    """Rows to learn from.

    Attributes
    ----------
    shape : tuple of int
        Rows first.
    device, dtype
        Of the tensors that are handed out.
    block, window : int
        Rows that are read at once, and rows that are in memory at once to be dealt from; all where they are in memory.
    """

    shape: tuple[int, ...]
    device: torch.device
    dtype: torch.dtype
    block: int
    window: int

    def read(self, start: int, stop: int) -> Tensor:
        """Return the rows from `start` up to, not including, `stop`, each checked to be finite numbers."""
        ...

    def load(self, spans: Sequence[Span], spare: Held | None = None) -> Held:
        """Bring blocks of rows into memory, one after another; `spare` is what may be overwritten."""
        ...

    def select(self, rows: Tensor) -> Features:
        """Return some of the rows, by number in ascending order."""
        ...

    def to(self, device: torch.device, dtype: torch.dtype) -> Features:
        """Return the same rows, handed out on another device or in another dtype."""
        ...

    def reshaped(self, item: tuple[int, ...]) -> Features:
        """Return the same rows, each in another shape."""
        ...


class Dense:
    """Rows in memory: a tensor.

    Parameters
    ----------
    rows : Tensor, shape (N, ...)
        Not copied.

    Examples
    --------
    >>> features = Dense(torch.arange(6.0).reshape(3, 2))
    >>> features.select(torch.tensor([0, 2])).read(1, 2).tolist()
    [[4.0, 5.0]]
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows
        self.shape: tuple[int, ...] = tuple(rows.shape)
        self.device, self.dtype = rows.device, rows.dtype
        self.block = self.window = len(rows)

    def read(self, start: int, stop: int) -> Tensor:
        """Return the rows from `start` up to, not including, `stop`; not copied."""
        return self.rows[start:stop]

    def take(self, rows: Tensor) -> Tensor:
        """Return some rows, by number."""
        return self.rows.index_select(0, rows.to(self.device))

    def load(self, spans: Sequence[Span], spare: Held | None = None) -> Held:
        """Return the rows of some blocks; themselves where that is all of them."""
        if list(spans) == [(0, len(self.rows))]:
            return self
        return Dense(torch.cat([self.rows[start:stop] for start, stop in spans]))

    def select(self, rows: Tensor) -> Dense:
        """Return some of the rows, by number."""
        return Dense(self.take(rows))

    def to(self, device: torch.device, dtype: torch.dtype) -> Dense:
        """Return the rows on another device or in another dtype."""
        return Dense(self.rows.to(device, dtype))

    def reshaped(self, item: tuple[int, ...]) -> Dense:
        """Return the rows, each in another shape."""
        return Dense(self.rows.reshape(len(self.rows), *item))


class Streamed:
    """Rows that are read from their source whenever they are needed.

    Parameters
    ----------
    source : Source
        The rows.
    device, dtype
        Of the tensors that are handed out.
    chosen : Tensor of int64 or None
        Numbers of the source's rows that are meant, ascending; None: all.
    item : tuple of int or None
        Shape of one row; None: that of the source.
    trusted : bool
        Whether the rows need not be checked: codes that were computed here.

    Examples
    --------
    >>> from layerwise.data.source import open_source
    >>> features = Streamed(open_source([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]))
    >>> features.select(torch.tensor([0, 2])).read(1, 2).tolist()
    [[4.0, 5.0]]
    """

    def __init__(
        self,
        source: Source,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        chosen: Tensor | None = None,
        item: tuple[int, ...] | None = None,
        trusted: bool = False,
    ) -> None:
        self.source, self.chosen, self.trusted = source, chosen, trusted
        self.device, self.dtype = device or torch.device("cpu"), dtype
        self.item = tuple(source.shape[1:]) if item is None else item
        self.shape = (source.shape[0] if chosen is None else len(chosen), *self.item)
        self.block, self.window = _sizes(source, math.prod(self.item) * dtype.itemsize)

    def read(self, start: int, stop: int) -> Tensor:
        """Return the rows from `start` up to, not including, `stop`, each checked to be finite numbers."""
        rows = torch.empty(stop - start, *self.item, dtype=self.dtype, device=self.device)
        self._fill(rows, start, stop, check=not self.trusted)
        return rows

    def load(self, spans: Sequence[Span], spare: Held | None = None) -> Held:
        """Bring blocks of rows into memory, into that of `spare` where it suffices; they are not checked again."""
        count = sum(stop - start for start, stop in spans)
        room = spare.rows if isinstance(spare, Dense) and len(spare.rows) >= count else None
        rows = torch.empty(count, *self.item, dtype=self.dtype, device=self.device) if room is None else room[:count]
        at = 0
        for start, stop in spans:
            self._fill(rows[at : at + stop - start], start, stop, check=False)
            at += stop - start
        return Dense(rows)

    def _fill(self, rows: Tensor, start: int, stop: int, check: bool) -> None:
        for first, last, places in self._pieces(start, stop):
            raw = self.source.read(first, last)
            if check:
                check_finite(as_tensor(raw, self.dtype), raw, first, self.source.name)
            values = as_floats(raw, self.dtype)
            if places is None:
                _copy(values, rows)
            else:
                at, chosen = places
                _copy(values[chosen.numpy()], rows[at : at + len(chosen)])

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int, tuple[int, Tensor] | None]]:
        """Yield (first, last) of the source's rows to read, and which of them are meant and where they go."""
        if self.chosen is None:
            yield start, stop, None
            return
        numbers = self.chosen[start:stop]
        at = 0
        while at < len(numbers):
            first = int(numbers[at])
            upto = int(torch.searchsorted(numbers, first + self.block))
            yield first, int(numbers[upto - 1]) + 1, (at, numbers[at:upto] - first)
            at = upto

    def _with(self, **changes: Any) -> Streamed:
        names = ("device", "dtype", "chosen", "item", "trusted")
        return Streamed(self.source, **({name: getattr(self, name) for name in names} | changes))

    def select(self, rows: Tensor) -> Streamed:
        """Return some of the rows, by number in ascending order."""
        return self._with(chosen=rows if self.chosen is None else self.chosen[rows])

    def to(self, device: torch.device, dtype: torch.dtype) -> Streamed:
        """Return the same rows, handed out on another device or in another dtype."""
        return self._with(device=device, dtype=dtype)

    def reshaped(self, item: tuple[int, ...]) -> Streamed:
        """Return the same rows, each in another shape."""
        return self._with(item=item)


def _copy(values: np.ndarray, rows: Tensor) -> None:
    """Copy rows to where they are wanted, by NumPy where it can.

    This runs in the thread that reads ahead, in which torch would start threads of its own beside those that train.
    """
    if rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.float64):
        np.copyto(rows.numpy(), values.reshape(rows.shape))
    else:
        rows.copy_(torch.from_numpy(values).reshape(rows.shape))


def _sizes(source: Source, row_bytes: int) -> Span:
    """Return the rows of a block and of a window: blocks are whole pieces of those that the file is kept in."""
    row_bytes = max(1, row_bytes)
    piece = max(1, min(getattr(source, "piece", 1), source.shape[0]))
    block = -(-max(1, BLOCK_BYTES // row_bytes) // piece) * piece
    return block, max(2, WINDOW_BYTES // (block * row_bytes)) * block


def as_features(rows: Tensor | Features) -> Features:
    """Return a tensor's rows as features; features as they are."""
    if not isinstance(rows, Tensor):
        return rows
    return Dense(rows) if rows.layout is torch.strided else from_tensor(rows)


def blocks(features: Features, size: int, most: int | None = None) -> Iterator[Tensor]:
    """Yield the first `most` rows (None: all) in their order, `size` or fewer at a time.

    Examples
    --------
    >>> [len(block) for block in blocks(Dense(torch.zeros(5, 1)), 2)]
    [2, 2, 1]
    """
    rows = features.shape[0] if most is None else min(most, features.shape[0])
    step = max(1, min(size, features.block))
    for start in range(0, rows, step):
        yield features.read(start, min(start + step, rows))


def bytes_of(features: Features) -> int:
    """Return what all rows would take in memory.

    Examples
    --------
    >>> bytes_of(Dense(torch.zeros(5, 3)))
    60
    """
    return math.prod(features.shape) * features.dtype.itemsize


def numpy_of(rows: Tensor) -> np.ndarray:
    """Return a tensor's values as NumPy can hold them: bfloat16 as float32, which holds each of its values exactly."""
    rows = rows.detach().cpu()
    return np.ascontiguousarray((rows.float() if rows.dtype is torch.bfloat16 else rows).numpy())
