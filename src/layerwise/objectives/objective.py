"""What an objective and its learner promise to the training loop, and what they are told of their inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from ..data.batches import Batch
from ..data.features import Features, as_features, blocks
from ..data.sparse_features import Sparse
from ..nn.chain import Products
from ..nn.decoder import Decoder
from ..nn.layers import Layer


@dataclass(frozen=True)
class FeatureFacts:
    """What is known of a layer's clean inputs before it is trained.

    Attributes
    ----------
    rows : int
        Number of rows.
    minimum, maximum : float
        Over all elements.
    mean : Tensor
        Mean of each element over rows, in the shape of one row: (features,) or (channels, height, width); float64.
    classes : int
        Number of classes of the targets; 0 when there are none.
    sparse : bool
        Whether the rows are sparse.
    """

    rows: int
    minimum: float
    maximum: float
    mean: Tensor
    classes: int = 0
    sparse: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return tuple(self.mean.shape)

    @property
    def width(self) -> int:
        """Number of elements of one row."""
        return math.prod(self.mean.shape)

    @property
    def unit_interval(self) -> bool:
        """Whether every element lies in [0, 1]."""
        return self.minimum >= 0.0 and self.maximum <= 1.0

    @classmethod
    def of(cls, features: Tensor | Features, classes: int = 0) -> FeatureFacts:
        """Gather the facts of rows (rows, ...), block by block.

        Examples
        --------
        >>> facts = FeatureFacts.of(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
        >>> facts.mean.tolist(), facts.shape, facts.unit_interval
        ([0.5, 1.0], (2,), True)
        """
        if isinstance(features, Sparse):
            return cls(features.shape[0], *features.extent, features.mean, classes, features.item is None)
        total = torch.zeros(features.shape[1:], dtype=torch.float64, device=features.device)
        low, high = float("inf"), float("-inf")
        for block in blocks(as_features(features), 4096):
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            total += block.sum(0, dtype=torch.float64)
        return cls(features.shape[0], low, high, total / features.shape[0], classes)


class Learner(Protocol):
    """The trainable module that an objective builds around a layer (an ``nn.Module``).

    Buffers hold whatever state an objective keeps besides its parameters; loaded state overrides initialisation.
    """

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return the loss to minimise: summed over features, averaged over the rows of the batch."""

    def after_update(self) -> None:
        """Project parameters back where they must be, after each update."""


class LayerLearner(Learner, Protocol):
    """A learner of the greedy procedure: it can say, without noise, how well its layer does.

    Attributes
    ----------
    layer : Layer
        What is trained.
    decoder : Decoder or None
        Maps codes back to the layer's inputs, where the objective has such a map.
    loss_name : str
        What `clean_loss` is: "squared", "cross_entropy" (both of a reconstruction), "classification", "ranking".
    """

    layer: Layer
    loss_name: str

    @property
    def decoder(self) -> Decoder | None:
        """The way back from the codes, or None."""

    def clean_loss(self, batch: Batch) -> Tensor:
        """Return the loss on clean rows, the same at every call; averaged over rows."""

    def mean_predictor_loss(self, batch: Batch) -> Tensor:
        """Return the loss of the best prediction that does not look at the row, in the unit of `clean_loss`."""


@dataclass(frozen=True)
class Factors:
    r"""A loss and the gradient of it, not multiplied out.

    Attributes
    ----------
    loss : Tensor
        Of the batch, detached.
    products : dict of Parameter to list of (Tensor, Tensor or None)
        The gradient of a parameter is ``scale`` times the sum of :math:`A^\top B` over its pairs, None standing for a
        column of ones; a factor may be sparse rows (CSR). The step leaves out what is not trained.
    scale : float
        What all products have in common, 1 / rows.
    """

    loss: Tensor
    products: Products
    scale: float


@runtime_checkable
class HasFactors(Protocol):
    """A learner that can state its gradient as factors, from which a step updates the weights without autograd."""

    def factored(self, shape: Sequence[int]) -> bool:
        """Say whether `factors` holds for this learner and rows of this shape."""

    def factors(self, batch: Batch, generator: Generator) -> Factors:
        """Return the loss that `loss` gives for the same draws, and the factors of its gradient."""


class Objective(Protocol):
    """How one layer is trained."""

    needs_targets: ClassVar[bool]
    kind: str

    def build(self, layer: Layer, facts: FeatureFacts, generator: Generator) -> LayerLearner:
        """Build the learner of a layer from what is known of its inputs; what it draws comes from the generator."""


def fed(objective: Objective, rows: Features) -> Features:
    """Return rows as an objective takes them: sparse ones dense, a batch at a time, where it can't use sparse ones.

    An objective says by ``takes_sparse`` that it has.

    Examples
    --------
    >>> from layerwise.objectives.rbm import RBM
    >>> fed(RBM(), as_features(torch.eye(2).to_sparse_csr())).read(0, 1).layout
    torch.strided
    """
    return rows.dense() if isinstance(rows, Sparse) and not getattr(objective, "takes_sparse", False) else rows
