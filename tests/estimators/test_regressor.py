"""The regressor: targets without a value, units, several outputs, weights, going on, what its score counts."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold, cross_val_score
from sklearn.preprocessing import StandardScaler

from layerwise import LayerwiseRegressor
from layerwise.errors import DataError, PlanError
from layerwise.estimators.regressor import standard_units, to_units

X, Y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(X)
FEW = np.where(np.arange(len(Y)) < 150, Y, np.nan)
SMALL: dict[str, Any] = {"pretrain_epochs": 2, "epochs": 15, "device": "cpu", "random_state": 0}


def small(**settings: Any) -> LayerwiseRegressor:
    return LayerwiseRegressor((20,), **{**SMALL, **settings})


def weights(regressor: LayerwiseRegressor) -> list[torch.Tensor]:
    return list(regressor.module_.state_dict().values())


def same(one: LayerwiseRegressor, other: LayerwiseRegressor) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_it_predicts_what_the_network_gives() -> None:
    regressor = small().fit(X, FEW)
    assert regressor.score(X[150:], Y[150:]) > 0.35
    outputs = regressor.module_.double()(torch.from_numpy(X))[:, 0].detach().numpy()
    np.testing.assert_allclose(regressor.predict(X), outputs, rtol=1e-12)
    assert regressor.transform(X).shape == (len(X), 20) and regressor.reconstruct(X).shape == X.shape
    assert regressor.n_outputs_ == 1 and regressor.n_iter_ == len(regressor.loss_curve_) == 15


@pytest.mark.parametrize("columns", [False, True])
def test_rows_without_a_target_however_they_come(columns: bool) -> None:
    few = FEW[:, None] if columns else FEW
    regressor = small().fit(X, few)
    assert regressor.predict(X).shape == few.shape
    assert same(regressor, small().fit(X[:150], few[:150], X_unlabeled=X[150:]))
    assert same(regressor, small().fit(pd.DataFrame(X), pd.DataFrame(few) if columns else pd.Series(few)))
    with pytest.warns(UserWarning, match="no unlabelled rows"):
        assert not same(regressor, small().fit(X[:150], few[:150]))


def test_minus_1_is_a_value() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        regressor = small(objective=None, epochs=60).fit(X, np.where(X[:, 2] > 0, 1, -1))
    assert regressor.predict(X).min() < -0.8


def test_units_do_not_matter() -> None:
    """Powers of 2 are exact; far from 0, float32 rounds the head."""
    regressor, other = small().fit(X, FEW), small().fit(X, 1024 * FEW)
    np.testing.assert_allclose(other.predict(X), 1024 * regressor.predict(X), rtol=1e-4)
    moved = small().fit(X, FEW + 1000)
    np.testing.assert_allclose(moved.predict(X), regressor.predict(X) + 1000, atol=0.05)
    np.testing.assert_allclose(moved.loss_curve_, regressor.loss_curve_, rtol=1e-3)


def test_a_head_in_standard_units_and_back() -> None:
    head = torch.nn.Linear(3, 2)
    mean, scale, rows = np.array([10.0, -5.0]), np.array([2.0, 0.5]), torch.rand(4, 3)
    standard = head(rows).detach()
    to_units(head, mean, scale)
    torch.testing.assert_close(head(rows), standard * torch.tensor([2.0, 0.5]) + torch.tensor([10.0, -5.0]))
    with standard_units(head, mean, scale):
        torch.testing.assert_close(head(rows), standard, atol=1e-5, rtol=1e-5)
    with pytest.raises(ZeroDivisionError), standard_units(head, mean, scale):
        _ = 1 / 0


def test_several_outputs_and_one_that_does_not_change() -> None:
    targets = np.c_[FEW, -FEW / 10, np.where(np.isnan(FEW), np.nan, 7.0)]
    regressor = small(epochs=40).fit(X, targets)
    found = regressor.predict(X)
    assert found.shape == (len(X), 3)
    np.testing.assert_allclose(found[:, 2], 7.0, atol=1.0)
    assert np.corrcoef(found[:, 0], found[:, 1])[0, 1] < -0.8
    with pytest.raises(DataError, match=r"row 150 has a gap \(output 1\)"):
        small().fit(X, np.c_[Y, FEW])


def test_weights_draw_the_fit_to_their_rows() -> None:
    heavy = np.where(X[:, 1] > 0, 1.0, 1e-3)
    known = ~np.isnan(FEW)
    regressor, plain = small(epochs=40).fit(X, FEW, sample_weight=heavy), small(epochs=40).fit(X, FEW)
    part = known & (X[:, 1] > 0)
    assert regressor.score(X[part], Y[part]) > plain.score(X[part], Y[part])


def test_partial_fit_keeps_the_units_of_the_first_call() -> None:
    regressor = small().partial_fit(X, FEW)
    stages = regressor.history_["pretrain"]
    for _ in range(14):
        regressor.partial_fit(X, FEW)
    assert regressor.history_["pretrain"] is stages and regressor.n_iter_ == 15
    assert regressor.score(X[150:], Y[150:]) > 0.3
    regressor.partial_fit(X[:5], np.full(5, 1e4))
    assert abs(regressor._mean[0] - np.nanmean(FEW)) < 1e-9
    with pytest.raises(DataError, match="y has 2 outputs, the first call had 1"):
        regressor.partial_fit(X, np.c_[Y, Y])


def test_early_stopping_and_a_warm_start() -> None:
    regressor = small(early_stopping=True, n_iter_no_change=2, epochs=200, warm_start=True).fit(X, FEW)
    assert regressor.n_iter_ < 200 and "validation_r2" in regressor.history_["finetune"][-1]
    before = regressor.n_iter_
    assert regressor.fit(X, FEW).n_iter_ > before


def test_cross_validation_scores_rows_that_have_a_target() -> None:
    assert cross_val_score(small(), X, FEW, cv=KFold(3, shuffle=True, random_state=0)).min() > 0.1


def test_pickles() -> None:
    regressor = small().fit(X, FEW)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(regressor)).predict(X), regressor.predict(X))


def test_refusals() -> None:
    with pytest.raises(PlanError, match=r"'supervised' learns from classes, and LayerwiseRegressor has none"):
        small(objective="supervised").fit(X, FEW)
    with pytest.raises(DataError, match=r"(?s)expected numbers"):
        small().fit(X, np.where(np.isnan(FEW), "a", "b"))
    with pytest.raises(DataError, match="inconsistent numbers of samples"):
        small().fit(X, FEW[:100])
    with pytest.raises(DataError, match="requires y"):
        small().fit(X, None)
    with pytest.raises(PlanError, match="learning_rate"):
        small(learning_rate=0).fit(X, FEW)
