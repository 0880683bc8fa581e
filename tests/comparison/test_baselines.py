"""The baselines learn, choose on validation rows only, repeat, and stay silent."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from layerwise.comparison import baselines
from layerwise.comparison.baselines import (
    BASELINES,
    GRIDS,
    Baseline,
    check_baselines,
    run_baseline,
    tune_baseline,
)
from layerwise.comparison.budgets import nested_budgets, validation_folds
from layerwise.errors import PlanError
from layerwise.randomness import Randomness

Folds = list[tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor, Folds, torch.Tensor, np.ndarray]:
    """150 labelled digits with their folds, and 500 others to test on."""
    images, targets = load_digits(return_X_y=True)
    inputs, codes = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(targets)
    rows = nested_budgets(codes[:1000], [150], Randomness(0))[150]
    folds = validation_folds(codes[rows], Randomness(0))
    return inputs[rows], codes[rows], folds, inputs[1000:1500].reshape(-1, 8, 8), targets[1000:1500]


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_learns_repeats_and_reuses_its_settings(name: str, digits: tuple) -> None:  # type: ignore[type-arg]
    inputs, codes, folds, test_inputs, test_codes = digits
    threads = torch.get_num_threads()
    found = run_baseline(name, inputs.reshape(-1, 8, 8), codes, folds, test_inputs, seed=0)
    assert (found.predictions != test_codes).mean() < 0.35  # chance errs .9
    assert found.settings in GRIDS[name] and found.seconds > 0
    assert [row["chosen"] for row in found.tuning].count(True) == 1
    best = min(found.tuning, key=lambda row: row["validation_error"])  # type: ignore[arg-type,return-value]
    assert best["chosen"] and best["settings"] == found.settings
    assert {row["rows_validated"] for row in found.tuning} == {150} and best["arm"] == name
    again = run_baseline(name, inputs, codes, folds, test_inputs, seed=0, settings=found.settings)
    assert np.array_equal(again.predictions, found.predictions) and again.tuning == []
    assert torch.get_num_threads() == threads  # the arms' bits depend on it


def test_no_test_row_can_reach_the_choice(digits: tuple, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[type-arg]
    """Tuning takes no test rows, sees the budget's only, and chooses the same whatever the test rows are."""
    inputs, codes, folds, test_inputs, _ = digits
    assert list(inspect.signature(tune_baseline).parameters) == ["name", "inputs", "codes", "folds", "seed"]
    name = "logistic regression"
    rows = []
    for tested in (test_inputs, torch.full_like(test_inputs, 1e3)):
        found = run_baseline(name, inputs, codes, folds, tested, seed=0)
        rows.append([{k: v for k, v in row.items() if k != "seconds"} for row in found.tuning])
    assert rows[0] == rows[1]
    seen: list[int] = []
    fit = Baseline.fit
    monkeypatch.setattr(Baseline, "fit", lambda self, x, y: seen.append(len(x)) or fit(self, x, y))
    tune_baseline(name, inputs, codes, folds, seed=0)
    assert seen == [len(training) for training, _ in folds] * len(GRIDS[name])


@pytest.mark.parametrize("name", BASELINES)
def test_columns_of_any_scale_constant_ones_and_rare_classes(name: str) -> None:
    """Warnings are errors here. False alarm: none, the draw is fixed."""
    draw = np.random.default_rng(0)
    codes = np.array([0, 1] * 30 + [2])
    inputs = np.column_stack(
        [1e4 * (codes + 0.1 * draw.normal(size=61)), np.full(61, 7.0), 1e-3 * draw.normal(size=61)]
    )
    folds = validation_folds(torch.tensor(codes), Randomness(0))
    predictions = run_baseline(name, inputs, codes, folds, inputs, seed=2**40).predictions
    assert (predictions[:60] != codes[:60]).mean() < 0.1


@pytest.mark.parametrize("name", BASELINES)
def test_inputs_that_are_all_constant_give_the_commonest_class(name: str) -> None:
    predictions = (
        Baseline(name, dict(GRIDS[name][0]), 0).fit(np.zeros((9, 3)), [1] * 6 + [0] * 3).predict(np.zeros((2, 3)))
    )
    assert predictions.tolist() == [1, 1]


def test_a_fit_that_has_not_converged_says_so_and_warns_nobody(monkeypatch: pytest.MonkeyPatch, digits: tuple) -> None:  # type: ignore[type-arg]
    inputs, codes, folds, _, _ = digits
    monkeypatch.setattr(baselines, "UPDATES", 2)
    _, rows = tune_baseline("logistic regression", inputs, codes, folds[:1], seed=0)
    assert [row["converged"] for row in rows] == [False] * 3


def test_unknown_names_are_refused_together() -> None:
    with pytest.raises(PlanError, match=r"'logistic regresion', 'svm'\n.*did you mean logistic regression\?"):
        check_baselines(["logistic regresion", "gradient boosting", "svm"])
