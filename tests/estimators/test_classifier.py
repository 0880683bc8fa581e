"""The classifier: unlabelled rows, weights, going on, randomness, pipelines, searches, pickles, refusals."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import layerwise as lw
from layerwise import LayerwiseClassifier
from layerwise.errors import DataError, DivergenceError, NetworkError, PlanError
from layerwise.finetuning import predict_outputs

DIGITS = load_digits()
X, Y = DIGITS.data[:400] / 16, DIGITS.target[:400]
FEW = np.where(np.arange(400) < 60, Y, -1)
SMALL: dict[str, Any] = {"pretrain_epochs": 2, "epochs": 20, "device": "cpu", "random_state": 0}


def small(sizes: tuple[int, ...] = (20,), **settings: Any) -> LayerwiseClassifier:
    return LayerwiseClassifier(sizes, **{**SMALL, **settings})


def weights(classifier: LayerwiseClassifier) -> list[torch.Tensor]:
    return list(classifier.module_.state_dict().values())


def same(one: LayerwiseClassifier, other: LayerwiseClassifier) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_it_is_what_pretrain_and_finetune_make() -> None:
    classifier = small((20, 10), dropout=0.1).fit(X, FEW)
    assert classifier.score(X[60:], Y[60:]) > 0.7
    assert [stage.layer for stage in classifier.history_["pretrain"]] == ["0", "3"]
    assert classifier.n_iter_ == len(classifier.loss_curve_) == 20
    outputs = predict_outputs(classifier.module_.double(), torch.from_numpy(X)).softmax(1).numpy()
    np.testing.assert_allclose(classifier.predict_proba(X), outputs, rtol=1e-12)
    assert not classifier.module_.training
    rows = torch.from_numpy(X)
    codes = classifier.module_[:-1](rows).detach().numpy()
    np.testing.assert_allclose(classifier.transform(X), codes, rtol=1e-12)
    assert classifier.reconstruct(X).shape == X.shape
    assert [layer.module for layer in classifier.stack_.layers] == [classifier.module_[0], classifier.module_[3]]


def test_unlabelled_rows_are_fine_tuned_on_by_pseudo_labels() -> None:
    settings = lw.PseudoLabels(batch_size=34, ramp=(0, 5))
    found = small(epochs=3, pseudo_labels=settings).fit(X, FEW)
    assert found.history_["finetune"][-1]["update"] == 3 * 10  # 340 rows without a label, 34 in an update
    assert found.n_iter_ == 3
    assert same(found, clone(found).fit(X, FEW))
    assert not same(found, small(epochs=3, pseudo_labels=lw.PseudoLabels(batch_size=34, ramp=(29, 40))).fit(X, FEW))
    with pytest.raises(DataError, match="every row has a label"):
        small(objective=None, pseudo_labels=settings).fit(X, Y)


def test_unlabelled_rows_are_pre_trained_on_whichever_way_they_come() -> None:
    marked = small().fit(X, FEW)
    nothing = FEW.astype(object)
    nothing[60:] = None
    assert same(marked, small().fit(X, nothing))
    assert same(marked, small().fit(X, np.where(FEW < 0, np.nan, FEW)))
    assert same(marked, small(unlabeled=99).fit(X, np.where(FEW < 0, 99, FEW)))
    assert same(marked, small().fit(X[:60], Y[:60], X_unlabeled=X[60:]))
    with pytest.warns(UserWarning, match="no unlabelled rows"):
        assert not same(marked, small().fit(X[:60], Y[:60]))


def test_objectives_of_labels_learn_from_the_labelled_rows() -> None:
    classifier = small((20, 10), objective=("supervised", "denoising")).fit(X, FEW)
    assert [stage.objective for stage in classifier.history_["pretrain"]] == ["supervised", "denoising"]


def test_the_random_arm_has_no_stack() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier = small(objective=None).fit(X[:60], Y[:60])
    assert classifier.stack_ is None and classifier.history_["pretrain"] == []
    with pytest.raises(NetworkError, match="nothing was pre-trained"):
        classifier.reconstruct(X)


def test_the_two_arms_start_alike() -> None:
    kept = small(pretrain_learning_rate=1e-30, learning_rate=1e-30).fit(X, FEW)
    random = small(objective=None, learning_rate=1e-30).fit(X, FEW)
    for one, other in zip(weights(kept), weights(random), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_labels_of_any_type_come_back() -> None:
    names = np.array([f"digit {value}" for value in Y])
    text = np.where(FEW < 0, None, names)
    classifier = small().fit(X, text)
    assert set(classifier.classes_) == set(names) and (classifier.predict(X[:60]) == names[:60]).mean() > 0.8
    assert small().fit(X, FEW).predict(X).dtype == Y.dtype
    two = np.where(Y % 2, 1, -1)
    assert set(small(unlabeled=None, objective=None).fit(X, two).predict(X)) == {-1, 1}
    with pytest.raises(DataError, match="unlabeled=None"):
        small().fit(X, two)


def test_seeds_of_every_kind() -> None:
    first = small().fit(X, FEW)
    assert same(first, small().fit(X, FEW)) and not same(first, small(random_state=1).fit(X, FEW))
    instance = np.random.RandomState(0)
    one = small(random_state=instance).fit(X, FEW)
    assert same(one, small(random_state=np.random.RandomState(0)).fit(X, FEW))
    assert not same(one, small(random_state=instance).fit(X, FEW)), "it has moved on"
    assert not same(small(random_state=None).fit(X, FEW), small(random_state=None).fit(X, FEW))
    with pytest.raises(PlanError, match="random_state"):
        small(random_state="zero").fit(X, FEW)


def test_class_weights_shift_predictions_and_weight_0_takes_a_class_away() -> None:
    pair = np.where(np.isin(Y, (3, 8)) & (np.arange(400) < 200), Y, -1)
    held = np.isin(Y, (3, 8)) & (np.arange(400) >= 200)
    heavy = small(class_weight={3: 100.0}, epochs=4).fit(X, pair)
    light = small(class_weight={3: 0.01}, epochs=4).fit(X, pair)
    assert (heavy.predict(X[held]) == 3).sum() > (light.predict(X[held]) == 3).sum()
    gone = small().fit(X, pair, sample_weight=np.where(pair == 8, 0.0, 1.0))
    assert set(gone.predict(X[held])) == {3}
    each = [1 / (pair == kind).sum() for kind in (3, 8)]
    by_row = small().fit(X, pair, sample_weight=np.where(pair == 3, *each))
    balanced = small(class_weight="balanced").fit(X, pair)
    np.testing.assert_allclose(by_row.predict_proba(X), balanced.predict_proba(X), rtol=1e-4)


def test_partial_fit_pre_trains_once_and_goes_on() -> None:
    classifier = small()
    with pytest.raises(DataError, match="first call to partial_fit"):
        classifier.partial_fit(X, FEW)
    classifier.partial_fit(X, FEW, classes=range(10))
    stages, before = classifier.history_["pretrain"], weights(classifier)
    some = np.where(Y == 3, Y, -1)
    classifier.partial_fit(X, some)
    assert classifier.history_["pretrain"] is stages and classifier.n_iter_ == len(classifier.loss_curve_) == 2
    assert any(not torch.equal(one, other) for one, other in zip(weights(classifier), before, strict=True))
    with pytest.raises(DataError, match="none of the classes"):
        classifier.partial_fit(X, np.full(400, 11))
    with pytest.raises(DataError, match="63 features"):
        classifier.partial_fit(X[:, 1:], FEW)
    again = small().partial_fit(X, FEW, classes=range(10)).partial_fit(X, some)
    assert same(classifier, again)


def test_a_warm_start_fine_tunes_what_is_there() -> None:
    classifier = small(warm_start=True, epochs=5).fit(X, FEW)
    first, stages = classifier.score(X, Y), classifier.history_["pretrain"]
    classifier.set_params(epochs=30).fit(X, FEW)
    assert classifier.history_["pretrain"] is stages and classifier.score(X, Y) > first
    assert classifier.n_iter_ == 35
    assert classifier.set_params(warm_start=False).fit(X, FEW).n_iter_ == 30


def test_a_fit_that_fails_leaves_the_estimator_as_it_was() -> None:
    classifier = small(warm_start=True, activation="identity", objective=None).fit(X, FEW)
    before = [value.clone() for value in weights(classifier)]
    with pytest.raises(DivergenceError, match="hint: lower the learning rate"):
        classifier.set_params(learning_rate=1e30).fit(X, FEW)
    assert all(torch.equal(one, other) for one, other in zip(weights(classifier), before, strict=True))


def test_early_stopping_holds_out_some_of_every_class() -> None:
    classifier = small(early_stopping=True, n_iter_no_change=3, epochs=200).fit(X, FEW)
    records = classifier.history_["finetune"]
    assert "validation_error" in records[-1] and classifier.n_iter_ < 200
    assert "validation_error" not in small().fit(X, FEW).history_["finetune"][-1], "auto: 60 labelled rows are too few"
    with pytest.raises(PlanError, match="holds out 0 of 60"):
        small(early_stopping=True, validation_fraction=0.01).fit(X, FEW)


def test_float32_and_float64_rows() -> None:
    classifier = small().fit(X, FEW)
    assert same(classifier, small().fit(X.astype(np.float32), FEW)), "training is in float32"
    assert classifier.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert classifier.transform(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(classifier.predict_proba(X), classifier.predict_proba(X.astype(np.float32)), atol=1e-5)
    assert all(value.dtype == torch.float32 for value in weights(classifier))


def test_sparse_rows() -> None:
    rows = scipy.sparse.csr_array(X)
    assert same(small(objective=None).fit(rows, FEW), small(objective=None).fit(X, FEW))
    sparse = small().fit(rows, FEW)
    assert sparse.score(rows[60:], Y[60:]) > 0.7  # the masks of sparse rows are others than those of dense ones
    np.testing.assert_allclose(sparse.transform(rows), sparse.transform(X), atol=1e-12)
    np.testing.assert_allclose(sparse.reconstruct(rows), sparse.reconstruct(X), atol=1e-12)
    more = small().fit(rows[:60], Y[:60], X_unlabeled=rows[60:])
    assert same(more, sparse)


def test_columns_have_names() -> None:
    frame = pd.DataFrame(X, columns=[f"pixel{number}" for number in range(64)])
    classifier = small().fit(frame, FEW).set_output(transform="pandas")
    found = classifier.transform(frame)
    assert (
        list(found.columns)
        == list(classifier.get_feature_names_out())
        == [f"layerwiseclassifier{i}" for i in range(20)]
    )
    with pytest.raises(DataError, match=r"(?s)feature names.*hint: give the columns"):
        classifier.predict(frame.rename(columns={"pixel3": "pixel64"}))


def test_pickles_and_clones(tmp_path: Path) -> None:
    classifier = small(dropout=0.1).fit(X, FEW)
    other = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(other.predict_proba(X), classifier.predict_proba(X))
    np.testing.assert_array_equal(other.reconstruct(X), classifier.reconstruct(X))
    assert clone(classifier).get_params() == classifier.get_params() and not hasattr(clone(classifier), "module_")
    elsewhere = other.set_params(device="cuda:7")
    np.testing.assert_array_equal(elsewhere.predict_proba(X), classifier.predict_proba(X))
    with pytest.raises(PlanError, match="isn't there"):
        elsewhere.fit(X, FEW)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_what_a_gpu_trained_is_pickled_on_the_cpu() -> None:
    classifier = small(device="cuda").fit(X, FEW)
    assert all(value.device.type == "cpu" for value in weights(classifier))
    found = pickle.loads(pickle.dumps(classifier)).set_params(device="cpu").predict_proba(X)
    np.testing.assert_allclose(found, classifier.predict_proba(X), atol=1e-6)


def test_a_grid_search_over_objectives() -> None:
    grid = {"objective": ["denoising", "rbm", None], "hidden_layer_sizes": [(10,), (12, 8)]}
    search = GridSearchCV(small(epochs=5), grid, cv=2, error_score="raise").fit(X, FEW)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.module_[0].out_features == search.best_params_["hidden_layer_sizes"][0]


def test_cross_validation_slices_marked_rows_and_scores_labelled_ones() -> None:
    """The unlabelled rows of a fold's training part are pre-trained on; those of its test part are not counted."""
    scores = cross_val_score(small(epochs=40), X, np.where(np.arange(400) < 200, Y, -1), cv=3)
    assert scores.min() > 0.7
    with pytest.raises(DataError, match="none of 340 rows is labelled"):
        small().fit(X, FEW).score(X[60:], FEW[60:])


