"""The package's own side: the training loop itself, with the objectives' own learners."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from layerwise.data.batches import Batches
from layerwise.plan import TrainingPlan
from layerwise.pretraining import pretrain
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


class Enough(Exception):
    """Raised by a callback to end a pre-training after so many updates."""


@dataclass
class Stop:
    """A callback that times so many updates of one stage, then ends the whole pre-training.

    Attributes
    ----------
    updates : int
        How many; a record falls on the last of them.
    at_start : callable
        Called once before the first update, untimed.
    loss : float
        Mean training loss since the record before the last.
    """

    updates: int
    at_start: Callable[[], None] = lambda: None
    clock: Clock = field(default_factory=Clock)
    loss: float = math.nan

    def __call__(self, progress: Progress) -> None:
        """Note the time, and end at the last update."""
        if progress.update == 0:
            self.at_start()
        if progress.record is None:
            return
        self.clock(progress)
        self.loss = progress.record["training_loss"]
        if progress.update >= self.updates:
            raise Enough


def pretrain_timed(
    network: nn.Module, inputs: Any, updates: int, at_start: Callable[[], None] = lambda: None, **settings: Any
) -> Stop:
    """Pre-train a network's first layer for so many updates, a multiple of four, by the package's own door.

    Returns
    -------
    Stop
        ``.clock.seconds``, and ``.loss`` as the mean over the last quarter of the updates.

    Raises
    ------
    ValueError
        When the rows and epochs are over before that.
    """
    stop = Stop(updates, at_start)
    try:
        pretrain(
            network, inputs, batch_size=BATCH, random_state=0, device="cpu", summary_every=updates // 4,
            callbacks=[stop], **settings,
        )  # fmt: skip
    except Enough:
        return stop
    raise ValueError(f"there are too few rows for {updates} updates")


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
