"""The decoder of a dense layer: tied to the encoder's weights or with its own."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

TiedGradient = Literal["full", "encoder"]
OutputName = Literal["linear", "sigmoid"]


class Decoder(nn.Module):
    r"""Map codes back to the inputs of a dense module.

    .. math:: z = g(\tilde W^\top h + c), \qquad \tilde W = W \text{ when tied}

    Parameters
    ----------
    encoder : nn.Linear
        Its weight is W, shape (units, features). The encoder stays the owner of a tied W: the decoder then lists only
        ``bias`` as its parameter.
    tied : bool
        Whether to use W itself. An untied decoder starts at a copy of W, so both begin with the same reconstruction.
    gradient : {"full", "encoder"}
        With tied weights: "full" sends the gradient of both uses of W into W. "encoder" keeps the encoder's part only,
        as Mocha's tied layer does.
    output : {"linear", "sigmoid"}
        g.

    Examples
    --------
    >>> encoder = nn.Linear(3, 2)
    >>> Decoder(encoder)(torch.zeros(5, 2)).shape
    torch.Size([5, 3])
    >>> [name for name, _ in Decoder(encoder).named_parameters()]
    ['bias']
    """

    def __init__(
        self,
        encoder: nn.Linear,
        *,
        tied: bool = True,
        gradient: TiedGradient = "full",
        output: OutputName = "linear",
    ) -> None:
        super().__init__()
        self.bias = nn.Parameter(encoder.weight.new_zeros(encoder.in_features))
        self.weight = None if tied else nn.Parameter(encoder.weight.detach().clone())
        self._encoder = (encoder,)  # in a tuple, so that nn.Module does not register it a second time
        self.gradient = gradient
        self.output = output

    @property
    def tied(self) -> bool:
        """Whether the weights are the encoder's."""
        return self.weight is None

    def activation(self, codes: Tensor) -> Tensor:
        """Decode codes (rows, units) to (rows, features), before g."""
        weight: Tensor | None = self.weight
        if weight is None:
            weight = self._encoder[0].weight
            if self.gradient == "encoder":
                weight = weight.detach()
        return torch.addmm(self.bias, codes, weight)

    def forward(self, codes: Tensor) -> Tensor:
        """Decode codes (rows, units) to (rows, features)."""
        activation = self.activation(codes)
        return torch.sigmoid(activation) if self.output == "sigmoid" else activation
