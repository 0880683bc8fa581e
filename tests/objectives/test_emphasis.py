"""Emphasis on corrupted elements (Vincent et al. 2010, section 4.4.1) against NumPy with the same mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from layerwise.data.batches import Batch
from layerwise.errors import PlanError
from layerwise.nn.corruption import GaussianNoise, Masking, SaltAndPepper
from layerwise.nn.layers import Layer
from layerwise.objectives.denoising import DenoisingAutoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.plan import PretrainPlan
from layerwise.recipe import check
from small_network import uniform

ROWS, FEATURES, UNITS = 7, 5, 4
NOISES = [Masking(0.4), SaltAndPepper(0.4)]
LOSSES = [("squared", "linear"), ("squared", "sigmoid"), ("cross_entropy", "sigmoid")]


def rows_of(seed=0):
    """Return rows in [0, 1], a third of their elements exactly 0."""
    rng = np.random.default_rng(seed)
    return rng.random((ROWS, FEATURES)) * (rng.random((ROWS, FEATURES)) > 0.3)


def learner_of(rows, noise, loss, decoder, emphasis):
    layer = Layer("0", [], nn.Linear(FEATURES, UNITS, dtype=torch.float64), [nn.Sigmoid()])
    generator = torch.Generator().manual_seed(3)
    objective = DenoisingAutoencoder(noise, loss=loss, decoder=decoder, emphasis=emphasis)
    learner = objective.build(layer, FeatureFacts.of(torch.from_numpy(rows)), generator)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return learner


def loss_of(learner, rows):
    return learner.loss(Batch(torch.from_numpy(rows)), torch.Generator().manual_seed(9))


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def by_numpy(learner, noise, rows, loss, decoder, weights):
    """Return the loss with weight alpha where the draw chose an element and beta elsewhere."""
    draw = uniform(rows.shape, torch.Generator().manual_seed(9)).numpy()
    chosen = draw < noise.rate
    noisy = np.where(chosen, 0.0, rows)
    if isinstance(noise, SaltAndPepper):
        noisy = np.where(chosen, np.where(draw < noise.rate / 2, 0.0, 1.0), rows)
    weight, bias = (p.detach().numpy() for p in learner.layer.module.parameters())
    back = sigmoid(noisy @ weight.T + bias) @ weight + learner.decoder.bias.detach().numpy()
    z = back if decoder == "linear" else sigmoid(back)
    each = 0.5 * (z - rows) ** 2 if loss == "squared" else -rows * np.log(z) - (1 - rows) * np.log(1 - z)
    return (np.where(chosen, *weights) * each).sum() / len(rows)


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.kind)
@pytest.mark.parametrize(("loss", "decoder"), LOSSES)
@pytest.mark.parametrize("emphasis", [(1.0, 0.0), (0.0, 1.0), (2.0, 0.5), (0.7, 3.0)])
def test_equals_numpy_with_the_same_mask(noise, loss, decoder, emphasis):
    rows = rows_of()
    learner = learner_of(rows, noise, loss, decoder, emphasis)
    expected = by_numpy(learner, noise, rows, loss, decoder, emphasis)
    assert loss_of(learner, rows).item() == pytest.approx(expected, rel=1e-12)
    swapped = by_numpy(learner, noise, rows, loss, decoder, emphasis[::-1])
    assert expected != pytest.approx(swapped, rel=0.01), "so which is which matters here"


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.kind)
@pytest.mark.parametrize(("loss", "decoder"), LOSSES)
def test_equal_weights_of_1_are_no_emphasis(noise, loss, decoder):
    """In value and in every gradient."""
    rows = rows_of()
    one, none = (learner_of(rows, noise, loss, decoder, emphasis) for emphasis in ((1.0, 1.0), None))
    first, second = loss_of(one, rows), loss_of(none, rows)
    first.backward()
    second.backward()
    assert first.item() == pytest.approx(second.item(), rel=1e-12)
    for a, b in zip(one.parameters(), none.parameters(), strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_a_masked_zero_counts_as_corrupted():
    """Rows of zeros: the mask changes none of them, yet its elements alone have the weight of the corrupted."""
    rows = np.zeros((ROWS, FEATURES))
    noise = Masking(0.4)
    chosen = uniform(rows.shape, torch.Generator().manual_seed(9)).numpy() < 0.4
    learner = learner_of(rows, noise, "squared", "linear", (1.0, 0.0))
    back = learner.reconstruct(torch.from_numpy(rows)).detach().numpy()
    expected = 0.5 * (back[chosen] ** 2).sum() / ROWS
    assert 0 < chosen.sum() < chosen.size and expected > 0
    assert loss_of(learner, rows).item() == pytest.approx(expected, rel=1e-12)


def test_the_clean_loss_has_no_emphasis():
    rows = rows_of()
    batch = Batch(torch.from_numpy(rows))
    one, none = (learner_of(rows, Masking(0.4), "squared", "linear", emphasis) for emphasis in ((2.0, 0.5), None))
    assert one.clean_loss(batch).item() == none.clean_loss(batch).item()


def test_noise_that_chooses_no_elements_refuses():
    recipe = {"kind": "denoising", "corruption": {"kind": "gaussian", "std": 0.1}, "emphasis": [1.0, 0.5]}
    with pytest.raises(PlanError, match="emphasis needs noise that chooses elements: masking, salt-and-pepper or swap"):
        check(PretrainPlan, {"objective": recipe}, "pretrain")
    with pytest.raises(ValueError, match="emphasis needs noise that chooses elements"):
        DenoisingAutoencoder(GaussianNoise(0.1), emphasis=(1.0, 1.0))


@pytest.mark.parametrize("emphasis", [(-1.0, 1.0), (1.0, float("inf")), (1.0,), (1.0, 1.0, 1.0)])
def test_weights_are_two_and_not_negative(emphasis):
    with pytest.raises(ValueError, match="emphasis"):
        DenoisingAutoencoder(emphasis=emphasis)
