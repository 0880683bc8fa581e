"""Predictive sparse decomposition: its minimum against scikit-learn's, its gradients against the equation in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.datasets import load_digits
from sklearn.decomposition import sparse_encode
from torch import nn

from layerwise.data.batches import Batch, Batches
from layerwise.errors import NetworkError
from layerwise.nn.initialization import initialize
from layerwise.nn.layers import Layer
from layerwise.objectives.objective import FeatureFacts
from layerwise.objectives.psd import LEAST_GAIN, PredictiveSparseDecomposition, sparse_codes
from layerwise.plan import TrainingPlan
from layerwise.randomness import Randomness
from layerwise.training.curvature import automatic_rate
from layerwise.training.loop import Fitting, fit

ROWS, FEATURES, UNITS = 7, 5, 8
ACTIVATIONS = {"sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(), "relu": nn.ReLU()}


def reference_minimum(x, dictionary, predicted, sparsity, prediction):
    """By scikit-learn's LARS, which halves the squared error, on the system [x; sqrt(a) f], [D; sqrt(a) I]."""
    root = np.sqrt(prediction)
    codes = []
    for row, guess in zip(x, predicted, strict=True):
        target = np.concatenate([row, root * guess])[None]
        atoms = np.concatenate([dictionary, root * np.eye(dictionary.shape[1])]).T
        codes.append(sparse_encode(target, atoms, algorithm="lasso_lars", alpha=sparsity / 2)[0])
    return np.array(codes)


def reference_energy(x, codes, dictionary, offset, weight, bias, gain, sparsity, prediction):
    """The equation at given codes, of a tanh layer; averaged over rows."""
    predicted = gain * np.tanh(x @ weight.T + bias)
    error = np.sum((x - offset - codes @ dictionary.T) ** 2)
    return (error + sparsity * np.abs(codes).sum() + prediction * np.sum((codes - predicted) ** 2)) / len(x)


def setting(features=FEATURES, units=UNITS):
    draw = np.random.default_rng(0)
    dictionary = draw.normal(size=(features, units))
    x, predicted = draw.normal(size=(ROWS, features)), draw.normal(size=(ROWS, units))
    return x, dictionary / np.linalg.norm(dictionary, axis=0), predicted


def learner_of(x, activation="tanh", **words):
    layer = Layer(
        "0", [], nn.utils.skip_init(nn.Linear, x.shape[1], UNITS, dtype=torch.float64), [ACTIVATIONS[activation]]
    )
    initialize(layer.module, "glorot", torch.Generator().manual_seed(0))
    objective = PredictiveSparseDecomposition(**words)
    return objective.build(layer, FeatureFacts.of(torch.from_numpy(x)), torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("features", "units"), [(5, 8), (8, 5)])
@pytest.mark.parametrize("prediction", [0.0, 0.05, 1.0, 7.0])
@pytest.mark.parametrize("sparsity", [0.02, 0.8])
def test_the_inner_minimum_is_scikit_learns(features, units, prediction, sparsity):
    """To 1e-6; without prediction too, where f is only the start."""
    x, dictionary, predicted = setting(features, units)
    expected = reference_minimum(x, dictionary, predicted, sparsity, prediction)
    found = sparse_codes(
        *map(torch.from_numpy, (x, dictionary, predicted)), sparsity=sparsity, prediction=prediction,
        eigenvalue=torch.tensor(np.linalg.norm(dictionary, 2) ** 2), steps=3000,
    ).numpy()  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert (expected == 0).any() or sparsity < 0.1, "a case where some units stay silent"


def test_the_learner_infers_that_minimum():
    """Of the rows less c, from the layer's own prediction, with the eigenvalue it tracks itself."""
    x, _, _ = setting()
    x += 3.0
    learner = learner_of(x, sparsity=0.6, prediction=0.4, steps=2000)
    with torch.no_grad():
        learner.offset.add_(0.3)
        learner.gain.mul_(1.7)
    inputs = torch.from_numpy(x)
    predicted = learner.predict(inputs)
    found = learner.infer(inputs, predicted)
    assert not found.requires_grad
    centred = x - learner.offset.detach().numpy()
    expected = reference_minimum(centred, learner.dictionary.detach().numpy(), predicted.detach().numpy(), 0.6, 0.4)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        predicted.detach().numpy(),
        1.7 * np.tanh(x @ learner.layer.module.weight.detach().numpy().T),
        rtol=1e-12,
    )


def test_few_steps_come_close_and_each_start_helps():
    """The default number of steps leaves 5 % of what f alone has above the least energy (here: .4 %)."""
    x, dictionary, predicted = setting()

    def above(codes, least):
        terms = np.sum((x - codes @ dictionary.T) ** 2) + 0.5 * np.abs(codes).sum() + np.sum((codes - predicted) ** 2)
        return terms - least

    best = above(reference_minimum(x, dictionary, predicted, 0.5, 1.0), 0.0)
    steps = PredictiveSparseDecomposition().steps
    found = sparse_codes(
        *map(torch.from_numpy, (x, dictionary, predicted)), sparsity=0.5, prediction=1.0,
        eigenvalue=torch.tensor(np.linalg.norm(dictionary, 2) ** 2), steps=steps,
    ).numpy()  # fmt: skip
    assert above(predicted, best) > 1.0
    assert above(found, best) < 0.05 * above(predicted, best)


