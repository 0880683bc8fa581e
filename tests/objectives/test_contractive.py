"""The contractive auto-encoder: the loss is the auto-encoder's plus the penalty, and training contracts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.datasets import load_digits
from torch import nn

from layerwise.data.batches import Batch, Batches
from layerwise.nn.initialization import initialize
from layerwise.nn.layers import Layer
from layerwise.objectives.autoencoder import Autoencoder
from layerwise.objectives.contractive import ContractiveAutoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.objectives.penalties import L1Sparsity
from layerwise.plan import TrainingPlan
from layerwise.randomness import Randomness
from layerwise.training.loop import Fitting, fit


def digits():
    rows = torch.from_numpy(load_digits().data / 16).float()
    return rows[:1400], rows[1400:]


def trained(objective, rows, after, units=64, epochs=6, rate=0.05, name="glorot"):
    layer = Layer("0", [], nn.utils.skip_init(nn.Linear, rows.shape[1], units), [after])
    initialize(layer.module, name, torch.Generator().manual_seed(0))
    learner = objective.build(layer, FeatureFacts.of(rows), torch.Generator().manual_seed(1))
    batches = Batches(rows, None, 50, Randomness(0))
    fit(learner, batches, TrainingPlan(epochs=epochs, batch_size=50), rate, Fitting("0", Randomness(0)))
    return learner.eval()


def squared_jacobian(layer, rows):
    """Mean squared Frobenius norm, by autograd."""
    total = 0.0
    for row in rows:
        total += float(torch.autograd.functional.jacobian(layer, row[None]).square().sum())
    return total / len(rows)


@pytest.mark.parametrize(
    ("after", "weight"),
    [(nn.Sigmoid(), 1.0), (nn.Tanh(), 0.3), (nn.Softplus(), 0.3)],
    ids=str,
)
def test_training_contracts_on_held_out_digits(after, weight):
    """The Jacobian's squared norm, here: sigmoid 1.1 against 4.5, tanh 2.3 against 45, softplus 3.1 against 16.

    At most half is asked, and a reconstruction that still beats the mean image. Softplus has the estimated penalty.
    """
    rows, held_out = digits()
    words = {"loss": "squared", "decoder": "linear"}
    plain = trained(Autoencoder(**words), rows, after)
    contractive = trained(ContractiveAutoencoder(weight, **words), rows, after)
    one, other = (squared_jacobian(learner.layer, held_out[:40]) for learner in (contractive, plain))
    batch = Batch(held_out)
    with torch.no_grad():
        loss = float(contractive.clean_loss(batch) / contractive.mean_predictor_loss(batch))
    print(f"contractive {one:.2f}, plain {other:.2f}, loss / mean predictor's {loss:.2f}")
    assert one < 0.5 * other
    assert loss < 0.9


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_loss_is_the_reconstructions_plus_the_penalty(weight):
    """Against NumPy, in float64; the loss on clean rows has no penalty in it."""
    draw = np.random.default_rng(0)
    x, w, b, c = draw.uniform(size=(7, 6)), draw.normal(size=(4, 6)), draw.normal(size=4), draw.normal(size=6)
    layer = Layer("0", [], nn.Linear(6, 4, dtype=torch.float64), [nn.Sigmoid()])
    objective = ContractiveAutoencoder(weight, loss="squared", decoder="linear", penalties=(L1Sparsity(0.2),))
    learner = objective.build(layer, FeatureFacts.of(torch.from_numpy(x)), torch.Generator())
    with torch.no_grad():
        for parameter, value in ((layer.module.weight, w), (layer.module.bias, b), (learner.decoder.bias, c)):
            parameter.copy_(torch.from_numpy(value))
    h = 1 / (1 + np.exp(-x @ w.T - b))
    squared = 0.5 * np.sum((h @ w + c - x) ** 2) / 7
    contraction = np.mean([np.sum((h[n] * (1 - h[n]))[:, None] ** 2 * w**2) for n in range(7)])
    batch = Batch(torch.from_numpy(x))
    expected = squared + weight * contraction + 0.2 * h.sum() / 7
    assert learner.loss(batch, torch.Generator()).item() == pytest.approx(expected, rel=1e-12)
    assert learner.clean_loss(batch).item() == pytest.approx(squared, rel=1e-12)


@pytest.mark.parametrize("words", [{"contraction": -0.1}, {"method": "exact"}, {"samples": 0}, {"noise": 1}])
def test_unknown_settings_are_refused(words):
    with pytest.raises(ValidationError, match=next(iter(words))):
        ContractiveAutoencoder(**words)
