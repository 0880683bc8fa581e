"""RBMs so small that every state can be listed: samplers and estimators against exact sums over all states.

Stochastic tests have fixed seeds; each states the chance that a right implementation fails it with another seed.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import chi2, norm
from test_rbm_reference import learner_of, sigmoid, statistics
from torch import Generator

from layerwise.data.batches import Batch
from layerwise.objectives.rbm import RBM, _model_average
from layerwise.training.curvature import automatic_rate

FALSE_ALARM = 1e-6


def states(units):
    return np.array([[number >> i & 1 for i in range(units)] for number in range(2**units)], dtype=float)


VISIBLE, HIDDEN = states(4), states(3)


def small(seed=0):
    """Return W, c, b of 4 visible and 3 hidden units: far from independent, no state rarer than one in a thousand."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=(3, 4)), draw.normal(size=3) * 0.5, draw.normal(size=4) * 0.5


def exact_distribution(weight, c, b):
    """Return p(v) of all binary v, from the energy of every pair of states."""
    energy = -(VISIBLE @ b)[:, None] - (HIDDEN @ c)[None, :] - VISIBLE @ weight.T @ HIDDEN.T
    joint = np.exp(-energy)
    return joint.sum(1) / joint.sum()


def bernoulli_table(probability, outcomes):
    """Return the probability of each outcome (columns) of independent bits, for each row of probabilities."""
    return np.prod(np.where(outcomes[None] == 1, probability[:, None], 1 - probability[:, None]), axis=2)


def exact_transition(weight, c, b):
    """Return T[v, v'] = sum_h p(h | v) p(v' | h)."""
    return bernoulli_table(sigmoid(VISIBLE @ weight.T + c), HIDDEN) @ bernoulli_table(
        sigmoid(HIDDEN @ weight + b), VISIBLE
    )


def numbers_of(v):
    return (v @ 2 ** np.arange(4)).astype(int)


def chi_square(counts, expected):
    assert expected.min() > 20, "few expected counts would not follow the chi-square distribution"
    return ((counts - expected) ** 2 / expected).sum()


def test_the_learners_conditionals_keep_the_models_distribution():
    """p T = p, with T from the learner's two conditional means and p from the energies; and p is exp(-F) / Z."""
    parameters = small()
    learner = learner_of(RBM(), VISIBLE, *parameters)
    with torch.no_grad():
        up = learner.hidden_mean(torch.from_numpy(VISIBLE)).numpy()
        down = learner.decoder(torch.from_numpy(HIDDEN)).numpy()
        free_energy = learner.free_energy(torch.from_numpy(VISIBLE)).numpy()
    transition = bernoulli_table(up, HIDDEN) @ bernoulli_table(down, VISIBLE)
    p = exact_distribution(*parameters)
    np.testing.assert_allclose(p @ transition, p, rtol=1e-12)
    np.testing.assert_allclose(np.exp(-free_energy - logsumexp(-free_energy)), p, rtol=1e-12)
    assert np.abs(transition - p).max() > 0.05, "the chain does not forget its start at once"


@pytest.mark.parametrize("k", [1, 3])
def test_gibbs_samples_follow_the_transition_matrix(k):
    """From each state 20,000 chains; chi-square with 16 * 15 degrees of freedom: false alarm 1e-6."""
    parameters = small()
    learner = learner_of(RBM(), VISIBLE, *parameters)
    start = torch.from_numpy(VISIBLE).repeat_interleave(20_000, 0)
    end = learner.gibbs(start, Generator().manual_seed(k), k).numpy()
    counts = np.stack([np.bincount(part, minlength=16) for part in numbers_of(end).reshape(16, -1)])
    expected = 20_000 * np.linalg.matrix_power(exact_transition(*parameters), k)
    assert chi_square(counts, expected) < chi2.isf(FALSE_ALARM, 16 * 15)


def test_gibbs_samples_keep_the_models_distribution():
    """100,000 rows drawn from p, five Gibbs updates on: chi-square with 15 degrees of freedom, false alarm 1e-6."""
    parameters = small()
    p = exact_distribution(*parameters)
    start = VISIBLE[np.random.default_rng(0).choice(16, 100_000, p=p)]
    learner = learner_of(RBM(), VISIBLE, *parameters)
    end = learner.gibbs(torch.from_numpy(start), Generator().manual_seed(0), 5).numpy()
    counts = np.bincount(numbers_of(end), minlength=16)
    assert chi_square(counts, 100_000 * p) < chi2.isf(FALSE_ALARM, 15)
    assert (end != start).any(1).mean() > 0.5, "the chains moved"


