"""The estimators' parameters: where their defaults come from, and what "auto" comes to."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from layerwise import DenoisingAutoencoder, LayerwiseClassifier, LayerwiseEncoder, LayerwiseRegressor, PseudoLabels
from layerwise.errors import PlanError
from layerwise.estimators.settings import DEFAULTS, REGRESSION_RATE, Settings, settings_of
from layerwise.plan import FinetunePlan, NetworkPlan, PretrainPlan

ALL = [LayerwiseClassifier, LayerwiseRegressor, LayerwiseEncoder]
OWN = {"class_weight": None, "unlabeled": -1, "warm_start": False, "device": "auto", "random_state": None, "verbose": 0}
CONTRACT = [
    "hidden_layer_sizes", "objective", "activation", "batch_norm", "dropout", "pretrain_epochs", "epochs",
    "pretrain_learning_rate", "learning_rate", "l2", "batch_size", "early_stopping", "validation_fraction",
    "n_iter_no_change", "class_weight", "pseudo_labels", "unlabeled", "warm_start", "precision", "device",
    "random_state", "verbose",
]  # fmt: skip


@pytest.mark.parametrize("kind", ALL)
def test_the_doors_agree_with_the_settings(kind: type) -> None:
    found = inspect.signature(kind).parameters
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    if kind is LayerwiseRegressor:
        defaults["learning_rate"] = REGRESSION_RATE
    for name, parameter in found.items():
        assert parameter.default == {**defaults, **OWN}[name], name
        assert (parameter.kind is inspect.Parameter.KEYWORD_ONLY) == (name != "hidden_layer_sizes")
    assert list(found) == [name for name in CONTRACT if name in found]
    assert set(CONTRACT) - set(found) <= {"class_weight", "pseudo_labels", "unlabeled"} or kind is LayerwiseEncoder


def test_the_classifier_has_all_of_the_contract() -> None:
    assert list(inspect.signature(LayerwiseClassifier).parameters) == CONTRACT


def test_defaults_are_the_plans() -> None:
    pretraining, finetuning, network = PretrainPlan(), FinetunePlan(), NetworkPlan()
    assert DEFAULTS.objective == pretraining.objective == DenoisingAutoencoder()
    assert (DEFAULTS.pretrain_epochs, DEFAULTS.epochs) == (pretraining.epochs, finetuning.epochs)
    assert (DEFAULTS.l2, DEFAULTS.precision) == (finetuning.l2, finetuning.precision)
    assert (DEFAULTS.activation, DEFAULTS.batch_norm, DEFAULTS.dropout) == (
        network.activation, network.batch_norm, network.dropout)  # fmt: skip


@pytest.mark.parametrize(("rows", "most", "size"), [(30, 50, 10), (400, 50, 20), (5000, 50, 50), (5000, 100, 100)])
def test_an_automatic_batch(rows: int, most: int, size: int) -> None:
    assert DEFAULTS.batch(rows, most) == size
    assert Settings(batch_size=7).batch(rows, most) == 7


def test_early_stopping_by_itself_where_enough_rows_can_be_held_out() -> None:
    least = round(Settings().n_iter_no_change * 0 + 1)
    assert not DEFAULTS.holds_out(least) and DEFAULTS.holds_out(10**6)
    assert Settings(early_stopping=True).holds_out(20) and not Settings(early_stopping=False).holds_out(10**6)


def test_no_change_is_counted_in_epochs() -> None:
    given = Settings(n_iter_no_change=3, batch_size=10).finetuning(100, 900, True)
    assert (given["early_stopping"].patience, given["early_stopping"].wait) == (30, 30)
    assert Settings().finetuning(100, 900, False)["early_stopping"] is None
    # with pseudo-labels an epoch is one of the unlabelled rows
    given = Settings(n_iter_no_change=3, pseudo_labels=PseudoLabels(batch_size=90)).finetuning(100, 900, True)
    assert given["early_stopping"].wait == 30 and given["pseudo_labels"] == PseudoLabels(batch_size=90)


@pytest.mark.parametrize("sizes", [30, [30], np.array([30]), (np.int64(30),)])
def test_sizes_as_people_and_searches_give_them(sizes: Any) -> None:
    assert settings_of(LayerwiseEncoder(sizes, device="cpu")).hidden_layer_sizes == (30,)


def test_faults_are_named_as_parameters() -> None:
    with pytest.raises(PlanError, match=r"LayerwiseRegressor has 2 faults: dropout .*; pretrain_epochs"):
        settings_of(LayerwiseRegressor(dropout=1.5, pretrain_epochs=0))
