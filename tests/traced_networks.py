"""Small networks of every kind that a graph is drawn of, each with a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from layerwise.nn.networks import Convolution, build_network
from layerwise.randomness import Randomness


class Residual(nn.Module):
    """A value that is used twice: by a branch, and by the sum after it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.head = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1)

    def forward(self, rows: Tensor) -> Tensor:
        below = torch.tanh(self.first(rows))
        return self.head(below + torch.tanh(self.inner(below)))


class Block(nn.Module):
    """A convolutional residual block with a projection, as in residual networks."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, padding=1), nn.BatchNorm2d(out)
        self.short = nn.Conv2d(channels, out, 1)

    def forward(self, images: Tensor) -> Tensor:
        above = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(images)))))
        return torch.relu(above + self.short(images))


class Flat(nn.Module):
    """Reshaping by the number of rows, pieces of a tensor, a number, a tensor that is no parameter, a shared module."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.scale = nn.Linear(4, 4), nn.Parameter(torch.tensor([0.5, -1.0]))
        self.register_buffer("shift", torch.tensor([1.0, 2.0]))

    def forward(self, images: Tensor) -> Tensor:
        rows = images.view(images.size(0), -1)
        left, right = self.shared(torch.sigmoid(self.shared(rows))).chunk(2, dim=1)
        return (left * right * left + self.shift) * self.scale / 3


def dense() -> nn.Module:
    return build_network(5, (4, 3), 2, activation="tanh", randomness=Randomness(0))


def convolutional() -> nn.Module:
    return build_network(
        64, (6,), 3, convolutions=[Convolution(2, kernel=3)], image_shape=(8, 8), activation="relu", batch_norm=True,
        dropout=0.5, randomness=Randomness(0),
    )  # fmt: skip


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Sigmoid(), nn.Linear(2, 2))


def blocks() -> nn.Module:
    return nn.Sequential(Block(1, 2), Block(2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense": (dense, (4, 5)),
    "convolutional": (convolutional, (6, 64)),
    "normalised": (normalised, (5, 3)),
    "residual": (Residual, (2, 2)),
    "blocks": (blocks, (3, 1, 4, 4)),
    "flat": (Flat, (3, 2, 2)),
}


def network_of(name: str) -> tuple[nn.Module, Tensor]:
    """Return a network in float64 and in training, with a batch, the same at each call."""
    build, shape = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build().double()
        return network, torch.randn(shape, dtype=torch.float64)
