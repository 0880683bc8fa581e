"""Stages 2 and 3 of a greedy run, 784-1000-1000-1000: frozen layers encoded once, against once a batch.

Both sides train the same learners with the same noise and order, by the package's loop, for the default number of
epochs; only where the features come from differs, so their losses agree to rounding. The time includes encoding.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from layerwise.data.batches import Batch, Batches
from layerwise.data.mnist import load_mnist
from layerwise.nn.cutting import cut
from layerwise.nn.layers import Layer
from layerwise.nn.networks import build_network
from layerwise.objectives import DenoisingAutoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.plan import PretrainPlan
from layerwise.pretraining import reach
from layerwise.randomness import Randomness
from layerwise.stack import encode
from layerwise.training.device import exact_float32

from .engine import BATCH, Told, fit_timed
from .layers import JUDGED, clean_loss
from .report import Bar, Line, compared
from .timing import Side, interleave, stopwatch, together

EPOCHS = PretrainPlan().epochs
UPDATES, ROUNDS = 10 * EPOCHS, 6  # 1,000 rows


@dataclass(frozen=True)
class Recomputed:
    """Batches of the lowest rows, taken up through the frozen layers one batch at a time; ``inputs`` is a sample."""

    batches: Batches
    below: Sequence[Layer]
    layer: Layer
    inputs: Tensor

    @property
    def per_epoch(self) -> int:
        """Updates an epoch."""
        return self.batches.per_epoch

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from update `start` of it on."""
        for batch in self.batches.epoch(number, start):
            with torch.no_grad():
                features = reach(self.below, self.layer, batch.inputs)
            yield Batch(features)


def codes(layers: Sequence[Layer], rows: Tensor) -> Tensor:
    """Return the rows' codes after these layers."""
    for layer in layers:
        rows = encode(layer, rows)
    return rows


def stage(layers: Sequence[Layer], rows: Tensor, judged: Tensor, once: bool, told_as: str) -> Side:
    """Return one side of a stage: the last of the layers is trained, those below it stay as they are."""
    *below, layer = copy.deepcopy(list(layers))
    with exact_float32():
        features = codes(below[:-1], rows)  # what the stage before was given, which a greedy run still holds
        given, tested = codes(below, rows), codes(below, judged)
    learner = DenoisingAutoencoder().build(layer, FeatureFacts.of(given), torch.Generator())
    plan, turns = PretrainPlan(batch_size=BATCH), itertools.count()

    def updates(count: int) -> float:
        used, randomness = count // EPOCHS * BATCH, Randomness(0, next(turns))
        if not once:
            recomputed = Recomputed(Batches(rows[:used], None, BATCH, randomness), below, layer, given[:BATCH])
            return fit_timed(learner, recomputed, plan, randomness)
        found: list[Tensor] = []
        with exact_float32():
            encoding = stopwatch(lambda: found.append(encode(below[-1], features[:used])))
        return encoding + fit_timed(learner, Batches(found[0], None, BATCH, randomness), plan, randomness)

    return Side(
        told_as, updates, lambda: clean_loss(layer.module.weight, layer.module.bias, learner.decoder.bias, tested)
    )


def compare(
    rows: Tensor, judged: Tensor, widths: tuple[int, int, int], updates: int, rounds: int,
    told: Told = lambda line: None,
) -> list[Line]:  # fmt: skip
    """Time the two upper stages of three, both ways; so many updates are a multiple of the epochs."""
    layers = cut(build_network(rows.shape[1], widths, 10, randomness=Randomness(0)))
    sides = [
        stage(layers[:depth], rows, judged, once, f"stage {depth}, {'encoded once' if once else 'recomputed'}")
        for once in (True, False)
        for depth in (2, 3)
    ]
    second, third, second_again, third_again = interleave(sides, updates, rounds, told)
    ours = together("stages 2 and 3, encoded once", second, third)
    theirs = together("frozen layers recomputed for each batch, same engine", second_again, third_again)
    return [
        compared("greedy, stages 2 and 3 of three", ours, theirs, Bar(1.4)),
        compared("greedy, stage 3", third, second, Bar(1.1, most=True)),
    ]


def measure(told: Told) -> list[Line]:
    """Time on MNIST."""
    mnist = load_mnist()
    rows = mnist.inputs[: UPDATES // EPOCHS * BATCH]
    return compare(rows, mnist.test_inputs[:JUDGED], (1000,) * 3, UPDATES, ROUNDS, told)
