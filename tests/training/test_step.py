"""The step: the optimiser's groups, its memory, and what it hands back."""

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
from layerwise.settings import Linear
from layerwise.training.step import AutogradStep, fan_ins

OPTIMIZERS = ["sgd", "adam", "AdamW", "rmsprop", "adagrad", "adadelta", "nadam"]


class Learner(nn.Module):
    """A two-layer regression with a frozen part and a scalar parameter."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
        self.gain = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
        self.frozen = nn.Parameter(torch.ones(2, dtype=torch.float64), requires_grad=False)
        self.projected = 0
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.net.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def loss(self, batch, generator):
        return (self.gain * self.net(batch.inputs) - batch.targets).square().mean()

    def after_update(self):
        self.projected += 1


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    return Batch(inputs, inputs.sum(1, keepdim=True))


def updated(step, numbers):
    for number in numbers:
        step.set_learning_rate(0.05)
        step(batch(number), torch.Generator())
    return [p.detach().clone() for p in step.learner.parameters()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_memory_round_trip(optimizer):
    """Moments and counters are saved: continued updates are those of an unbroken run, bit for bit."""
    plan = TrainingPlan(epochs=1, batch_size=6, optimizer=optimizer, momentum=0.7, l2=0.01)
    whole = AutogradStep(Learner(), plan)
    expected = updated(whole, range(8))
    first = AutogradStep(Learner(), plan)
    updated(first, range(4))
    memory = {name: value.clone() for name, value in first.state_dict().items()}
    assert memory, "every one of these optimisers remembers something"
    assert all(isinstance(value, torch.Tensor) for value in memory.values())
    second = AutogradStep(Learner(), plan)
    second.learner.load_state_dict(first.learner.state_dict())
    second.load_state_dict(memory)
    updated(first, range(9, 12))  # the memory was copied, not shared
    found = updated(second, range(4, 8))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    forgetful = AutogradStep(Learner(), plan)
    updated(forgetful, range(4))
    forgetful.optimizer.state.clear()
    lost = updated(forgetful, range(4, 8))
    assert not all(torch.equal(a, b) for a, b in zip(lost, expected, strict=True)), "so the memory matters"


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_equals_plain_pytorch(momentum):
    learner, plain = Learner(), Learner()
    step = AutogradStep(learner, TrainingPlan(epochs=1, batch_size=6, momentum=momentum))
    optimizer = torch.optim.SGD([p for p in plain.parameters() if p.requires_grad], lr=0.05, momentum=momentum)
    updated(step, range(5))
    for number in range(5):
        optimizer.zero_grad()
        plain.loss(batch(number), None).backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(learner.parameters(), plain.parameters(), strict=True))


def test_groups():
    """Weights decay, biases and other vectors and scalars don't; those have bias_rate times the rate."""
    learner = Learner()
    step = AutogradStep(learner, TrainingPlan(epochs=1, batch_size=6, l2=0.1, bias_rate=2.0))
    step.set_learning_rate(0.5)
    weights, others = step.optimizer.param_groups
    assert [p.ndim for p in weights["params"]] == [2, 2]
    assert sorted(p.ndim for p in others["params"]) == [0, 1, 1]
    assert (weights["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert (weights["lr"], others["lr"]) == (0.5, 1.0)


def test_returns_the_loss_before_the_update_and_projects_after():
    learner = Learner()
    step = AutogradStep(learner, TrainingPlan(epochs=1, batch_size=6))
    step.set_learning_rate(0.05)
    before = learner.loss(batch(0), None).item()
    loss = step(batch(0), torch.Generator())
    assert loss.item() == before
    assert not loss.requires_grad
    assert learner.projected == 1
    assert torch.equal(learner.frozen, torch.ones(2, dtype=torch.float64))


def test_gradients_do_not_add_up():
    learner = Learner()
    step = AutogradStep(learner, TrainingPlan(epochs=1, batch_size=6))
    step.set_learning_rate(0.0)
    step(batch(0), torch.Generator())
    once = learner.gain.grad.clone()
    step(batch(0), torch.Generator())
    assert torch.equal(learner.gain.grad, once)


def test_only_biases_to_train():
    learner = Learner()
    for parameter in learner.net.parameters():
        parameter.requires_grad_(parameter.ndim == 1)
    step = AutogradStep(learner, TrainingPlan(epochs=1, batch_size=6))
    before = learner.net[0].weight.clone()
    updated(step, range(2))
    assert torch.equal(learner.net[0].weight, before)


class Regression(nn.Module):
    """One dense module with a squared loss, and a gain that is no neuron's; NumPy follows it by hand."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(3, 2, dtype=torch.float64)
        self.gain = nn.Parameter(torch.ones(2, dtype=torch.float64))
        with torch.no_grad():
            self.dense.weight.copy_(torch.tensor(WEIGHT, dtype=torch.float64))
            self.dense.bias.copy_(torch.tensor([0.3, -0.2], dtype=torch.float64))

    def loss(self, batch, generator):
        return 0.5 * (self.gain * self.dense(batch.inputs) - batch.targets).square().sum() / len(batch.inputs)

    def after_update(self):
        pass


WEIGHT = [[0.5, -0.4, 0.3], [1.2, 0.0, -0.9]]
RATE, UPDATES = 0.05, 6


def regression_batch(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(6, 3)), rng.normal(size=(6, 2))


def by_numpy(rate=RATE, momenta=(0.0,) * UPDATES, l1=0.0, l2=0.0, clip=np.inf, most=np.inf, factors=(1.0, 1.0, 1.0)):
    """Return weight, bias and gain after gradient descent, written from the formulas; factors are of their rates."""
    values = [np.array(WEIGHT), np.array([0.3, -0.2]), np.ones(2)]
    velocity = [np.zeros_like(value) for value in values]
    for number, momentum in enumerate(momenta):
        x, target = regression_batch(number)
        weight, bias, gain = values
        hidden = x @ weight.T + bias
        error = (gain * hidden - target) / len(x)
        gradients = [(error * gain).T @ x, (error * gain).sum(0), (error * hidden).sum(0)]
        norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
        gradients = [gradient * min(1.0, clip / norm) for gradient in gradients]
        gradients[0] = gradients[0] + l1 * np.sign(weight) + l2 * weight
        velocity = [momentum * v + g for v, g in zip(velocity, gradients, strict=True)]
        values = [p - rate * f * v for p, f, v in zip(values, factors, velocity, strict=True)]
        norms = np.linalg.norm(values[0], axis=1, keepdims=True)
        values[0] = values[0] * np.minimum(1.0, most / norms)
    return values


def by_step(momenta=None, **words):
    plan = TrainingPlan(epochs=1, batch_size=6, **words)
    learner = Regression()
    step = AutogradStep(learner, plan)
    for number in range(UPDATES):
        step.set_learning_rate(RATE)
        if momenta is not None:
            step.set_momentum(momenta[number])
        inputs, targets = regression_batch(number)
        step(Batch(torch.from_numpy(inputs), torch.from_numpy(targets)), torch.Generator())
    return [p.detach().numpy() for p in (learner.dense.weight, learner.dense.bias, learner.gain)]


THIRD = 1 / np.sqrt(3)
PRACTICE = {
    "plain": ({}, {}),
    "l1": ({"l1": 0.2}, {"l1": 0.2}),
    "l1 and l2": ({"l1": 0.2, "l2": 0.3}, {"l1": 0.2, "l2": 0.3}),
    "max norm": ({"max_norm": 0.8}, {"most": 0.8}),
    "clip norm": ({"clip_norm": 0.7}, {"clip": 0.7}),
    "clip norm never reached": ({"clip_norm": 1e9}, {}),
    "clip norm, l1, l2 and momentum": (
        {"clip_norm": 0.7, "l1": 0.2, "l2": 0.3, "momentum": 0.9},
        {"clip": 0.7, "l1": 0.2, "l2": 0.3, "momenta": (0.9,) * UPDATES},
    ),
    "fan-in": ({"fan_in_scaling": True}, {"factors": (THIRD, THIRD, 1.0)}),
    "fan-in and bias rate": ({"fan_in_scaling": True, "bias_rate": 2.0}, {"factors": (THIRD, 2 * THIRD, 2.0)}),
    "everything": (
        {"fan_in_scaling": True, "clip_norm": 0.7, "l1": 0.2, "l2": 0.3, "momentum": 0.9, "max_norm": 0.8},
        {"factors": (THIRD, THIRD, 1.0), "clip": 0.7, "l1": 0.2, "l2": 0.3, "momenta": (0.9,) * UPDATES, "most": 0.8},
    ),
}


@pytest.mark.parametrize("kind", PRACTICE)
def test_practice_equals_numpy(kind):
    words, expected = PRACTICE[kind]
    found = by_step(**words)
    for one, other in zip(found, by_numpy(**expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    if expected:
        assert not np.allclose(found[0], by_numpy()[0], rtol=1e-3), "so the setting matters here"


@pytest.mark.parametrize(
    "momenta",
    [(0.0, 0.0, 0.9, 0.9, 0.9, 0.9), (0.9, 0.9, 0.0, 0.0, 0.9, 0.9), (0.5, 0.6, 0.7, 0.8, 0.9, 0.99)],
    ids=["from 0", "through 0", "rising"],
)
def test_a_changing_momentum_equals_numpy(momenta):
    """Also through 0, where the velocity is the last gradient: it is neither forgotten nor left from long ago."""
    found = by_step(momenta, momentum=momenta[0])
    for one, other in zip(found, by_numpy(momenta=momenta), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_rmsprop_takes_a_momentum_that_starts_at_0():
    """Against NumPy: v = .99 v + .01 g^2, b = m b + g / (sqrt(v) + 1e-8), p = p - rate b."""
    momenta = (0.0, 0.5, 0.9, 0.9, 0.9, 0.9)
    found = by_step(momenta, momentum=0.0, optimizer="rmsprop", momentum_schedule=Linear(end=0.9))
    values = [np.array(WEIGHT), np.array([0.3, -0.2]), np.ones(2)]
    squares, buffers = ([np.zeros_like(value) for value in values] for _ in range(2))
    for number, momentum in enumerate(momenta):
        x, target = regression_batch(number)
        hidden = x @ values[0].T + values[1]
        error = (values[2] * hidden - target) / len(x)
        gradients = [(error * values[2]).T @ x, (error * values[2]).sum(0), (error * hidden).sum(0)]
        squares = [0.99 * v + 0.01 * g**2 for v, g in zip(squares, gradients, strict=True)]
        scaled = [g / (np.sqrt(v) + 1e-8) for g, v in zip(gradients, squares, strict=True)]
        buffers = [momentum * b + s for b, s in zip(buffers, scaled, strict=True)]
        values = [p - RATE * b for p, b in zip(values, buffers, strict=True)]
    for one, other in zip(found, values, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_an_optimizer_without_momentum_is_left_alone():
    step = AutogradStep(Learner(), TrainingPlan(epochs=1, batch_size=6, optimizer="adam"))
    step.set_momentum(0.9)
    assert all("momentum" not in group for group in step.optimizer.param_groups)


class Convolutions(nn.Module):
    """A convolution with groups, and a frozen one."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(4, 6, 3, groups=2), nn.BatchNorm1d(6), nn.Conv1d(6, 2, 2)).double()
        self.net[2].weight.requires_grad_(False)

    def loss(self, batch, generator):
        return self.net(batch.inputs).square().mean()

    def after_update(self):
        pass


def test_max_norm_of_convolutions_is_of_each_channels_filter():
    learner = Convolutions()
    with torch.no_grad():
        learner.net[0].weight.mul_(torch.linspace(0.1, 5.0, 6, dtype=torch.float64).reshape(6, 1, 1))
    before = [learner.net[0].weight.detach().numpy().copy(), learner.net[2].weight.detach().clone()]
    step = AutogradStep(learner, TrainingPlan(epochs=1, batch_size=6, max_norm=0.5))
    step.set_learning_rate(0.0)
    generator = torch.Generator().manual_seed(0)
    step(Batch(torch.randn(5, 4, 9, generator=generator, dtype=torch.float64)), generator)
    norms = np.sqrt((before[0] ** 2).sum((1, 2), keepdims=True))
    assert norms.min() < 0.5 < norms.max()
    expected = before[0] * np.minimum(1.0, 0.5 / norms)
    np.testing.assert_allclose(learner.net[0].weight.detach().numpy(), expected, rtol=1e-13)
    assert torch.equal(learner.net[2].weight, before[1]), "a frozen module stays as it is"


@pytest.mark.parametrize("tied", [True, False])
def test_fan_in_of_a_dense_auto_encoder(tied):
    """A hidden neuron has 5 inputs; a visible one the 3 codes. Tied weights are the hidden neurons'."""
    layer = Layer("0", [], nn.Linear(5, 3), [nn.Sigmoid()])
    facts = FeatureFacts.of(torch.rand(9, 5))
    learner = Autoencoder(tied=tied).build(layer, facts, torch.Generator())
    found = {name: fan_ins(learner)[p] for name, p in learner.named_parameters()}
    expected = {"layer.module.weight": 5, "layer.module.bias": 5, "decoder.bias": 3}
    assert found == (expected if tied else {**expected, "decoder.weight": 3})


def test_fan_in_of_a_convolutional_auto_encoder():
    """6 channels in 2 groups of kernel 3 over 4 channels: 2 * 3 inputs; a visible element has 3 channels * 3 back."""
    layer = Layer("0", [], nn.Conv1d(4, 6, 3, groups=2), [nn.Sigmoid()])
    facts = FeatureFacts.of(torch.rand(9, 4, 8))
    learner = Autoencoder().build(layer, facts, torch.Generator())
    found = {name: fan_ins(learner)[p] for name, p in learner.named_parameters()}
    assert found == {"layer.module.weight": 6, "layer.module.bias": 6, "decoder.bias": 9}


@pytest.mark.parametrize("name", ["sdg", "optimizer"])
def test_unknown_optimizer(name):
    with pytest.raises(ValueError, match=f"no optimiser '{name}', expected one of .*adam"):
        TrainingPlan(epochs=1, batch_size=6, optimizer=name)
