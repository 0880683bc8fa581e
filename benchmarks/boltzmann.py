"""Restricted Boltzmann machines, 784 visible and 1000 hidden units: CD-1 against learnergy, PCD-1 against scikit-learn.

All sides start from the same small weights and biases of zero, with the same learning rate. Each one's loss is the
cross-entropy of clean test rows, reconstructed once from the mean of the hidden units. For PCD scikit-learn's is the
higher one early in training, because it draws the chains' hidden units before the weights change and not after it: a
plain loop of ten lines shows the same difference between the two orders. The work of an update is the same.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import torch
from sklearn.neural_network import BernoulliRBM
from torch import Tensor
from torch.utils.data import TensorDataset

from layerwise.data.mnist import load_mnist
from layerwise.nn.cutting import cut
from layerwise.nn.networks import build_network
from layerwise.objectives import RBM
from layerwise.objectives.objective import FeatureFacts
from layerwise.plan import PretrainPlan
from layerwise.randomness import Randomness

from .engine import BATCH, RATE, Portions, Told, engine
from .layers import JUDGED, clean_loss
from .report import Bar, Line, compared, unmeasured
from .timing import Side, interleave, stopwatch

UPDATES, ROUNDS = 60, 10


def start(units: int, features: int) -> Tensor:
    """Return the weights (units, features) that every side starts from."""
    return 0.01 * torch.randn(units, features, generator=torch.Generator().manual_seed(0))


def ours(name: str, settings: RBM, rows: Tensor, judged: Tensor, units: int) -> Side:
    """Return this package's side."""
    network = build_network(rows.shape[1], (units,), 10, randomness=Randomness(0))
    layer = cut(network)[0]
    learner = settings.build(layer, FeatureFacts.of(rows), torch.Generator().manual_seed(0))
    module, visible = layer.module, learner.decoder.bias
    module.weight.data.copy_(start(units, rows.shape[1]))
    module.bias.data.zero_()
    visible.data.zero_()
    plan = PretrainPlan(epochs=1, batch_size=BATCH)
    return engine(name, learner, Portions(rows), plan, lambda: clean_loss(module.weight, module.bias, visible, judged))


def learnergys(rows: Tensor, judged: Tensor, units: int) -> Side:
    """Return learnergy's side: its own ``fit``, one epoch of a portion a round."""
    from learnergy.models.bernoulli.rbm import RBM as Peer

    peer = Peer(n_visible=rows.shape[1], n_hidden=units, steps=1, learning_rate=RATE, use_gpu=False)
    peer.W.data.copy_(start(units, rows.shape[1]).t())
    portions = Portions(rows, torch.zeros(len(rows)))

    def updates(count: int) -> float:
        dataset = TensorDataset(*portions(count))
        return stopwatch(lambda: peer.fit(dataset, batch_size=BATCH, epochs=1))

    return Side("learnergy's RBM", updates, lambda: clean_loss(peer.W.t(), peer.b, peer.a, judged))


def scikit_learns(rows: Tensor, judged: Tensor, units: int) -> Side:
    """Return scikit-learn's side, in float32.

    Its ``partial_fit`` computes in float64; ``fit`` keeps float32, and calls ``_fit`` for each batch. So that it is
    not timed in the wider type, this calls ``_fit`` as ``fit`` does.
    """
    peer = BernoulliRBM(n_components=units, learning_rate=RATE, batch_size=BATCH, n_iter=1, random_state=0)
    peer.fit(rows[:BATCH].numpy())  # allocates everything; the values are put back to the start
    peer.components_[...] = start(units, rows.shape[1]).numpy()
    peer.intercept_hidden_[...] = 0.0
    peer.intercept_visible_[...] = 0.0
    draw, portions = np.random.RandomState(0), Portions(rows)

    def updates(count: int) -> float:
        batches = portions(count)[0].numpy().reshape(count, BATCH, -1)
        return stopwatch(lambda: [peer._fit(batch, draw) for batch in batches])

    def loss() -> float:
        parts = (peer.components_, peer.intercept_hidden_, peer.intercept_visible_)
        weight, hidden, visible = (torch.as_tensor(part, dtype=torch.float32) for part in parts)
        return clean_loss(weight, hidden, visible, judged)

    return Side("scikit-learn's BernoulliRBM", updates, loss)


def compare(
    rows: Tensor, judged: Tensor, units: int, updates: int, rounds: int, told: Told = lambda line: None
) -> list[Line]:
    """Time both kinds of machine; learnergy's where it is installed."""
    cd, pcd = "RBM 784-1000, CD-1", "RBM 784-1000, PCD-1"
    cd_bar, pcd_bar = Bar(4.0, 6.0), Bar(2.0, 3.0)
    sides = [
        ours("PCD-1", RBM(estimator="pcd", chains=BATCH), rows, judged, units),
        scikit_learns(rows, judged, units),
    ]
    installed = find_spec("learnergy") is not None
    if installed:
        sides += [ours("CD-1", RBM(), rows, judged, units), learnergys(rows, judged, units)]
    timed = interleave(sides, updates, rounds, told)
    first = (
        compared(cd, timed[2], timed[3], cd_bar)
        if installed
        else unmeasured(cd, "learnergy's RBM", cd_bar, "learnergy is not installed")
    )
    return [first, compared(pcd, timed[0], timed[1], pcd_bar)]


def measure(told: Told) -> list[Line]:
    """Time on MNIST."""
    mnist = load_mnist()
    return compare(mnist.inputs, mnist.test_inputs[:JUDGED], 1000, UPDATES, ROUNDS, told)
