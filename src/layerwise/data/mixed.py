"""Batches of labelled and unlabelled rows together, each dealt in an order of its own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import torch
from torch import Tensor

from ..randomness import Randomness
from .batches import Batch, Batches
from .features import Features
from .targets import UNLABELLED


class MixedBatches:
    """Labelled rows and unlabelled rows, some of each in every batch, the labelled ones first.

    An epoch deals every unlabelled row once. The labelled rows are dealt again and again meanwhile, each time all of
    them in a fresh order; where they are fewer than their part of a batch, every batch holds all of them.

    Parameters
    ----------
    rows, codes : Tensor, shapes (n, ...) and (n,)
        The labelled rows and the class of each.
    unlabelled : Tensor or Features, shape (N, ...)
        The rows without a label.
    batch_size, unlabelled_size : int
        Labelled and unlabelled rows of an update.
    randomness : Randomness
        The orders are drawn from its children ``"labelled"`` and ``"unlabelled"``.
    weights : Tensor or None, shape (n,)
        What each labelled row counts; a row without a label counts 1.

    Examples
    --------
    >>> rows, codes = torch.zeros(3, 1), torch.tensor([0, 1, 0])
    >>> batches = MixedBatches(rows, codes, torch.ones(8, 1), 2, 4, Randomness(0))
    >>> batches.per_epoch, [len(batch.inputs) for batch in batches.epoch(0)]
    (2, [7, 7])
    """

    def __init__(
        self,
        rows: Tensor,
        codes: Tensor,
        unlabelled: Tensor | Features,
        batch_size: int,
        unlabelled_size: int,
        randomness: Randomness,
        weights: Tensor | None = None,
    ) -> None:
        self.labelled = Batches(rows, codes, batch_size, randomness.child("labelled"), weights=weights)
        self.unlabelled = Batches(unlabelled, None, unlabelled_size, randomness.child("unlabelled"))
        self.inputs = self.labelled.inputs
        self.per_epoch = self.unlabelled.per_epoch

    @property
    def waited(self) -> float:
        """Seconds that were spent so far on waiting for rows to be read."""
        return self.labelled.waited + self.unlabelled.waited

    def epoch(self, number: int, start: int = 0) -> Generator[Batch]:
        """Yield the batches of an epoch, from update `start` of it on."""
        with (
            closing(self._again_and_again(number * self.per_epoch + start)) as labelled,
            closing(self.unlabelled.epoch(number, start)) as unlabelled,
        ):
            for few, many in zip(labelled, unlabelled, strict=False):
                assert few.targets is not None
                none = few.targets.new_full((len(many.inputs),), UNLABELLED)
                weights = few.weights
                if weights is not None:
                    weights = torch.cat([weights, weights.new_ones(len(many.inputs))])
                yield Batch(torch.cat([few.inputs, many.inputs]), torch.cat([few.targets, none]), None, weights)

    def _again_and_again(self, update: int) -> Generator[Batch]:
        """Yield batches of labelled rows without end, from an update of the whole fit on."""
        epoch, start = divmod(update, self.labelled.per_epoch)
        while True:
            yield from self.labelled.epoch(epoch, start)
            epoch, start = epoch + 1, 0
