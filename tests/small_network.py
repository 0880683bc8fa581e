"""Rows with structure to learn, and a network small enough to train in a moment."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

ROWS = 50


def inputs(rows: int = ROWS, features: int = 12, seed: int = 0) -> Tensor:
    """Rows in [0, 1] with structure to learn: mixtures of a few patterns."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.rand(4, features, generator=generator)
    weights = torch.softmax(3 * torch.randn(rows, 4, generator=generator), dim=1)
    return weights @ patterns


def build(
    features: int = 12, dtype: torch.dtype = torch.float32, activation: type[nn.Module] = nn.Sigmoid
) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = nn.Sequential(nn.Linear(features, 9), activation(), nn.Linear(9, 6), activation(), nn.Linear(6, 3))
    return network.to(dtype)


def uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Multiples of 2^-16 in [0, 1), as corruption draws them: the four quarters of each word of the generator."""
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    quarters = words.numpy().view(np.int16)[:count].reshape(shape)
    return torch.from_numpy((quarters.astype(float) + 2**15) / 2**16)


def binary(probability: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Units, 0 or 1, as `bernoulli` draws them: by the middles of the 2^16 parts of [0, 1]."""
    return (uniform(probability.shape, generator).numpy() + 2**-17 < probability).astype(float)


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
