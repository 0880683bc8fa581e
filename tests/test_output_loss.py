"""Ranking as the loss of a network's outputs: its numbers, its law, its cost, what it refuses, what it reaches."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import layerwise as lw
from layerwise.data.batches import Batch
from layerwise.errors import NetworkError, PlanError
from layerwise.objectives.classification import Classifier, check_ends_in_head, input_of, other_labels
from layerwise.objectives.ranking import RankingLoss
from layerwise.plan import FinetunePlan, Plan
from layerwise.recipe import check, to_toml

CLASSES = 6


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def build(*middle: nn.Module, outputs: int = CLASSES, bias: bool = True) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), *middle, nn.Linear(4, outputs, bias=bias))
    return network.double()


def a_batch(rows: int = 8) -> Batch:
    inputs = torch.randn(rows, 5, generator=seeded(), dtype=torch.float64)
    return Batch(inputs, torch.arange(rows) % CLASSES)


def harmonic(rank: int) -> float:
    return sum(1 / i for i in range(1, rank + 1))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weighting", ["none", "wsabie"])
def test_loss_and_gradients_equal_numpys(weighting: str, bias: bool) -> None:
    """With the labels that the same generator gives, and all outputs computed; 0.1 leaves rows without a violation."""
    count, margin = 2, 0.1
    network, batch = build(bias=bias), a_batch(20)
    learner = Classifier(network, RankingLoss(count, margin=margin, weighting=weighting))
    loss = learner.loss(batch, seeded(2))
    loss.backward()
    x, y = batch.inputs.numpy(), batch.targets.numpy()
    drawn = torch.randint(CLASSES - 1, (len(y), count), generator=seeded(2)).numpy()
    parameters = {name: value.detach().numpy() for name, value in network.named_parameters()}
    hidden = np.tanh(x @ parameters["0.weight"].T + parameters["0.bias"])
    scores = hidden @ parameters["2.weight"].T + parameters.get("2.bias", 0.0)
    total, d_scores, kept, quiet = 0.0, np.zeros_like(scores), 0, 0
    for i in range(len(y)):
        others = [label for label in range(CLASSES) if label != y[i]]
        labels = [others[draw] for draw in drawn[i]]
        violated = [n for n in range(count) if margin - scores[i, y[i]] + scores[i, labels[n]] > 0]
        quiet += not violated
        if weighting == "wsabie":
            factors = {n: harmonic((CLASSES - 1) // (n + 1)) for n in violated[:1]}
        else:
            factors = {n: 1 / count for n in violated}
        for n, factor in factors.items():
            kept += 1
            total += factor * (margin - scores[i, y[i]] + scores[i, labels[n]])
            d_scores[i, y[i]] -= factor
            d_scores[i, labels[n]] += factor
    assert kept > 3 and quiet > 0
    assert loss.item() == pytest.approx(total / len(y), rel=1e-12)
    d_scores /= len(y)
    d_hidden = d_scores @ parameters["2.weight"] * (1 - hidden**2)
    expected = {"0.weight": d_hidden.T @ x, "0.bias": d_hidden.sum(0), "2.weight": d_scores.T @ hidden}
    expected |= {"2.bias": d_scores.sum(0)} if bias else {}
    for name, parameter in network.named_parameters():
        np.testing.assert_allclose(parameter.grad.numpy(), expected[name], rtol=0, atol=1e-12)
        assert np.abs(expected[name]).max() > 1e-3


@pytest.mark.parametrize("weighting", ["none", "wsabie"])
def test_gradient_equals_finite_differences(weighting: str) -> None:
    network, batch = build(), a_batch()
    learner = Classifier(network, RankingLoss(3, margin=0.3, weighting=weighting))
    values = [p.detach().clone().requires_grad_() for p in network.parameters()]

    def loss(*given: Tensor) -> Tensor:
        with torch.no_grad():
            for parameter, value in zip(network.parameters(), given, strict=True):
                parameter.copy_(value)
        return learner.loss(batch, seeded(2))

    for number, (parameter, value) in enumerate(zip(network.parameters(), values, strict=True)):
        (found,) = torch.autograd.grad(loss(*values), parameter)
        for at in range(value.numel()):
            moved = []
            for step in (1e-6, -1e-6):
                other = [v.detach().clone() for v in values]
                other[number].view(-1)[at] += step
                moved.append(loss(*other).item())
            assert found.view(-1)[at].item() == pytest.approx((moved[0] - moved[1]) / 2e-6, abs=1e-8)


def test_negative_labels_are_uniform_among_the_others() -> None:
    """40,000 draws for each of three labels: each of the 3 * 5 frequencies within 5.5 standard deviations of 1/5.

    By chance one is farther with probability below 15 * 4e-8 < 1e-6 (normal tails; the seed is fixed).
    """
    labels, draws = torch.tensor([0, 2, 5]), 40_000
    drawn = other_labels(labels, CLASSES, draws, seeded())
    for label, row in zip(labels.tolist(), drawn, strict=True):
        counts = torch.bincount(row, minlength=CLASSES).tolist()
        assert counts.pop(label) == 0
        for count in counts:
            assert abs(count - draws / 5) / math.sqrt(draws * 0.2 * 0.8) < 5.5


def test_the_mean_over_draws_is_the_sum_over_all_other_labels() -> None:
    """(Y - 1) times the mean of 4,000 sampled losses lies within 5.5 standard errors of the full sum.

    By chance it is farther with probability below 4e-8 (the seed is fixed). The standard error is 0.3 % of the sum, so
    that a label drawn among all Y, the own one too, is 30 and more away.
    """
    network, batch = build(), a_batch()
    learner = Classifier(network, RankingLoss(4))
    generator, draws = seeded(3), 4000
    with torch.no_grad():
        sampled = np.array([learner.loss(batch, generator).item() for _ in range(draws)]) * (CLASSES - 1)
        outputs = network(batch.inputs)
    own = outputs.gather(1, batch.targets[:, None])
    full = (1 - own + outputs).clamp(min=0).sum(1) - 1  # the label itself adds exactly the margin
    error = sampled.std(ddof=1) / math.sqrt(draws)
    assert error < 0.004 * full.mean().item()
    assert abs(sampled.mean() - full.mean().item()) < 5.5 * error


class _Sizes(TorchDispatchMode):
    """Notes the shape of every tensor that any operation makes, those of the backward pass included."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.shapes |= {tuple(leaf.shape) for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
        return result


