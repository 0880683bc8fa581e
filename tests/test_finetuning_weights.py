"""Fine-tuning with weights of rows and classes, and by squared error: against repeated rows, scikit-learn, lstsq."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.utils.class_weight import compute_sample_weight
from torch import Tensor, nn

import layerwise as lw
from layerwise.errors import DataError, NetworkError, PlanError
from layerwise.objectives.ranking import RankingLoss

ROWS = 24
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 5)).astype(np.float32).astype(np.float64)  # rows are read in float32
LABELS = np.array(["ant", "bee", "cat"])[RANDOM.integers(0, 3, ROWS)]
WEIGHTS = RANDOM.integers(0, 4, ROWS).astype(float)
Y = X @ RANDOM.normal(size=(5, 2)) + 0.1 * RANDOM.normal(size=(ROWS, 2))


def network(outputs: int = 3, *hidden: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        width = 4 if hidden else 5
        return nn.Sequential(*([nn.Linear(5, 4), *hidden] if hidden else []), nn.Linear(width, outputs)).double()


def fitted(*data: Any, outputs: int = 3, **settings: Any) -> dict[str, Tensor]:
    found = network(outputs, nn.Tanh())
    whole = {"epochs": 20, "batch_size": 1000, "momentum": 0.0, "random_state": 0, "device": "cpu"}
    lw.finetune(found, *data, **{**whole, **settings})
    return found.state_dict()


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_a_weight_in_whole_batches_is_a_number_of_copies(loss: str) -> None:
    targets, outputs = (LABELS, 3) if loss == "cross_entropy" else (Y, 2)
    copies = np.repeat(np.arange(ROWS), WEIGHTS.astype(int))
    weighted = fitted(X, targets, sample_weight=WEIGHTS, loss=loss, outputs=outputs)
    assert_same(weighted, fitted(X[copies], targets[copies], loss=loss, outputs=outputs))
    assert_same(weighted, fitted(X, targets, sample_weight=7 * WEIGHTS, loss=loss, outputs=outputs))
    assert not torch.equal(weighted["0.weight"], fitted(X, targets, loss=loss, outputs=outputs)["0.weight"])


@pytest.mark.parametrize("given", ["balanced", {"ant": 3.0, "cat": 0.5}])
def test_class_weights_are_those_of_their_rows(given: Any) -> None:
    by_row = compute_sample_weight(given, LABELS)
    assert_same(fitted(X, LABELS, class_weight=given), fitted(X, LABELS, sample_weight=by_row))
    both = fitted(X, LABELS, class_weight=given, sample_weight=WEIGHTS)
    assert_same(both, fitted(X, LABELS, sample_weight=by_row * WEIGHTS))


def test_ranking_takes_weights_too() -> None:
    settings = {"loss": RankingLoss(negatives=2), "epochs": 3}
    alike = fitted(X, LABELS, sample_weight=np.full(ROWS, 5.0), **settings)
    assert_same(alike, fitted(X, LABELS, **settings))
    assert not torch.equal(alike["0.weight"], fitted(X, LABELS, sample_weight=WEIGHTS, **settings)["0.weight"])


def test_squared_error_ends_at_least_squares() -> None:
    found = network(2)
    settings = {"epochs": 1200, "batch_size": 1000, "learning_rate": 0.3, "momentum": 0.5}
    lw.finetune(found, X, Y, loss="squared", sample_weight=WEIGHTS, random_state=0, **settings)
    root = np.sqrt(WEIGHTS)[:, None]
    wanted = np.linalg.lstsq(root * np.c_[X, np.ones(ROWS)], root * Y, rcond=None)[0].T
    np.testing.assert_allclose(found[0].weight.detach().numpy(), wanted[:, :5], atol=1e-9)
    np.testing.assert_allclose(found[0].bias.detach().numpy(), wanted[:, 5], atol=1e-9)


def test_the_loss_that_is_recorded_is_half_the_squared_error() -> None:
    found = network(2)
    outputs = found(torch.from_numpy(X)).detach().numpy()
    first = lw.finetune(found, X, Y, loss="squared", epochs=1, random_state=0).history[0]
    assert first["training_loss"] == pytest.approx(0.5 * ((outputs - Y) ** 2).sum(1).mean(), rel=1e-6)


def test_the_validation_of_quantities_is_scikit_learns() -> None:
    held, found = (X[:9], Y[:9], WEIGHTS[:9]), network(2)
    last = lw.finetune(found, X[9:], Y[9:], loss="squared", epochs=2, validation=held, random_state=0).history[-1]
    outputs = found(torch.from_numpy(X[:9])).detach().numpy()
    assert last["validation_r2"] == pytest.approx(r2_score(Y[:9], outputs, sample_weight=WEIGHTS[:9]), rel=1e-6)
    squared = 0.5 * ((outputs - Y[:9]) ** 2).sum(1)
    assert last["validation_loss"] == pytest.approx(np.average(squared, weights=WEIGHTS[:9]), rel=1e-6)


def test_the_validation_of_classes_is_scikit_learns() -> None:
    held, found = (X[:9], LABELS[:9], WEIGHTS[:9]), network(3)
    settings = {"epochs": 2, "validation": held, "random_state": 0, "classes": ["ant", "bee", "cat"]}
    last = lw.finetune(found, X[9:], LABELS[9:], **settings).history[-1]
    probabilities = found(torch.from_numpy(X[:9])).detach().softmax(1).numpy()
    kinds = np.array(["ant", "bee", "cat"])
    loss = log_loss(LABELS[:9], probabilities, sample_weight=WEIGHTS[:9], labels=kinds)
    right = accuracy_score(LABELS[:9], kinds[probabilities.argmax(1)], sample_weight=WEIGHTS[:9])
    assert last["validation_loss"] == pytest.approx(loss, rel=1e-6)
    assert last["validation_error"] == pytest.approx(100 * (1 - right))


def test_rows_without_a_quantity_are_left_out_and_minus_1_is_one() -> None:
    targets = Y[:, 0].copy()
    targets[::3] = np.nan
    targets[1] = -1.0
    kept = ~np.isnan(targets)
    found = fitted(X, targets, loss="squared", outputs=1, sample_weight=WEIGHTS)
    assert_same(found, fitted(X[kept], targets[kept], loss="squared", outputs=1, sample_weight=WEIGHTS[kept]))


def test_sparse_rows_some_of_them_without_a_label() -> None:
    rows = np.where(X > 0, X, 0.0)
    labels = LABELS.astype(object)
    labels[::2] = None
    assert_same(fitted(scipy.sparse.csr_array(rows), labels), fitted(rows, labels))


def test_classes_that_have_no_row_keep_their_output() -> None:
    some = LABELS != "ant"
    found = network(3)
    result = lw.finetune(found, X[some], LABELS[some], classes=["ant", "bee", "cat"], epochs=30, random_state=0)
    assert result.classes == ["ant", "bee", "cat"]
    assert int((found(torch.from_numpy(X)).argmax(1) == 0).sum()) == 0


def test_a_fraction_holds_out_weights_with_their_rows() -> None:
    """With the rows that it keeps given a weight, and no other, it is the same as with those rows alone."""
    settings = {"loss": "squared", "outputs": 1, "epochs": 3}
    target = X[:, 0]
    first = fitted(X, target, sample_weight=np.where(target > 0, 1.0, 2.0), validation=0.25, **settings)
    again = fitted(X, target, sample_weight=np.where(target > 0, 3.0, 6.0), validation=0.25, **settings)
    assert_same(first, again)
    assert not torch.equal(first["0.weight"], fitted(X, target, validation=0.25, **settings)["0.weight"])


def test_early_stopping_waits_for_so_many_updates_and_no_longer() -> None:
    found, labels = network(2), (X[:, 0] > 0).astype(int)
    held = X[:8], labels[:8]
    rule = lw.EarlyStopping(patience=10, improvement=1.0, growth=1.0, wait=10)
    settings = {"epochs": 500, "batch_size": 8, "learning_rate": 0.05, "random_state": 0}  # 2 updates an epoch
    result = lw.finetune(found, X[8:], labels[8:], validation=held, early_stopping=rule, **settings)
    assert result.best_update > 0 and result.updates == result.best_update + 10 < 1000


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"sample_weight": [1.0] * 5}, DataError, "shape"),
        ({"sample_weight": [-1.0] * ROWS}, DataError, "row 0 has -1"),
        ({"sample_weight": [0.0] * ROWS}, DataError, "zero"),
        ({"class_weight": "even"}, PlanError, "'balanced'"),
        ({"class_weight": {"bees": 2.0}}, PlanError, "did you mean bee"),
        ({"class_weight": {"bee": -2.0}}, PlanError, "0 or more"),
        ({"loss": "square"}, PlanError, "squared"),
        ({"loss": "squared"}, DataError, "text is classes"),
        ({"validation": (X,)}, PlanError, "validation is tuple"),
    ],
)
def test_refusals(settings: dict[str, Any], kind: type[Exception], words: str) -> None:
    before = network(3)
    with pytest.raises(kind, match=words):
        lw.finetune(before, X, LABELS, **settings)
    assert_same(before.state_dict(), network(3).state_dict())


def test_refusals_of_quantities() -> None:
    with pytest.raises(NetworkError, match=r"2 a row\nhint: end the network in 2 outputs"):
        lw.finetune(network(3), X, Y, loss="squared")
    with pytest.raises(PlanError, match="quantities"):
        lw.finetune(network(2), X, Y, loss="squared", class_weight="balanced")
    with pytest.raises(PlanError, match="the targets are classes"):
        lw.compare(X, np.arange(ROWS) % 2, settings={"finetune": {"loss": "squared"}}, budgets=[6])
