"""Labelled and unlabelled rows in one batch: every unlabelled row once an epoch, the labelled ones again and again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from layerwise.data.features import Streamed
from layerwise.data.mixed import MixedBatches
from layerwise.data.source import open_source
from layerwise.randomness import Randomness

LABELLED, UNLABELLED = 7, 23


def batches(batch_size: int = 3, unlabelled_size: int = 5) -> MixedBatches:
    rows = torch.arange(float(LABELLED))[:, None]
    others = 100 + torch.arange(float(UNLABELLED))[:, None]
    return MixedBatches(rows, torch.arange(LABELLED), others, batch_size, unlabelled_size, Randomness(3))


def test_an_epoch_has_every_unlabelled_row_once_and_the_labelled_ones_in_turn() -> None:
    dealt = [batch for epoch in range(4) for batch in batches().epoch(epoch)]
    assert batches().per_epoch == 5 and len(dealt) == 20
    seen_unlabelled, seen_labelled = [], []
    for batch in dealt:
        assert batch.targets is not None
        labelled = batch.targets >= 0
        assert labelled.tolist() == sorted(labelled.tolist(), reverse=True)
        assert torch.equal(batch.inputs[labelled].flatten().long(), batch.targets[labelled])
        assert (batch.inputs[~labelled] >= 100).all()
        seen_labelled += batch.targets[labelled].tolist()
        seen_unlabelled += batch.inputs[~labelled].flatten().tolist()
    for epoch in range(4):
        part = seen_unlabelled[epoch * UNLABELLED : (epoch + 1) * UNLABELLED]
        assert sorted(part) == [100.0 + row for row in range(UNLABELLED)]
    rounds = [seen_labelled[start : start + LABELLED] for start in range(0, len(seen_labelled), LABELLED)]
    assert all(sorted(part) == list(range(LABELLED)) for part in rounds if len(part) == LABELLED)
    assert len({tuple(part) for part in rounds}) > 3  # a fresh order each time


@pytest.mark.parametrize(("epoch", "start"), [(0, 3), (2, 1), (3, 5)])
def test_an_epoch_entered_half_way_goes_on_as_it_would_have(epoch: int, start: int) -> None:
    whole = list(batches().epoch(epoch))[start:]
    for one, other in zip(batches().epoch(epoch, start), whole, strict=True):
        assert torch.equal(one.inputs, other.inputs) and one.targets is not None and other.targets is not None
        assert torch.equal(one.targets, other.targets)


def test_fewer_labelled_rows_than_their_part_are_in_every_batch() -> None:
    for batch in batches(batch_size=50).epoch(0):
        assert batch.targets is not None and sorted(batch.targets.tolist())[-LABELLED:] == list(range(LABELLED))


def test_unlabelled_rows_may_stay_in_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.arange(20, dtype=np.float32)[:, None])
    others = Streamed(open_source(tmp_path / "rows.npy"))
    mixed = MixedBatches(torch.zeros(2, 1), torch.tensor([0, 1]), others, 2, 8, Randomness(0))
    seen = torch.cat([batch.inputs[2:] for batch in mixed.epoch(0)])
    assert sorted(seen.flatten().tolist()) == [float(row) for row in range(20)]


def test_weights_go_with_their_rows_and_unlabelled_ones_count_1() -> None:
    rows, weights = torch.arange(3.0)[:, None], torch.tensor([5.0, 6.0, 7.0])
    mixed = MixedBatches(rows, torch.tensor([0, 1, 0]), -torch.ones(6, 1), 2, 3, Randomness(0), weights)
    for batch in mixed.epoch(0):
        assert torch.equal(batch.weights, torch.where(batch.targets < 0, 1.0, batch.inputs[:, 0] + 5.0))
