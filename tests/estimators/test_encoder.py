"""The encoder: its codes and the way back, pipelines, names, going on, what it refuses."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import layerwise as lw
from layerwise import LayerwiseEncoder
from layerwise.errors import DataError, NetworkError, PlanError

X, Y = load_digits(return_X_y=True)
X, Y = X[:500] / 16, Y[:500]
SMALL: dict[str, Any] = {"pretrain_epochs": 3, "device": "cpu", "random_state": 0}


def small(sizes: tuple[int, ...] = (30, 10), **settings: Any) -> LayerwiseEncoder:
    return LayerwiseEncoder(sizes, **{**SMALL, **settings})


def test_codes_and_the_way_back() -> None:
    encoder = small((40, 20), pretrain_epochs=15).fit(X)
    codes = encoder.transform(X)
    stack, rows = encoder.stack_, torch.from_numpy(X).float()
    np.testing.assert_allclose(codes, stack.encode(rows).numpy(), atol=1e-5)
    back = encoder.inverse_transform(codes)
    np.testing.assert_allclose(back, stack.reconstruct(rows).numpy(), atol=1e-5)
    assert ((back - X) ** 2).sum() < 0.8 * ((X.mean(0) - X) ** 2).sum()
    assert len(encoder.module_) == 4 and [stage.layer for stage in encoder.history_["pretrain"]] == ["0", "2"]
    assert encoder.inverse_transform(codes.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "identity"])
def test_every_layer_is_trained_whatever_its_activation(activation: str) -> None:
    encoder = small(activation=activation, batch_norm=activation == "relu").fit(X)
    assert encoder.stack_.depth == 2 and encoder.transform(X).shape == (500, 10)
    assert all(stage.loss < stage.mean_predictor_loss for stage in encoder.history_["pretrain"][:1])


def test_codes_before_a_logistic_regression() -> None:
    pipeline = make_pipeline(small((60,), pretrain_epochs=10), LogisticRegression(max_iter=500)).fit(X[:300], Y[:300])
    assert pipeline.score(X[300:], Y[300:]) > 0.8
    assert list(pipeline[:1].get_feature_names_out())[:2] == ["layerwiseencoder0", "layerwiseencoder1"]


@pytest.mark.parametrize("objective", [None, "denoising"])
def test_with_one_seed_it_is_what_the_classifier_fine_tunes(objective: str | None) -> None:
    few = np.where(np.arange(500) < 50, Y, -1)
    classifier = lw.LayerwiseClassifier((30, 10), objective=objective, epochs=1, learning_rate=1e-30, **SMALL)
    codes = small(objective=objective).fit(X).transform(X)
    np.testing.assert_allclose(codes, classifier.fit(X, few).transform(X), atol=1e-6)


def test_random_features_have_no_way_back() -> None:
    encoder = small(objective=None).fit(X)
    with pytest.raises(NetworkError, match="nothing was pre-trained"):
        encoder.inverse_transform(encoder.transform(X))


def test_a_warm_start_goes_on() -> None:
    encoder = small(warm_start=True).fit(X)
    first = [stage.loss for stage in encoder.history_["pretrain"]]
    assert encoder.fit(X).history_["pretrain"][0].loss < first[0]
    cold = small().fit(X)
    assert [stage.loss for stage in cold.fit(X).history_["pretrain"]] == first


def test_sparse_rows_and_pickles() -> None:
    rows = scipy.sparse.csr_matrix(X)
    encoder = small().fit(rows)
    np.testing.assert_allclose(encoder.transform(rows), encoder.transform(X), atol=1e-12)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(X), encoder.transform(X))


def test_refusals() -> None:
    with pytest.raises(PlanError, match=r"'supervised' learns from classes.*\nhint: use LayerwiseClassifier"):
        small(objective="supervised").fit(X, Y)
    encoder = small().fit(X)
    with pytest.raises(DataError, match="X has 3 columns, the codes have 10"):
        encoder.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(NetworkError, match="no decoder"):
        small(objective="ranking").fit(X).inverse_transform(np.zeros((2, 10)))
    with pytest.raises(DataError, match=r"(?s)NaN.*hint: fill"):
        encoder.transform(np.full((1, 64), np.nan))
    with pytest.raises(DataError, match=r"minimum of 2 is required"):
        small().fit(X[:1])
