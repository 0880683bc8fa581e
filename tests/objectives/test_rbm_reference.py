"""The RBM's numbers against scikit-learn's, and against formulas written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from sklearn.neural_network import BernoulliRBM
from torch import nn

from layerwise.data.batches import Batch
from layerwise.errors import DataError, NetworkError
from layerwise.nn.layers import Layer
from layerwise.objectives.objective import FeatureFacts
from layerwise.objectives.rbm import RBM
from layerwise.plan import TrainingPlan
from layerwise.training.step import AutogradStep
from small_network import binary

ROWS, FEATURES, UNITS = 9, 6, 4
RATE = 0.05


def setting(visible="bernoulli", rows=ROWS, seed=0):
    """Return (rows, W, c, b) as float64 arrays; Bernoulli rows are probabilities."""
    draw = np.random.default_rng(seed)
    v = draw.uniform(size=(rows, FEATURES)) if visible == "bernoulli" else draw.normal(size=(rows, FEATURES))
    return v, draw.normal(size=(UNITS, FEATURES)), draw.normal(size=UNITS), draw.normal(size=FEATURES)


def learner_of(objective, v, weight, hidden_bias, visible_bias):
    dense = nn.Linear(v.shape[1], len(weight), dtype=torch.float64)
    facts = FeatureFacts.of(torch.from_numpy(v))
    learner = objective.build(Layer("0", [], dense, [nn.Sigmoid()]), facts, torch.Generator().manual_seed(5))
    with torch.no_grad():
        dense.weight.copy_(torch.from_numpy(weight))
        dense.bias.copy_(torch.from_numpy(hidden_bias))
        learner.decoder.bias.copy_(torch.from_numpy(visible_bias))
    return learner


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def test_free_energy_and_hidden_means_equal_scikit_learns():
    v, weight, c, b = setting()
    learner = learner_of(RBM(), v, weight, c, b)
    peer = BernoulliRBM(UNITS)
    peer.components_, peer.intercept_hidden_, peer.intercept_visible_ = weight, c, b
    rows = torch.from_numpy(v)
    np.testing.assert_allclose(learner.free_energy(rows).detach().numpy(), peer._free_energy(v), rtol=1e-10)
    np.testing.assert_allclose(learner.hidden_mean(rows).detach().numpy(), peer._mean_hiddens(v), rtol=1e-10)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_free_energy_is_minus_the_log_of_the_sum_over_all_hidden_states(visible):
    """By the definition, state by state, from the energy as it is written in the docstring."""
    v, weight, c, b = setting(visible)
    learner = learner_of(RBM(visible), v, weight, c, b)
    total, mean = np.zeros(ROWS), np.zeros((ROWS, UNITS))
    for state in range(2**UNITS):
        h = np.array([state >> j & 1 for j in range(UNITS)], dtype=float)
        own = -(v @ b) if visible == "bernoulli" else 0.5 * ((v - b) ** 2).sum(1)
        likelihood = np.exp(-(own - c @ h - v @ weight.T @ h))
        total += likelihood
        mean += likelihood[:, None] * h
    rows = torch.from_numpy(v)
    np.testing.assert_allclose(learner.free_energy(rows).detach().numpy(), -np.log(total), rtol=1e-10)
    np.testing.assert_allclose(learner.hidden_mean(rows).detach().numpy(), mean / total[:, None], rtol=1e-10)


def test_free_energy_far_out_is_linear():
    """A softplus neither overflows nor loses the large term."""
    v, weight, c, b = setting()
    learner = learner_of(RBM(), v, weight, c + 2000, b)
    expected = -(v @ b) - (v @ weight.T + c + 2000).sum(1)
    np.testing.assert_allclose(learner.free_energy(torch.from_numpy(v)).detach().numpy(), expected, rtol=1e-12)


def gibbs_in_numpy(v, weight, c, b, k, generator, visible):
    """Replay the documented order: the hidden units, then the visible ones, k times."""
    for _ in range(k):
        h = binary(sigmoid(v @ weight.T + c), generator)
        mean = h @ weight + b
        if visible == "bernoulli":
            v = binary(sigmoid(mean), generator)
        else:
            v = mean + torch.randn(v.shape, generator=generator).numpy().astype(float)
    return v


def statistics(v, weight, c, b, visible):
    """Return the mean over rows of -dF/dW, -dF/dc, -dF/db, row by row as outer products."""
    d_weight, d_c, d_b = np.zeros_like(weight), np.zeros_like(c), np.zeros_like(b)
    for row in v:
        h = sigmoid(weight @ row + c)
        d_weight += np.outer(h, row) / len(v)
        d_c += h / len(v)
        d_b += (row if visible == "bernoulli" else row - b) / len(v)
    return d_weight, d_c, d_b


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize(("estimator", "k"), [("cd", 1), ("cd", 3), ("pcd", 1), ("pcd", 2)])
def test_fifty_updates_equal_numpys(visible, estimator, k):
    """Plain SGD through the loop's own step, with the same numbers drawn: equal weights at 1e-12."""
    v, weight, c, b = setting(visible)
    weight *= 0.3
    learner = learner_of(RBM(visible, estimator=estimator, k=k, chains=5), v, weight, c, b)
    step = AutogradStep(learner, TrainingPlan(epochs=1, batch_size=ROWS))
    step.set_learning_rate(RATE)
    ours, theirs = torch.Generator(), torch.Generator()
    particles = learner.fantasies.numpy().copy() if estimator == "pcd" else None
    for update in range(50):
        ours.manual_seed(update)
        theirs.manual_seed(update)
        step(Batch(torch.from_numpy(v)), ours)
        start = v if particles is None else particles
        moved = gibbs_in_numpy(start, weight, c, b, k, theirs, visible)
        particles = None if particles is None else moved
        data, model = statistics(v, weight, c, b, visible), statistics(moved, weight, c, b, visible)
        weight, c, b = (x + RATE * (up - down) for x, up, down in zip((weight, c, b), data, model, strict=True))
    pairs = {"weight": (learner.layer.module.weight, weight), "c": (learner.layer.module.bias, c)}
    for name, (found, expected) in (pairs | {"b": (learner.decoder.bias, b)}).items():
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12, atol=1e-12, err_msg=name)
    if particles is not None:
        np.testing.assert_allclose(learner.fantasies.numpy(), particles, rtol=1e-12, atol=1e-12)


