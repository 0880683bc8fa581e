"""Sparse rows with 100 non-zeros and a layer of 500 units: what an update costs as the rows grow wider.

By the package's own door, `pretrain`, on SciPy's compressed rows. Every round trains anew from the same weights; a
side's loss is the training loss over its last quarter of the updates, of which the sampled one is an unbiased estimate.
The losses of two widths are sums over as many elements, and differ as these do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse

from layerwise.nn.networks import build_network
from layerwise.objectives import DenoisingAutoencoder
from layerwise.randomness import Randomness

from .engine import BATCH, Told, pretrain_timed
from .report import Bar, Line, compared
from .timing import Side, interleave

NON_ZEROS, TOPIC, UNITS = 100, 500, 500
RATE = 0.01
NARROW, MIDDLE, WIDE = 10_000, 15_000, 100_000
UPDATES, ROUNDS = 200, 8
UPDATES_FULL, ROUNDS_FULL = 20, 6


def topical_rows(rows: int, width: int) -> scipy.sparse.csr_array:
    """Draw rows of ones at 100 columns each, all of one topic; the topics share the columns out among them.

    Examples
    --------
    >>> found = topical_rows(3, 1000)
    >>> found.shape, found.nnz
    ((3, 1000), 300)
    """
    draw = np.random.default_rng(0)
    topics = draw.permutation(width).reshape(-1, TOPIC)
    chosen = draw.random((rows, TOPIC)).argpartition(NON_ZEROS, axis=1)[:, :NON_ZEROS]
    columns = np.take_along_axis(topics[draw.integers(len(topics), size=rows)], chosen, axis=1)
    columns.sort(axis=1)
    pointers = np.arange(rows + 1) * NON_ZEROS
    return scipy.sparse.csr_array((np.ones(columns.size, "float32"), columns.ravel(), pointers), shape=(rows, width))


def side(name: str, reconstruction: str, width: int, units: int, most: int) -> Side:
    """Return one way to train, for up to so many updates a round."""
    rows = topical_rows(most * BATCH, width)
    settings: dict[str, Any] = {"reconstruction": reconstruction}
    objective = DenoisingAutoencoder(**settings)
    losses: list[float] = []

    def updates(count: int) -> float:
        network = build_network(width, (units,), 2, randomness=Randomness(0))
        stop = pretrain_timed(network, rows, count, objective=objective, learning_rate=RATE, epochs=1)
        losses.append(stop.loss)
        return stop.clock.seconds

    return Side(name, updates, lambda: losses[-1])


def compare_widths(
    widths: tuple[int, int], units: int, updates: int, rounds: int, told: Told = lambda line: None
) -> list[Line]:
    """Time a narrow and a wide side, sampled both."""
    names = [f"width {width:,}" for width in widths]
    sides = [side(name, "sampled", width, units, updates) for name, width in zip(names, widths, strict=True)]
    narrow, wide = interleave(sides, updates, rounds, told)
    row = f"sparse rows, {NON_ZEROS} non-zeros, {units} units, {names[1]}, sampled"
    return [compared(row, wide, narrow, Bar(1.5, 1.1, most=True))]


def compare_reconstructions(
    width: int, units: int, updates: int, rounds: int, told: Told = lambda line: None
) -> list[Line]:
    """Time sampled and full reconstruction."""
    sides = [
        side("sampled", "sampled", width, units, updates),
        side("full reconstruction", "full", width, units, updates),
    ]
    sampled, full = interleave(sides, updates, rounds, told)
    return [compared(f"sparse rows, width {width:,}, sampled reconstruction", sampled, full, Bar(8.0, 30.0))]


def measure(told: Told) -> list[Line]:
    """Time both comparisons."""
    return [
        *compare_widths((NARROW, WIDE), UNITS, UPDATES, ROUNDS, told),
        *compare_reconstructions(MIDDLE, UNITS, UPDATES_FULL, ROUNDS_FULL, told),
    ]
