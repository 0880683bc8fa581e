"""The auto-encoder: reconstruct the input from the code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar, Literal, Protocol

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..data.sparse import dense, dense_parts
from ..errors import DataError, PlanError
from ..nn.chain import Products, activate, activation_of, through
from ..nn.corruption import Corruption
from ..nn.decoder import Decoder, OutputName, TiedGradient
from ..nn.draws import bernoulli
from ..nn.layers import Layer
from ..nn.products import down, room, up
from .objective import Factors, FeatureFacts
from .penalties import Penalty

LossName = Literal["auto", "squared", "cross_entropy"]
DecoderName = Literal["auto", "linear", "sigmoid"]
DecoderBias = Literal["mean", "zero"]
VALUE = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=VALUE)
class Autoencoder:
    r"""Train a layer to reconstruct its input.

    .. math::
        h = s(W x + b), \qquad z = g(\tilde W h + c), \qquad
        \ell = \tfrac12 \sum_i (z_i - x_i)^2 \;\text{ or }\; -\sum_i x_i \log z_i + (1 - x_i) \log (1 - z_i)

    Losses are summed over features and averaged over rows. A convolution's decoder is its transposed convolution.

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
    penalties : sequence of Contraction, KLSparsity, L1Sparsity
        Added to the loss.

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
    penalties: tuple[Penalty, ...] = ()
    kind: Literal["autoencoder"] = "autoencoder"

    @property
    def takes_sparse(self) -> bool:
        """Whether sparse rows can stay sparse on their way into the layer."""
        return not self.penalties

    def build(self, layer: Layer, facts: FeatureFacts, generator: Generator) -> AutoencoderLearner:
        """Build the learner of a layer from what is known of its inputs."""
        return AutoencoderLearner(self, layer, facts, self.penalties)


class AutoencoderSettings(Protocol):
    """What the learner asks of an auto-encoder's settings, whatever else they hold."""

    @property
    def loss(self) -> LossName:
        """What is minimised."""

    @property
    def decoder(self) -> DecoderName:
        """The decoder's output."""

    @property
    def tied(self) -> bool:
        """Whether the decoder's weights are the encoder's."""

    @property
    def tied_gradient(self) -> TiedGradient:
        """Which uses of tied weights send a gradient."""

    @property
    def decoder_bias(self) -> DecoderBias:
        """Where the decoder's bias starts."""


