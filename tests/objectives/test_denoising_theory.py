"""What the theory says a trained denoising auto-encoder has learned, for noise of any size.

Vincent (2011), A connection between score matching and denoising autoencoders: with Gaussian noise the reconstruction
that minimises the loss is x~ + sigma^2 times the score of the smoothed density at x~.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from layerwise.data.batches import Batches
from layerwise.nn.corruption import GaussianNoise
from layerwise.nn.layers import Layer
from layerwise.objectives.denoising import DenoisingAutoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.plan import TrainingPlan
from layerwise.randomness import Randomness
from layerwise.settings import Linear
from layerwise.training.loop import Fitting, fit


def trained(rows, layer, sigma, seed, rate, tied, scale, **words):
    inputs = torch.from_numpy(rows).to(layer.module.weight.dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    objective = DenoisingAutoencoder(GaussianNoise(sigma), loss="squared", decoder="linear", tied=tied)
    learner = objective.build(layer, FeatureFacts.of(inputs), generator)
    if not tied:
        nn.init.zeros_(learner.decoder.weight)
    plan = TrainingPlan(batch_size=1000, schedule=Linear(), momentum=0.9, **words)
    fit(learner, Batches(inputs, None, 1000, Randomness(seed)), plan, rate, Fitting("theory", Randomness(seed)))
    return learner


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_linear_denoising_auto_encoder_of_gaussian_rows_is_the_wiener_filter(tied):
    """W' W -> Sigma (Sigma + sigma^2 I)^-1, of the rows' own Sigma, within 1 % (4 features, 6 units, 1,500 updates).

    Over ten seeds of either kind the error was 0.21 to 0.53 %, mean 0.32, standard deviation 0.10. By Student's t a
    twenty-first would pass 1 % once in 800,000; here the seed is fixed.
    """
    seed, sigma, features = 0, 0.7, 4
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(10_000, features)) @ (0.7 * rng.normal(size=(features, features))).T
    rows -= rows.mean(0)
    sigma_of_rows = rows.T @ rows / len(rows)
    layer = Layer("0", [], nn.Linear(features, 6, dtype=torch.float64), [])
    learner = trained(rows, layer, sigma, seed, 0.03, tied, scale=0.5, epochs=150)
    weight = layer.module.weight.detach().numpy()
    back = weight if tied else learner.decoder.weight.detach().numpy()
    expected = sigma_of_rows @ np.linalg.inv(sigma_of_rows + sigma**2 * np.eye(features))
    assert np.linalg.norm(back.T @ weight - expected) < 0.01 * np.linalg.norm(expected)
    assert np.linalg.norm(expected - np.eye(features)) > 0.1, "which is not the identity that an auto-encoder learns"


PARTS = [0.4, 0.35, 0.25]
MEANS = np.array([[-1.5, 0.0], [1.5, 0.5], [0.0, 1.8]])
ROOTS = np.array([[[0.5, 0.2], [0.0, 0.3]], [[0.3, 0.0], [-0.2, 0.5]], [[0.4, 0.0], [0.0, 0.4]]])


def mixture(rng, count):
    part = rng.choice(3, size=count, p=PARTS)
    return np.einsum("nij,nj->ni", ROOTS[part], rng.normal(size=(count, 2))) + MEANS[part]


def smoothed_score(points, sigma):
    """Return the gradient of the log density of the mixture convolved with N(0, sigma^2 I), in closed form."""
    densities, scores = [], []
    for part, mean, root in zip(PARTS, MEANS, ROOTS, strict=True):
        covariance = root @ root.T + sigma**2 * np.eye(2)
        away = np.linalg.solve(covariance, (points - mean).T).T
        densities.append(part * np.exp(-0.5 * ((points - mean) * away).sum(1)) / np.sqrt(np.linalg.det(covariance)))
        scores.append(-away)
    share = np.array(densities) / np.sum(densities, axis=0)
    return (share[:, :, None] * np.array(scores)).sum(0)


def test_the_closed_form_is_the_gradient_of_the_log_density():
    """The reference itself, by central differences of scipy's density."""
    from scipy.stats import multivariate_normal

    def log_density(points):
        parts = zip(PARTS, MEANS, ROOTS, strict=True)
        total = sum(p * multivariate_normal(m, r @ r.T + 0.25 * np.eye(2)).pdf(points) for p, m, r in parts)
        return np.log(total)

    points = mixture(np.random.default_rng(1), 50)
    steps = 1e-5 * np.eye(2)
    slopes = [(log_density(points + step) - log_density(points - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(smoothed_score(points, 0.5), np.array(slopes).T, rtol=1e-6, atol=1e-7)


def test_the_residual_of_a_denoising_auto_encoder_is_the_score_of_the_smoothed_density():
    """(r(x~) - x~) / sigma^2 has mean cosine >= .99 with the score on 5,000 points drawn from the smoothed density.

    Over ten seeds the mean cosine was .9972 to .9990, standard deviation .0007, and the relative error of the vectors
    .037 to .051, standard deviation .005. By Student's t an eleventh would miss either bound less than once in a
    million; here the seed is fixed.
    """
    seed, sigma = 0, 0.5
    rng = np.random.default_rng(seed)
    layer = Layer("0", [], nn.Linear(2, 100), [nn.Tanh()])
    learner = trained(
        mixture(rng, 100_000), layer, sigma, seed, 0.01, tied=False, scale=1.0, epochs=25, optimizer="adam"
    )
    points = mixture(rng, 5000) + sigma * rng.normal(size=(5000, 2))
    with torch.no_grad():
        back = learner.reconstruct(torch.from_numpy(points).float()).numpy()
    found, expected = (back - points) / sigma**2, smoothed_score(points, sigma)
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.mean() >= 0.99
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected), "in size too, so sigma^2 is right"
