"""The sparse auto-encoder: reconstruct from a code in which few units are active."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import ClassVar, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Generator

from ..nn.decoder import TiedGradient
from ..nn.layers import Layer
from .autoencoder import AutoencoderLearner, DecoderBias, DecoderName, LossName
from .objective import FeatureFacts
from .penalties import KLSparsity, Penalty, Sparsity


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SparseAutoencoder:
    r"""Train a layer to reconstruct its input from a sparse code.

    .. math:: \ell(x, z) + \lambda \, \Omega(h)

    The loss is that of `Autoencoder`.

    Parameters
    ----------
    sparsity : KLSparsity or L1Sparsity
        :math:`\lambda\,\Omega`. `KLSparsity` keeps each unit's mean activation near a target and needs a sigmoid layer;
        `L1Sparsity` pays for the size of the code.
    loss, decoder, tied, tied_gradient, decoder_bias, penalties
        As in `Autoencoder`. With tied weights and L1 the weights cannot grow to make up for a small code.

    References
    ----------
    Ng (2011), Sparse autoencoder, CS294A lecture notes. Bengio (2009), Learning deep architectures for AI, section 7.1.

    Examples
    --------
    >>> from layerwise.objectives.penalties import L1Sparsity
    >>> SparseAutoencoder(L1Sparsity(0.1)).sparsity.weight
    0.1
    """

    needs_targets: ClassVar[bool] = False
    sparsity: Sparsity = KLSparsity()
    _: KW_ONLY
    loss: LossName = "auto"
    decoder: DecoderName = "auto"
    tied: bool = True
    tied_gradient: TiedGradient = "full"
    decoder_bias: DecoderBias = "mean"
    penalties: tuple[Penalty, ...] = ()
    kind: Literal["sparse"] = "sparse"

    def build(self, layer: Layer, facts: FeatureFacts, generator: Generator) -> AutoencoderLearner:
        """Build the learner of a layer from what is known of its inputs."""
        return AutoencoderLearner(self, layer, facts, (self.sparsity, *self.penalties))
