"""Pseudo-labels: against NumPy and against autograd, Lee's ramp, the threshold, resuming, and where they help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from torch import Tensor, nn

import layerwise as lw
from layerwise import PseudoLabels
from layerwise.data.batches import Batch
from layerwise.data.features import as_features
from layerwise.errors import DataError, PlanError
from layerwise.finetuning import learning
from layerwise.nn.modes import evaluation
from layerwise.objectives.pseudo_labels import PseudoLabelLearner
from layerwise.plan import FinetunePlan
from layerwise.randomness import Randomness
from layerwise.training.analytic import AnalyticStep
from layerwise.training.step import AutogradStep

Array = np.ndarray
LABELLED, UNLABELLED = 6, 20


def data() -> tuple[Tensor, Tensor]:
    """Rows of four features that float32 holds exactly, the first of them labelled."""
    rows = torch.randn(LABELLED + UNLABELLED, 4, generator=torch.Generator().manual_seed(0)).double()
    targets = torch.full((len(rows),), -1)
    targets[:LABELLED] = torch.tensor([0, 1, 2, 0, 1, 2])
    return rows, targets


def build(*middle: nn.Module, seed: int = 1) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), *middle, nn.Linear(8, 3)).double()


def softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True))


def by_hand(weights: list[Array], settings: PseudoLabels, updates: int, rate: float) -> tuple[list[Array], list[float]]:
    """Train in NumPy by Lee's equation (15) with back-propagation written out; return the weights and the losses."""
    inputs, targets = (part.numpy() for part in data())
    w1, b1, w2, b2 = (value.copy() for value in weights)
    losses = []
    for update in range(updates):
        first, last = settings.ramp
        share = 0.0 if update < first else 1.0 if update >= last else (update - first) / (last - first)
        alpha = settings.weight * share
        hidden = np.tanh(inputs @ w1.T + b1)
        probability = softmax(hidden @ w2.T + b2)
        own = probability.argmax(1)
        codes = np.where(targets >= 0, targets, own)
        sure = probability.max(1) >= settings.threshold
        row_weights = np.where(targets >= 0, 1 / LABELLED, alpha * sure / UNLABELLED)
        losses.append(float(-(row_weights * np.log(probability[np.arange(len(codes)), codes])).sum()))
        by_output = (probability - np.eye(3)[codes]) * row_weights[:, None]
        by_hidden = (by_output @ w2) * (1 - hidden**2)
        w2, b2 = w2 - rate * by_output.T @ hidden, b2 - rate * by_output.sum(0)
        w1, b1 = w1 - rate * by_hidden.T @ inputs, b1 - rate * by_hidden.sum(0)
    return [w1, b1, w2, b2], losses


