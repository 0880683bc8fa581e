"""The contractive auto-encoder: reconstruct, with a code that hardly moves when the input does."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Generator

from ..nn.decoder import TiedGradient
from ..nn.layers import Layer
from .autoencoder import AutoencoderLearner, DecoderBias, DecoderName, LossName
from .objective import FeatureFacts
from .penalties import Contraction, Penalty


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ContractiveAutoencoder:
    r"""Train a layer to reconstruct its input from a code with a small Jacobian.

    .. math:: \ell(x, z) + \lambda \lVert \partial h / \partial x \rVert_F^2

    The loss is that of `Autoencoder`; the penalty is `Contraction`: exact for dense layers, estimated for the rest.

    Parameters
    ----------
    contraction : float
        :math:`\lambda`, 0 or more.
    method, samples
        As in `Contraction`.
    loss, decoder, tied, tied_gradient, decoder_bias, penalties
        As in `Autoencoder`.

    References
    ----------
    Rifai et al. (2011), Contractive auto-encoders: explicit invariance during feature extraction, ICML.

    Examples
    --------
    >>> ContractiveAutoencoder(0.2).contraction
    0.2
    """

    needs_targets: ClassVar[bool] = False
    contraction: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.1
    _: KW_ONLY
    method: Literal["auto", "analytic", "stochastic"] = "auto"
    samples: Annotated[int, Field(ge=1)] = 1
    loss: LossName = "auto"
    decoder: DecoderName = "auto"
    tied: bool = True
    tied_gradient: TiedGradient = "full"
    decoder_bias: DecoderBias = "mean"
    penalties: tuple[Penalty, ...] = ()
    kind: Literal["contractive"] = "contractive"

    def build(self, layer: Layer, facts: FeatureFacts, generator: Generator) -> AutoencoderLearner:
        """Build the learner of a layer from what is known of its inputs."""
        contraction = Contraction(self.contraction, self.method, self.samples)
        return AutoencoderLearner(self, layer, facts, (contraction, *self.penalties))
