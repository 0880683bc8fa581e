"""scikit-learn's own checks, for all three estimators; what is expected to fail is in one list, and does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from layerwise import LayerwiseClassifier, LayerwiseEncoder, LayerwiseRegressor
from layerwise.estimators.expected_failures import expected_failed_checks

DOCS = Path(__file__).parents[2] / "docs"
SMALL: dict[str, Any] = {"hidden_layer_sizes": (8,), "pretrain_epochs": 1, "device": "cpu"}
FITTED = {**SMALL, "epochs": 15}
ESTIMATORS = [
    LayerwiseClassifier(**FITTED),
    LayerwiseClassifier(**FITTED, unlabeled=None),
    LayerwiseRegressor(**FITTED),
    LayerwiseEncoder(**SMALL),
]
# the checks' rows are all labelled, some of one class, some in columns of unlike ranges: what is warned of is not meant
ignored = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning", "ignore::DeprecationWarning")


@ignored
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failed_checks, xfail_strict=True)
def test_small_estimators(estimator: BaseEstimator, check: Any) -> None:
    check(estimator)


@pytest.mark.long
@ignored
@parametrize_with_checks(
    [LayerwiseClassifier(), LayerwiseRegressor(), LayerwiseEncoder()],
    expected_failed_checks=expected_failed_checks,
    xfail_strict=True,
)
def test_default_estimators(estimator: BaseEstimator, check: Any) -> None:
    check(estimator)


def names_of(estimator: BaseEstimator) -> set[str]:
    return {check.func.__name__ for _, check in estimator_checks_generator(clone(estimator)) if hasattr(check, "func")}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: type(one).__name__)
def test_the_list_names_checks_that_there_are(estimator: BaseEstimator) -> None:
    assert set(expected_failed_checks(estimator)) <= names_of(estimator)


def test_the_page_shows_the_list() -> None:
    text = " ".join((DOCS / "estimators.md").read_text(encoding="utf-8").split())
    for estimator in ESTIMATORS:
        for check, reason in expected_failed_checks(estimator).items():
            assert f"| `{check}` |" in text and reason in text
