"""The supervised layer against NumPy; its temporary head; what it refuses; that it learns."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.datasets import load_digits
from torch import Tensor, nn

from layerwise.data.batches import Batch, Batches
from layerwise.errors import DataError
from layerwise.nn.initialization import initialize
from layerwise.nn.layers import Layer
from layerwise.nn.modes import evaluation
from layerwise.objectives.objective import FeatureFacts
from layerwise.objectives.supervised import SupervisedLayer
from layerwise.plan import TrainingPlan
from layerwise.randomness import Randomness
from layerwise.training.loop import Fitting, fit

CLASSES = 3


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def setting() -> tuple[Layer, Batch]:
    rows = torch.rand(7, 6, generator=seeded(), dtype=torch.float64)
    dense = nn.Linear(6, 4, dtype=torch.float64)
    initialize(dense, "glorot-sigmoid", seeded(1))
    return Layer("top", [], dense, [nn.Sigmoid()]), Batch(rows, torch.tensor([0, 2, 1, 1, 0, 2, 1]))


def test_loss_and_gradients_equal_numpys() -> None:
    layer, batch = setting()
    learner = SupervisedLayer().build(layer, FeatureFacts.of(batch.inputs, CLASSES), seeded(2))
    with torch.no_grad():
        learner.head.bias.copy_(torch.tensor([0.3, -0.2, 0.1]))
    loss = learner.loss(batch, seeded(3))
    loss.backward()
    x, y = batch.inputs.numpy(), batch.targets.numpy()
    weight, bias = layer.module.weight.detach().numpy(), layer.module.bias.detach().numpy()
    head, offset = learner.head.weight.detach().numpy(), learner.head.bias.detach().numpy()
    codes = 1 / (1 + np.exp(-(x @ weight.T + bias)))
    odds = np.exp(codes @ head.T + offset)
    chance = odds / odds.sum(1, keepdims=True)
    assert loss.item() == pytest.approx(-np.log(chance[np.arange(7), y]).mean(), rel=1e-12)
    assert learner.clean_loss(batch).item() == loss.item()
    d_outputs = (chance - np.eye(CLASSES)[y]) / 7
    d_hidden = d_outputs @ head * codes * (1 - codes)
    for parameter, expected in (
        (learner.head.weight, d_outputs.T @ codes),
        (learner.head.bias, d_outputs.sum(0)),
        (layer.module.weight, d_hidden.T @ x),
        (layer.module.bias, d_hidden.sum(0)),
    ):
        np.testing.assert_allclose(parameter.grad.numpy(), expected, rtol=0, atol=1e-12)
        assert np.abs(expected).max() > 1e-3


def test_gradient_equals_finite_differences_twice_over() -> None:
    layer, batch = setting()
    learner = SupervisedLayer().build(layer, FeatureFacts.of(batch.inputs, CLASSES), seeded(2))
    names = [name for name, _ in learner.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in learner.parameters()]

    def loss(*given: Tensor) -> Tensor:
        parameters = {f"learner.{name}": value for name, value in zip(names, given, strict=True)}
        return torch.func.functional_call(_Loss(learner), parameters, (batch,))

    assert torch.autograd.gradcheck(loss, values)
    assert torch.autograd.gradgradcheck(loss, values)


class _Loss(nn.Module):
    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, batch: Batch) -> Tensor:
        return self.learner.loss(batch, seeded())


def test_the_class_frequencies_loss_is_their_entropy() -> None:
    """Of frequencies 2/7, 3/7, 2/7; a class without a row adds nothing."""
    layer, batch = setting()
    learner = SupervisedLayer().build(layer, FeatureFacts.of(batch.inputs, CLASSES + 1), seeded(2))
    p = np.array([2, 3, 2]) / 7
    expected = -np.log(p[batch.targets.numpy()]).mean()
    assert learner.mean_predictor_loss(batch).item() == pytest.approx(expected, rel=1e-12)
    assert learner.mean_predictor_loss(Batch(batch.inputs, torch.full((7,), 2))).item() == 0.0


def test_the_head_is_drawn_from_the_generator_and_starts_without_a_bias() -> None:
    """Its weights are U(+-sqrt(6 / (4 + 3))): at the bound itself no draw lies, and the largest of 12 is near it."""
    layer, batch = setting()
    facts = FeatureFacts.of(batch.inputs, CLASSES)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    heads = [SupervisedLayer().build(layer, facts, seeded(number)).head for number in (2, 2, 3)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(heads[0].weight, heads[1].weight) and not torch.equal(heads[0].weight, heads[2].weight)
    assert 0.7 * (6 / 7) ** 0.5 < heads[0].weight.abs().max().item() < (6 / 7) ** 0.5
    assert heads[0].weight.shape == (CLASSES, 4) and not heads[0].bias.any()
    assert heads[0].weight.dtype == torch.float64


def test_a_convolution_with_batch_normalisation() -> None:
    """The head sees every element of the code, and measuring the code leaves buffers and modes as they are."""
    layer = Layer("0", [], nn.Conv2d(1, 3, 3, stride=2), [nn.BatchNorm2d(3), nn.ReLU()])
    before = copy.deepcopy(layer.state_dict())
    rows = torch.rand(8, 1, 9, 9, generator=seeded())
    learner = SupervisedLayer().build(layer, FeatureFacts.of(rows, 2), seeded(1))
    assert learner.head.in_features == 3 * 4 * 4
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert layer.training and layer.after[0].training
    batch = Batch(rows, torch.tensor([0, 1] * 4))
    learner.loss(batch, seeded()).backward()
    assert layer.module.weight.grad.abs().max() > 0
    with evaluation(learner):
        first, second = learner.clean_loss(batch), learner.clean_loss(batch)
    assert first == second


@pytest.mark.parametrize("classes", [0, 1])
def test_too_few_classes_are_refused(classes: int) -> None:
    layer, batch = setting()
    with pytest.raises(DataError, match=f"layer 'top': the targets have {classes} classes") as caught:
        SupervisedLayer().build(layer, FeatureFacts.of(batch.inputs, classes), seeded())
    assert "give targets" in caught.value.hint


@pytest.mark.parametrize("words", [{"grow_until": -0.1}, {"grow_until": float("nan")}, {"grow_untill": 0.1}])
def test_settings_out_of_bounds_are_refused(words: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(words))):
        SupervisedLayer(**words)


def test_it_is_a_value() -> None:
    assert SupervisedLayer() == SupervisedLayer(None) != SupervisedLayer(0.0)
    assert SupervisedLayer(0.01).grow_until == 0.01 and SupervisedLayer.needs_targets


def test_on_digits_a_stage_beats_the_class_frequencies() -> None:
    """Held out: 0.33 against 2.30 (measured), and the code it leaves separates the classes better than before."""
    rows, codes = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    rows = (rows / 16).float()
    dense = nn.Linear(64, 20)
    initialize(dense, "glorot-sigmoid", seeded())
    learner = SupervisedLayer().build(
        Layer("0", [], dense, [nn.Sigmoid()]), FeatureFacts.of(rows[:1300], 10), seeded(1)
    )
    randomness, plan = Randomness(0), TrainingPlan(epochs=10, batch_size=50)
    fit(learner, Batches(rows[:1300], codes[:1300], 50, randomness), plan, 0.5, Fitting("stage", randomness))
    held_out = Batch(rows[1300:], codes[1300:])
    with torch.no_grad():
        loss, chance = float(learner.clean_loss(held_out)), float(learner.mean_predictor_loss(held_out))
    assert 2.25 < chance < 2.31
    assert loss < 0.5