def test_the_minimum_is_a_fixed_point():
    """One step from scikit-learn's answer, given as the start, stays there."""
    x, dictionary, _ = setting(8, 5)
    expected = reference_minimum(x, dictionary, np.zeros((ROWS, 5)), 0.5, 0.0)
    found = sparse_codes(
        *map(torch.from_numpy, (x, dictionary, expected)), sparsity=0.5, prediction=0.0,
        eigenvalue=torch.tensor(np.linalg.norm(dictionary, 2) ** 2), steps=1,
    ).numpy()  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_loss_and_gradients_are_the_equations_at_fixed_codes():
    """Central differences of the NumPy equation, each element of D, c, W, b and g."""
    x, _, _ = setting()
    learner = learner_of(x, sparsity=0.6, prediction=0.4)
    with torch.no_grad():
        learner.gain.copy_(torch.linspace(0.5, 2, UNITS))
        learner.layer.module.bias.copy_(torch.linspace(-0.5, 0.5, UNITS))
    inputs = torch.from_numpy(x)
    codes = learner.infer(inputs, learner.predict(inputs)).numpy()
    dense = learner.layer.module
    parameters = [learner.dictionary, learner.offset, dense.weight, dense.bias, learner.gain]
    assert {id(p) for p in parameters} == {id(p) for p in learner.parameters()}
    values = [p.detach().numpy().copy() for p in parameters]
    loss = learner.loss(Batch(inputs), torch.Generator())
    assert loss.item() == pytest.approx(reference_energy(x, codes, *values, 0.6, 0.4), rel=1e-12)
    loss.backward()
    for number, parameter in enumerate(parameters):
        slopes = np.zeros_like(values[number])
        for place in np.ndindex(slopes.shape):
            moved = []
            for change in (1e-5, -1e-5):
                changed = [value.copy() for value in values]
                changed[number][place] += change
                moved.append(reference_energy(x, codes, *changed, 0.6, 0.4))
            slopes[place] = (moved[0] - moved[1]) / 2e-5
        np.testing.assert_allclose(parameter.grad.numpy(), slopes, rtol=1e-6, atol=1e-8)
        assert np.abs(slopes).max() > 1e-3


def test_that_gradient_is_the_one_of_the_minimum_itself():
    """By moving the codes along: central differences of scikit-learn's least energy, in D and in W."""
    x, _, _ = setting()
    learner = learner_of(x, sparsity=0.6, prediction=0.4, steps=1000)
    dense = learner.layer.module
    values = [p.detach().numpy().copy() for p in (learner.dictionary, learner.offset, dense.weight, dense.bias)]
    values.append(np.ones(UNITS))
    learner.loss(Batch(torch.from_numpy(x)), torch.Generator()).backward()

    def least(changed):
        dictionary, offset, weight, bias, gain = changed
        predicted = gain * np.tanh(x @ weight.T + bias)
        codes = reference_minimum(x - offset, dictionary, predicted, 0.6, 0.4)
        return reference_energy(x, codes, *changed, 0.6, 0.4)

    for number, parameter in ((0, learner.dictionary), (2, dense.weight)):
        for place in [(0, 0), (3, 2), (4, 4)]:
            moved = []
            for change in (1e-4, -1e-4):
                changed = [value.copy() for value in values]
                changed[number][place] += change
                moved.append(least(changed))
            assert parameter.grad[place].item() == pytest.approx((moved[0] - moved[1]) / 2e-4, abs=1e-5)


def rows_of(kind):
    """1400 training and 397 held-out rows."""
    rows = torch.from_numpy(load_digits().data / 16).float()
    if kind == "standardised":
        rows = (rows - rows.mean(0)) / rows.std(0).clamp(min=0.05)
    if kind == "codes":
        draw = torch.randn(64, 40, generator=torch.Generator().manual_seed(5)) / 4
        rows = torch.tanh((rows - rows.mean(0)) @ draw)
    return rows[:1400], rows[1400:]


def trained(kind, activation, momentum=0.0, epochs=4):
    rows, held_out = rows_of(kind)
    layer = Layer("0", [], nn.utils.skip_init(nn.Linear, rows.shape[1], 64), [ACTIVATIONS[activation]])
    name = {"sigmoid": "glorot-sigmoid", "tanh": "glorot", "relu": "he"}[activation]
    initialize(layer.module, name, torch.Generator().manual_seed(0))
    learner = PredictiveSparseDecomposition().build(layer, FeatureFacts.of(rows), torch.Generator().manual_seed(1))
    batches = Batches(rows, None, 20, Randomness(0))
    rate = automatic_rate(learner, next(batches.epoch(0)), torch.Generator().manual_seed(2))
    fit(
        learner,
        batches,
        TrainingPlan(epochs=epochs, batch_size=20, momentum=momentum),
        rate,
        Fitting("0", Randomness(0)),
    )
    return learner.eval(), Batch(held_out)


