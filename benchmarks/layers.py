"""One layer, 784 inputs and 1000 units: the denoising auto-encoder, against autograd and against its bare products."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from layerwise.data.mnist import load_mnist
from layerwise.nn.cutting import cut
from layerwise.nn.networks import build_network
from layerwise.objectives import DenoisingAutoencoder
from layerwise.objectives.autoencoder import AutoencoderLearner
from layerwise.objectives.objective import FeatureFacts
from layerwise.plan import PretrainPlan
from layerwise.randomness import Randomness
from layerwise.training.device import exact_float32

from .engine import BATCH, Portions, Told, engine
from .plain import PlainDenoisingAutoencoder, plain
from .report import Bar, Line, compared
from .timing import Side, interleave, stopwatch

UPDATES, ROUNDS = 100, 12
JUDGED = 1000  # test rows


def clean_loss(weight: Tensor, hidden: Tensor, visible: Tensor, rows: Tensor) -> float:
    """Return the cross-entropy of clean rows' reconstruction from their codes, summed over features."""
    with torch.no_grad():
        codes = torch.sigmoid(nn.functional.linear(rows, weight, hidden))
        activation = nn.functional.linear(codes, weight.t(), visible)
        total = nn.functional.binary_cross_entropy_with_logits(activation, rows, reduction="sum")
    return float(total) / len(rows)


def denoising_learner(rows: Tensor, units: int) -> AutoencoderLearner:
    """Build the learner of a first layer; two of them start from the same weights."""
    network = build_network(rows.shape[1], (units,), 10, randomness=Randomness(0))
    return DenoisingAutoencoder().build(cut(network)[0], FeatureFacts.of(rows), torch.Generator())


def ours(name: str, rows: Tensor, judged: Tensor, units: int, plan: PretrainPlan) -> Side:
    """Return this package's side."""
    learner = denoising_learner(rows, units)
    module = learner.layer.module
    return engine(
        name, learner, Portions(rows), plan,
        lambda: clean_loss(module.weight, module.bias, learner.decoder.bias, judged),
    )  # fmt: skip


def autograd(rows: Tensor, judged: Tensor, units: int) -> Side:
    """Return the side that people write, started from the same weights."""
    learner = denoising_learner(rows, units)
    model = PlainDenoisingAutoencoder(rows.shape[1], units)
    model.encoder.load_state_dict(learner.layer.module.state_dict())
    model.bias.data.copy_(learner.decoder.bias.detach())
    return plain(
        "DataLoader + autograd + SGD", model, model.loss, Portions(rows),
        lambda: clean_loss(model.encoder.weight, model.encoder.bias, model.bias, judged),
    )  # fmt: skip


def products(features: int, units: int) -> Side:
    """Return the five matrix products of one update and nothing else, into memory that is there already."""
    draw = torch.Generator().manual_seed(0)
    weight = 0.1 * torch.randn(units, features, generator=draw)
    rows = torch.rand(BATCH, features, generator=draw)
    codes, upward = torch.empty(BATCH, units), torch.empty(BATCH, units)
    decoded = torch.empty(BATCH, features)
    little = -1e-9  # the weights stay as they are, however many updates are timed

    def update() -> None:
        torch.mm(rows, weight.t(), out=codes)
        torch.mm(codes, weight, out=decoded)
        torch.mm(decoded, weight.t(), out=upward)
        weight.addmm_(codes.t(), decoded, alpha=little)
        weight.addmm_(upward.t(), rows, alpha=little)

    def all_of(count: int) -> None:
        for _ in range(count):
            update()

    def updates(count: int) -> float:
        with exact_float32():
            return stopwatch(lambda: all_of(count))

    return Side("five matrix products", updates)


def compare(
    rows: Tensor, judged: Tensor, units: int, updates: int, rounds: int, told: Told = lambda line: None
) -> list[Line]:
    """Time the layer."""
    plan = PretrainPlan(epochs=1, batch_size=BATCH)
    sides = [
        ours("float32", rows, judged, units, plan),
        ours("bfloat16", rows, judged, units, plan.model_copy(update={"precision": "bfloat16"})),
        autograd(rows, judged, units),
        products(rows.shape[1], units),
    ]
    single, half, loader, five = interleave(sides, updates, rounds, told)
    return [
        compared("DAE layer 784-1000, float32", single, loader, Bar(2.2, 3.0)),
        compared("the same", single, five, Bar(1.4, 1.15, most=True)),
        compared("five matrix products: about what float32 allows", five, loader, None),
        compared("DAE layer 784-1000, bfloat16", half, replace(loader, name=f"{loader.name}, float32"), Bar(3.8, 5.0)),
    ]


def measure(told: Told) -> list[Line]:
    """Time on MNIST."""
    mnist = load_mnist()
    return compare(mnist.inputs, mnist.test_inputs[:JUDGED], 1000, UPDATES, ROUNDS, told)
