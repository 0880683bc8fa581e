"""Ranking against NumPy with the same draws; the law of the draws; wsabie's weights by hand; that it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.datasets import load_digits
from torch import Tensor, nn

from layerwise.data.batches import Batch, Batches
from layerwise.errors import DataError
from layerwise.nn.initialization import initialize
from layerwise.nn.layers import Layer
from layerwise.nn.modes import evaluation
from layerwise.objectives.objective import FeatureFacts
from layerwise.objectives.ranking import RankingLayer, RankingLoss, margin_losses, rank_weights, replace_one
from layerwise.plan import TrainingPlan
from layerwise.randomness import Randomness
from layerwise.training.loop import Fitting, fit


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def setting(rows: int = 7) -> tuple[Layer, Tensor]:
    inputs = torch.rand(rows, 6, generator=seeded(), dtype=torch.float64)
    dense = nn.Linear(6, 4, dtype=torch.float64)
    initialize(dense, "glorot-sigmoid", seeded(1))
    return Layer("top", [], dense, [nn.Sigmoid()]), inputs.where(inputs > 0.3, 0.0)  # sparse: some swaps change nothing


def replaced(rows: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """One element of each row replaced, row by row, from the same uniforms as the code under test."""
    draws = torch.rand(2, len(rows), generator=generator, dtype=torch.float64).numpy()
    result = rows.copy()
    for i, row in enumerate(rows):
        other = rows[(i + 1 + int(draws[0, i] * (len(rows) - 1))) % len(rows)]
        differ = np.flatnonzero(row != other)
        if len(differ):
            column = differ[int(draws[1, i] * len(differ))]
            result[i, column] = other[column]
    return result


def harmonic(rank: int) -> float:
    return sum(1 / i for i in range(1, rank + 1))


@pytest.mark.parametrize("weighting", ["none", "wsabie"])
@pytest.mark.parametrize("margin", [1.0, 0.005])
def test_loss_and_gradients_equal_numpys(weighting: str, margin: float) -> None:
    """The margin of 0.005 leaves some negatives, and at least one whole row, without a violation."""
    count = 3
    layer, rows = setting()
    objective = RankingLayer(count, margin=margin, weighting=weighting)
    learner = objective.build(layer, FeatureFacts.of(rows), seeded(2))
    loss = learner.loss(Batch(rows), seeded(3))
    loss.backward()
    x, generator = rows.numpy(), seeded(3)
    weight, bias = layer.module.weight.detach().numpy(), layer.module.bias.detach().numpy()
    u = learner.scorer.weight.detach().numpy()[0]
    negatives = [replaced(x, generator) for _ in range(count)]
    code = lambda rows: 1 / (1 + np.exp(-(rows @ weight.T + bias)))  # noqa: E731
    total, d_weight, d_bias, d_u = 0.0, np.zeros_like(weight), np.zeros_like(bias), np.zeros_like(u)
    kept, quiet = 0, 0
    for i in range(len(x)):
        h, h_negative = code(x[i]), [code(rows[i]) for rows in negatives]
        violated = [n for n in range(count) if margin - u @ h + u @ h_negative[n] > 0]
        quiet += not violated
        if weighting == "wsabie":
            factors = {n: harmonic(count // (n + 1)) for n in violated[:1]}
        else:
            factors = {n: 1 / count for n in violated}
        for n, factor in factors.items():
            kept += 1
            total += factor * (margin - u @ h + u @ h_negative[n])
            for sign, codes, inputs in ((-1, h, x[i]), (1, h_negative[n], negatives[n][i])):
                d_a = sign * factor * u * codes * (1 - codes)
                d_u, d_bias, d_weight = d_u + sign * factor * codes, d_bias + d_a, d_weight + np.outer(d_a, inputs)
    assert kept > 3 and (margin == 1.0 or quiet > 0)
    assert loss.item() == pytest.approx(total / len(x), rel=1e-12)
    for parameter, expected in (
        (layer.module.weight, d_weight), (layer.module.bias, d_bias), (learner.scorer.weight, d_u[None])
    ):  # fmt: skip
        np.testing.assert_allclose(parameter.grad.numpy(), expected / len(x), rtol=0, atol=1e-12)
        assert np.abs(expected).max() > 1e-3


@pytest.mark.parametrize("weighting", ["none", "wsabie"])
def test_gradient_equals_finite_differences(weighting: str) -> None:
    layer, rows = setting()
    learner = RankingLayer(3, margin=0.3, weighting=weighting).build(layer, FeatureFacts.of(rows), seeded(2))
    names = [name for name, _ in learner.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in learner.parameters()]

    def loss(*given: Tensor) -> Tensor:
        parameters = {f"learner.{name}": value for name, value in zip(names, given, strict=True)}
        return torch.func.functional_call(_Loss(learner), parameters, (Batch(rows),))

    assert torch.autograd.gradcheck(loss, values)
    assert torch.autograd.gradgradcheck(loss, values)


class _Loss(nn.Module):
    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, batch: Batch) -> Tensor:
        return self.learner.loss(batch, seeded(4))


def test_negatives_differ_in_one_element_that_another_row_has_there() -> None:
    """Also of rows of more dimensions; and a row of 90 % zeros is never replaced by itself."""
    rows = torch.rand(40, 2, 3, 5, generator=seeded()).clamp(min=0.9) - 0.9
    for number in range(20):
        negative = replace_one(rows, seeded(number))
        changed = (negative != rows).flatten(1)
        assert changed.sum(1).eq(1).all()
        for i, column in changed.nonzero().tolist():
            values = rows.flatten(1)[:, column].tolist()
            del values[i]
            assert negative.flatten(1)[i, column].item() in values


def law(rows: Tensor, i: int) -> dict[tuple[int, float], float]:
    """Probability of each (element, value) that may be put into row i, counted over the other rows."""
    chances: dict[tuple[int, float], float] = {}
    for other in [rows[k] for k in range(len(rows)) if k != i]:
        differ = [c for c in range(rows.shape[1]) if rows[i, c] != other[c]]
        for c in differ:
            key = (c, float(other[c]))
            chances[key] = chances.get(key, 0.0) + 1 / (len(rows) - 1) / len(differ)
    return chances


def test_the_law_of_the_negatives() -> None:
    """Other row uniform, then element uniform among those that differ: 5,000 draws for each row against that law.

    One of the 24 frequencies lies 5.5 standard deviations from its mean by chance with probability below
    24 * 4e-8 < 1e-6 (normal tails; the seed is fixed). An element drawn among all of them, or the own row among the
    others, is ten and more away.
    """
    rows = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 2.0], [0.0, 2.0, 3.0], [5.0, 0.0, 4.0]])
    draws, generator = 5000, seeded(7)
    negatives = torch.stack([replace_one(rows, generator) for _ in range(draws)])
    compared = 0
    for i, row in enumerate(rows):
        changed = (negatives[:, i] != row).nonzero()
        assert len(changed) == draws
        found = [(column, float(negatives[n, i, column])) for n, column in changed.tolist()]
        chances = law(rows, i)
        assert sum(chances.values()) == pytest.approx(1.0) and set(found) == set(chances)
        for key, chance in chances.items():
            deviation = abs(found.count(key) - draws * chance) / math.sqrt(draws * chance * (1 - chance))
            assert deviation < 5.5, (i, key, found.count(key), draws * chance)
            compared += 1
    assert compared == 24


def test_rows_that_are_all_alike_stay_as_they_are() -> None:
    same = torch.ones(5, 3)
    assert torch.equal(replace_one(same, seeded()), same)
    assert torch.equal(replace_one(same[:1], seeded()), same[:1])


def test_wsabies_weights_by_hand() -> None:
    """Four scores, margin 1: the first violation decides, its trial's number sets the weight; none costs nothing."""
    weights = rank_weights(8, 4)
    by_hand = [harmonic(8), harmonic(4), 1 + 1 / 2, 1 + 1 / 2]  # 8/1, 8/2, 8/3 -> 2, 8/4
    assert weights.tolist() == pytest.approx(by_hand, rel=1e-14)
    true = torch.tensor([2.0, 2.0, 2.0, 2.0], dtype=torch.float64)
    negative = torch.tensor(
        [[1.5, 9.0, 9.0, 9.0], [1.0, 0.0, 1.25, 3.0], [0.0, 0.0, 0.0, 0.0], [-1.0, 1.125, 9.0, 0.0]],
        dtype=torch.float64,
    )
    expected = [0.5 * by_hand[0], 0.25 * by_hand[2], 0.0, 0.125 * by_hand[1]]
    assert margin_losses(true, negative, 1.0, weights).tolist() == pytest.approx(expected, rel=1e-14)
    plain = [(0.5 + 8 + 8 + 8) / 4, (0.25 + 2) / 4, 0.0, (0.125 + 8) / 4]
    assert margin_losses(true, negative, 1.0).tolist() == pytest.approx(plain, rel=1e-14)