@pytest.mark.parametrize("weighting", ["none", "wsabie"])
def test_no_tensor_has_an_output_of_every_class_for_a_row(weighting: str) -> None:
    """Of 10,007 classes only the head's own parameters and their gradients are as wide."""
    many, network = 10_007, build(outputs=10_007)
    batch = a_batch()
    shapes = {}
    for loss in ("cross_entropy", RankingLoss(10, weighting=weighting)):
        learner = Classifier(network, loss)
        with _Sizes() as sizes:
            learner.loss(batch, seeded()).backward()
        shapes[loss] = {shape for shape in sizes.shapes if math.prod(shape) >= many}
        network.zero_grad()
    assert (8, many) in shapes.pop("cross_entropy")
    (ranking,) = shapes.values()
    assert ranking <= {(many, 4), (4, many), (many,)}


def test_the_head_is_never_run_and_training_leaves_no_hook() -> None:
    network, calls = build(), []
    network[2].register_forward_hook(lambda *_: calls.append(1))
    learner = Classifier(network, RankingLoss())
    before = len(network[2]._forward_pre_hooks)
    learner.loss(a_batch(), seeded()).backward()
    assert calls == [] and len(network[2]._forward_pre_hooks) == before == 0
    assert network(a_batch().inputs).shape == (8, CLASSES)
    assert set(learner.state_dict()) == {f"network.{name}" for name in network.state_dict()}


def test_dropout_is_part_of_the_codes() -> None:
    network, batch = build(nn.Dropout(0.5)), a_batch()
    learner = Classifier(network, RankingLoss())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        losses = [learner.loss(batch, seeded()).item() for _ in range(2)]
        network.eval()
        losses += [learner.loss(batch, seeded()).item() for _ in range(2)]
    assert losses[0] != losses[1] and losses[2] == losses[3]


