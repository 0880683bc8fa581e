"""Rows dealt out in mini-batches, in an order that needs no stored state to be resumed."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import DataError, PlanError
from ..randomness import Randomness
from .features import Features, Held, as_features
from .order import Window, read_ahead, windows


class Batch(NamedTuple):
    """The rows of one update.

    Attributes
    ----------
    inputs : Tensor, shape (B, ...)
        What the learner is fed.
    targets : Tensor of int64, shape (B,), or None
        Class of each row; or its quantities, shape (B, K).
    raw : Tensor, shape (B, ...), or None
        The same rows as the lowest layer is fed them, where noise is put on those.
    weights : Tensor, shape (B,), or None
        What each row counts.
    """

    inputs: Tensor
    targets: Tensor | None = None
    raw: Tensor | None = None
    weights: Tensor | None = None


class Batches:
    """A set of rows, dealt out once per epoch in a fresh order.

    Each epoch visits every row exactly once. The last batch holds what is left over; a single row left over
    joins the batch before it, because batch normalisation cannot train on one row. Rows that are not in memory are
    shuffled as `layerwise.data.order.windows` says.

    Parameters
    ----------
    inputs : Tensor or Features, shape (N, ...)
        The rows.
    targets : Tensor or None, shape (N, ...)
        What belongs to them.
    raw : Tensor, Features or None, shape (N, ...)
        The same rows as the lowest layer is fed them.
    weights : Tensor or None, shape (N,)
        What each row counts.
    batch_size : int
        Rows per update; more than there are gives one batch of all.
    randomness : Randomness
        The order of epoch `e` is drawn from its generator ``("order", e)``, so that it depends on nothing
        before it.

    Attributes
    ----------
    waited : float
        Seconds that were spent so far on waiting for rows to be read.

    Raises
    ------
    PlanError
        When `batch_size` is below 1.
    DataError
        When there are no rows, or inputs and targets differ in length.

    Examples
    --------
    >>> batches = Batches(torch.arange(7.0).reshape(7, 1), None, 3, Randomness(0))
    >>> batches.per_epoch, [len(batch.inputs) for batch in batches.epoch(0)]
    (2, [3, 4])
    """

    def __init__(
        self,
        inputs: Tensor | Features,
        targets: Tensor | None,
        batch_size: int,
        randomness: Randomness,
        raw: Tensor | Features | None = None,
        weights: Tensor | None = None,
    ) -> None:
        self.inputs = as_features(inputs)
        self.raw = None if raw is None else as_features(raw)
        self.rows = self.inputs.shape[0]
        if batch_size < 1:
            raise PlanError(f"batch_size is {batch_size}, expected 1 or more", "give the number of rows per update")
        if self.rows == 0:
            raise DataError("there are no rows to train on", "give at least one row")
        if targets is not None and len(targets) != self.rows:
            raise DataError(f"targets have {len(targets)} rows, inputs have {self.rows}", "give one target per row")
        self.targets, self.weights = targets, weights
        self.batch_size = batch_size
        self.randomness = randomness
        self.waited = 0.0
        self.per_epoch = updates_per_epoch(self.rows, batch_size)

    def epoch(self, number: int, start: int = 0) -> Generator[Batch]:
        """Yield the batches of an epoch, from update `start` of it on.

        Raises
        ------
        ValueError
            When `start` is not between 0 and `per_epoch`.
        """
        if not 0 <= start <= self.per_epoch:
            raise ValueError(f"epoch {number} has {self.per_epoch} updates, cannot start from {start}")
        return self._deal(number, start)

    def _deal(self, number: int, start: int) -> Generator[Batch]:
        if start == self.per_epoch:
            return
        with closing(self._windows(number, start * self.batch_size)) as loaded:
            window, used = self._next(loaded)
            for update in range(start, self.per_epoch):
                last = self.rows if update == self.per_epoch - 1 else (update + 1) * self.batch_size
                wanted, parts = last - update * self.batch_size, []
                while wanted:
                    if used == len(window.order):
                        window, used = self._next(loaded)
                    part = slice(used, min(used + wanted, len(window.order)))
                    parts.append(self._batch(window, part))
                    wanted, used = wanted - (part.stop - part.start), part.stop
                yield parts[0] if len(parts) == 1 else _joined(parts)

    def _windows(self, number: int, skip: int) -> Generator[_Loaded]:
        """Yield the windows of an epoch; those of the first `skip` rows that are dealt are not read."""
        features = [part for part in (self.inputs, self.raw) if part is not None]
        block = min(part.block for part in features)
        order = windows(
            self.rows, block, min(part.window for part in features), self.randomness.generator("order", number)
        )

        def wanted() -> Iterator[tuple[Window, int]]:
            done = 0
            for window in order:
                if done + len(window.order) > skip:
                    yield window, max(0, skip - done)
                done += len(window.order)

        yield from read_ahead(self._load, wanted(), threaded=block < self.rows)

    def _load(self, wanted: tuple[Window, int], spare: _Loaded | None) -> _Loaded:
        window, used = wanted
        inputs = self.inputs.load(window.spans, None if spare is None else spare.inputs)
        raw = None if self.raw is None else self.raw.load(window.spans, None if spare is None else spare.raw)
        return _Loaded(inputs, raw, window.order.to(self.inputs.device), window.numbers, used)

    def _next(self, loaded: Iterator[_Loaded]) -> tuple[_Loaded, int]:
        began = time.perf_counter()
        window = next(loaded)
        self.waited += time.perf_counter() - began
        return window, window.used

    def _batch(self, window: _Loaded, part: slice) -> Batch:
        places = window.order[part]
        targets, weights = (
            None if each is None else each.index_select(0, window.numbers[part].to(each.device))
            for each in (self.targets, self.weights)
        )
        raw = None if window.raw is None else window.raw.take(places)
        return Batch(window.inputs.take(places), targets, raw, weights)


class _Loaded(NamedTuple):
    """A window whose rows are in memory, and how many of them were dealt before."""

    inputs: Held
    raw: Held | None
    order: Tensor
    numbers: Tensor
    used: int


def updates_per_epoch(rows: int, batch_size: int) -> int:
    """Return the number of batches that an epoch deals.

    Examples
    --------
    >>> updates_per_epoch(6, 3), updates_per_epoch(7, 3), updates_per_epoch(8, 3)
    (2, 2, 3)
    """
    full, left = divmod(rows, batch_size)
    return full + (left > 0) - (left == 1 and full > 0)


def _joined(parts: list[Batch]) -> Batch:
    """Return batches as one; rows of two windows meet where one ends."""
    inputs, *others = (None if each[0] is None else torch.cat(each) for each in zip(*parts, strict=True))
    assert inputs is not None
    return Batch(inputs, *others)


def hold_out(rows: int, fraction: float, randomness: Randomness) -> tuple[Tensor, Tensor]:
    """Split row numbers at random into (kept, held out), each in ascending order.

    Raises
    ------
    PlanError
        When the fraction leaves no row on one of the sides.

    Examples
    --------
    >>> kept, held = hold_out(10, 0.2, Randomness(0))
    >>> len(kept), len(held)
    (8, 2)
    """
    count = round(rows * fraction)
    if not 0 < count < rows:
        raise PlanError(
            f"validation={fraction:g} holds out {count} of {rows} rows",
            "give a fraction that leaves rows on both sides",
        )
    order = torch.randperm(rows, generator=randomness.generator("held out"))
    return order[count:].sort().values, order[:count].sort().values