def test_chains_move_with_the_update_and_not_with_the_loss():
    """So that measuring a loss (the automatic rate, the first record) leaves the chains alone; they are saved."""
    v, *parameters = setting()
    learner = learner_of(RBM(estimator="pcd", chains=7), v, *parameters)
    before = learner.fantasies.clone()
    batch = Batch(torch.from_numpy(v))
    first, again = (learner.loss(batch, torch.Generator().manual_seed(1)).item() for _ in range(2))
    assert first == again
    assert torch.equal(learner.fantasies, before)
    learner.after_update()
    assert not torch.equal(learner.fantasies, before)
    assert torch.equal(learner.state_dict()["fantasies"], learner.fantasies)
    assert "fantasies" not in learner_of(RBM(), v, *parameters).state_dict()


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_chains_start_at_the_datas_mean(visible):
    """4000 chains: each feature's mean within 6 standard errors, a false alarm below 6 * 2e-9."""
    v, *parameters = setting(visible)
    v = v + (0 if visible == "bernoulli" else 3)
    particles = learner_of(RBM(visible, estimator="pcd", chains=4000), v, *parameters).fantasies.numpy()
    mean = v.mean(0)
    variance = mean * (1 - mean) if visible == "bernoulli" else 1.0
    assert (np.abs(particles.mean(0) - mean) < 6 * np.sqrt(variance / 4000)).all()
    assert (set(np.unique(particles)) == {0.0, 1.0}) == (visible == "bernoulli")


