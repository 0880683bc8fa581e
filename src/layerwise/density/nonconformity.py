"""Nonconformity: how unlike the rows that a stack was trained on a row is, measured in five ways; more is stranger.

Each measure is a frozen value. Two compare codes with those of reference rows, and learn from these first; the others
need the stack alone.
"""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Generator, Tensor

from ..data.features import numpy_of
from ..nn.corruption import GaussianNoise, Masking, SaltAndPepper
from ..stack import Stack
from .energy import energy_model, free_energy

VALUE = ConfigDict(extra="forbid")
Count = Annotated[int, Field(ge=1)]
Depth = Annotated[int, Field(ge=1)] | None


class Nonconformity(Protocol):
    """A way to measure how strange a row is."""

    kind: str
    needs_reference: ClassVar[bool]

    def fit(self, stack: Stack, reference: Tensor | None) -> Any:
        """Return what the measure has to know of the reference rows, None where that is nothing."""

    def measure(self, stack: Stack, fitted: Any, rows: Tensor, generator: Generator) -> Tensor:
        """Return one number for each of the rows (rows, ...): more is stranger."""


@dataclass(frozen=True, config=VALUE)
class ReconstructionError:
    r"""The squared error of reconstructing a row, :math:`\lVert x - r(x) \rVert^2`.

    It grows with the row: where rows differ in size for no reason of theirs, scale them to one length first.

    Parameters
    ----------
    depth : int or None
        Layers to encode through and decode from; None: all.

    Examples
    --------
    >>> ReconstructionError(1).depth
    1
    """

    needs_reference: ClassVar[bool] = False
    depth: Depth = None
    kind: Literal["reconstruction"] = "reconstruction"

    def fit(self, stack: Stack, reference: Tensor | None) -> None:
        """Nothing is learned from rows."""

    def measure(self, stack: Stack, fitted: None, rows: Tensor, generator: Generator) -> Tensor:
        """Return the error of each row."""
        return _error(rows, stack.reconstruct(rows, self.depth))


@dataclass(frozen=True, config=VALUE)
class DenoisingError:
    r"""The squared error of undoing noise, :math:`\lVert x - r(\tilde x) \rVert^2`, averaged over draws of the noise.

    Noise keeps the reconstruction from copying what it never saw. It differs from row to row, and is the same again
    for the same rows in the same order.

    Parameters
    ----------
    corruption : noise
        `Masking`, `GaussianNoise` or `SaltAndPepper`, on the input; more than was trained with may tell more. Not swap
        noise: a row's error would depend on the rows that are measured with it.
    draws : int
        The mean is over so many.
    depth : int or None
        As in `ReconstructionError`.

    Examples
    --------
    >>> DenoisingError(Masking(0.25), draws=8).draws
    8
    """

    needs_reference: ClassVar[bool] = False
    corruption: Annotated[Masking | GaussianNoise | SaltAndPepper, Field(discriminator="kind")] = Masking(0.5)
    _: KW_ONLY
    draws: Count = 4
    depth: Depth = None
    kind: Literal["denoising"] = "denoising"

    def fit(self, stack: Stack, reference: Tensor | None) -> None:
        """Nothing is learned from rows."""

    def measure(self, stack: Stack, fitted: None, rows: Tensor, generator: Generator) -> Tensor:
        """Return the mean error of each row over the draws of noise."""
        noisy = (self.corruption(rows, generator) for _ in range(self.draws))
        return torch.stack([_error(rows, stack.reconstruct(some, self.depth)) for some in noisy]).mean(0)


@dataclass(frozen=True, config=VALUE)
class Energy:
    r"""The energy of a row under one layer's model, :math:`-\log p(x)` up to a constant (`free_energy`).

    Parameters
    ----------
    layer : int
        An RBM, or a tied denoising auto-encoder with Gaussian noise; above the first its energy is of the code below.

    Examples
    --------
    >>> Energy().layer
    1
    """

    needs_reference: ClassVar[bool] = False
    layer: Count = 1
    kind: Literal["energy"] = "energy"

    def fit(self, stack: Stack, reference: Tensor | None) -> None:
        """Learn nothing, but refuse a layer that is no model of its rows."""
        energy_model(stack, self.layer)

    def measure(self, stack: Stack, fitted: None, rows: Tensor, generator: Generator) -> Tensor:
        """Return the energy of each row."""
        return free_energy(stack, stack.encode(rows, self.layer - 1), layer=self.layer)


