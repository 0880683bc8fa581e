"""PyTorch data sets: gone through once, in their order, their targets with their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from layerwise.comparison.given import open_given
from layerwise.data import dataset as module
from layerwise.data.dataset import open_pair, spool
from layerwise.data.labelled import labelled_rows, unlabelled_rows
from layerwise.data.rowset import open_rows
from layerwise.data.source import open_source
from layerwise.data.spill import SpilledRows, Store
from layerwise.errors import DataError

ROWS = torch.arange(60, dtype=torch.uint8).view(20, 3)


class Items(Dataset):
    """Any items, counted as they are handed out."""

    def __init__(self, items: list[Any]) -> None:
        self.items, self.handed = items, 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        self.handed += 1
        return self.items[number]


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        yield from ((row, "even" if number % 2 == 0 else "odd") for number, row in enumerate(ROWS))


def test_items_are_handed_out_once() -> None:
    items = Items([(row, number) for number, row in enumerate(ROWS)])
    inputs, targets = spool(items)
    assert items.handed == 20 and targets is not None
    np.testing.assert_array_equal(inputs.read(0, 20), ROWS.numpy())
    np.testing.assert_array_equal(targets.read(0, 20), np.arange(20))
    assert inputs.dtype == np.uint8, "so that auto divides pixels by 255"


@pytest.mark.parametrize("limit", [0, 30, 59, 60, 10**6])
def test_memory_or_a_file_hold_the_same_rows(limit: int) -> None:
    inputs, _ = spool(DataLoader(TensorDataset(ROWS), batch_size=7), limit)
    assert isinstance(inputs, SpilledRows) is (limit < 60)
    np.testing.assert_array_equal(inputs.read(0, 20), ROWS.numpy())
    np.testing.assert_array_equal(inputs.read(6, 8), ROWS[6:8].numpy())


def test_a_stream_with_labels_of_text() -> None:
    inputs, targets = spool(Stream())
    assert inputs.shape == (20, 3) and targets is not None
    assert targets.read(0, 3).tolist() == ["even", "odd", "even"]
    assert open_source(Stream(), kind="targets").read(1, 2).tolist() == ["odd"]


def test_a_shuffled_loader_keeps_inputs_and_targets_together_or_is_refused() -> None:
    loader = DataLoader(TensorDataset(ROWS, ROWS[:, 0]), batch_size=4, shuffle=True)
    inputs, targets = spool(loader)
    assert targets is not None and np.array_equal(inputs.read(0, 20)[:, 0], targets.read(0, 20))
    with pytest.raises(DataError, match=r"another order each time.*\nhint: make it with shuffle=False"):
        open_source(loader, kind="targets")


LABELLED = TensorDataset(ROWS, ROWS[:, 0])
DISORDERLY = [
    {"shuffle": True},
    {"sampler": SubsetRandomSampler(range(20))},
    {"sampler": WeightedRandomSampler([1.0] * 20, 20)},
    {"batch_sampler": BatchSampler(RandomSampler(LABELLED), 4, drop_last=False)},
    {"batch_sampler": [[3, 1], [2, 0]]},
    {"batch_size": None, "sampler": RandomSampler(LABELLED)},
    {"num_workers": 2, "in_order": False},
]


@pytest.mark.parametrize("how", DISORDERLY)
def test_rows_dealt_in_another_order_are_no_inputs_beside_targets(how: dict[str, Any]) -> None:
    loader = DataLoader(LABELLED, **how)
    labels = np.arange(20) % 2
    with pytest.raises(DataError, match="another order each time"):
        open_source(loader, kind="targets")
    for pair in ((loader, labels), (ROWS, loader)):
        for opened in (
            lambda pair: open_rows(*pair, Store(1.0), torch.float32),
            lambda pair: labelled_rows(*pair),
            lambda pair: unlabelled_rows(*pair, 1.0, torch.float32),
            lambda pair: open_given(*pair),
        ):
            with pytest.raises(DataError, match="another order each time"):
                opened(pair)


def test_rows_dealt_in_another_order_are_inputs_by_themselves() -> None:
    rows, _ = open_rows(DataLoader(LABELLED, batch_size=4, shuffle=True), None, Store(1.0), torch.float32)
    assert sorted(rows.inputs.read(0, 20)[:, 0].tolist()) == ROWS[:, 0].tolist()


@pytest.mark.parametrize("how", [{"batch_size": 7}, {"batch_size": 1, "num_workers": 0}, {"batch_size": None}])
@pytest.mark.parametrize("rows", [LABELLED, Stream()], ids=["dataset", "stream"])
def test_rows_dealt_in_their_order_are_inputs_beside_targets(rows: Any, how: dict[str, Any]) -> None:
    if how["batch_size"] is None:
        rows = TensorDataset(ROWS[None], ROWS[None, :, 0])  # whose items are batches
    inputs, targets = open_pair(DataLoader(rows, **how), DataLoader(rows, **how))
    assert inputs.read(0, 20)[:, 0].tolist() == ROWS[:, 0].tolist() and targets.shape == (20,)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "the Items has no items"),
        ([{"x": ROWS[0]}], "items are dict, expected inputs or"),
        ([(ROWS[0], 1, 2)], "items are 3 parts"),
        ([ROWS[0], ROWS[0, :2]], "its items make no batch: .*equal size"),
        ([object()], r"its items make no batch[^\n]*\nhint: .*images need a transform to tensors"),
        (["text"], "items are str, expected inputs"),
    ],
)
def test_items_that_are_no_rows_are_refused(items: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        spool(Items(items))


def test_rows_of_another_shape_in_a_later_batch_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 1)
    with pytest.raises(DataError, match=r"rows of shape \(3,\) and \(2,\)"):
        spool(Items([ROWS[0], ROWS[0, :2]]))


def test_targets_where_there_are_none() -> None:
    with pytest.raises(DataError, match="items are inputs alone"):
        open_source(TensorDataset(ROWS), kind="targets")
