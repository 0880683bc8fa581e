"""Health over time: what a record says, and that watching a training leaves it bit for bit as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import layerwise as lw
from layerwise.analysis import LayerHealth, activity, batch_statistics, gradient_norms, singular_values
from layerwise.errors import DataError
from layerwise.training.loop import Progress
from small_network import build, inputs, same, weights

ROWS, CLASSES = inputs(), torch.arange(50) % 3


def normalised() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return nn.Sequential(
            nn.Dropout(0.2), nn.Linear(12, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, 6),
            nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3),
        )  # fmt: skip


def convolutional() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return nn.Sequential(
            nn.Unflatten(1, (1, 12)), nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.MaxPool1d(2),
            nn.Flatten(), nn.Linear(20, 3),
        )  # fmt: skip


SETTINGS: list[dict[str, Any]] = [
    {"learning_rate": 0.2}, {"learning_rate": 0.1, "momentum": 0.9, "summary_every": 1},
    {"learning_rate": 0.01, "optimizer": "adam"}, {"learning_rate": 0.1, "precision": "bfloat16"},
]  # fmt: skip


@pytest.mark.parametrize("make", [build, normalised, convolutional])
@pytest.mark.parametrize("settings", SETTINGS)
def test_fine_tuning_is_the_same_bit_for_bit_with_and_without(make: Any, settings: dict[str, Any]) -> None:
    found = []
    for watched in (False, True):
        network = make()
        watch = LayerHealth(network, ROWS[:20], CLASSES[:20], jacobian_rows=2)
        drawn = torch.get_rng_state()
        result = lw.finetune(
            network, ROWS, CLASSES, epochs=3, batch_size=20, random_state=0, validation=(ROWS, CLASSES),
            callbacks=[watch] if watched else [], **settings,
        )  # fmt: skip
        assert torch.equal(drawn, torch.get_rng_state())
        assert bool(watch.records) is watched and all(p.grad is None for p in network.parameters())
        keep = ("update", "training_loss", "validation_loss")
        found.append((weights(network), [[record.get(key) for key in keep] for record in result.history]))
    assert same(found[0][0], found[1][0]) and found[0][1] == found[1][1]


@pytest.mark.parametrize("objective", ["denoising", "rbm"])
def test_pre_training_is_the_same_bit_for_bit_and_its_stages_are_told_apart(objective: str) -> None:
    plain, watched = build(), build()
    watch = LayerHealth(watched, ROWS[:20], jacobian_rows=1)
    lw.pretrain(plain, ROWS, objective=objective, epochs=2, random_state=0)
    lw.pretrain(watched, ROWS, objective=objective, epochs=2, random_state=0, callbacks=[watch])
    assert same(weights(plain), weights(watched))
    last = {(record["fit"], record["layer"]): record for record in watch.records}
    assert last["pretrain/1", "0"]["moved"] > 0 and last["pretrain/1", "2"]["moved"] == 0
    assert last["pretrain/2", "0"]["moved"] == 0 and last["pretrain/2", "2"]["moved"] > 0
    assert last["pretrain/1", "0"]["gradient_norm"] is None and last["pretrain/1", "network"]["loss"] is None


def test_records_say_what_the_functions_do() -> None:
    network = normalised()
    watch = LayerHealth(network, ROWS[:20], CLASSES[:20], jacobian_rows=2)
    before = weights(network)
    expected = gradient_norms(network, ROWS[:20], CLASSES[:20])
    with batch_statistics(network, ROWS[:20]):
        units, values = activity(network, ROWS[:20]), singular_values(network, ROWS[:2])
    records = {record["layer"]: record for record in watch.measure("fit", 0)}
    assert same(before, weights(network))
    assert list(records) == ["1", "5", "8", "network"]
    assert {name: records[name]["gradient_norm"] for name in expected} == expected
    for one in units:
        assert (records[one.layer]["saturated"], records[one.layer]["dead"]) == (one.saturated, one.dead)
    for name, value in values.items():
        assert records[name]["largest"] == pytest.approx(float(value[:, 0].mean()))
        assert records[name]["smallest"] == pytest.approx(float(value[:, -1].mean()))
    assert records["8"]["dead"] is None and records["network"]["weight_norm"] is None
    assert len({tuple(record) for record in records.values()}) == 1  # the same keys everywhere
    assert records["1"]["largest"] > records["1"]["median"] > records["1"]["smallest"]


def test_movement_is_that_of_the_weights() -> None:
    network = build()
    watch = LayerHealth(network, ROWS[:20], jacobian_rows=0)
    start = network[0].weight.detach().clone()
    (first, *_) = watch.measure("fit", 0)
    assert (first["moved"], first["update_ratio"], first["largest"]) == (0.0, None, None)
    with torch.no_grad():
        network[0].weight.mul_(2.0)
    (second, *_) = watch.measure("fit", 10)
    assert (second["moved"], second["update_ratio"]) == (pytest.approx(1.0), pytest.approx(0.1))
    assert second["weight_norm"] == pytest.approx(2 * float(start.norm()))
    with torch.no_grad():
        network[0].weight.copy_(start)
    (third, *_) = watch.measure("fit", 12)
    assert (third["moved"], third["update_ratio"]) == (pytest.approx(0.0), pytest.approx(0.25))
    (again, *_) = watch.measure("another", 0)
    assert (again["moved"], again["update_ratio"]) == (0.0, None)


def test_one_plain_update_moves_by_the_rate_times_the_gradient() -> None:
    network = build()
    watch = LayerHealth(network, ROWS, CLASSES, jacobian_rows=0)
    lw.finetune(network, ROWS, CLASSES, epochs=1, batch_size=50, learning_rate=0.5, callbacks=[watch], random_state=0)
    first, second = watch.records[0], watch.records[4]
    assert (first["layer"], second["layer"], second["update"]) == ("0", "0", 1)
    assert second["update_ratio"] == pytest.approx(0.5 * first["gradient_norm"] / first["weight_norm"], rel=1e-3)


def test_nothing_is_measured_between_records_and_what_does_not_fit_is_refused() -> None:
    watch = LayerHealth(build(), ROWS, CLASSES)
    watch(Progress("fit", 3, 10, 30, 0.1))
    assert watch.records == []
    with pytest.raises(DataError, match="50 rows and 20 targets"):
        LayerHealth(build(), ROWS, CLASSES[:20])


class Residual(nn.Module):
    """Cannot be cut into layers: they are named."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        codes = torch.relu(self.stem(rows))
        return self.head(codes + torch.relu(self.inner(codes)))


def test_layers_that_are_named_are_watched_too() -> None:
    network = Residual()
    watch = LayerHealth(
        network, ROWS, CLASSES, layers=["stem", "inner"], activation="relu", jacobian_rows=2
    )  # fmt: skip
    records = {record["layer"]: record for record in watch.measure("fit", 0)}
    codes = torch.relu(network.stem(ROWS))
    assert records["inner"]["dead"] == float((network.inner(codes).amax(0) <= 0).double().mean())
    slope = (network.inner(codes[:1]) > 0).float().T * network.inner.weight
    other = (network.inner(codes[1:2]) > 0).float().T * network.inner.weight
    largest = [float(torch.linalg.svdvals(matrix.detach())[0]) for matrix in (slope, other)]
    assert records["inner"]["largest"] == pytest.approx(sum(largest) / 2, rel=1e-4)
    assert records["head"]["dead"] is None and records["head"]["gradient_norm"] > 0
