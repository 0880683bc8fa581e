"""The denoising auto-encoder: reconstruct the clean input from a corrupted copy."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import ClassVar, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from ..nn.corruption import Corruption, Masking
from ..nn.decoder import TiedGradient
from ..nn.layers import Layer
from .autoencoder import AutoencoderLearner, DecoderBias, DecoderName, LossName
from .objective import FeatureFacts


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DenoisingAutoencoder:
    r"""Train a layer to undo corruption.

    .. math::
        \tilde x \sim q(\tilde x \mid x), \qquad h = s(W \tilde x + b), \qquad z = g(\tilde W h + c), \qquad
        \text{minimise } \ell(x, z)

    The target is the clean x, and the loss is that of `Autoencoder`: summed over features, averaged over rows. Each
    layer corrupts its own input, and only while it is trained; the next layer is fed the clean code.

    Parameters
    ----------
    corruption : Corruption
        `Masking`, `GaussianNoise` or `SaltAndPepper`.
    loss, decoder, tied, tied_gradient, decoder_bias
        As in `Autoencoder`.

    References
    ----------
    Vincent et al. (2010), Stacked denoising autoencoders, JMLR 11.

    Examples
    --------
    >>> from layerwise.nn.corruption import GaussianNoise
    >>> DenoisingAutoencoder(GaussianNoise(0.3)).corruption.std
    0.3
    """

    needs_targets: ClassVar[bool] = False
    corruption: Corruption = Masking(0.25)
    _: KW_ONLY
    loss: LossName = "auto"
    decoder: DecoderName = "auto"
    tied: bool = True
    tied_gradient: TiedGradient = "full"
    decoder_bias: DecoderBias = "mean"
    kind: Literal["denoising"] = "denoising"

    def build(self, layer: Layer, facts: FeatureFacts) -> AutoencoderLearner:
        """Build the learner of a layer from what is known of its inputs."""
        return AutoencoderLearner(
            layer, facts, self.loss, self.decoder, self.tied, self.tied_gradient, self.decoder_bias, self.corruption
        )