@pytest.mark.parametrize("threshold", [0.0, 0.6])
def test_weights_equal_numpy(threshold: float) -> None:
    settings = PseudoLabels(UNLABELLED, weight=2.0, ramp=(3, 9), threshold=threshold)
    inputs, targets = data()
    network = build()
    expected, losses = by_hand([p.detach().numpy() for p in network.parameters()], settings, 15, 0.5)
    result = lw.finetune(
        network, inputs, targets, pseudo_labels=settings, epochs=15, batch_size=LABELLED, learning_rate=0.5,
        momentum=0.0, random_state=0, device="cpu",
    )  # fmt: skip
    assert result.updates == 15  # an epoch is one batch of all unlabelled rows
    for found, value in zip(network.parameters(), expected, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), value, rtol=0, atol=1e-10)
    np.testing.assert_allclose([line["training_loss"] for line in result.history[1:]], losses, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dropout", [False, True])
def test_both_steps_give_the_same_weights(dropout: bool) -> None:
    inputs, targets = data()
    plan = FinetunePlan(learning_rate=0.3, momentum=0.9)
    networks = []
    for kind in (AutogradStep, AnalyticStep):
        network = build(*([nn.Dropout(0.5)] if dropout else [])).train()
        step = kind(PseudoLabelLearner(network, PseudoLabels(ramp=(5, 20), threshold=0.5)), plan)
        step.set_learning_rate(0.3)
        for update in range(30):
            torch.manual_seed(update)
            step(Batch(inputs, targets), torch.Generator())
        networks.append(network)
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_the_ramp_is_lees() -> None:
    """Lee (2013), equation (16), with his constants: 0 before 100, 3 (t - 100) / 500 before 600, 3 from there on."""
    settings = PseudoLabels(weight=3.0, ramp=(100, 600))
    for update in (0, 99, 100, 101, 350, 599, 600, 10_000):
        expected = 0.0 if update < 100 else 3.0 if update >= 600 else 3.0 * (update - 100) / (600 - 100)
        assert settings.weight_at(update) == pytest.approx(expected, abs=1e-15)
    assert PseudoLabels(weight=2.0, ramp=(5, 5)).weight_at(4) == 0.0
    assert PseudoLabels(weight=2.0, ramp=(5, 5)).weight_at(5) == 2.0


def test_pseudo_labels_are_those_of_the_network_as_it_predicts() -> None:
    """Dropout and the statistics of the batch are for training: neither decides a pseudo-label or its confidence."""
    network = build(nn.BatchNorm1d(8).double(), nn.Dropout(0.9)).train()
    inputs, targets = data()
    learner = PseudoLabelLearner(network, PseudoLabels(weight=1.5, ramp=(0, 0), threshold=0.4))
    before = network[2].running_mean.clone()
    _, codes, weights = learner._weighted(Batch(inputs, targets))
    assert torch.equal(network[2].running_mean, before) and network.training and network[3].training
    network.eval()
    with torch.no_grad():
        confidence, own = network(inputs[LABELLED:]).softmax(1).max(1)
    assert torch.equal(codes[LABELLED:], own)
    assert torch.equal(weights[LABELLED:] > 0, confidence >= 0.4)
    assert 0 < int((confidence >= 0.4).sum()) < UNLABELLED
    assert weights[:LABELLED].tolist() == pytest.approx([1 / LABELLED] * LABELLED)
    assert weights.max() == pytest.approx(max(1 / LABELLED, 1.5 / UNLABELLED))


def test_before_the_ramp_only_labelled_rows_are_trained_on() -> None:
    inputs, targets = data()
    networks = build(), build()
    late = PseudoLabels(UNLABELLED, ramp=(4, 5))
    words: dict[str, Any] = {"batch_size": LABELLED, "learning_rate": 0.2, "random_state": 0, "summary_every": 1}
    found = lw.finetune(networks[0], inputs, targets, pseudo_labels=late, epochs=5, **words)
    plain = lw.finetune(networks[1], inputs, targets, epochs=5, **words)
    losses = [[line["training_loss"] for line in result.history] for result in (found, plain)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)  # those of updates 0 to 4
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


class _Stop(Exception):
    pass


def middle(normalised: bool) -> nn.Module:
    return nn.BatchNorm1d(8) if normalised else nn.Dropout(0.5)


@pytest.mark.parametrize("normalised", [False, True])
def test_a_stopped_fit_goes_on_to_the_same_bits(normalised: bool, tmp_path: Path) -> None:
    """Also in the midst of the ramp and of an epoch, with head_first, early stopping and validation."""
    inputs, targets = data()
    words: dict[str, Any] = {
        "pseudo_labels": PseudoLabels(7, ramp=(2, 20), threshold=0.4), "epochs": 12, "batch_size": 4, "momentum": 0.5,
        "head_first": 2, "validation": data(), "early_stopping": lw.EarlyStopping(patience=30),
        "random_state": 0, "checkpoint_every": 1, "summary_every": 1, "device": "cpu",
    }  # fmt: skip

    def stop(progress: Any) -> None:
        if progress.update == 12 and not progress.fit.endswith("head"):
            raise _Stop

    whole = build(middle(normalised))
    expected = lw.finetune(whole, inputs, targets, **words)
    with pytest.raises(_Stop):
        lw.finetune(build(middle(normalised)), inputs, targets, run_dir=tmp_path / "run", callbacks=[stop], **words)
    resumed = build(middle(normalised), seed=2)
    found = lw.finetune(resumed, inputs, targets, run_dir=tmp_path / "run", resume=True, **words)
    assert found.updates == expected.updates and found.best_update == expected.best_update
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def clouds(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two round clouds of 200 rows in 20 features, two rows of each labelled, and all classes; 1.3 % overlap."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.arange(2).repeat_interleave(200)
    inputs = torch.randn(400, 20, generator=generator) + (truth - 0.5)[:, None]
    targets = torch.full((400,), -1)
    targets[[0, 1, 200, 201]] = truth[[0, 1, 200, 201]]
    return inputs, targets, truth


def error_on_clouds(seed: int, pseudo_labels: PseudoLabels | None) -> float:
    inputs, targets, truth = clouds(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Dropout(0.5), nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 2))
    epochs = 30 if pseudo_labels else 120  # 120 updates either way
    lw.finetune(
        network, inputs, targets, pseudo_labels=pseudo_labels, epochs=epochs, batch_size=4, learning_rate=0.1,
        random_state=seed, summary_every=120, validate_every=120, device="cpu",
    )  # fmt: skip
    with evaluation(network):
        return 100 * float((network(inputs).argmax(1) != truth).double().mean())


def test_they_help_where_the_classes_lie_apart() -> None:
    """Were either way as likely to win a seed, all of seven would be won with a chance of 1 / 128."""
    settings = PseudoLabels(100, weight=3.0, ramp=(20, 60))
    errors = [(error_on_clouds(seed, settings), error_on_clouds(seed, None)) for seed in range(7)]
    assert all(own < plain for own, plain in errors), errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"ramp": (5, 2)}, "should not end, at 2, before it begins, at 5"),
        ({"threshold": 1.0}, "threshold"),
        ({"weight": 0.0}, "weight"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_settings_out_of_bounds_are_refused(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PseudoLabels(**words)


def test_they_need_unlabelled_rows_and_probabilities() -> None:
    inputs, targets = data()
    with pytest.raises(DataError, match="pseudo_labels is set, but every row has a label") as caught:
        lw.finetune(build(), inputs[:LABELLED], targets[:LABELLED], pseudo_labels=PseudoLabels())
    assert "target is -1" in caught.value.hint
    with pytest.raises(PlanError, match="pseudo-labels need probabilities"):
        lw.finetune(build(), inputs, targets, pseudo_labels=PseudoLabels(), loss=lw.RankingLoss())
    with pytest.raises(PlanError, match="begin to count at update 100, and 20 updates are planned"):
        lw.finetune(build(), inputs, targets, pseudo_labels=PseudoLabels(), epochs=20)


def test_unlabelled_rows_may_be_sparse() -> None:
    """They are made dense a batch at a time, and are trained on as dense ones are."""
    inputs, targets = data()
    inputs = inputs * (inputs > 0)
    networks = build(), build()
    for network, rows in zip(networks, (inputs, scipy.sparse.csr_array(inputs.numpy())), strict=True):
        lw.finetune(network, rows, targets, pseudo_labels=PseudoLabels(7, ramp=(0, 0)), epochs=2, random_state=0)
    torch.testing.assert_close(networks[0][0].weight, networks[1][0].weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mark", [-1, np.nan, None])
def test_every_mark_of_an_unlabelled_row_will_do(mark: Any) -> None:
    inputs, targets = data()
    marked = np.array(
        [mark if code < 0 else code for code in targets.tolist()], dtype=object if mark is None else float
    )
    networks = build(), build()
    for network, given in zip(networks, (targets, marked), strict=True):
        lw.finetune(network, inputs, given, pseudo_labels=PseudoLabels(ramp=(0, 0)), epochs=2, random_state=0)
    assert torch.equal(networks[0][0].weight, networks[1][0].weight)


def test_the_updates_of_an_epoch_are_those_of_the_batches() -> None:
    plan = FinetunePlan(batch_size=4, pseudo_labels=PseudoLabels(7))
    inputs, targets = data()
    rows, codes, others = inputs[:LABELLED], targets[:LABELLED], inputs[LABELLED:]
    _, batches = learning(build(), rows, codes, plan, Randomness(0), as_features(others))
    assert batches.per_epoch == plan.updates_per_epoch(LABELLED, UNLABELLED) == 3


def test_weights_count_for_labelled_rows_alone() -> None:
    inputs, targets = data()
    network = build()
    learner = PseudoLabelLearner(network, PseudoLabels(UNLABELLED, ramp=(0, 0)))
    weights = torch.rand(len(inputs), generator=torch.Generator().manual_seed(2)).double()
    plain, weighted = (learner.loss(Batch(inputs, targets, None, w), torch.Generator()) for w in (None, weights))
    costs = nn.functional.cross_entropy(network(inputs[:LABELLED]), targets[:LABELLED], reduction="none")
    torch.testing.assert_close(weighted - plain, ((weights[:LABELLED] - 1) * costs).mean())
