"""The denoising auto-encoder: reconstruct the clean input from a corrupted copy."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Generator

from ..nn.corruption import Corruption, GaussianNoise, Masking
from ..nn.decoder import TiedGradient
from ..nn.layers import Layer
from .autoencoder import AutoencoderLearner, DecoderBias, DecoderName, LossName
from .objective import FeatureFacts
from .penalties import Penalty

Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DenoisingAutoencoder:
    r"""Train a layer to undo corruption.

    .. math::
        \tilde x \sim q(\tilde x \mid x), \qquad h = s(W \tilde x + b), \qquad z = g(\tilde W h + c), \qquad
        \text{minimise } \ell(x, z)

    The target is the clean x, and the loss is that of `Autoencoder`: summed over features, averaged over rows. Each
    layer corrupts its own input, and only while it is trained; the next layer is fed the clean code
    (``corrupt="input"`` of `layerwise.pretrain` puts the noise on the network's input instead).

    Parameters
    ----------
    corruption : Corruption
        `Masking`, `GaussianNoise` or `SaltAndPepper`.
    loss, decoder, tied, tied_gradient, decoder_bias, penalties
        As in `Autoencoder`.
    emphasis : (float, float) or None
        Weights :math:`(\alpha, \beta)` of the loss of elements that the noise chose and of the others:
        :math:`\alpha \sum_{i \in J} \ell_i + \beta \sum_{i \notin J} \ell_i`. (1, 0) is full emphasis; None is (1, 1).
        Gaussian noise chooses every element, so it takes none.

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
    penalties: tuple[Penalty, ...] = ()
    emphasis: tuple[Weight, Weight] | None = None
    kind: Literal["denoising"] = "denoising"

    @model_validator(mode="after")
    def _emphasis_has_a_choice(self) -> DenoisingAutoencoder:
        if self.emphasis is not None and isinstance(self.corruption, GaussianNoise):
            raise ValueError("emphasis needs noise that chooses elements: masking or salt-and-pepper")
        return self

    def build(self, layer: Layer, facts: FeatureFacts, generator: Generator) -> AutoencoderLearner:
        """Build the learner of a layer from what is known of its inputs."""
        return AutoencoderLearner(self, layer, facts, self.penalties, self.corruption, self.emphasis)
