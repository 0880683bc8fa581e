"""The decoder of a layer: tied to the encoder's weights or with its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import NetworkError
from .layers import CONVOLUTIONS

TiedGradient = Literal["full", "encoder"]
OutputName = Literal["linear", "sigmoid"]
# A pixel that is always 0 has logit minus infinity: means are kept this far from 0 and 1 before the logit is taken.
MEAN_MARGIN = 1e-3


class Decoder(nn.Module):
    r"""Map codes back to the inputs of a dense or convolutional module.

    .. math:: z = g(\tilde W^\top h + c), \qquad \tilde W = W \text{ when tied}

    For a convolution :math:`\tilde W^\top` is the transposed convolution, and c has one element per input channel.

    Parameters
    ----------
    encoder : nn.Module
        Its weight is W, shape (units, features), or (channels, input channels / groups, kernel ...) of a convolution.
        The encoder stays the owner of a tied W: the decoder then lists only ``bias`` as its parameter.
    tied : bool
        Whether to use W itself. An untied decoder starts at a copy of W, so both begin with the same reconstruction.
    gradient : {"full", "encoder"}
        With tied weights: "full" sends the gradient of both uses of W into W. "encoder" keeps the encoder's part only,
        as Mocha's tied layer does.
    output : {"linear", "sigmoid"}
        g.
    shape : sequence of int, optional
        Shape of one row of the encoder's inputs; a convolution needs it, because a stride leaves it open.

    Raises
    ------
    NetworkError
        When a convolution pads with anything but zeros, or "same" with an even kernel.

    Examples
    --------
    >>> encoder = nn.Linear(3, 2)
    >>> Decoder(encoder)(torch.zeros(5, 2)).shape
    torch.Size([5, 3])
    >>> [name for name, _ in Decoder(encoder).named_parameters()]
    ['bias']
    >>> encoder = nn.Conv2d(1, 4, 3, stride=2)
    >>> Decoder(encoder, shape=(1, 28, 28))(encoder(torch.zeros(5, 1, 28, 28))).shape
    torch.Size([5, 1, 28, 28])
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        tied: bool = True,
        gradient: TiedGradient = "full",
        output: OutputName = "linear",
        shape: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.gradient = gradient
        self.output = output
        self.shape = tuple(shape)
        weight: Any = encoder.weight
        self._transpose: dict[str, Any] | None = None
        self.code_shape: tuple[int, ...] = (len(weight),)
        features = weight.shape[1]
        if isinstance(encoder, CONVOLUTIONS):
            self._transpose, sides = _transpose(encoder, self.shape)
            self.code_shape, features = (len(weight), *sides), encoder.in_channels
        self.bias = nn.Parameter(weight.new_zeros(features))
        self.weight = None if tied else nn.Parameter(weight.detach().clone())
        self._encoder = (encoder,)  # in a tuple, so that nn.Module does not register it a second time

    def start_at(self, mean: Tensor) -> None:
        """Set the bias to the inverse link of the inputs' mean, which has the shape of one row."""
        own = mean.reshape(len(mean), -1).mean(1)  # one for each feature, or for each channel
        with torch.no_grad():
            self.bias.copy_(torch.logit(own, eps=MEAN_MARGIN) if self.output == "sigmoid" else own)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that build this decoder again around the same encoder."""
        return {"tied": self.tied, "gradient": self.gradient, "output": self.output, "shape": list(self.shape)}

    @property
    def tied(self) -> bool:
        """Whether the weights are the encoder's."""
        return self.weight is None

    def activation(self, codes: Tensor) -> Tensor:
        """Decode codes (rows, units ...) to (rows, features ...), before g."""
        weight: Any = self.weight
        if weight is None:
            weight = self._encoder[0].weight
            if self.gradient == "encoder":
                weight = weight.detach()
        if self._transpose is None:
            return torch.addmm(self.bias, codes, weight)
        apply = nn.functional.conv_transpose1d if weight.ndim == 3 else nn.functional.conv_transpose2d
        decoded: Tensor = apply(codes, weight, self.bias, **self._transpose)
        return decoded

    def forward(self, codes: Tensor) -> Tensor:
        """Decode codes (rows, units ...) to (rows, features ...)."""
        activation = self.activation(codes)
        return torch.sigmoid(activation) if self.output == "sigmoid" else activation


def _transpose(encoder: nn.Conv1d | nn.Conv2d, shape: tuple[int, ...]) -> tuple[dict[str, Any], list[int]]:
    """Return the arguments of the transposed convolution that gives back the input shape, and the sides of the code."""
    if len(shape) != len(encoder.kernel_size) + 1:
        raise NetworkError(
            f"the decoder of a convolution needs the shape of a row, {len(encoder.kernel_size) + 1} numbers, "
            f"found {shape}",
            "give rows of (channels, sides ...): a single image needs its dimension of channels",
        )
    kernel, stride, dilation = encoder.kernel_size, encoder.stride, encoder.dilation
    span = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    padding = _padding(encoder, span)
    sizes = [(size + 2 * p - s) for size, p, s in zip(shape[1:], padding, span, strict=True)]
    # a stride drops this many of the last elements; without the padding their positions would be lost
    left = [(size - 1) % step for size, step in zip(sizes, stride, strict=True)]
    sides = [(size - 1) // step + 1 for size, step in zip(sizes, stride, strict=True)]
    arguments = {
        "stride": stride, "padding": tuple(padding), "output_padding": tuple(left),
        "groups": encoder.groups, "dilation": dilation,
    }  # fmt: skip
    return arguments, sides


def _padding(encoder: nn.Conv1d | nn.Conv2d, span: Sequence[int]) -> list[int]:
    if encoder.padding_mode != "zeros":
        raise NetworkError(
            f"a convolution pads with {encoder.padding_mode!r}, expected zeros for its decoder",
            'set padding_mode="zeros"',
        )
    if encoder.padding == "valid":
        return [0] * len(span)
    if encoder.padding == "same":
        if any(s % 2 for s in span):
            raise NetworkError(
                f'a convolution with kernel {tuple(encoder.kernel_size)} and padding="same" pads its sides unequally',
                "use an odd kernel, or give the padding as a number",
            )
        return [s // 2 for s in span]
    return [int(p) for p in encoder.padding]