def test_score_matching_equals_its_closed_form_and_its_definition():
    """The closed form in NumPy, and 1/2 |psi|^2 + trace of d psi / d v by autograd's Jacobian of -dF/dv."""
    v, weight, c, b = setting("gaussian")
    learner = learner_of(RBM("gaussian", estimator="score-matching"), v, weight, c, b)
    h = sigmoid(v @ weight.T + c)
    r = h @ weight + b
    closed = 0.5 * ((r - v) ** 2).sum(1) + np.einsum("nj,ji->n", h * (1 - h), weight**2) - FEATURES
    rows = torch.from_numpy(v)
    np.testing.assert_allclose(learner.score_loss(rows).detach().numpy(), closed, rtol=1e-10)
    assert learner.loss(Batch(rows), torch.Generator()).item() == pytest.approx(closed.mean(), rel=1e-10)

    def psi(row):
        return -torch.func.grad(lambda x: learner.free_energy(x[None])[0])(row)

    for row, expected in zip(rows, closed, strict=True):
        defined = 0.5 * psi(row).square().sum() + torch.func.jacrev(psi)(row).trace()
        assert defined.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_clean_loss_is_that_of_the_mean_field_reconstruction(visible):
    v, weight, c, b = setting(visible)
    learner = learner_of(RBM(visible), v, weight, c, b)
    z, mean = sigmoid(v @ weight.T + c) @ weight + b, np.broadcast_to(v.mean(0), v.shape)
    if visible == "bernoulli":
        z = sigmoid(z)
        found = [-np.sum(v * np.log(x) + (1 - v) * np.log(1 - x)) / ROWS for x in (z, mean)]
    else:
        found = [0.5 * np.sum((x - v) ** 2) / ROWS for x in (z, mean)]
    batch = Batch(torch.from_numpy(v))
    assert learner.loss_name == {"bernoulli": "cross_entropy", "gaussian": "squared"}[visible]
    assert learner.clean_loss(batch).item() == pytest.approx(found[0], rel=1e-10)
    assert learner.mean_predictor_loss(batch).item() == pytest.approx(found[1], rel=1e-10)
    np.testing.assert_allclose(learner.reconstruct(batch.inputs).detach().numpy(), z, rtol=1e-10)