@pytest.mark.parametrize("k", [1, 2, 3])
def test_mean_gradient_of_cd_is_the_exact_one(k):
    """E[CD-k] by enumerating every chain; 320,000 chains, each of 19 gradients within its own exact standard error.

    The bound is the normal quantile of 1e-6 / 19, two-sided: false alarm 1e-6.
    """
    weight, *biases = small(1)
    parameters = (2 * weight, *biases)  # strong weights: the chains mix slowly, so that each Gibbs update shows
    copies = 20_000
    data = VISIBLE[[1, 3, 7, 7, 12, 14, 14, 14, 2, 5, 8, 8, 15, 15, 15, 0]]
    learner = learner_of(RBM(k=k), VISIBLE, *parameters)
    learner.loss(Batch(torch.from_numpy(data).repeat(copies, 1)), Generator().manual_seed(k)).backward()
    found = [learner.layer.module.weight.grad, learner.layer.module.bias.grad, learner.decoder.bias.grad]
    found = np.concatenate([gradient.numpy().ravel() for gradient in found])
    each = [[x.ravel() for x in statistics(row[None], *parameters, "bernoulli")] for row in VISIBLE]
    each = np.array([np.concatenate(x) for x in each])  # -dF of every state, (16, 19)
    reached = np.linalg.matrix_power(exact_transition(*parameters), k)[numbers_of(data)]  # (rows, 16)
    expected = (reached @ each).mean(0) - each[numbers_of(data)].mean(0)
    variance = (reached @ each**2 - (reached @ each) ** 2).mean(0) / (copies * len(data))
    z = np.abs(found - expected) / np.sqrt(variance)
    assert z.max() < norm.isf(FALSE_ALARM / (2 * len(found)))
    sooner = np.linalg.matrix_power(exact_transition(*parameters), k - 1)[numbers_of(data)] @ each
    other = sooner.mean(0) - each[numbers_of(data)].mean(0)
    assert (np.abs(other - expected) / np.sqrt(variance)).max() > 10, "one Gibbs update too few would be seen"


def test_pseudo_likelihood_of_every_unit_is_exact():
    """-log p(v_i | the rest) from the enumerated joint distribution, for all states and units."""
    parameters = small()
    learner = learner_of(RBM(estimator="pseudo-likelihood"), VISIBLE, *parameters)
    p = exact_distribution(*parameters)
    for unit in range(4):
        flipped = VISIBLE.copy()
        flipped[:, unit] = 1 - flipped[:, unit]
        expected = -np.log(p / (p + p[numbers_of(flipped)]))
        found = learner.unit_loss(torch.from_numpy(VISIBLE), torch.full((16,), unit))
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10)


def exact_pseudo_likelihood(weight, c, b):
    """Return the terms -log p(v_i | the rest): (16, 4)."""
    p = exact_distribution(weight, c, b)
    flips = numbers_of(np.abs(VISIBLE[:, None] - np.eye(4)[None]))
    return -np.log(p[:, None] / (p[:, None] + p[flips]))


def test_mean_pseudo_likelihood_loss_is_the_exact_one():
    """Over the flipped unit and over the binary rows drawn from probabilities; 400,000 rows, exact standard error.

    The bound is the two-sided normal quantile of 1e-6: false alarm 1e-6.
    """
    parameters = small()
    probability = np.random.default_rng(1).uniform(size=(4, 4))
    learner = learner_of(RBM(estimator="pseudo-likelihood"), probability, *parameters)
    rows = torch.from_numpy(probability).repeat(100_000, 1)
    found = learner.loss(Batch(rows), Generator().manual_seed(0)).item()
    drawn = bernoulli_table(probability, VISIBLE)
    terms = 4 * exact_pseudo_likelihood(*parameters)
    mean, square = drawn @ terms.mean(1), drawn @ (terms**2).mean(1)
    error = np.sqrt((square - mean**2).mean() / len(rows))
    assert abs(found - mean.mean()) < norm.isf(FALSE_ALARM / 2) * error
    assert error < 0.004 * mean.mean(), "the bound is narrow"


def gaussian_model(seed=0):
    """Return W, c, b with 3 hidden, 2 Gaussian visible units, and the exact p(h)."""
    draw = np.random.default_rng(seed)
    weight, c, b = draw.normal(size=(3, 2)) * 1.5, draw.normal(size=3), draw.normal(size=2)
    # integrating v out of exp(-E) leaves a sum over h of exp(c'h + b'W'h + |W'h|^2 / 2)
    mean = HIDDEN @ weight
    log_p = HIDDEN @ c + mean @ b + 0.5 * (mean**2).sum(1)
    return weight, c, b, np.exp(log_p - logsumexp(log_p))