@pytest.mark.parametrize("kind", ["images", "standardised", "codes"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_learns_and_stays_on_its_constraints(kind, activation):
    """With every default, the layer's own code decodes held-out rows better than their mean does; D's norms are 1.

    Here: .04 to .44 of the mean's loss. D is not overcomplete, so that few codes are 0.
    """
    learner, batch = trained(kind, activation)
    with torch.no_grad():
        loss = float(learner.clean_loss(batch) / learner.mean_predictor_loss(batch))
        norms = learner.dictionary.norm(dim=0)
        tracked = float((learner.dictionary @ learner.direction).square().sum())
        codes = learner.infer(batch.inputs, learner.predict(batch.inputs))
    largest = float(torch.linalg.matrix_norm(learner.dictionary.detach(), 2) ** 2)
    print(f"{loss:.3f}, eigenvalue {tracked / largest:.4f}, {float((codes == 0).float().mean()):.2f} zeros")
    assert loss < 0.6
    torch.testing.assert_close(norms, torch.ones(64), rtol=0, atol=1e-6)
    assert learner.gain.min() >= LEAST_GAIN
    assert largest / 1.02 < tracked < largest * 1.0001
    assert float((codes == 0).float().mean()) > 0.05


def test_decoder_has_the_gain_and_the_present_values():
    """It decodes the layer's own code, h: c + D (g h). `clean_loss` is half the squared error of that."""
    x, _, _ = setting()
    learner = learner_of(x)
    first = learner.decoder
    with torch.no_grad():
        learner.gain.copy_(torch.linspace(0.5, 2, UNITS))
        learner.offset.add_(1.0)
    inputs = torch.from_numpy(x)
    codes = learner.layer(inputs).detach().numpy()
    gain, dictionary, offset = (p.detach().numpy() for p in (learner.gain, learner.dictionary, learner.offset))
    expected = offset + (gain * codes) @ dictionary.T
    decoded = learner.decoder(torch.from_numpy(codes)).detach().numpy()
    np.testing.assert_allclose(decoded, expected, rtol=1e-12)
    assert not learner.decoder.tied
    assert not np.allclose(first(torch.from_numpy(codes)).detach().numpy(), decoded)
    batch = Batch(inputs)
    assert learner.clean_loss(batch).item() == pytest.approx(0.5 * np.sum((expected - x) ** 2) / ROWS, rel=1e-12)
    mean = 0.5 * np.sum((x.mean(0) - x) ** 2) / ROWS
    assert learner.mean_predictor_loss(batch).item() == pytest.approx(mean, rel=1e-12)
    assert set(learner.state_dict()) == {
        "dictionary", "gain", "offset", "direction", "layer.module.weight", "layer.module.bias",
    }  # fmt: skip


def test_dictionary_starts_at_the_weights_and_at_draws_where_they_are_zero():
    layer = Layer("0", [], nn.Linear(4, 3), [nn.Tanh()])
    with torch.no_grad():
        layer.module.weight.copy_(torch.tensor([[3.0, 0, 4.0, 0], [0, 0, 0, 0], [0, -2.0, 0, 0]]))
    facts = FeatureFacts.of(torch.rand(9, 4, generator=torch.Generator().manual_seed(0)))
    mean = facts.mean.clone()
    before = torch.random.get_rng_state()
    learners = [
        PredictiveSparseDecomposition().build(layer, facts, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    ]
    assert torch.equal(torch.random.get_rng_state(), before), "nothing global is drawn"
    one, same, other = (learner.dictionary.detach() for learner in learners)
    torch.testing.assert_close(one[:, [0, 2]], torch.tensor([[0.6, 0, 0.8, 0], [0, -1.0, 0, 0]]).T)
    torch.testing.assert_close(one.norm(dim=0), torch.ones(3))
    assert torch.equal(one, same)
    assert not torch.equal(one[:, 1], other[:, 1])
    with torch.no_grad():
        learners[0].offset.add_(1.0)
    assert torch.equal(facts.mean, mean), "the facts are not trained"


def test_gains_stay_above_zero():
    x, _, _ = setting()
    learner = learner_of(x)
    with torch.no_grad():
        learner.gain.fill_(-1.0)
    learner.after_update()
    assert learner.gain.detach().numpy() == pytest.approx(LEAST_GAIN)


@pytest.mark.parametrize("module", [nn.Conv2d(1, 4, 3), nn.Conv1d(1, 4, 3)])
def test_convolutions_are_refused(module):
    facts = FeatureFacts.of(torch.rand(9, 1, 8, 8))
    with pytest.raises(NetworkError, match=r"layer 'top' is a Conv\dd, expected a dense module") as caught:
        PredictiveSparseDecomposition().build(Layer("top", [], module, [nn.ReLU()]), facts, torch.Generator())
    assert "sparse auto-encoder" in caught.value.hint


@pytest.mark.parametrize("words", [{"sparsity": -1.0}, {"prediction": 0.0}, {"steps": 0}, {"gain": 1.0}])
def test_unknown_settings_are_refused(words):
    with pytest.raises(ValidationError, match=next(iter(words))):
        PredictiveSparseDecomposition(**words)
