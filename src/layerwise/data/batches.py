"""Rows dealt out in mini-batches, in an order that needs no stored state to be resumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import DataError, PlanError
from ..randomness import Randomness


class Batch(NamedTuple):
    """The rows of one update.

    Attributes
    ----------
    inputs : Tensor, shape (B, ...)
        What the learner is fed.
    targets : Tensor of int64, shape (B,), or None
        Class of each row.
    raw : Tensor, shape (B, ...), or None
        The same rows as the lowest layer is fed them, where noise is put on those.
    """

    inputs: Tensor
    targets: Tensor | None = None
    raw: Tensor | None = None

    def at(self, chosen: Tensor | slice) -> Batch:
        """Return some of the rows, with all that belongs to them."""
        targets, raw = (None if part is None else part[chosen] for part in (self.targets, self.raw))
        return Batch(self.inputs[chosen], targets, raw)


class Batches:
    """A set of rows, dealt out once per epoch in a fresh order.

    Each epoch visits every row exactly once. The last batch holds what is left over; a single row left over
    joins the batch before it, because batch normalisation cannot train on one row.

    Parameters
    ----------
    inputs : Tensor, shape (N, ...)
        The rows.
    targets : Tensor or None, shape (N, ...)
        What belongs to them.
    raw : Tensor or None, shape (N, ...)
        The same rows as the lowest layer is fed them.
    batch_size : int
        Rows per update; more than there are gives one batch of all.
    randomness : Randomness
        The order of epoch `e` is drawn from its generator ``("order", e)``, so that it depends on nothing
        before it.

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
        inputs: Tensor,
        targets: Tensor | None,
        batch_size: int,
        randomness: Randomness,
        raw: Tensor | None = None,
    ) -> None:
        if batch_size < 1:
            raise PlanError(f"batch_size is {batch_size}, expected 1 or more", "give the number of rows per update")
        if len(inputs) == 0:
            raise DataError("there are no rows to train on", "give at least one row")
        if targets is not None and len(targets) != len(inputs):
            raise DataError(f"targets have {len(targets)} rows, inputs have {len(inputs)}", "give one target per row")
        self.inputs = inputs
        self.targets = targets
        self.raw = raw
        self.batch_size = batch_size
        self.randomness = randomness
        self.rows = len(inputs)
        full, left = divmod(self.rows, batch_size)
        joins = left == 1 and full > 0
        self.per_epoch = full + (left > 0) - joins

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from update `start` of it on.

        Raises
        ------
        ValueError
            When `start` is not between 0 and `per_epoch`.
        """
        if not 0 <= start <= self.per_epoch:
            raise ValueError(f"epoch {number} has {self.per_epoch} updates, cannot start from {start}")
        return self._deal(number, start)

    def _deal(self, number: int, start: int) -> Iterator[Batch]:
        order = torch.randperm(self.rows, generator=self.randomness.generator("order", number))
        order = order.to(self.inputs.device)
        for update in range(start, self.per_epoch):
            last = self.rows if update == self.per_epoch - 1 else (update + 1) * self.batch_size
            rows = order[update * self.batch_size : last]
            targets = None if self.targets is None else self.targets.index_select(0, rows.to(self.targets.device))
            raw = None if self.raw is None else self.raw.index_select(0, rows)
            yield Batch(self.inputs.index_select(0, rows), targets, raw)


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
