"""Models so small that every state can be written down, and their distributions computed by enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from layerwise.nn.decoder import Decoder
from layerwise.nn.layers import Layer
from layerwise.objectives.objective import Objective
from layerwise.stack import Stack


def binary(width: int) -> np.ndarray:
    """All binary rows of a width, shape (2^width, width)."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=width)))


def number(rows: Tensor) -> np.ndarray:
    """The place of each binary row in `binary`."""
    return (rows.numpy() @ 2.0 ** np.arange(rows.shape[1])[::-1]).astype(int)


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def products(means: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Probability of each binary row under each row of means: shape (means, rows)."""
    return np.prod(np.where(rows[None] == 1, means[:, None], 1 - means[:, None]), axis=2)


def stationary(transition: np.ndarray) -> np.ndarray:
    """The distribution that a transition matrix leaves as it is."""
    values, vectors = np.linalg.eig(transition.T)
    vector = np.real(vectors[:, np.argmax(np.real(values))])
    return vector / vector.sum()


def stack_of(widths: list[int], objectives: list[Objective], output: str = "sigmoid", scale: float = 1.5) -> Stack:
    """Sigmoid layers with random weights and biases, large enough that units depend on each other."""
    draw = np.random.default_rng(5)
    layers, decoders = [], []
    for name, (below, above) in enumerate(itertools.pairwise(widths)):
        dense = nn.Linear(below, above, dtype=torch.float64)
        decoder = Decoder(dense, output=output)  # type: ignore[arg-type]
        with torch.no_grad():
            for parameter in (dense.weight, dense.bias, decoder.bias):
                parameter.copy_(torch.from_numpy(draw.normal(0, scale, parameter.shape)))
        layers.append(Layer(str(name), [], dense, [nn.Sigmoid()]))
        decoders.append(decoder)
    return Stack(layers, decoders, objectives)


def parameters(stack: Stack, at: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W, the hidden bias and the visible bias of a layer."""
    module, decoder = stack.layers[at].module, stack.decoders[at]
    assert decoder is not None
    return tuple(value.detach().numpy() for value in (module.weight, module.bias, decoder.bias))  # type: ignore[return-value]


def rbm_joint(stack: Stack, at: int = 0) -> np.ndarray:
    """p(v, h) of a Boltzmann machine of binary units, by its energy: shape (2^visible, 2^hidden)."""
    weight, hidden_bias, visible_bias = parameters(stack, at)
    v, h = binary(weight.shape[1]), binary(weight.shape[0])
    weights = np.exp((v @ visible_bias)[:, None] + (h @ hidden_bias)[None] + v @ weight.T @ h.T)
    return weights / weights.sum()


def surprise(places: np.ndarray, expected: np.ndarray) -> float:
    """The chance of counts as far from the expected probabilities as these (chi-square)."""
    counts = np.bincount(places, minlength=len(expected))
    return float(stats.chisquare(counts, expected * counts.sum()).pvalue)
