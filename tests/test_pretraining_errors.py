"""What `pretrain` refuses, before a weight is changed or a file is written, and what it does when a loss diverges."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import layerwise as lw
from layerwise import Autoencoder, DenoisingAutoencoder, EarlyStopping, Masking, SupervisedLayer
from layerwise.errors import DataError, DivergenceError, NetworkError, PlanError, RunError
from small_network import build, inputs, same, weights

EMPHASIS = DenoisingAutoencoder(Masking(0.3), emphasis=(1.0, 0.5))
WALKBACK = DenoisingAutoencoder(Masking(0.3), walkback=2)


def one_layer(activation: type[nn.Module]) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(12, 9), activation(), nn.Linear(9, 2))


def test_a_fixed_rate_that_diverges_is_an_error() -> None:
    with pytest.raises(DivergenceError, match=r"pretrain/1: the loss is .* at update \d+, learning rate 100") as caught:
        lw.pretrain(one_layer(nn.Identity), 50 * inputs(), learning_rate=100.0, epochs=20, random_state=0)
    assert "lower the learning rate" in caught.value.hint


@pytest.mark.parametrize("activation, most, loss", [(nn.Identity, 4, 1.0), (nn.ReLU, 16, 1.1)])
def test_an_automatic_rate_that_is_too_high_is_quartered(
    activation: type[nn.Module],
    most: int,
    loss: float,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """The stage starts again from its first weights, and ends as a run with the lower rate does.

    A linear layer's loss overflows. ReLUs die of the first jump and leave a huge loss that stays finite; where they die
    of a smaller one the decoder's bias still learns the mean.
    """

    def train(rate: str | float, run_dir: Path | None = None, **more: Any) -> tuple[nn.Module, Any]:
        network = one_layer(activation)
        result = lw.pretrain(
            network, 50 * inputs(), learning_rate=rate, epochs=10, batch_size=5, random_state=0, run_dir=run_dir,
            checkpoint_every=7, **more,
        )  # fmt: skip
        return network, result.history[0]

    good = train("auto")[1].learning_rate
    monkeypatch.setattr("layerwise.training.stage.automatic_rate", lambda *_: 4**3 * good)
    with caplog.at_level(logging.WARNING, logger="layerwise"):
        network, stage = train("auto", tmp_path)
    assert good <= stage.learning_rate <= most * good
    assert "starting this stage again with learning rate" in caplog.text
    assert stage.loss < loss * stage.mean_predictor_loss
    assert [record["update"] for record in stage.records] == list(range(0, 101, 10))
    alone, _ = train(stage.learning_rate)
    assert same(weights(network), weights(alone))
    again, resumed = train("auto", tmp_path, resume=True)
    assert same(weights(network), weights(again)) and resumed.learning_rate == stage.learning_rate


def test_an_automatic_rate_has_no_endless_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerwise.training.stage.automatic_rate", lambda *_: 1e9)
    with pytest.raises(DivergenceError, match=f"learning rate {1e9 / 4**3:g}".replace("+", r"\+")):
        lw.pretrain(one_layer(nn.Identity), 50 * inputs(), epochs=20, random_state=0)


@pytest.mark.parametrize(
    "settings, error, said",
    [
        ({"objective": ["autoencoder"] * 3}, PlanError, r"3 objectives for 2 layers \('0', '2'\)"),
        ({"learning_rate": [0.1]}, PlanError, r"1 learning rates for 2 layers"),
        ({"objective": None}, PlanError, "nothing to pre-train"),
        ({"objective": "none"}, PlanError, "nothing to pre-train"),
        ({"objective": "denoisin"}, PlanError, "did you mean 'denoising'"),
        ({"epochs": 0, "batch_size": -1, "optimizer": "sdg"}, PlanError, "pretrain has 3 faults"),
        ({"early_stopping": EarlyStopping()}, PlanError, "early_stopping needs rows to validate on"),
        ({"validation": 0.001}, PlanError, r"validation=0.001 holds out 0 of 50 rows"),
        ({"validation": 1.0}, PlanError, r"validation=1 holds out 50 of 50 rows"),
        ({"validation": torch.zeros(5, 11)}, DataError, r"layer '0' takes rows of 12 features, found shape \(11,\)"),
        ({"layers": ["1"]}, NetworkError, "no dense or convolutional module '1'"),
        ({"layers": ["2"]}, NetworkError, "leaves a gap"),
        ({"random_state": -1}, PlanError, "random_state is -1"),
        ({"device": "gpu"}, PlanError, "device 'gpu' isn't there"),
        ({"resume": True}, RunError, "there is no run to resume"),
        ({"corrupt": "input", "objective": "autoencoder"}, PlanError, "'autoencoder' puts no noise on anything"),
        ({"corrupt": "input", "objective": ["denoising", "rbm"]}, PlanError, "'rbm' puts no noise on anything"),
        ({"corrupt": "input", "objective": "supervised", "targets": [0, 1] * 25}, PlanError, "puts no noise"),
        ({"corrupt": "input", "objective": EMPHASIS}, PlanError, "emphasis is set, but noise on the network's input"),
        ({"corrupt": "input", "objective": WALKBACK}, PlanError, "walkback is set, but noise on the network's input"),
        ({"corrupt": "both"}, PlanError, "corrupt found 'both'"),
        ({"objective": "supervised"}, DataError, "'supervised' learns from labels, but targets has none"),
        (
            {"objective": ["denoising", "supervised"]},
            DataError,
            "'supervised' learns from labels, but targets has none",
        ),
        ({"objective": "supervised", "targets": [-1] * 50}, DataError, "no row is labelled"),
        ({"objective": "supervised", "targets": [0, 1] * 20}, DataError, "targets has 40 labels, the inputs have 50"),
        (
            {"objective": "supervised", "targets": [0, 1] * 25, "validation": torch.rand(9, 12)},
            DataError,
            "learns from labels, but validation has none",
        ),
        (
            {"objective": "supervised", "targets": [0, 1] * 25, "validation": (torch.rand(3, 12), [-1] * 3)},
            DataError,
            "learns from labels, but validation has none",
        ),
        (
            {"objective": "supervised", "targets": [0, 1] * 25, "validation": (torch.rand(1, 12), [7])},
            DataError,
            "row 0 has the label 7, which is none of the known classes",
        ),
        ({"validation": (torch.rand(9, 12),)}, PlanError, r"validation is a tuple of 1, expected rows or"),
        (
            {"objective": SupervisedLayer(grow_until=0.1), "targets": [0, 1] * 25},
            PlanError,
            "grow_until needs rows to validate on",
        ),
        ({"activation": "relu"}, NetworkError, "captures the inputs of named modules, but layers is 'auto'"),
        ({"activation": "relu", "layers": ["1"]}, NetworkError, "no dense or convolutional module '1'"),
    ],
)
def test_bad_settings(settings: dict[str, Any], error: type[Exception], said: str, tmp_path: Path) -> None:
    """Refused before a weight is changed or a file is written."""
    network, folder = build(), tmp_path / "run"
    before = weights(network)
    with pytest.raises(error, match=said):
        lw.pretrain(network, inputs(), run_dir=folder, **settings)
    assert same(weights(network), before)
    assert not folder.exists()


def with_nan(row: int) -> np.ndarray:
    rows = inputs().numpy().copy()
    rows[row, 3] = np.nan
    return rows


@pytest.mark.parametrize(
    "rows, said",
    [
        (with_nan(17), "row 17, column 3 is NaN"),
        (torch.rand(10, 5), r"layer '0' takes rows of 12 features, found shape \(5,\)"),
        (torch.rand(10, 3, 4), r"found shape \(3, 4\)"),
        (torch.rand(12), "one dimension"),
        (torch.empty(0, 12), "no rows"),
        (np.array([["a", "b"]]), "expected numbers"),
        ("nowhere.h5", "nowhere.h5 does not exist"),
    ],
)
def test_bad_rows(rows: Any, said: str, tmp_path: Path) -> None:
    network, folder = build(), tmp_path / "run"
    before = weights(network)
    with pytest.raises(DataError, match=said):
        lw.pretrain(network, rows, run_dir=folder)
    assert same(weights(network), before)
    assert not folder.exists()


@pytest.mark.parametrize(
    "network, said",
    [
        (nn.GRU(12, 3), "the network, a GRU, cannot be traced"),
        (nn.Sequential(nn.Linear(12, 3)), "no layer to pre-train besides its output head"),
        (nn.Sequential(), "no layer to pre-train"),
        (nn.Sequential(nn.Bilinear(1, 2, 3), nn.Linear(12, 3)), "cannot be traced|is a Bilinear with parameters"),
    ],
)
def test_networks_that_cannot_be_cut(network: nn.Module, said: str) -> None:
    with pytest.raises(NetworkError, match=said):
        lw.pretrain(network, inputs())


def test_layers_that_do_not_fit_each_other_are_found_before_training(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(12, 9), nn.Sigmoid(), nn.Linear(8, 6), nn.Sigmoid(), nn.Linear(6, 3))
    before = weights(network)
    with pytest.raises(DataError, match=r"layer '2' takes rows of 8 features, found shape \(9,\)"):
        lw.pretrain(network, inputs(), run_dir=tmp_path / "run")
    assert same(weights(network), before) and not (tmp_path / "run").exists()


def test_cross_entropy_refuses_rows_outside_0_and_1() -> None:
    with pytest.raises(DataError, match=r"layer '0': inputs run from .* expected \[0, 1\] for cross-entropy"):
        lw.pretrain(build(), inputs() - 0.5, objective=Autoencoder(loss="cross_entropy"))


def test_a_used_folder_is_refused_unless_resumed(tmp_path: Path) -> None:
    lw.pretrain(build(), inputs(), epochs=1, random_state=0, run_dir=tmp_path)
    with pytest.raises(RunError, match="is not empty"):
        lw.pretrain(build(), inputs(), epochs=1, random_state=0, run_dir=tmp_path)
    for changed in ({"epochs": 2}, {"random_state": 1}, {"validation": inputs(10)}):
        settings: dict[str, Any] = {"epochs": 1, "random_state": 0} | changed
        with pytest.raises(RunError, match="belongs to work with other settings, data or seed"):
            lw.pretrain(build(), inputs(), run_dir=tmp_path, resume=True, **settings)
    other = nn.Sequential(nn.Linear(12, 8), nn.Sigmoid(), nn.Linear(8, 3))
    with pytest.raises(RunError, match="was started with another network"):
        lw.pretrain(other, inputs(), epochs=1, random_state=0, run_dir=tmp_path, resume=True)
