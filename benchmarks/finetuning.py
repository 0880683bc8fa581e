"""Fine-tuning 784-1000-1000-1000-10: against plain PyTorch, and against scikit-learn's MLPClassifier.

All sides start from the same weights; each one's loss is the mean cross-entropy of test rows.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn

from layerwise.data.mnist import load_mnist
from layerwise.nn.networks import build_network, dense_modules
from layerwise.objectives.classification import Classifier
from layerwise.plan import FinetunePlan
from layerwise.randomness import Randomness

from .engine import BATCH, RATE, Portions, Told, engine
from .layers import JUDGED
from .plain import plain
from .report import Bar, Line, compared
from .timing import Side, interleave, stopwatch

UPDATES, ROUNDS = 60, 10
CLASSES = 10
Rows = tuple[Tensor, Tensor]


def loss_of(network: nn.Module, judged: Rows) -> float:
    """Return a network's mean cross-entropy on labelled rows."""
    with torch.no_grad():
        return float(nn.functional.cross_entropy(network(judged[0]), judged[1]))


def scikit_learns(network: nn.Sequential, rows: Rows, judged: Rows) -> Side:
    """Return scikit-learn's side, in float32: ``partial_fit`` makes one shuffled pass in batches of its batch size."""
    modules = dense_modules(network)
    peer = MLPClassifier(
        tuple(module.out_features for module in modules[:-1]), activation="logistic", solver="sgd", alpha=0.0,
        batch_size=BATCH, learning_rate_init=RATE, momentum=0.0, nesterovs_momentum=False, random_state=0,
    )  # fmt: skip
    peer.partial_fit(rows[0][:BATCH].numpy(), rows[1][:BATCH].numpy(), classes=np.arange(CLASSES))
    for weight, bias, module in zip(peer.coefs_, peer.intercepts_, modules, strict=True):
        weight[...] = module.weight.detach().t().numpy()
        bias[...] = module.bias.detach().numpy()
    portions = Portions(*rows)

    def updates(count: int) -> float:
        inputs, targets = (part.numpy() for part in portions(count))
        return stopwatch(lambda: peer.partial_fit(inputs, targets))

    def loss() -> float:
        probability = peer.predict_proba(judged[0].numpy())
        return float(-np.log(probability[np.arange(len(probability)), judged[1].numpy()]).mean())

    return Side("scikit-learn's MLPClassifier", updates, loss)


def compare(
    rows: Rows, judged: Rows, widths: tuple[int, ...], updates: int, rounds: int, told: Told = lambda line: None
) -> list[Line]:
    """Time the three sides."""
    network = build_network(rows[0].shape[1], widths, CLASSES, randomness=Randomness(0))
    model = copy.deepcopy(network)
    plan = FinetunePlan(epochs=1, batch_size=BATCH, momentum=0.0)

    def plain_loss(inputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(inputs), targets)

    other = scikit_learns(network, rows, judged)
    sides = [
        engine("fine-tuning", Classifier(network), Portions(*rows), plan, lambda: loss_of(network, judged)),
        plain("plain PyTorch with DataLoader", model, plain_loss, Portions(*rows), lambda: loss_of(model, judged)),
        other,
    ]
    mine, loader, mlp = interleave(sides, updates, rounds, told)
    return [
        compared("fine-tuning 784-1000x3-10, float32", mine, loader, Bar(1.7, 2.3)),
        compared("the same", mine, mlp, Bar(2.4, 4.0)),
    ]


def measure(told: Told) -> list[Line]:
    """Time on MNIST."""
    mnist = load_mnist()
    judged = (mnist.test_inputs[:JUDGED], mnist.test_targets[:JUDGED])
    return compare((mnist.inputs, mnist.targets), judged, (1000,) * 3, UPDATES, ROUNDS, told)
