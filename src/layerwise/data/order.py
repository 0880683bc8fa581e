"""The order of one epoch, window by window, and a thread that reads the next window while the last one is dealt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, TypeVar

import torch
from torch import Generator, Tensor

Wanted = TypeVar("Wanted")
Loaded = TypeVar("Loaded")


class Window(NamedTuple):
    """Rows that are in memory together.

    Attributes
    ----------
    spans : list of (start, stop)
        The blocks of rows, in the order in which they are read.
    order : Tensor of int64
        Places among the rows read, in the order in which they are dealt.
    """

    spans: list[tuple[int, int]]
    order: Tensor

    @property
    def numbers(self) -> Tensor:
        """Numbers of the rows, in the order in which they are dealt."""
        return torch.cat([torch.arange(start, stop) for start, stop in self.spans])[self.order]


def windows(rows: int, block: int, window: int, generator: Generator) -> Iterator[Window]:
    """Yield the windows of an epoch: blocks in random order, `window` rows' worth at a time, rows shuffled within.

    Where one block holds all rows, the order is ``torch.randperm(rows)`` of the generator.

    Examples
    --------
    >>> found = list(windows(5, 2, 4, torch.Generator().manual_seed(0)))
    >>> [window.spans for window in found], [window.order.tolist() for window in found]
    ([[(4, 5), (0, 2)], [(2, 4)]], [[2, 1, 0], [1, 0]])
    """
    starts = torch.randperm(-(-rows // block), generator=generator) * block
    for group in starts.split(max(1, window // block)):
        spans = [(start, min(start + block, rows)) for start in group.tolist()]
        yield Window(spans, torch.randperm(sum(stop - start for start, stop in spans), generator=generator))


def read_ahead(
    load: Callable[[Wanted, Loaded | None], Loaded], wanted: Iterable[Wanted], threaded: bool = True
) -> Iterator[Loaded]:
    """Yield what is loaded for each wanted thing, while a thread loads the next; at most two are in memory.

    Whoever asks for the next has done with the last: its memory is handed to ``load`` to be written over. An error of
    ``load`` is raised here; the thread ends with the iterator, however that ends.

    Parameters
    ----------
    load : callable
        Takes a wanted thing, and something loaded before that may be overwritten, or None.
    wanted : iterable
        What to load.
    threaded : bool
        False: without a thread, for what is in memory anyway.

    Examples
    --------
    >>> list(read_ahead(lambda number, spare: number**2, [1, 2, 3]))
    [1, 4, 9]
    """
    if not threaded:
        yield from (load(item, None) for item in wanted)
        return
    left = iter(wanted)
    spare: Loaded | None = None
    with ThreadPoolExecutor(1, "layerwise-reader") as reader:
        coming = [reader.submit(load, item, None) for item in islice(left, 1)]
        while coming:
            loaded = coming.pop().result()
            coming = [reader.submit(load, item, spare) for item in islice(left, 1)]
            yield loaded
            spare = loaded