def test_gaussian_gibbs_keeps_the_mean_and_the_covariance():
    """200,000 exact samples, three Gibbs updates on; each of the 5 first and second moments within its standard error.

    The bound is the normal quantile of 1e-6 / 5, two-sided: false alarm 1e-6 (moments of a mixture of normals, with
    200,000 rows, are normal far beyond what this needs).
    """
    weight, c, b, p = gaussian_model()
    draw = np.random.default_rng(1)
    means = b + HIDDEN @ weight
    start = means[draw.choice(8, 200_000, p=p)] + draw.normal(size=(200_000, 2))
    learner = learner_of(RBM("gaussian"), start[:10], weight, c, b)
    end = learner.gibbs(torch.from_numpy(start), Generator().manual_seed(0), 3).numpy()
    centre = p @ means
    covariance = np.einsum("h,hi,hj->ij", p, means - centre, means - centre) + np.eye(2)
    centred = end - centre
    products = np.stack([centred[:, 0] ** 2, centred[:, 0] * centred[:, 1], centred[:, 1] ** 2], 1)
    found = np.concatenate([centred, products], 1)
    expected = np.array([0, 0, covariance[0, 0], covariance[0, 1], covariance[1, 1]])
    z = np.abs(found.mean(0) - expected) / (found.std(0) / np.sqrt(len(found)))
    assert z.max() < norm.isf(FALSE_ALARM / 10)
    assert covariance[0, 0] > 1.2, "the hidden units matter"


def test_curvature_of_the_visible_bias_is_that_of_the_likelihood():
    """With W = 0 and b = 0 the 16 states are an exact sample: the second derivative by b is cov(v) = I / 4."""
    learner = learner_of(RBM(), VISIBLE, np.zeros((3, 4)), np.zeros(3), np.zeros(4))
    rows = torch.from_numpy(VISIBLE)

    def minus_log_z(b):
        return _model_average(-(rows @ b))

    b = learner.decoder.bias.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(minus_log_z(b), b)
    np.testing.assert_allclose(slope.numpy(), -0.5 * np.ones(4), rtol=1e-12)
    curvature = -torch.autograd.functional.hessian(minus_log_z, b)
    np.testing.assert_allclose(curvature.numpy(), 0.25 * np.eye(4), rtol=1e-12, atol=1e-15)


def rows_of(visible, count=400):
    """Two prototypes with noise: binary rows of 6 units, or standardised real ones."""
    draw = np.random.default_rng(0)
    prototypes = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 1]], dtype=float)
    v = prototypes[draw.integers(0, 2, count)]
    if visible == "bernoulli":
        return np.abs(v - (draw.uniform(size=v.shape) < 0.1))
    v = v + 0.3 * draw.normal(size=v.shape)
    return (v - v.mean(0)) / v.std(0)


def log_likelihood(learner, v):
    """Return the exact mean log p(v) in nats, with Z summed over all states of the 4 hidden units."""
    with torch.no_grad():
        weight, c = learner.layer.module.weight.numpy(), learner.layer.module.bias.numpy()
        b, h = learner.decoder.bias.numpy(), states(4)
        energy = learner.free_energy(torch.from_numpy(v)).numpy()
    if learner.binary:
        return float(-energy.mean() - logsumexp(h @ c + np.log1p(np.exp(h @ weight + b)).sum(1)))
    mean = h @ weight
    log_z = logsumexp(h @ c + mean @ b + 0.5 * (mean**2).sum(1)) + 0.5 * len(b) * np.log(2 * np.pi)
    return float(-energy.mean() - log_z)


ESTIMATORS = [
    ("bernoulli", "cd"), ("bernoulli", "pcd"), ("bernoulli", "pseudo-likelihood"),
    ("gaussian", "cd"), ("gaussian", "pcd"), ("gaussian", "score-matching"),
]  # fmt: skip


def start_of(visible, estimator, v):
    draw = np.random.default_rng(2)
    b = v.mean(0) if visible == "gaussian" else np.log(v.mean(0) / (1 - v.mean(0)))
    return learner_of(RBM(visible, estimator=estimator), v, 0.1 * draw.normal(size=(4, 6)), np.zeros(4), b)


def train(learner, v, rate, updates=500):
    optimizer = torch.optim.SGD(learner.parameters(), lr=rate)
    generator, rows = Generator().manual_seed(0), torch.from_numpy(v)
    for update in range(updates):
        optimizer.zero_grad()
        learner.loss(Batch(rows[update % 8 * 50 :][:50]), generator).backward()
        optimizer.step()
        learner.after_update()


@pytest.mark.parametrize(("visible", "estimator"), ESTIMATORS)
def test_training_raises_the_exact_log_likelihood(visible, estimator):
    """From nearly independent units, by 0.5 nats or more; the distribution that the binary rows come from gains .83."""
    v = rows_of(visible)
    learner = start_of(visible, estimator, v)
    before = log_likelihood(learner, v)
    train(learner, v, 0.2 if visible == "bernoulli" else 0.05)
    assert log_likelihood(learner, v) > before + 0.5


@pytest.mark.parametrize(("visible", "estimator"), ESTIMATORS)
def test_the_automatic_rate_trains(visible, estimator):
    """The loss is differentiable twice, and the rate so found ends well below the mean predictor."""
    v = rows_of(visible)
    learner, batch = start_of(visible, estimator, v), Batch(torch.from_numpy(v))
    before = float(learner.clean_loss(batch).detach())
    train(learner, v, automatic_rate(learner, Batch(batch.inputs[:50]), Generator().manual_seed(0)))
    assert learner.clean_loss(batch).item() < 0.7 * learner.mean_predictor_loss(batch).item() < 0.8 * before
