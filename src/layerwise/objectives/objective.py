"""What an objective and its learner promise to the training loop, and what they are told of their inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Generator, Tensor

from ..data.batches import Batch
from ..nn.decoder import Decoder
from ..nn.layers import Layer


@dataclass(frozen=True)
class FeatureFacts:
    """What is known of a layer's clean inputs before it is trained.

    Attributes
    ----------
    rows, width : int
        Number of rows and of features.
    minimum, maximum : float
        Over all elements.
    mean : Tensor
        Mean of each feature, shape (width,), float64.
    variance : float
        Total variance: the sum over features of each one's variance.
    """

    rows: int
    width: int
    minimum: float
    maximum: float
    mean: Tensor
    variance: float

    @property
    def unit_interval(self) -> bool:
        """Whether every element lies in [0, 1]."""
        return self.minimum >= 0.0 and self.maximum <= 1.0

    @classmethod
    def of(cls, features: Tensor) -> FeatureFacts:
        """Gather the facts of rows (rows, width), block by block.

        Examples
        --------
        >>> facts = FeatureFacts.of(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
        >>> facts.mean.tolist(), facts.variance, facts.unit_interval
        ([0.5, 1.0], 0.25, True)
        """
        total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
        square = torch.zeros_like(total)
        low, high = float("inf"), float("-inf")
        for block in features.split(4096):
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            wide = block.double()
            total += wide.sum(0)
            square += wide.square().sum(0)
        mean = total / len(features)
        variance = float((square / len(features) - mean.square()).clamp(min=0).sum())
        return cls(len(features), features.shape[1], low, high, mean, variance)


class Learner(Protocol):
    """The trainable module that an objective builds around a layer (an ``nn.Module``).

    Buffers hold whatever state an objective keeps besides its parameters; loaded state overrides initialisation.
    """

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return the loss to minimise: summed over features, averaged over the rows of the batch."""

    def after_update(self) -> None:
        """Project parameters back where they must be, after each update."""


class LayerLearner(Learner, Protocol):
    """A learner of the greedy procedure: it can say how well it reconstructs clean rows."""

    layer: Layer
    decoder: Decoder
    loss_name: str

    def reconstruct(self, inputs: Tensor) -> Tensor:
        """Encode and decode clean rows (rows, width)."""

    def reconstruction_loss(self, reconstruction: Tensor, inputs: Tensor) -> Tensor:
        """Return the loss of a given reconstruction, in the unit of ``loss``."""


class Objective(Protocol):
    """How one layer is trained."""

    needs_targets: ClassVar[bool]
    kind: str

    def build(self, layer: Layer, facts: FeatureFacts) -> LayerLearner:
        """Build the learner of a layer from what is known of its inputs."""
