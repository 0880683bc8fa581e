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
from .sampled import SampledLearner

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
        `Masking`, `GaussianNoise`, `SaltAndPepper` or `SwapNoise`.
    loss, decoder, tied, tied_gradient, decoder_bias, penalties
        As in `Autoencoder`.
    emphasis : (float, float) or None
        Weights :math:`(\alpha, \beta)` of the loss of elements that the noise chose and of the others:
        :math:`\alpha \sum_{i \in J} \ell_i + \beta \sum_{i \notin J} \ell_i`. (1, 0) is full emphasis; None is (1, 1).
        Gaussian noise chooses every element, so it takes none.
    reconstruction : {"full", "sampled"}
        "sampled", of sparse rows: the loss of the elements that are not 0 and of about as many others, which are drawn
        anew for every update and weighed so that its mean is the full loss (`layerwise.objectives.sampled`). It needs
        masking noise, and takes neither penalties nor emphasis. Layers that are fed dense rows are trained in full.
    walkback : int
        k further transitions of a chain that begins at each clean row: corrupt, reconstruct, draw a row from the
        reconstruction, corrupt that, and so on. The loss is the mean over all 1 + k corrupted rows of the loss of
        reconstructing the clean x from them: the layer learns to walk back from where its own samples go astray.

        .. math::
            \frac{1}{1 + k} \sum_{t=0}^{k} \ell(x, r(\tilde x_t)), \qquad \tilde x_0 \sim q(\cdot \mid x), \quad
            x_t \sim p(\cdot \mid \tilde x_{t-1}), \quad \tilde x_t \sim q(\cdot \mid x_t)

        p is Bernoulli where the loss is cross-entropy; for squared loss its mean, the reconstruction, is taken. No
        gradient goes through the chain. An update costs about 1 + k times as much. It takes neither emphasis nor
        sampled reconstruction.

    References
    ----------
    Vincent et al. (2010), Stacked denoising autoencoders, JMLR 11. Dauphin, Glorot & Bengio (2011), Large-scale
    learning of embeddings with reconstruction sampling, ICML. Bengio, Yao, Alain & Vincent (2013), Generalized
    denoising auto-encoders as generative models, NIPS (walk-back).

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
    reconstruction: Literal["full", "sampled"] = "full"
    walkback: Annotated[int, Field(ge=0)] = 0
    kind: Literal["denoising"] = "denoising"

    @model_validator(mode="after")
    def _emphasis_has_a_choice(self) -> DenoisingAutoencoder:
        if self.emphasis is not None and isinstance(self.corruption, GaussianNoise):
            raise ValueError("emphasis needs noise that chooses elements: masking, salt-and-pepper or swap")
        return self

    @model_validator(mode="after")
    def _sampling_fits(self) -> DenoisingAutoencoder:
        if self.reconstruction == "sampled":
            if not isinstance(self.corruption, Masking):
                raise ValueError("sampled reconstruction needs noise that leaves zeros as they are: masking")
            if self.penalties or self.emphasis is not None:
                raise ValueError("sampled reconstruction takes neither penalties nor emphasis: leave them out")
        return self

    @model_validator(mode="after")
    def _walkback_fits(self) -> DenoisingAutoencoder:
        if self.walkback and self.emphasis is not None:
            raise ValueError("walkback reconstructs all elements from what the chain made of them: leave emphasis out")
        if self.walkback and self.reconstruction == "sampled":
            raise ValueError("walkback draws whole rows from their reconstruction: leave reconstruction at 'full'")
        return self

    @property
    def takes_sparse(self) -> bool:
        """Whether sparse rows can stay sparse on their way into the layer: other noise than masking fills them."""
        plain = self.emphasis is None and not self.penalties and not self.walkback
        return isinstance(self.corruption, Masking) and plain

    def build(self, layer: Layer, facts: FeatureFacts, generator: Generator) -> AutoencoderLearner:
        """Build the learner of a layer from what is known of its inputs."""
        if facts.sparse and self.reconstruction == "sampled":
            assert isinstance(self.corruption, Masking)
            return SampledLearner(self, layer, facts, self.corruption)
        noise = self.corruption, self.emphasis, self.walkback
        return AutoencoderLearner(self, layer, facts, self.penalties, *noise)