def test_cross_validation_slices_further_rows_of_equal_length_and_no_others() -> None:
    seen: list[int] = []

    class Watched(LayerwiseClassifier):
        def fit(self, X: Any, y: Any, *, X_unlabeled: Any = None, sample_weight: Any = None) -> LayerwiseClassifier:
            seen.append(len(X_unlabeled))
            return super().fit(X, y, X_unlabeled=X_unlabeled, sample_weight=sample_weight)

    watched = Watched((10,), **{**SMALL, "epochs": 2})
    for count in (200, 199):
        cross_val_score(watched, X[:200], Y[:200], cv=2, params={"X_unlabeled": X[200 : 200 + count]})
    assert seen == [100, 100, 199, 199], "as docs/estimators.md says"


def test_pipelines_transform_marked_rows_and_further_ones_where_they_are_told_to() -> None:
    settings = {**SMALL, "epochs": 2}
    raw, bounds = 16 * X, MinMaxScaler().fit(16 * X[:60])
    wanted = small(epochs=2).fit(bounds.transform(raw[:60]), Y[:60], X_unlabeled=bounds.transform(raw[60:]))
    with sklearn.config_context(enable_metadata_routing=True):
        routed = LayerwiseClassifier((20,), **settings).set_fit_request(X_unlabeled=True)
        pipeline = Pipeline([("scale", MinMaxScaler()), ("net", routed)], transform_input=["X_unlabeled"])
        pipeline.fit(raw[:60], Y[:60], X_unlabeled=raw[60:])
        assert same(pipeline[-1], wanted)
    untransformed = make_pipeline(MinMaxScaler(), small(epochs=2))
    untransformed.fit(raw[:60], Y[:60], layerwiseclassifier__X_unlabeled=raw[60:])
    assert not same(untransformed[-1], wanted), "without routing they reach the classifier as they are"
    marked = make_pipeline(MinMaxScaler(), small(epochs=2)).fit(raw, FEW)
    assert same(marked[-1], small(epochs=2).fit(MinMaxScaler().fit_transform(raw), FEW))