def test_more_trials_than_candidates_weigh_as_rank_one() -> None:
    assert rank_weights(2, 5).tolist() == pytest.approx([1.5, 1.0, 1.0, 1.0, 1.0], rel=1e-14)


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("weighting", ["none", "wsabie"])
def test_one_score_for_all_rows_costs_what_the_mean_predictor_does(count: int, weighting: str) -> None:
    layer, rows = setting()
    objective = RankingLayer(count, margin=0.7, weighting=weighting)
    learner = objective.build(layer, FeatureFacts.of(rows), seeded(2))
    with torch.no_grad():
        learner.scorer.weight.zero_()
    expected = 0.7 * (harmonic(count) if weighting == "wsabie" else 1.0)
    assert learner.mean_predictor_loss(Batch(rows)).item() == pytest.approx(expected, rel=1e-12)
    assert learner.clean_loss(Batch(rows)).item() == pytest.approx(expected, rel=1e-12)


def test_the_clean_loss_is_the_same_at_every_call() -> None:
    layer, rows = setting()
    learner = RankingLayer(3).build(layer, FeatureFacts.of(rows), seeded(2))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = learner.clean_loss(Batch(rows)).item()
    assert learner.loss(Batch(rows), seeded(1)).item() != learner.loss(Batch(rows), seeded(2)).item()
    assert learner.clean_loss(Batch(rows)).item() == first
    assert torch.equal(torch.get_rng_state(), state)