class AutoencoderLearner(nn.Module):
    """A layer with a decoder, trained to reconstruct; shared by all auto-encoders.

    Parameters
    ----------
    settings : Autoencoder or another with its loss, decoder, tied, tied_gradient and decoder_bias
    layer : Layer
        The encoder.
    facts : FeatureFacts
        Of the layer's clean inputs; they settle every "auto" and the first value of the decoder's bias.
    penalties : tuple of Penalty
        Added to the loss.
    corruption : Corruption or None
        Noise on the encoder's input; the target stays clean.
    emphasis : (float, float) or None
        Weights of the loss of corrupted and of other elements.
    walkback : int
        How often a chain that begins at a clean row goes on from a sample of its reconstruction; the loss is the mean
        over all corrupted rows on the way.

    Attributes
    ----------
    below : callable or None
        Set where noise is put on the lowest layer's rows only: maps those to this layer's inputs.

    Raises
    ------
    PlanError
        When cross-entropy is asked of a linear decoder, or a penalty of a layer that it does not hold for.
    DataError
        When the inputs leave [0, 1] though the loss or the decoder needs them there.
    """

    def __init__(
        self,
        settings: AutoencoderSettings,
        layer: Layer,
        facts: FeatureFacts,
        penalties: tuple[Penalty, ...] = (),
        corruption: Corruption | None = None,
        emphasis: tuple[float, float] | None = None,
        walkback: int = 0,
    ) -> None:
        super().__init__()
        for penalty in penalties:
            penalty.check(layer)
        self.layer = layer
        self.penalties, self.corruption, self.emphasis, self.walkback = penalties, corruption, emphasis, walkback
        self.below: Callable[[Tensor], Tensor] | None = None
        self._room: tuple[Tensor, Tensor] | None = None
        output, self.loss_name = _settle(settings.decoder, settings.loss, layer.name, facts)
        self.decoder = Decoder(
            layer.module, tied=settings.tied, gradient=settings.tied_gradient, output=output, shape=facts.shape
        )
        mean = facts.mean.to(self.decoder.bias)
        self.mean: Tensor
        self.register_buffer("mean", mean, persistent=False)
        if settings.decoder_bias == "mean":
            self.decoder.start_at(mean)

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return the loss of reconstructing the batch's clean inputs from its (corrupted) inputs."""
        noisy, weights = self._corrupted(batch, generator)
        codes = self.layer(noisy)
        loss = self._loss(self.decoder.activation(codes), self._target(batch), weights)
        for penalty in self.penalties:
            loss = loss + penalty(self.layer, noisy, codes, generator)
        return loss

    def factored(self, shape: Sequence[int]) -> bool:
        """Say whether `factors` holds: a dense layer with one activation, no penalties."""
        return not self.penalties and self._activation is not None

    @cached_property
    def _activation(self) -> type[nn.Module] | None:
        return activation_of(self.layer.module, self.layer.after)

    def factors(self, batch: Batch, generator: Generator) -> Factors:
        """Return the loss, and the factors of its gradient by W, W of the decoder, b and c."""
        clean, module, decoder = self._target(batch), self.layer.module, self.decoder
        noisy, weights = self._corrupted(batch, generator)
        activation = self._activation
        assert activation is not None
        back = module.weight if decoder.weight is None else decoder.weight
        # [h; dh] over [dz; x]: with tied weights both parts of W's gradient are one product
        rows = len(clean)
        above, below = self._room = room(self._room, 2 * rows, module.weight)
        below[rows:] = dense(noisy)
        codes = activate(activation, up(below[rows:], module.weight, module.bias, out=above[:rows]))
        output = down(codes, back, decoder.bias)
        loss = self._quick_loss(output, clean) if weights is None else self._loss(output, clean, weights)
        by_output = self._by_activation(output, clean, weights, out=below[:rows])
        by_code = through(activation, up(by_output, back, out=above[rows:]), codes)
        products: Products = {}
        if decoder.weight is not None:
            products[decoder.weight] = [(codes, by_output)]
        both = decoder.weight is None and decoder.gradient == "full"
        products[module.weight] = [(above, below) if both else (by_code, below[rows:])]
        products[decoder.bias] = [(by_output, None)]
        if module.bias is not None:
            products[module.bias] = [(by_code, None)]
        return Factors(loss, products, 1 / rows)

    def _by_activation(self, output: Tensor, clean: Tensor, weights: Tensor | None, out: Tensor) -> Tensor:
        """Return the gradient of the loss, summed over rows, by the decoder's activation; changes the activation."""
        if self.decoder.output == "sigmoid":
            output.sigmoid_()
        torch.sub(output, clean, out=out)
        if weights is not None:
            out.mul_(weights)
        squashed = self.decoder.output == "sigmoid" and self.loss_name == "squared"
        return through(nn.Sigmoid, out, output) if squashed else out

    def _corrupted(self, batch: Batch, generator: Generator) -> tuple[Tensor, Tensor | None]:
        """Return the encoder's input, and the weight of each element of the loss."""
        if self.corruption is None:
            return batch.inputs, None
        if self.below is not None:
            assert batch.raw is not None
            with torch.no_grad():
                return self.below(self.corruption(batch.raw, generator)), None
        if self.walkback:
            return self._walked(batch.inputs, generator), None
        if self.emphasis is None:
            return self.corruption(batch.inputs, generator), None
        noisy, chosen = self.corruption.corrupt(batch.inputs, generator)
        on, off = (torch.as_tensor(weight, dtype=noisy.dtype, device=noisy.device) for weight in self.emphasis)
        return noisy, torch.where(chosen, on, off)

    @torch.no_grad()
    def _walked(self, clean: Tensor, generator: Generator) -> Tensor:
        """Return the corrupted rows of chains that begin at clean ones: all first ones, then all second ones."""
        assert self.corruption is not None
        rows, noisy = clean, [self.corruption(clean, generator)]
        for _ in range(self.walkback):
            rows = self.draw(self.decoder(self.layer(noisy[-1])), generator)
            noisy.append(self.corruption(rows, generator))
        return torch.cat(noisy)

    def _target(self, batch: Batch) -> Tensor:
        """Return what each corrupted row is to be reconstructed to."""
        clean = dense(batch.inputs)
        return clean.repeat(1 + self.walkback, *[1] * (clean.ndim - 1)) if self.walkback else clean

    def draw(self, reconstruction: Tensor, generator: Generator) -> Tensor:
        """Draw rows from the distribution that a reconstruction stands for: Bernoulli, or its mean for squared loss."""
        return bernoulli(reconstruction, generator) if self.loss_name == "cross_entropy" else reconstruction

    def after_update(self) -> None:
        """Nothing to project."""

    def clean_loss(self, batch: Batch) -> Tensor:
        """Return the loss of reconstructing clean rows, without penalties."""
        parts = dense_parts(batch.inputs)
        losses = [self._total(self.decoder.activation(self.layer(rows)), rows) for rows in parts]
        return torch.stack(losses).sum() / len(batch.inputs)

    def mean_predictor_loss(self, batch: Batch) -> Tensor:
        """Return the loss of giving the training rows' mean for every row."""
        parts = dense_parts(batch.inputs)
        losses = [loss_of_mean(self.mean, rows, self.loss_name) * len(rows) for rows in parts]
        return torch.stack(losses).sum() / len(batch.inputs)

    def reconstruct(self, inputs: Tensor) -> Tensor:
        """Encode and decode clean rows."""
        reconstruction: Tensor = self.decoder(self.layer(inputs))
        return reconstruction

    def _loss(self, activation: Tensor, clean: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the loss of a decoder's activation (before g), averaged over rows."""
        return self._total(activation, clean, weights) / len(clean)

    def _quick_loss(self, activation: Tensor, clean: Tensor) -> Tensor:
        """Return `_loss` in fewer passes, to float32's precision of a sum, not of each element."""
        if self.loss_name != "cross_entropy":
            return self._loss(activation, clean)
        return (nn.functional.softplus(activation).sum() - torch.dot(activation.view(-1), clean.reshape(-1))) / len(
            clean
        )

    def _total(self, activation: Tensor, clean: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the sum of the loss of all elements of a decoder's activation (before g)."""
        if self.loss_name == "cross_entropy":
            # on the activation, not its sigmoid: log(1 + exp(-|a|)) neither overflows nor loses precision
            return nn.functional.binary_cross_entropy_with_logits(activation, clean, weights, reduction="sum")
        error = (torch.sigmoid(activation) if self.decoder.output == "sigmoid" else activation) - clean
        return 0.5 * (error.square() if weights is None else weights * error.square()).sum()


def loss_of_mean(mean: Tensor, inputs: Tensor, loss_name: str) -> Tensor:
    """Return the loss of giving one row, the mean, for every row of inputs; averaged over rows.

    Examples
    --------
    >>> float(loss_of_mean(torch.tensor([1.0]), torch.tensor([[1.0], [3.0]]), "squared"))
    1.0
    """
    mean = mean.expand_as(inputs)
    if loss_name == "cross_entropy":
        return nn.functional.binary_cross_entropy(mean, inputs, reduction="sum") / len(inputs)
    return 0.5 * (mean - inputs).square().sum() / len(inputs)


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
            "scale the inputs to [0, 1] (compare: --scale range), or set loss to squared and decoder to linear",
        )
    return decoder, loss
