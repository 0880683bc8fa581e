"""The package's own side: the training loop itself, with the objectives' own learners."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from layerwise.data.batches import Batches
from layerwise.plan import TrainingPlan
from layerwise.randomness import Randomness
from layerwise.training.device import exact_float32
from layerwise.training.loop import Fitting, Progress, fit

from .timing import Side

BATCH = 100
RATE = 0.05  # one for all: at 0.1 the loss of a layer, summed over features, still jumps from update to update
Told = Callable[[str], None]  # is given a line of progress now and then


class Clock:
    """A callback that knows how long the updates took.

    It starts at the record before the first update, after the loss at the start was measured, which is done once a fit
    and not once an update; it ends at the last record.
    """

    def __init__(self) -> None:
        self.began: float | None = None
        self.ended = 0.0

    def __call__(self, progress: Progress) -> None:
        """Note the time of a record."""
        self.ended = time.perf_counter()
        if self.began is None:
            self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Between the first record and the last."""
        assert self.began is not None
        return self.ended - self.began


class Portions:
    """Rows given out in equal portions, in turn and round again; every side of a comparison has one of its own.

    Examples
    --------
    >>> import torch
    >>> portions = Portions(torch.arange(500))
    >>> [int(portions(2)[0][0]) for _ in range(3)]
    [0, 200, 0]
    """

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors
        self.turn = 0

    def __call__(self, updates: int) -> tuple[Tensor, ...]:
        """Return the rows of so many updates, with what belongs to them."""
        rows = updates * BATCH
        start = self.turn % (len(self.tensors[0]) // rows) * rows
        self.turn += 1
        return tuple(tensor[start : start + rows] for tensor in self.tensors)


def fit_timed(learner: nn.Module, batches: Any, plan: TrainingPlan, randomness: Randomness) -> float:
    """Train a learner as every stage and every fine-tuning does; return the seconds of its updates."""
    clock = Clock()
    with exact_float32():
        fit(learner, batches, plan, RATE, Fitting("benchmark", randomness, callbacks=(clock,)))
    return clock.seconds


def engine(
    name: str, learner: nn.Module, portions: Portions, plan: TrainingPlan, loss: Callable[[], float] | None
) -> Side:
    """Return the side that trains a learner by the package's loop, one epoch of a portion of the rows a round."""
    turns = itertools.count()

    def updates(count: int) -> float:
        inputs, *targets = portions(count)
        randomness = Randomness(0, name, next(turns))
        batches = Batches(inputs, targets[0] if targets else None, BATCH, randomness)
        return fit_timed(learner, batches, plan, randomness)

    return Side(name, updates, loss)
