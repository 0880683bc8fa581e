"""The settings tree: its defaults are the functions' defaults, it is frozen, and it refuses what is out of bounds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import BaseModel, ValidationError
from torch import nn

from layerwise import (
    DenoisingAutoencoder,
    EarlyStopping,
    InverseTime,
    Linear,
    Preparation,
    compare,
    finetune,
    pretrain,
    search,
)
from layerwise.plan import (
    UNFIT_OPTIMIZERS,
    ComparePlan,
    DataPlan,
    FinetunePlan,
    NetworkPlan,
    Plan,
    PretrainPlan,
    SearchPlan,
    optimizer_class,
)
from layerwise.settings import Table

DOORS: list[tuple[Callable[..., Any], type[Table]]] = [
    (pretrain, PretrainPlan),
    (finetune, FinetunePlan),
    (compare, ComparePlan),
    (search, SearchPlan),
]
# arguments of `compare` that stand in another table under the same name or, for the network, another one
FROM_OTHER_TABLES = {
    "objective": (PretrainPlan, "objective"),
    "network": (NetworkPlan, "hidden_layer_sizes"),
    "test": (DataPlan, "test"),
    "impute": (DataPlan, "impute"),
    "encode": (DataPlan, "encode"),
    "scale": (DataPlan, "scale"),
    "kinds": (DataPlan, "kinds"),
    "pretrain_inputs": (DataPlan, "pretrain_inputs"),
}
# arguments that no recipe can hold: the rows, the machine, the run's place, what is watched
NOT_SETTINGS = {
    "network", "inputs", "targets", "validation", "device", "random_state", "run_dir", "resume", "callbacks", "verbose",
    "settings",
}  # fmt: skip
TABLES = [PretrainPlan, FinetunePlan, ComparePlan, DataPlan, NetworkPlan, Plan, EarlyStopping, Linear]  # not [search]


def defaults(table: type[BaseModel]) -> dict[str, Any]:
    return {name: field.get_default(call_default_factory=True) for name, field in table.model_fields.items()}


@pytest.mark.parametrize("door, table", DOORS)
def test_every_field_is_an_argument_with_the_same_default(door: Callable[..., Any], table: type[Table]) -> None:
    arguments = inspect.signature(door).parameters
    for name, default in defaults(table).items():
        assert name in arguments, f"{door.__name__} lacks {name}"
        assert arguments[name].default == default, name
        assert arguments[name].kind is inspect.Parameter.KEYWORD_ONLY, name


@pytest.mark.parametrize("door, table", DOORS)
def test_every_argument_is_a_field_or_documented_here(door: Callable[..., Any], table: type[Table]) -> None:
    known = set(table.model_fields) | NOT_SETTINGS
    known |= set(FROM_OTHER_TABLES) if door in (compare, search) else set()
    assert set(inspect.signature(door).parameters) - known == set()


@pytest.mark.parametrize("door", [compare, search])
def test_compare_and_search_take_the_other_tables_defaults(door: Callable[..., Any]) -> None:
    arguments = inspect.signature(door).parameters
    for name, (table, key) in FROM_OTHER_TABLES.items():
        assert arguments[name].default == defaults(table)[key], name


def test_a_preparation_has_the_data_tables_defaults() -> None:
    arguments = inspect.signature(Preparation.fit).parameters
    for name in ("impute", "encode", "scale"):
        assert arguments[name].default == defaults(DataPlan)[name], name


def test_the_doors_agree_on_what_they_share() -> None:
    first, second = inspect.signature(pretrain).parameters, inspect.signature(finetune).parameters
    own = {"network", "inputs", "targets", "epochs", "batch_size", "learning_rate", "momentum"}
    shared = (set(first) & set(second)) - own
    assert {"optimizer", "schedule", "l2", "bias_rate", "early_stopping", "device", "verbose"} <= shared
    assert {name for name in shared if first[name].default != second[name].default} == set()
    third = inspect.signature(compare).parameters
    for name in {"device", "run_dir", "resume", "callbacks", "verbose"}:
        assert first[name].default == third[name].default, name


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_frozen_and_take_no_unknown_key(table: type[Table]) -> None:
    value = table()
    name = next(iter(table.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, name, getattr(value, name))
    with pytest.raises(ValidationError, match="extra_forbidden"):
        table(unknown=1)


def test_a_network_has_a_hidden_layer_or_a_convolution() -> None:
    with pytest.raises(ValidationError, match="should have a hidden layer or a convolution"):
        NetworkPlan(hidden_layer_sizes=())
    assert NetworkPlan(hidden_layer_sizes=(), convolutions=({"channels": 4},)).convolutions[0].kernel == 5


def test_equal_settings_are_equal_plans() -> None:
    assert PretrainPlan() == PretrainPlan(objective="denoising") == PretrainPlan(objective=DenoisingAutoencoder())
    assert PretrainPlan(epochs=3) != PretrainPlan()
    assert PretrainPlan(objective="none").objective is None


@pytest.mark.parametrize(
    "table, values",
    [
        (PretrainPlan, {"epochs": 0}),
        (PretrainPlan, {"epochs": 1.5}),
        (PretrainPlan, {"batch_size": 0}),
        (PretrainPlan, {"learning_rate": 0.0}),
        (PretrainPlan, {"learning_rate": float("nan")}),
        (PretrainPlan, {"learning_rate": float("inf")}),
        (PretrainPlan, {"learning_rate": "fast"}),
        (PretrainPlan, {"learning_rate": (0.1, -0.1)}),
        (PretrainPlan, {"momentum": 1.0}),
        (PretrainPlan, {"momentum": -0.1}),
        (PretrainPlan, {"l2": -1e-9}),
        (PretrainPlan, {"bias_rate": 0.0}),
        (PretrainPlan, {"summary_every": 0}),
        (PretrainPlan, {"objective": ()}),
        (PretrainPlan, {"objective": "denoisin"}),
        (PretrainPlan, {"initializer": "glorott"}),
        (PretrainPlan, {"optimizer": "lbfgs"}),
        (FinetunePlan, {"learning_rate": "auto"}),
        (FinetunePlan, {"head_first": -1}),
        (FinetunePlan, {"freeze": "0"}),
        (ComparePlan, {"seeds": 0}),
        (ComparePlan, {"budgets": ()}),
        (ComparePlan, {"budgets": (0,)}),
        (ComparePlan, {"min_gain": -0.1}),
        (ComparePlan, {"learning_rates": ()}),
        (ComparePlan, {"baselines": ("random forest",)}),
        (DataPlan, {"test": 0.0}),
        (DataPlan, {"test": 1.0}),
        (DataPlan, {"scale": 0.0}),
        (DataPlan, {"scale": "standrad"}),
        (DataPlan, {"impute": "mode"}),
        (DataPlan, {"encode": "hash"}),
        (DataPlan, {"kinds": {"age": "float"}}),
        (DataPlan, {"inputs": ()}),
        (NetworkPlan, {"hidden_layer_sizes": (10, 0)}),
        (NetworkPlan, {"dropout": 1.0}),
        (InverseTime, {"tau": 0}),
        (EarlyStopping, {"improvement": 0.0}),
        (EarlyStopping, {"improvement": 1.1}),
        (EarlyStopping, {"growth": 0.5}),
        (EarlyStopping, {"patience": 0}),
    ],
)
def test_out_of_bounds(table: type[Table], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        table(**values)
    assert {error["loc"][0] for error in caught.value.errors()} == set(values)


def test_the_edges_of_the_bounds_are_allowed() -> None:
    PretrainPlan(epochs=1, batch_size=1, learning_rate=1e-12, momentum=0.0, l2=0.0)
    EarlyStopping(patience=1, improvement=1.0, growth=1.0)
    NetworkPlan(hidden_layer_sizes=(1,), dropout=0.0)


ALL_OPTIMIZERS = [
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
]


@pytest.mark.parametrize("name", ALL_OPTIMIZERS)
def test_every_optimizer_of_torch_trains_or_is_refused(name: str) -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    if name.lower() in UNFIT_OPTIMIZERS:
        with pytest.raises(ValueError, match="there is no optimiser"):
            optimizer_class(name)
        return
    before = network[0].weight.detach().clone()
    pretrain(network, torch.rand(20, 4), optimizer=name, learning_rate=0.01, epochs=1, batch_size=10, random_state=0)
    assert not torch.equal(network[0].weight, before)