def test_a_convolution_with_batch_normalisation() -> None:
    """True and corrupted rows share the batch's statistics; one element, not one channel, is replaced."""
    layer = Layer("0", [], nn.Conv2d(2, 3, 3), [nn.BatchNorm2d(3), nn.ReLU()]).double()
    rows = torch.rand(8, 2, 5, 5, generator=seeded(), dtype=torch.float64)
    learner = RankingLayer(2).build(layer, FeatureFacts.of(rows), seeded(1))
    assert learner.scorer.in_features == 27 and learner.scorer.bias is None
    assert int(layer.after[0].num_batches_tracked) == 0
    loss = learner.loss(Batch(rows), seeded(2))
    assert int(layer.after[0].num_batches_tracked) == 1
    generator = seeded(2)
    negatives = [replace_one(rows, generator) for _ in range(2)]
    scores = learner.scorer(layer(torch.cat([rows, *negatives])).flatten(1)).view(3, 8)
    expected = (1 - scores[0] + scores[1:]).clamp(min=0).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    with evaluation(learner):
        assert learner.clean_loss(Batch(rows)) == learner.clean_loss(Batch(rows))


def test_a_single_row_is_refused() -> None:
    layer, rows = setting(1)
    with pytest.raises(DataError, match="layer 'top': 1 row, ranking expects another one"):
        RankingLayer().build(layer, FeatureFacts.of(rows), seeded())


@pytest.mark.parametrize("kind", [RankingLayer, RankingLoss])
@pytest.mark.parametrize("words", [{"negatives": 0}, {"margin": 0.0}, {"weighting": "warp"}, {"rank": 1}])
def test_settings_out_of_bounds_are_refused(kind: type, words: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(words))):
        kind(**words)


def test_they_are_values() -> None:
    assert RankingLayer() == RankingLayer(1, margin=1.0, weighting="none") and not RankingLayer.needs_targets
    assert RankingLoss() == RankingLoss(10) != RankingLoss(11)


@pytest.mark.parametrize(
    ("weighting", "rate", "least"),
    [("none", 5.0, 0.68), ("wsabie", 1.0, 0.62)],
)
def test_on_held_out_digits_true_rows_score_above_corrupted_ones(weighting: str, rate: float, least: float) -> None:
    """The part of 9,940 held-out pairs that is ranked right, half of them before training.

    Measured: 0.73 without weights, 0.66 with wsabie's. Many pairs differ by 1/16 in one of 64 pixels.
    """
    rows = torch.from_numpy(load_digits().data / 16).float()
    dense = nn.Linear(64, 50)
    initialize(dense, "glorot-sigmoid", seeded())
    objective = RankingLayer(5, weighting=weighting)
    learner = objective.build(Layer("0", [], dense, [nn.Sigmoid()]), FeatureFacts.of(rows[:1300]), seeded(1))
    held_out = rows[1300:]

    def right() -> float:
        with torch.no_grad():
            above = [learner.scores(held_out) > learner.scores(replace_one(held_out, seeded(k))) for k in range(20)]
        return float(torch.stack(above).float().mean())

    before = right()
    randomness, plan = Randomness(0), TrainingPlan(epochs=30, batch_size=50)
    fit(learner, Batches(rows[:1300], None, 50, randomness), plan, rate, Fitting("stage", randomness))
    assert 0.45 < before < 0.55
    assert right() > least
    with torch.no_grad():
        assert learner.clean_loss(Batch(held_out)) < 0.95 * learner.mean_predictor_loss(Batch(held_out))
