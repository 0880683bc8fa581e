"""The step: the optimiser's groups, its memory, and what it hands back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerwise.data.batches import Batch
from layerwise.plan import TrainingPlan
from layerwise.training.step import AutogradStep

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


@pytest.mark.parametrize("name", ["sdg", "optimizer"])
def test_unknown_optimizer(name):
    with pytest.raises(ValueError, match=f"no optimiser '{name}', expected one of .*adam"):
        TrainingPlan(epochs=1, batch_size=6, optimizer=name)
