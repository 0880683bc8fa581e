"""Sampled reconstruction: which elements are kept, the loss's mean, its gradient against NumPy and autograd."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy import stats
from scipy.special import expit
from torch import nn

from layerwise.data.batches import Batch
from layerwise.data.sparse import sparse_tensor
from layerwise.errors import NetworkError
from layerwise.nn.corruption import GaussianNoise, Masking
from layerwise.nn.layers import Layer
from layerwise.objectives.denoising import DenoisingAutoencoder
from layerwise.objectives.objective import Factors, FeatureFacts
from layerwise.objectives.penalties import L1Sparsity
from layerwise.objectives.sampled import Kept, SampledLearner, draw_kept

FALSE_ALARM = 1e-6  # of each statistical test here
COMBINATIONS = [("cross_entropy", "sigmoid"), ("squared", "sigmoid"), ("squared", "linear")]
WEIGHTS = ["full", "encoder", "untied"]


def rows_of(*columns: list[int], width: int = 6) -> torch.Tensor:
    """Sparse rows that hold something in the columns named."""
    dense = np.zeros((len(columns), width))
    for row, own in enumerate(columns):
        dense[row, own] = 0.1 + 0.8 * np.random.default_rng(row).random(len(own))
    return sparse_tensor(scipy.sparse.csr_array(dense))


def some_rows(rows: int = 12, width: int = 60, nonzeros: float = 0.1) -> torch.Tensor:
    generator = np.random.default_rng(3)
    dense = generator.random((rows, width)) * (generator.random((rows, width)) < nonzeros)
    dense[1] = 0.0
    return sparse_tensor(scipy.sparse.csr_array(dense))


def learner_of(
    rows: torch.Tensor, loss: str = "auto", output: str = "auto", weights: str = "full", rate: float = 0.4,
    after: tuple[nn.Module, ...] = (nn.Sigmoid(),), units: int = 7, reconstruction: str = "sampled",
) -> SampledLearner:  # fmt: skip
    width, tied = rows.shape[1], weights != "untied"
    with torch.random.fork_rng():
        torch.manual_seed(5)
        layer = Layer("0", [], nn.Linear(width, units), after).double()
    facts = FeatureFacts(len(rows), 0.0, 1.0, rows.to_dense().mean(0), sparse=True)
    objective = DenoisingAutoencoder(
        Masking(rate), loss=loss, decoder=output, tied=tied, tied_gradient=weights if tied else "full",
        reconstruction=reconstruction,
    )  # fmt: skip
    learner = objective.build(layer, facts, torch.Generator())
    if not tied:
        learner.decoder.weight.data.add_(0.1)
    learner.decoder.bias.data.add_(torch.linspace(-1, 1, width, dtype=torch.float64))
    return learner


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dense_of(kept: Kept, shape: tuple[int, ...], part: str) -> np.ndarray:
    """A part of the kept elements in a dense matrix, zeros elsewhere."""
    dense = np.zeros(shape)
    dense[kept.rows.numpy(), kept.columns.numpy()] = getattr(kept, part).numpy()
    return dense


@pytest.mark.parametrize("own", [[], [2], [0, 5], [1, 2, 3, 4], [0, 1, 2, 4, 5]], ids=len)
def test_every_set_of_other_elements_is_kept_as_often_as_independent_draws_say(own):
    """The chance of each subset of the elements outside C, against the product of their q; chi-square test."""
    times, width = 40_000, 6
    kept = draw_kept(rows_of(*[own] * times, width=width), seeded(1))
    masks = dense_of(kept, (times, width), "weights") > 0
    assert masks[:, own].all(), "C is kept, always"
    others = [column for column in range(width) if column not in own]
    q = max(len(own), 1) / width
    subsets = list(itertools.product([0, 1], repeat=len(others)))
    found = [int((masks[:, others] == subset).all(1).sum()) for subset in subsets]
    expected = [times * q ** sum(subset) * (1 - q) ** (len(others) - sum(subset)) for subset in subsets]
    assert stats.chisquare(found, expected).pvalue > FALSE_ALARM


def test_kept_elements_have_their_values_and_weights_once_and_in_order():
    rows = rows_of([], [3], [0, 4], [0, 1, 2, 3, 4, 5])
    for seed in range(50):
        kept = draw_kept(rows, seeded(seed))
        np.testing.assert_array_equal(dense_of(kept, rows.shape, "clean"), rows.to_dense().numpy())
        place = kept.rows * 6 + kept.columns
        assert (place.diff() > 0).all(), "ascending, none twice"
        q = np.array([1 / 6, 1 / 6, 2 / 6, 1.0])
        inside = (rows.to_dense() != 0).numpy()[kept.rows, kept.columns]
        np.testing.assert_allclose(kept.weights, np.where(inside, 1.0, 1 / q[kept.rows]), rtol=1e-14)


def test_draws_do_not_depend_on_other_rows():
    """The same row has the same chances beside longer and shorter ones; z-test of the number kept."""
    times, width = 3000, 50
    rows = rows_of(*[[7], [1, 2, 3, 4, 5, 6, 7, 8], []] * times, width=width)
    counts = draw_kept(rows, seeded(2)).pointers.diff().reshape(times, 3).numpy() - [1, 8, 0]
    for found, others, q in zip(counts.T, [49, 42, 50], [1 / 50, 8 / 50, 1 / 50], strict=True):
        z = (found.mean() - others * q) / (others * q * (1 - q) / times) ** 0.5
        assert 2 * stats.norm.sf(abs(z)) > FALSE_ALARM


@pytest.mark.parametrize(("loss", "output"), COMBINATIONS)
def test_the_mean_of_the_loss_and_of_its_gradient_is_that_of_the_full_one(loss, output):
    """Without noise, so that only the sampling is random; z-test of the loss and of each element of the gradient."""
    rows = some_rows(6, 20, 0.15)
    learner = learner_of(rows, loss, output, rate=0.0)
    full = learner_of(rows, loss, output, rate=0.0, reconstruction="full")
    value = full.loss(Batch(rows), seeded())
    expected = torch.autograd.grad(value, list(full.parameters()))
    wanted = np.concatenate([[value.item()], *(g.flatten().numpy() for g in expected)])
    generator, times, found = seeded(4), 4000, []
    for _ in range(times):
        factors = learner.factors(Batch(rows), generator)
        gradients = [multiplied(factors, p) for p in learner.parameters()]
        found.append(np.concatenate([[factors.loss.item()], *(g.flatten().numpy() for g in gradients)]))
    z = (np.mean(found, 0) - wanted) / (np.std(found, 0, ddof=1) / times**0.5)
    assert 2 * stats.norm.sf(np.abs(z)).min() * len(z) > FALSE_ALARM


@pytest.mark.parametrize(("loss", "output"), COMBINATIONS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_loss_and_gradients_equal_numpy(loss, output, weights):
    """The full gradient in NumPy, each element of the loss times its weight, 0 where it is not kept."""
    rows = some_rows()
    learner = learner_of(rows, loss, output, weights)
    factors = learner.factors(Batch(rows), seeded(9))
    noisy, kept = drawn(learner, rows, seeded(9))
    module, decoder = learner.layer.module, learner.decoder
    w, b, c = (p.detach().numpy() for p in (module.weight, module.bias, decoder.bias))
    back = w if decoder.tied else decoder.weight.detach().numpy()
    clean, mask = rows.to_dense().numpy(), dense_of(kept, rows.shape, "weights")
    h = expit(noisy @ w.T + b)
    a = h @ back + c
    z = expit(a) if output == "sigmoid" else a
    each = 0.5 * (z - clean) ** 2 if loss == "squared" else -(clean * np.log(z) + (1 - clean) * np.log(1 - z))
    dz = mask * (z - clean) * (z * (1 - z) if (loss, output) == ("squared", "sigmoid") else 1)
    dh = (dz @ back.T) * h * (1 - h)
    expected = {
        module.weight: dh.T @ noisy + (h.T @ dz if weights == "full" else 0), module.bias: dh.sum(0),
        decoder.bias: dz.sum(0), decoder.weight: h.T @ dz,
    }  # fmt: skip
    assert factors.loss.item() == pytest.approx((mask * each).sum() / len(clean), rel=1e-10)
    assert set(factors.products) == set(learner.parameters())
    for parameter in learner.parameters():
        found = multiplied(factors, parameter).numpy()
        np.testing.assert_allclose(found, expected[parameter] / len(clean), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("after", [(nn.ReLU(),), (nn.BatchNorm1d(7), nn.Tanh()), ()], ids=["relu", "norm", "none"])
def test_factors_are_the_gradient_of_the_loss(weights, after):
    """Against autograd, through whatever follows the module."""
    rows = some_rows()
    learner = learner_of(rows, weights=weights, after=after)
    factors = learner.factors(Batch(rows), seeded(9))
    value = learner.loss(Batch(rows), seeded(9))
    assert factors.loss.item() == pytest.approx(value.item(), rel=1e-12)
    parameters = list(learner.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(value, parameters), strict=True):
        torch.testing.assert_close(multiplied(factors, parameter), gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_shrunk_weights_are_the_weights(weights):
    """With weights that are stored larger than they are, and `shrunk` saying so, all factors are the same."""
    rows = some_rows()
    learner, other = (learner_of(rows, weights=weights) for _ in range(2))
    expected = learner.factors(Batch(rows), seeded(9))
    own = [other.layer.module.weight] + ([other.decoder.weight] if weights == "untied" else [])
    for weight in own:
        weight.data.div_(0.125)
    other.shrunk.fill_(0.125)
    found = other.factors(Batch(rows), seeded(9))
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-12)
    for mine, theirs in zip(other.parameters(), learner.parameters(), strict=True):
        torch.testing.assert_close(multiplied(found, mine), multiplied(expected, theirs), rtol=1e-10, atol=1e-14)
    other.settle()
    assert other.shrunk == 1.0
    for mine, theirs in zip(own, [learner.layer.module.weight, learner.decoder.weight], strict=False):
        torch.testing.assert_close(mine, theirs, rtol=1e-14, atol=0)


def test_a_batch_of_empty_rows_has_a_loss():
    rows = rows_of([], [], [])
    learner = learner_of(rows)
    for seed in range(20):
        assert torch.isfinite(learner.factors(Batch(rows), seeded(seed)).loss)


@pytest.mark.parametrize(("loss", "output"), COMBINATIONS)
def test_clean_loss_of_sparse_rows_is_that_of_dense_ones(loss, output, monkeypatch):
    monkeypatch.setattr("layerwise.data.sparse.DENSE_ELEMENTS", 130)
    rows = some_rows()
    learner = learner_of(rows, loss, output)
    for measure in (learner.clean_loss, learner.mean_predictor_loss):
        assert measure(Batch(rows)).item() == pytest.approx(measure(Batch(rows.to_dense())).item(), rel=1e-12)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_full_reconstruction_of_sparse_rows_is_that_of_dense_ones(weights):
    rows = some_rows()
    learner = learner_of(rows, weights=weights, rate=0.0, reconstruction="full")
    assert not isinstance(learner, SampledLearner)
    values = [learner.loss(Batch(part), seeded()) for part in (rows, rows.to_dense())]
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-12)
    for one, other in zip(*(torch.autograd.grad(value, list(learner.parameters())) for value in values), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


def test_dense_rows_are_trained_in_full():
    rows = some_rows().to_dense()
    facts = FeatureFacts.of(rows)
    layer = Layer("0", [], nn.Linear(60, 4), [nn.Sigmoid()])
    assert type(DenoisingAutoencoder(reconstruction="sampled").build(layer, facts, seeded())) is not SampledLearner


def test_what_cannot_be_sampled_is_refused():
    with pytest.raises(ValueError, match="noise that leaves zeros as they are: masking"):
        DenoisingAutoencoder(GaussianNoise(0.1), reconstruction="sampled")
    for setting in ({"emphasis": (1.0, 0.5)}, {"penalties": (L1Sparsity(0.1),)}):
        with pytest.raises(ValueError, match="neither penalties nor emphasis: leave them out"):
            DenoisingAutoencoder(reconstruction="sampled", **setting)
    facts = FeatureFacts(3, 0.0, 1.0, torch.zeros(1, 8), sparse=True)
    with pytest.raises(NetworkError, match="'0' is a Conv1d, expected a dense one"):
        DenoisingAutoencoder(reconstruction="sampled").build(Layer("0", [], nn.Conv1d(1, 2, 3), []), facts, seeded())


def drawn(learner: SampledLearner, rows: torch.Tensor, generator: torch.Generator) -> tuple[np.ndarray, Kept]:
    """What an update draws, in its order."""
    noisy = learner.corruption(rows, generator)
    return noisy.to_dense().numpy(), draw_kept(rows, generator)


def multiplied(factors: Factors, parameter: nn.Parameter) -> torch.Tensor:
    """A gradient from its factors, dense."""
    total = torch.zeros_like(parameter)
    for left, right in factors.products[parameter]:
        left = left.to_dense()
        total += left.sum(0) if right is None else left.T @ right.to_dense()
    return total * factors.scale