class Written(nn.Module):
    """A user's module: activations in forward, everything in it caught, the head called by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(5, 4), nn.Linear(4, CLASSES)

    def forward(self, rows: Tensor) -> Tensor:
        try:
            outputs: Tensor = self.head(input=torch.relu(self.first(rows)))
        except Exception as error:
            raise AssertionError("caught on its way") from error
        return outputs


def test_any_module_is_stopped_before_its_head() -> None:
    network, rows = Written().double(), a_batch().inputs
    check_ends_in_head(network, rows)
    assert torch.equal(input_of(network.head, network, rows), torch.relu(network.first(rows)))


class _Bent(nn.Module):
    """A forward pass that treats the head in one of several ways it must not."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.first, self.head = way, nn.Linear(5, 5), nn.Linear(5, 5)

    def forward(self, rows: Tensor) -> Tensor:
        outputs: Tensor = self.first(rows) if self.way == "head first" else self.head(self.first(rows))
        if self.way == "head first":
            return outputs
        if self.way == "twice":
            outputs = self.head(outputs)
        return outputs.clamp_(min=0) if self.way == "in place" else outputs * 2 if self.way == "scaled" else outputs


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 6), nn.LogSoftmax(1)), "module '1', but .* goes on after it"),
        (_Bent("scaled"), "module 'head', but the forward pass goes on after it"),
        (_Bent("in place"), "module 'head', but the forward pass goes on after it"),
        (_Bent("twice"), "module 'head', but the forward pass uses it 2 times"),
        (_Bent("head first"), "module 'head', but the forward pass uses it 0 times"),
        (nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 6, 5), nn.Flatten()), "a dense module .* found 0"),
    ],
)
def test_a_network_that_does_not_end_in_its_head_is_refused(network: nn.Module, said: str, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rows, labels = torch.randn(20, 5, generator=seeded()), torch.arange(20) % 5
    with pytest.raises(NetworkError, match=said) as caught:
        lw.finetune(network, rows, labels, loss=RankingLoss(), epochs=1, run_dir=tmp_path / "run")
    assert "cross_entropy" in caught.value.hint
    assert not (tmp_path / "run").exists()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    lw.finetune(network, rows, labels, epochs=1, random_state=0)  # cross-entropy takes it


def test_a_forward_pass_that_leaves_the_head_out_later_is_refused() -> None:
    network = _Bent("head first")
    with pytest.raises(NetworkError, match="but the forward pass does not use it"):
        Classifier(network, RankingLoss()).loss(Batch(torch.zeros(2, 5), torch.tensor([0, 1])), seeded())


def test_one_output_is_refused() -> None:
    with pytest.raises(NetworkError, match="2 outputs or more, found 1"):
        lw.finetune(nn.Linear(5, 1), torch.zeros(4, 5), [3, 3, 3, 3], loss=RankingLoss())


def test_it_is_a_setting_of_plans_and_recipes() -> None:
    chosen = FinetunePlan(loss=RankingLoss(20, weighting="wsabie"))
    plan = Plan(finetune=chosen)
    assert check(Plan, tomllib.loads(to_toml(plan)), "text") == plan
    table = {"finetune": {"loss": {"kind": "ranking-loss", "negatives": 3}}}
    assert check(Plan, table, "recipe x").finetune.loss == RankingLoss(3)
    assert FinetunePlan().loss == "cross_entropy"
    for wrong, said in (
        ({"kind": "ranking-loss", "negativs": 3}, "finetune.loss.negativs is unknown (did you mean 'negatives'?)"),
        ({"kind": "ranking-loss", "margin": 0}, "finetune.loss.margin found 0, should be greater than 0"),
        ("cross-entropy", "(did you mean 'cross_entropy'?)"),
    ):
        with pytest.raises(PlanError) as caught:
            check(Plan, {"finetune": {"loss": wrong}}, "recipe x")
        assert "1 fault" in caught.value.message and said in caught.value.message


@pytest.mark.parametrize("loss", [RankingLoss(), RankingLoss(weighting="wsabie")], ids=lambda loss: loss.weighting)
def test_on_digits_it_comes_near_cross_entropy(loss: RankingLoss) -> None:
    """Errors on 497 held-out digits, measured: 6.8 % with cross-entropy, 7.6 % with ranking, 6.4 % with wsabie."""
    rows, labels = load_digits(return_X_y=True)
    rows = (rows / 16).astype(np.float32)
    held_out = rows[1300:], labels[1300:]
    errors = {}
    for name, chosen in (("cross-entropy", "cross_entropy"), ("ranking", loss)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
        result = lw.finetune(
            network, rows[:1300], labels[:1300], loss=chosen, epochs=40, learning_rate=0.03, validation=held_out,
            random_state=0,
        )  # fmt: skip
        errors[name] = result.history[-1]["validation_error"]
    assert errors["cross-entropy"] < 8.5
    assert errors["ranking"] < errors["cross-entropy"] + 2.0