@dataclass(frozen=True, config=VALUE)
class MahalanobisDistance:
    r"""The squared distance of a row's code from the reference codes' mean, in units of their spread.

    .. math:: (h - \mu)^\top \Sigma^{-1} (h - \mu), \qquad \Sigma \text{ shrunk by Ledoit and Wolf's rule}

    Parameters
    ----------
    depth : int or None
        Of the codes; None: all layers.

    References
    ----------
    Ledoit & Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices.

    Examples
    --------
    >>> MahalanobisDistance(1).depth
    1
    """

    needs_reference: ClassVar[bool] = True
    depth: Depth = None
    kind: Literal["mahalanobis"] = "mahalanobis"

    def fit(self, stack: Stack, reference: Tensor | None) -> Any:
        """Return the mean and covariance of the reference rows' codes."""
        assert reference is not None
        return LedoitWolf().fit(_codes(stack, reference, self.depth))

    def measure(self, stack: Stack, fitted: Any, rows: Tensor, generator: Generator) -> Tensor:
        """Return the squared distance of each row."""
        return torch.from_numpy(fitted.mahalanobis(_codes(stack, rows, self.depth)))


@dataclass(frozen=True, config=VALUE)
class NeighbourDistance:
    """The mean distance of a row's code from the nearest codes of the reference rows.

    It asks for no shape of the usual codes: they may lie in many clusters, where one mean and covariance do not tell
    the gaps between them from what lies in them.

    Parameters
    ----------
    neighbours : int
        How many.
    depth : int or None
        Of the codes; None: all layers.
    components : int or None
        Distances are between the codes' first principal components, each scaled to variance 1 over the reference rows;
        None: between the codes as they are. Fewer are taken of codes that have fewer, or of fewer reference rows.

    References
    ----------
    Ramaswamy, Rastogi & Shim (2000), Efficient algorithms for mining outliers from large data sets.

    Examples
    --------
    >>> NeighbourDistance(depth=1).components
    20
    """

    needs_reference: ClassVar[bool] = True
    neighbours: Count = 5
    _: KW_ONLY
    depth: Depth = None
    components: Count | None = 20
    kind: Literal["neighbours"] = "neighbours"

    def fit(self, stack: Stack, reference: Tensor | None) -> Any:
        """Return the components of the reference rows' codes, and an index of the codes in them."""
        assert reference is not None
        codes = _codes(stack, reference, self.depth)
        components = None
        if self.components is not None:
            components = PCA(min(self.components, *codes.shape), whiten=True, svd_solver="covariance_eigh").fit(codes)
            codes = components.transform(codes)
        return components, NearestNeighbors(n_neighbors=self.neighbours, algorithm="brute").fit(codes)

    def measure(self, stack: Stack, fitted: Any, rows: Tensor, generator: Generator) -> Tensor:
        """Return the mean distance of each row."""
        components, index = fitted
        codes = _codes(stack, rows, self.depth)
        distances, _ = index.kneighbors(codes if components is None else components.transform(codes))
        return torch.from_numpy(distances.mean(1))


AnyNonconformity = Annotated[
    ReconstructionError | DenoisingError | Energy | MahalanobisDistance | NeighbourDistance, Field(discriminator="kind")
]


def _error(rows: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the squared error of each row's reconstruction."""
    return (rows.flatten(1).to(reconstruction) - reconstruction.flatten(1)).square().sum(1)


def _codes(stack: Stack, rows: Tensor, depth: int | None) -> np.ndarray:
    return numpy_of(stack.encode(rows, depth).flatten(1))
