"""Each row once per epoch, in an order that any place can be resumed from."""

from __future__ import annotations

import pytest
import torch

from layerwise.data.batches import Batches
from layerwise.errors import DataError, PlanError
from layerwise.randomness import Randomness


def make(rows: int, batch_size: int, seed: int = 0) -> Batches:
    inputs = torch.arange(2.0 * rows).reshape(rows, 2)
    return Batches(inputs, torch.arange(rows), batch_size, Randomness(seed, "batches"))


@pytest.mark.parametrize(
    ("rows", "batch_size", "sizes"),
    [
        (10, 5, [5, 5]),
        (12, 5, [5, 5, 2]),
        (11, 5, [5, 6]),
        (6, 5, [6]),
        (5, 5, [5]),
        (3, 5, [3]),
        (1, 5, [1]),
        (3, 2, [3]),
        (4, 1, [1, 1, 1, 1]),
        (1, 1, [1]),
    ],
)
def test_each_row_once_and_no_single_row_left_over(rows, batch_size, sizes):
    batches = make(rows, batch_size)
    dealt = list(batches.epoch(3))
    assert [len(batch.inputs) for batch in dealt] == sizes
    assert batches.per_epoch == len(sizes)
    assert batches.rows == rows
    targets = torch.cat([batch.targets for batch in dealt])
    assert torch.equal(targets.sort().values, torch.arange(rows))
    # Inputs travel with their targets.
    assert torch.equal(torch.cat([batch.inputs for batch in dealt]), batches.inputs.take(targets))


@pytest.mark.parametrize("start", range(6))
def test_resumes_from_any_update(start):
    whole = [batch.targets.tolist() for batch in make(21, 4).epoch(7)]
    assert len(whole) == 5
    assert [batch.targets.tolist() for batch in make(21, 4).epoch(7, start)] == whole[start:]


def test_order_differs_by_epoch_and_seed_and_is_shuffled():
    """Two equal orders of 1,000 rows have a chance of 1 in 1000 factorial; the seeds are fixed besides."""

    def order(seed, epoch):
        return torch.cat([batch.targets for batch in make(1000, 100, seed).epoch(epoch)]).tolist()

    orders = [order(0, 0), order(0, 1), order(1, 0), list(range(1000))]
    assert len({tuple(found) for found in orders}) == 4
    assert order(0, 1) == orders[1]


def test_first_place_is_uniform():
    """Over 3,000 epochs of 6 rows, chi-square (5 degrees) is below 20.5; false alarm 0.1 %, fixed seed."""
    batches = make(6, 2)
    first = torch.tensor([int(next(batches.epoch(epoch)).targets[0]) for epoch in range(3000)])
    counts = torch.bincount(first, minlength=6).double()
    assert float(((counts - 500) ** 2 / 500).sum()) < 20.5


def test_rows_without_targets():
    batch = next(Batches(torch.zeros(4, 1, 2, 2), None, 3, Randomness(0)).epoch(0))
    assert batch.targets is None
    assert batch.inputs.shape == (4, 1, 2, 2)


def test_leaves_global_randomness_alone():
    before = torch.random.get_rng_state()
    list(make(10, 3).epoch(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_refusals():
    with pytest.raises(PlanError, match="batch_size is 0"):
        make(3, 0)
    with pytest.raises(DataError, match="targets have 2 rows, inputs have 3"):
        Batches(torch.zeros(3, 1), torch.zeros(2), 1, Randomness(0))
    with pytest.raises(DataError, match="no rows"):
        make(0, 3)
    with pytest.raises(ValueError, match="has 3 updates, cannot start from 4"):
        make(6, 2).epoch(0, 4)