def test_the_visible_bias_starts_at_the_inverse_link_of_the_mean():
    v = np.random.default_rng(0).uniform(0.1, 0.9, (50, FEATURES))
    for visible, link in (("bernoulli", np.log(v.mean(0) / (1 - v.mean(0)))), ("gaussian", v.mean(0))):
        layer = Layer("0", [], nn.Linear(FEATURES, UNITS, dtype=torch.float64), [nn.Sigmoid()])
        learner = RBM(visible).build(layer, FeatureFacts.of(torch.from_numpy(v)), torch.Generator())
        np.testing.assert_allclose(learner.decoder.bias.detach().numpy(), link, rtol=1e-10)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_a_convolution_is_the_dense_rbm_of_its_matrix(visible):
    """A strided, padded convolution, written as one matrix: the same free energy, and the same mean of v given h."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(3, 2, 5, 5, generator=generator, dtype=torch.float64)
    convolution = nn.Conv2d(2, 3, 3, stride=2, padding=1, dtype=torch.float64)
    learner = RBM(visible).build(Layer("0", [], convolution, [nn.Sigmoid()]), FeatureFacts.of(rows), generator)
    with torch.no_grad():
        learner.decoder.bias.copy_(torch.tensor([0.3, -0.7], dtype=torch.float64))
        units = torch.eye(50, dtype=torch.float64).reshape(50, 2, 5, 5)
        matrix = (convolution(units) - convolution(torch.zeros_like(units))).flatten(1).T.numpy()
    c = np.repeat(convolution.bias.detach().numpy(), 9)
    v, b = rows.flatten(1).numpy(), np.repeat([0.3, -0.7], 25)
    own = -(v @ b) if visible == "bernoulli" else 0.5 * ((v - b) ** 2).sum(1)
    expected = own - np.log1p(np.exp(v @ matrix.T + c)).sum(1)
    np.testing.assert_allclose(learner.free_energy(rows).detach().numpy(), expected, rtol=1e-10)
    h = (np.random.default_rng(0).uniform(size=(3, 27)) < 0.5).astype(float)
    back = learner.decoder.activation(torch.from_numpy(h).reshape(3, 3, 3, 3)).flatten(1)
    np.testing.assert_allclose(back.detach().numpy(), h @ matrix + b, rtol=1e-10, atol=1e-12)
    assert learner.loss(Batch(rows), generator).isfinite()


@pytest.mark.parametrize(
    ("module", "after", "words", "message"),
    [
        (nn.Linear(6, 4), [nn.ReLU()], {}, "'top' has ReLU after its module, expected a sigmoid alone"),
        (nn.Linear(6, 4), [], {}, "'top' has nothing after"),
        (nn.Linear(6, 4), [nn.BatchNorm1d(4), nn.Sigmoid()], {}, "'top' has BatchNorm1d, Sigmoid after"),
        (nn.Linear(6, 4, bias=False), [nn.Sigmoid()], {}, "'top' has no bias"),
        (
            nn.Conv1d(1, 4, 3), [nn.Sigmoid()], {"visible": "gaussian", "estimator": "score-matching"},
            "'top' is a Conv1d, expected nn.Linear for score-matching",
        ),
    ],
)  # fmt: skip
def test_layers_that_are_no_half_of_an_rbm_are_refused(module, after, words, message):
    shape = (1, 6) if isinstance(module, nn.Conv1d) else (6,)
    facts = FeatureFacts.of(torch.rand(5, *shape))
    with pytest.raises(NetworkError, match=message) as caught:
        RBM(**words).build(Layer("top", [], module, after), facts, torch.Generator())
    assert caught.value.hint


def test_dropout_after_the_sigmoid_is_allowed_and_plays_no_part():
    layer = Layer("0", [], nn.Linear(6, 4), [nn.Sigmoid(), nn.Dropout(0.5), nn.Identity()])
    rows = torch.rand(5, 6)
    learner = RBM().build(layer, FeatureFacts.of(rows), torch.Generator()).train()
    assert torch.equal(learner.hidden_mean(rows), torch.sigmoid(layer.module(rows)))


def test_bernoulli_inputs_outside_the_unit_interval_are_refused():
    facts = FeatureFacts.of(torch.tensor([[-1.5, 0.0], [1.0, 2.0]]))
    layer = Layer("top", [], nn.Linear(2, 4), [nn.Sigmoid()])
    with pytest.raises(DataError, match=r"'top': inputs run from -1.5 to 2, expected \[0, 1\]") as caught:
        RBM().build(layer, facts, torch.Generator())
    assert "gaussian" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"estimator": "score-matching"}, "set visible to gaussian"),
        ({"visible": "gaussian", "estimator": "pseudo-likelihood"}, "set visible to bernoulli"),
        ({"k": 0}, "k"),
        ({"chains": 0}, "chains"),
        ({"visible": "relu"}, "visible"),
    ],
)
def test_settings_that_do_not_hold_are_refused(words, message):
    with pytest.raises(ValidationError, match=message):
        RBM(**words)


def test_is_a_frozen_value_that_survives_json():
    objective = RBM("gaussian", estimator="pcd", k=3, chains=20)
    adapter = TypeAdapter(RBM)
    assert adapter.validate_json(adapter.dump_json(objective)) == objective
    assert RBM() == RBM(visible="bernoulli", estimator="cd", k=1)
    with pytest.raises(Exception, match="cannot assign"):
        objective.k = 2
