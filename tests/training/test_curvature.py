"""The automatic learning rate against NumPy's eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from layerwise.data.batches import Batch
from layerwise.nn.corruption import Masking
from layerwise.nn.cutting import cut
from layerwise.objectives.autoencoder import Autoencoder
from layerwise.objectives.denoising import DenoisingAutoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.training.curvature import automatic_rate

SPECTRUM = [0.1, 0.5, 1.0, 2.0, 3.0, 7.0]


class Quadratic(nn.Module):
    """1/2 p.T A p over two parameters together."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = torch.from_numpy(matrix)
        self.one = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
        self.two = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.frozen = nn.Parameter(torch.ones(2, dtype=torch.float64), requires_grad=False)

    def loss(self, batch, generator):
        whole = torch.cat([self.one.flatten(), self.two])
        return 0.5 * whole @ self.matrix @ whole


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("seed", range(3))
def test_of_a_quadratic(scale, seed):
    """Half the inverse of the largest eigenvalue, within 2 % (the second is 3/7 of it: 12 products suffice)."""
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))
    matrix = scale * rotation @ np.diag(SPECTRUM) @ rotation.T
    expected = 0.5 / np.linalg.eigvalsh(matrix).max()
    found = automatic_rate(Quadratic(matrix), Batch(torch.zeros(1)), torch.Generator().manual_seed(seed))
    assert found == pytest.approx(expected, rel=0.02)


def test_of_a_linear_learner():
    """Squared loss of a fixed code h: the decoder's Hessian is the second moment of (h, 1), for each feature."""
    draw = np.random.default_rng(0)
    rows = torch.from_numpy(draw.normal(size=(50, 5)))
    layer = cut(nn.Sequential(nn.Linear(5, 3), nn.Sigmoid()).double())[0]
    learner = Autoencoder(loss="squared", decoder="linear", tied=False).build(
        layer, FeatureFacts.of(rows), torch.Generator()
    )
    layer.requires_grad_(False)
    codes = np.hstack([layer(rows).numpy(), np.ones((50, 1))])
    expected = 0.5 / np.linalg.eigvalsh(codes.T @ codes / 50).max()
    found = automatic_rate(learner, Batch(rows), torch.Generator().manual_seed(0))
    assert found == pytest.approx(expected, rel=0.02)


def test_a_flat_loss_has_a_finite_rate():
    assert automatic_rate(Quadratic(np.zeros((6, 6))), Batch(torch.zeros(1)), torch.Generator()) == 0.5


def test_measuring_changes_nothing_and_draws_nothing_global():
    """Dropout after the dense module is off, as in training, and batch normalisation keeps its running means."""
    network = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(4, 2))
    rows = torch.rand(20, 6, generator=torch.Generator().manual_seed(0))
    learner = DenoisingAutoencoder(Masking(0.5)).build(cut(network)[0], FeatureFacts.of(rows), torch.Generator())
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    state = torch.random.get_rng_state()
    rates = {automatic_rate(learner, Batch(rows), torch.Generator().manual_seed(1)) for _ in range(2)}
    assert len(rates) == 1
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert all(p.grad is None for p in learner.parameters())
