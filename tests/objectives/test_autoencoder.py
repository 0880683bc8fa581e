"""The auto-encoder's numbers against formulas written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from layerwise.data.batches import Batch
from layerwise.nn.layers import Layer
from layerwise.objectives.autoencoder import Autoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.plan import TrainingPlan
from layerwise.training.step import AutogradStep

ROWS, FEATURES, UNITS = 7, 6, 4


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def reference(weight, bias, back, back_bias, noisy, clean, loss, output):
    """Loss and gradients by hand: of W as encoder, b, W as decoder, c. Sum over features, mean over rows."""
    count = len(clean)
    codes = sigmoid(noisy @ weight.T + bias)
    activation = codes @ back + back_bias
    z = sigmoid(activation) if output == "sigmoid" else activation
    if loss == "cross_entropy":
        value = -np.sum(clean * np.log(z) + (1 - clean) * np.log(1 - z)) / count
        d_activation = (z - clean) / count
    else:
        value = 0.5 * np.sum((z - clean) ** 2) / count
        d_activation = (z - clean) / count * (z * (1 - z) if output == "sigmoid" else 1)
    d_hidden = d_activation @ back.T * codes * (1 - codes)
    return value, d_hidden.T @ noisy, d_hidden.sum(0), codes.T @ d_activation, d_activation.sum(0)


def setting(seed=0):
    """Return (rows in [0, 1], W, b, c) as float64 arrays."""
    draw = np.random.default_rng(seed)
    return (
        draw.uniform(size=(ROWS, FEATURES)),
        draw.normal(size=(UNITS, FEATURES)),
        draw.normal(size=UNITS),
        draw.normal(size=FEATURES),
    )


def learner_of(objective, rows, weight, bias, back_bias):
    dense = nn.Linear(FEATURES, UNITS, dtype=torch.float64)
    learner = objective.build(
        Layer("0", [], dense, [nn.Sigmoid()]), FeatureFacts.of(torch.from_numpy(rows)), torch.Generator()
    )
    with torch.no_grad():
        dense.weight.copy_(torch.from_numpy(weight))
        dense.bias.copy_(torch.from_numpy(bias))
        learner.decoder.bias.copy_(torch.from_numpy(back_bias))
        if learner.decoder.weight is not None:
            learner.decoder.weight.copy_(torch.from_numpy(weight[::-1].copy()))
    return learner


COMBINATIONS = [("squared", "linear"), ("squared", "sigmoid"), ("cross_entropy", "sigmoid")]


@pytest.mark.parametrize(("loss", "output"), COMBINATIONS)
@pytest.mark.parametrize("weights", ["full", "encoder", "untied"])
def test_loss_and_gradients(loss, output, weights):
    """Tied "full" is the sum of both paths, "encoder" is the encoder's alone, untied keeps them apart."""
    rows, weight, bias, back_bias = setting()
    tied = weights != "untied"
    objective = Autoencoder(loss=loss, decoder=output, tied=tied, tied_gradient=weights if tied else "full")
    learner = learner_of(objective, rows, weight, bias, back_bias)
    value = learner.loss(Batch(torch.from_numpy(rows)), torch.Generator())
    value.backward()
    back = weight if tied else weight[::-1]
    expected, d_encoder, d_bias, d_decoder, d_back_bias = reference(
        weight, bias, back, back_bias, rows, rows, loss, output
    )
    found = learner.layer.module.weight.grad.numpy()
    assert value.item() == pytest.approx(expected, rel=1e-10)
    whole = {"full": d_encoder + d_decoder, "encoder": d_encoder, "untied": d_encoder}[weights]
    np.testing.assert_allclose(found, whole, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(learner.layer.module.bias.grad.numpy(), d_bias, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(learner.decoder.bias.grad.numpy(), d_back_bias, rtol=1e-10, atol=1e-12)
    if not tied:
        np.testing.assert_allclose(learner.decoder.weight.grad.numpy(), d_decoder, rtol=1e-10, atol=1e-12)
    assert np.abs(d_decoder).max() > 1e-3, "the two paths differ visibly here"


@pytest.mark.parametrize(("loss", "output"), COMBINATIONS)
def test_reduction(loss, output):
    """Rows twice over: the same loss. Features twice over: twice the loss."""
    rows, weight, bias, back_bias = setting()
    learner = learner_of(Autoencoder(loss=loss, decoder=output), rows, weight, bias, back_bias)
    inputs = torch.from_numpy(rows)
    once = learner.loss(Batch(inputs), torch.Generator()).item()
    assert learner.loss(Batch(inputs.repeat(2, 1)), torch.Generator()).item() == pytest.approx(once, rel=1e-12)
    assert learner.clean_loss(Batch(inputs)).item() == once, "without noise the two losses are one"
    activation = learner.decoder.activation(learner.layer(inputs))
    doubled = learner._loss(activation.repeat(1, 2), inputs.repeat(1, 2)).item()
    assert doubled == pytest.approx(2 * once, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cross_entropy_at_extreme_activations(dtype):
    """By activation it is linear far out, where a log of a sigmoid is infinite."""
    layer = Layer("0", [], nn.Linear(2, 1).to(dtype), [nn.Sigmoid()])
    clean = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=dtype)
    learner = Autoencoder(loss="cross_entropy").build(layer, FeatureFacts.of(clean), torch.Generator())
    with torch.no_grad():
        learner.layer.module.weight.zero_()
        learner.decoder.bias.copy_(torch.tensor([500.0, -500.0]))
    loss = learner.loss(Batch(clean), torch.Generator())
    loss.backward()
    assert loss.item() == pytest.approx(500.0)  # row 1 exact, row 2 wrong by 500 in both features, mean of the two
    assert torch.isfinite(learner.decoder.bias.grad).all()
    assert torch.isfinite(learner.layer.module.weight.grad).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decoder_bias_starts_at_the_inverse_link_of_the_mean(dtype):
    """Clipped where a pixel is always 0 or always 1."""
    rows = torch.tensor([[0.0, 1.0, 0.2, 0.9], [0.0, 1.0, 0.4, 0.5]], dtype=dtype)
    layer = Layer("0", [], nn.Linear(4, 2).to(dtype), [nn.Sigmoid()])
    mean = np.array([0.001, 0.999, 0.3, 0.7])
    logit = np.log(mean / (1 - mean))
    bias = Autoencoder().build(layer, FeatureFacts.of(rows), torch.Generator()).decoder.bias
    np.testing.assert_allclose(bias.detach().numpy(), logit, rtol=1e-4 if dtype == torch.float32 else 1e-7)
    linear = (
        Autoencoder(loss="squared", decoder="linear")
        .build(layer, FeatureFacts.of(rows), torch.Generator())
        .decoder.bias
    )
    np.testing.assert_allclose(linear.detach().numpy(), [0, 1, 0.3, 0.7], rtol=1e-6)


def test_the_mean_is_of_the_layers_inputs_not_of_its_codes():
    """A bias taken from the wrong layer has the wrong width, or the wrong mean when the widths agree."""
    rows = torch.full((3, 4), 2.0)
    learner = Autoencoder().build(
        Layer("0", [], nn.Linear(4, 4), [nn.Sigmoid()]), FeatureFacts.of(rows), torch.Generator()
    )
    assert learner.decoder.bias.tolist() == [2.0] * 4


@pytest.mark.parametrize(
    ("low", "high", "words", "expected"),
    [
        (0.0, 1.0, {}, ("cross_entropy", "sigmoid")),
        (0.0, 1.01, {}, ("squared", "linear")),
        (-0.1, 1.0, {}, ("squared", "linear")),
        (0.0, 1.0, {"loss": "squared"}, ("squared", "sigmoid")),
        (0.0, 1.0, {"decoder": "linear"}, ("squared", "linear")),
        (0.0, 1.0, {"decoder": "sigmoid"}, ("cross_entropy", "sigmoid")),
        (0.0, 3.0, {"loss": "squared", "decoder": "linear"}, ("squared", "linear")),
        (0.0, 3.0, {"loss": "squared"}, ("squared", "linear")),
    ],
)
def test_auto_follows_the_range(low, high, words, expected):
    facts = FeatureFacts(2, low, high, torch.full((3,), 0.5, dtype=torch.float64))
    learner = Autoencoder(**words).build(Layer("0", [], nn.Linear(3, 2), []), facts, torch.Generator())
    assert (learner.loss_name, learner.decoder.output) == expected


def test_the_activation_is_part_of_the_layer():
    """Greedy stages without the activation would reconstruct from W x + b."""
    rows, weight, bias, back_bias = setting()
    learner = learner_of(Autoencoder(loss="squared", decoder="linear"), rows, weight, bias, back_bias)
    found = learner.reconstruct(torch.from_numpy(rows)).detach().numpy()
    np.testing.assert_allclose(found, sigmoid(rows @ weight.T + bias) @ weight + back_bias, rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("bias_rate", [1.0, 2.0])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_updates_are_those_of_sgd_by_hand(momentum, bias_rate, l2):
    """Five updates: L2 on weights only, the biases' step multiplied by bias_rate, velocity v = m v + g."""
    rows, weight, bias, back_bias = setting()
    learner = learner_of(Autoencoder(loss="cross_entropy"), rows, weight, bias, back_bias)
    step = AutogradStep(learner, TrainingPlan(epochs=1, batch_size=ROWS, momentum=momentum, bias_rate=bias_rate, l2=l2))
    values = [weight.copy(), bias.copy(), back_bias.copy()]
    speeds = [np.zeros_like(value) for value in values]
    for update in range(5):
        rate = 0.1 / (1 + update)
        step.set_learning_rate(rate)
        loss = step(Batch(torch.from_numpy(rows)), torch.Generator())
        w, b, c = values
        expected, d_encoder, d_bias, d_decoder, d_back_bias = reference(
            w, b, w, c, rows, rows, "cross_entropy", "sigmoid"
        )
        assert loss.item() == pytest.approx(expected, rel=1e-10), "the loss is the one before the update"
        gradients = [d_encoder + d_decoder + l2 * w, d_bias, d_back_bias]
        speeds = [momentum * v + g for v, g in zip(speeds, gradients, strict=True)]
        factors = [1.0, bias_rate, bias_rate]
        values = [p - rate * k * v for p, k, v in zip(values, factors, speeds, strict=True)]
    dense = learner.layer.module
    for found, expected in zip([dense.weight, dense.bias, learner.decoder.bias], values, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_l2_is_on_weights_only():
    """With a loss that is flat in everything, decay shrinks the weights by (1 - rate l2) and leaves the biases."""
    rows, weight, bias, back_bias = setting()
    objective = Autoencoder(loss="squared", decoder="linear", tied=False)
    learner = learner_of(objective, rows, weight, bias, back_bias)
    learner.loss = lambda batch, generator: sum((0.0 * p).sum() for p in learner.parameters())
    step = AutogradStep(learner, TrainingPlan(epochs=1, batch_size=ROWS, l2=0.5))
    step.set_learning_rate(0.2)
    step(Batch(torch.from_numpy(rows)), torch.Generator())
    np.testing.assert_allclose(learner.layer.module.weight.detach().numpy(), 0.9 * weight, rtol=1e-12)
    np.testing.assert_allclose(learner.decoder.weight.detach().numpy(), 0.9 * weight[::-1], rtol=1e-12)
    assert np.array_equal(learner.layer.module.bias.detach().numpy(), bias)
    assert np.array_equal(learner.decoder.bias.detach().numpy(), back_bias)


def test_the_decoder_bias_starts_at_the_mean_or_at_zero():
    facts = FeatureFacts.of(torch.full((10, 4), 0.25))
    layer = Layer("0", [], nn.Linear(4, 3), [nn.Sigmoid()])
    assert torch.equal(
        Autoencoder(decoder_bias="zero").build(layer, facts, torch.Generator()).decoder.bias, torch.zeros(4)
    )
    started = Autoencoder(decoder="linear", loss="squared").build(layer, facts, torch.Generator()).decoder.bias
    assert torch.equal(started, torch.full((4,), 0.25))
