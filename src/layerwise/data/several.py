"""Several files, or what else holds rows of one shape, as one source."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from .arrays import check_block

if TYPE_CHECKING:
    from .source import Source


class SeveralSource:
    """The rows of several sources, one after another.

    Parameters
    ----------
    parts : iterable of (str, Source)
        Where each stands, for messages, and its rows: dense, of one shape and dtype.
    name : str
        What messages call the whole.

    Raises
    ------
    DataError
        Naming the part that differs from the first in row shape or dtype.

    Examples
    --------
    >>> from layerwise.data.arrays import ArraySource
    >>> parts = [("a", ArraySource([[1], [2]], "a")), ("b", ArraySource([[3]], "b"))]
    >>> SeveralSource(parts, "both").read(1, 3).tolist()
    [[2], [3]]
    """

    sparse = False

    def __init__(self, parts: Iterable[tuple[str, Source]], name: str) -> None:
        self.name = name
        self.parts: list[Source] = []
        for where, part in parts:
            self._add(part, where)
        self.stops = list(accumulate(part.shape[0] for part in self.parts))
        self.shape: tuple[int, ...] = (self.stops[-1], *self.parts[0].shape[1:])
        self.dtype = self.parts[0].dtype
        self.piece = max(getattr(part, "piece", 1) for part in self.parts)

    def _add(self, part: Source, where: str) -> None:
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
