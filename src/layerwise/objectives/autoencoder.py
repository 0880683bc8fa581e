"""The auto-encoder: reconstruct the input from the code."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..errors import DataError, PlanError
from ..nn.corruption import Corruption
from ..nn.decoder import Decoder, OutputName, TiedGradient
from ..nn.layers import Layer
from .objective import FeatureFacts

LossName = Literal["auto", "squared", "cross_entropy"]
DecoderName = Literal["auto", "linear", "sigmoid"]
DecoderBias = Literal["mean", "zero"]
VALUE = ConfigDict(extra="forbid")
# A pixel that is always 0 has logit minus infinity: means are kept this far from 0 and 1 before the logit is taken.
MEAN_MARGIN = 1e-3


@dataclass(frozen=True, kw_only=True, config=VALUE)
class Autoencoder:
    r"""Train a layer to reconstruct its input.

    .. math::
        h = s(W x + b), \qquad z = g(\tilde W h + c), \qquad
        \ell = \tfrac12 \sum_i (z_i - x_i)^2 \;\text{ or }\; -\sum_i x_i \log z_i + (1 - x_i) \log (1 - z_i)

    Losses are summed over features and averaged over rows.

    Parameters
    ----------
    loss : {"auto", "squared", "cross_entropy"}
        "auto": cross-entropy when every input lies in [0, 1], else squared.
    decoder : {"auto", "linear", "sigmoid"}
        g. "auto": sigmoid when every input lies in [0, 1], else linear.
    tied : bool
        Whether :math:`\tilde W = W^\top`. The decoder's bias c is its own either way.
    tied_gradient : {"full", "encoder"}
        With tied weights: "full" is the gradient of both uses of W, "encoder" leaves the decoder's use out.
    decoder_bias : {"mean", "zero"}
        Where c starts: at the inverse link of the inputs' mean, or at 0 as in Mocha.

    References
    ----------
    Bengio et al. (2007), Greedy layer-wise training of deep networks.

    Examples
    --------
    >>> Autoencoder(tied=False).loss
    'auto'
    """

    needs_targets: ClassVar[bool] = False
    loss: LossName = "auto"
    decoder: DecoderName = "auto"
    tied: bool = True
    tied_gradient: TiedGradient = "full"
    decoder_bias: DecoderBias = "mean"
    kind: Literal["autoencoder"] = "autoencoder"

    def build(self, layer: Layer, facts: FeatureFacts) -> AutoencoderLearner:
        """Build the learner of a layer from what is known of its inputs."""
        return AutoencoderLearner(
            layer, facts, self.loss, self.decoder, self.tied, self.tied_gradient, self.decoder_bias, None
        )


class AutoencoderLearner(nn.Module):
    """A layer with a decoder, trained to reconstruct; shared by all auto-encoders.

    Parameters
    ----------
    layer : Layer
        The encoder.
    facts : FeatureFacts
        Of the layer's clean inputs; they settle every "auto" and the first value of the decoder's bias.
    loss, decoder, tied, tied_gradient, decoder_bias
        As in `Autoencoder`.
    corruption : Corruption or None
        Noise on the encoder's input; the target stays clean.

    Raises
    ------
    PlanError
        When cross-entropy is asked of a linear decoder.
    DataError
        When the inputs leave [0, 1] though the loss or the decoder needs them there.
    """

    def __init__(
        self,
        layer: Layer,
        facts: FeatureFacts,
        loss: LossName,
        decoder: DecoderName,
        tied: bool,
        tied_gradient: TiedGradient,
        decoder_bias: DecoderBias,
        corruption: Corruption | None,
    ) -> None:
        super().__init__()
        self.layer = layer
        self.corruption = corruption
        output, self.loss_name = _settle(decoder, loss, layer.name, facts)
        self.decoder = Decoder(layer.linear, tied=tied, gradient=tied_gradient, output=output)
        if decoder_bias == "mean":
            mean = facts.mean.to(self.decoder.bias)
            with torch.no_grad():
                self.decoder.bias.copy_(torch.logit(mean, eps=MEAN_MARGIN) if output == "sigmoid" else mean)

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return the loss of reconstructing the batch's clean inputs from its (corrupted) inputs."""
        clean = batch.inputs
        noisy = clean if self.corruption is None else self.corruption(clean, generator)
        activation = self.decoder.activation(self.layer(noisy))
        if self.loss_name == "cross_entropy":
            # on the activation, not its sigmoid: log(1 + exp(-|a|)) neither overflows nor loses precision
            total = nn.functional.binary_cross_entropy_with_logits(activation, clean, reduction="sum")
        else:
            reconstruction = torch.sigmoid(activation) if self.decoder.output == "sigmoid" else activation
            total = _squared(reconstruction, clean)
        return total / len(clean)

    def after_update(self) -> None:
        """Nothing to project."""

    def reconstruct(self, inputs: Tensor) -> Tensor:
        """Encode and decode clean rows (rows, width)."""
        reconstruction: Tensor = self.decoder(self.layer(inputs))
        return reconstruction

    def reconstruction_loss(self, reconstruction: Tensor, inputs: Tensor) -> Tensor:
        """Return the loss of a given reconstruction, in the unit of ``loss``."""
        if self.loss_name == "cross_entropy":
            total = nn.functional.binary_cross_entropy(reconstruction, inputs, reduction="sum")
        else:
            total = _squared(reconstruction, inputs)
        return total / len(inputs)


def _squared(reconstruction: Tensor, inputs: Tensor) -> Tensor:
    return 0.5 * (reconstruction - inputs).square().sum()


def _settle(decoder: DecoderName, loss: LossName, layer: str, facts: FeatureFacts) -> tuple[OutputName, str]:
    """Settle every "auto" by the range of the inputs, and refuse what the range forbids."""
    if loss == "cross_entropy" and decoder == "linear":
        raise PlanError(
            f"layer {layer!r}: cross-entropy with a linear decoder, whose outputs leave (0, 1)",
            "set decoder to sigmoid, or loss to squared",
        )
    if decoder == "auto":
        decoder = "sigmoid" if facts.unit_interval or loss == "cross_entropy" else "linear"
    if loss == "auto":
        loss = "cross_entropy" if decoder == "sigmoid" else "squared"
    if decoder == "sigmoid" and not facts.unit_interval:
        raise DataError(
            f"layer {layer!r}: inputs run from {facts.minimum:.4g} to {facts.maximum:.4g}, "
            f"expected [0, 1] for {'cross-entropy' if loss == 'cross_entropy' else 'a sigmoid decoder'}",
            "scale the inputs to [0, 1], or set loss to squared and decoder to linear",
        )
    return decoder, loss
