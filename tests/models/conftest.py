"""Models that the tests of this folder share; none of them is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import layerwise as lw
from churn_table import churn_rows, write_csv
from layerwise.models.inputs import Inputs
from layerwise.models.model import Model
from layerwise.models.training import Training
from layerwise.recipe import read_recipe

SETTINGS = [
    "network.hidden_layer_sizes=[6]", "pretrain.epochs=2", "finetune.epochs=4", "compare.learning_rates=[0.1, 0.3]",
]  # fmt: skip


@pytest.fixture(scope="session")
def rows() -> torch.Tensor:
    return torch.rand(50, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def model(rows: torch.Tensor) -> Model:
    """Of arrays: dropout, normalisation, two pre-trained layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Sigmoid(), nn.Linear(4, 3), nn.Tanh(),
            nn.Linear(3, 3),
        )  # fmt: skip
        found = lw.pretrain(network, rows, epochs=1, random_state=0)
    return Model(network, classes=["a", "b", "c"], stack=found.stack, inputs=Inputs(shape=(5,)))


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("table") / "churn.csv", churn_rows())


@pytest.fixture(scope="session")
def churn(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of the table."""
    plan = read_recipe("default", [*SETTINGS, f"data.inputs={table}", "data.targets=churn"])
    training, folder = Training(plan), tmp_path_factory.mktemp("models") / "churn"
    training.run(training.open(folder))
    return folder