@pytest.mark.long
def test_two_processes() -> None:
    found = cross_val_predict(small(), X, FEW, cv=2, n_jobs=2)
    np.testing.assert_array_equal(found, cross_val_predict(small(), X, FEW, cv=2))


def test_warnings_before_anything_is_trained() -> None:
    lone = np.where(FEW == 4, -1, FEW)
    lone[100] = 4
    with pytest.warns(UserWarning, match="class 4: one labelled row only"):
        small(objective=None, epochs=1).fit(X, lone)
    wild = X * np.where(np.arange(64) == 10, 1e5, 1.0)
    with pytest.warns(UserWarning, match=r"columns \d+ and 10 have ranges.*StandardScaler"):
        small(epochs=1, pretrain_epochs=1).fit(wild, FEW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(epochs=1).fit(StandardScaler().fit_transform(X), FEW)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden_layer_sizes": ()}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (20, 0)}, r"hidden_layer_sizes.1 found 0"),
        ({"objective": "denoisng"}, "did you mean 'denoising'"),
        ({"objective": ("rbm", "rbm", "rbm")}, "3 objectives for 1 layers"),
        ({"activation": "sigmod"}, r"LayerwiseClassifier has 1 fault: activation .*did you mean 'sigmoid'"),
        ({"epochs": 0, "pretrain_epochs": 1.5, "l2": -1}, "has 3 faults"),
        ({"early_stopping": "always"}, "early_stopping"),
        ({"device": "cuda:9"}, "device 'cuda:9' isn't there"),
        ({"class_weight": {77: 2.0}}, "class_weight names 77"),
        ({"precision": "float8"}, "precision"),
    ],
)
def test_settings_are_refused_by_their_names(settings: dict[str, Any], words: str) -> None:
    classifier = small(**settings) if "hidden_layer_sizes" not in settings else LayerwiseClassifier(**settings)
    with pytest.raises(PlanError, match=words) as caught:
        classifier.fit(X, FEW)
    assert caught.value.hint and isinstance(caught.value, ValueError) and not hasattr(classifier, "module_")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            np.where(np.arange(400)[:, None] == 3, np.nan, X),
            r"^Input X contains NaN: row 3, column 0 \(both counted from 0\)\nhint: fill the gaps",
        ),
        (X.astype(str).astype(object) + "a", "(?s)could not convert.*OneHotEncoder"),
        (X[:, 0], "Expected 2D array"),
        (X[:300], "inconsistent numbers of samples"),
    ],
)
def test_rows_are_refused_with_a_hint(rows: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        small().fit(rows, FEW)


def test_rows_that_do_not_fit_what_was_fitted() -> None:
    with pytest.raises(
        DataError, match=r"X has 63 features, but LayerwiseClassifier is expecting 64.*\nhint: give rows"
    ):
        small().fit(X, FEW).predict(X[:, 1:])
    with pytest.raises(DataError, match=r"(?s)range|\[0, 1\]"):
        small(objective=lw.DenoisingAutoencoder(decoder="sigmoid")).fit(16 * X, FEW)
