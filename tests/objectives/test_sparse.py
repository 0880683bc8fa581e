"""The sparse auto-encoder: the loss is the auto-encoder's plus the penalty, and training makes codes sparse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.special import rel_entr
from test_contractive import digits, trained
from torch import nn

from layerwise.data.batches import Batch
from layerwise.nn.layers import Layer
from layerwise.objectives.autoencoder import Autoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.objectives.penalties import KLSparsity, L1Sparsity
from layerwise.objectives.sparse import SparseAutoencoder


@pytest.mark.parametrize("target", [0.05, 0.2])
def test_mean_activations_come_near_their_target(target):
    """On held-out digits, from 0.5 at the start."""
    rows, held_out = digits()
    learner = trained(SparseAutoencoder(KLSparsity(4.0, target)), rows, nn.Sigmoid(), epochs=15, rate=0.1)
    plain = trained(Autoencoder(), rows, nn.Sigmoid(), rate=0.1)
    with torch.no_grad():
        means, others = learner.layer(held_out).mean(0), plain.layer(held_out).mean(0)
        loss, least = float(learner.clean_loss(Batch(held_out))), float(learner.mean_predictor_loss(Batch(held_out)))
    print(f"{means.min():.3f} {means.mean():.3f} {means.max():.3f}; plain {others.mean():.3f}; {loss / least:.3f}")
    assert abs(means.mean() - target) < 0.2 * target
    assert (means - target).abs().mean() < 0.5 * target
    assert (others - target).abs().mean() > target
    assert loss < least


def test_l1_silences_units():
    """Of a ReLU layer, on held-out digits."""
    rows, held_out = digits()
    words = {"loss": "squared", "decoder": "linear"}
    active = []
    for objective in (SparseAutoencoder(L1Sparsity(0.1), **words), Autoencoder(**words)):
        learner = trained(objective, rows, nn.ReLU(), epochs=10, rate=0.05, name="glorot")
        with torch.no_grad():
            codes = learner.layer(held_out)
            loss = float(learner.clean_loss(Batch(held_out)) / learner.mean_predictor_loss(Batch(held_out)))
        active.append((float((codes > 0).float().mean()), float(codes.mean())))
        print(active[-1], loss)
        assert loss < 0.5
    assert active[0][0] < 0.8 * active[1][0]
    assert active[0][1] < 0.6 * active[1][1]


@pytest.mark.parametrize("sparsity", [KLSparsity(0.4, 0.1), L1Sparsity(0.4)], ids=lambda penalty: penalty.kind)
def test_loss_is_the_reconstructions_plus_the_penalty(sparsity):
    """Against NumPy and SciPy, in float64; the loss on clean rows has no penalty in it."""
    draw = np.random.default_rng(0)
    x, w, b = draw.uniform(size=(7, 6)), draw.normal(size=(4, 6)), draw.normal(size=4)
    layer = Layer("0", [], nn.Linear(6, 4, dtype=torch.float64), [nn.Sigmoid()])
    objective = SparseAutoencoder(sparsity, loss="squared", decoder="linear", decoder_bias="zero")
    learner = objective.build(layer, FeatureFacts.of(torch.from_numpy(x)), torch.Generator())
    with torch.no_grad():
        layer.module.weight.copy_(torch.from_numpy(w))
        layer.module.bias.copy_(torch.from_numpy(b))
    h = 1 / (1 + np.exp(-x @ w.T - b))
    squared = 0.5 * np.sum((h @ w - x) ** 2) / 7
    penalty = h.sum() / 7
    if sparsity.kind == "kl":
        penalty = np.sum(rel_entr(0.1, h.mean(0)) + rel_entr(0.9, 1 - h.mean(0)))
    batch = Batch(torch.from_numpy(x))
    assert learner.loss(batch, torch.Generator()).item() == pytest.approx(squared + 0.4 * penalty, rel=1e-10)
    assert learner.clean_loss(batch).item() == pytest.approx(squared, rel=1e-12)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"sparsity": {"kind": "l3"}}, "l3"),
        ({"sparsity": {"kind": "kl", "target": 0.0}}, "target"),
        ({"rho": 1}, "rho"),
    ],
)
def test_unknown_settings_are_refused(words, message):
    with pytest.raises(ValidationError, match=message):
        SparseAutoencoder(**words)
