"""A layer: a slice of a network that is trained as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..errors import NetworkError, nearest
from .lista import LISTA

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
# The modules that make a layer; what follows one, up to the next, belongs to its layer.
LEARNED = (nn.Linear, *CONVOLUTIONS, LISTA)
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "identity": nn.Identity,
}


class Layer(nn.Module):
    """A slice of a network that is trained as one.

    Shares the network's own modules: training the layer trains the network.

    Parameters
    ----------
    name : str
        Name of the module in the network, as in its ``state_dict``.
    preamble : sequence of nn.Module
        What stands before the module and has no parameters (``nn.Flatten`` ...); empty for most layers.
    module : nn.Module
        The dense or convolutional module.
    after : sequence of nn.Module
        What follows it pointwise: activation, batch normalisation, dropout.
    onward : sequence of nn.Module
        What follows those, up to the next layer: pooling, reshaping. It is no part of what is trained; codes pass
        through it on their way to the next layer.
    captured : bool
        Whether the preamble takes the network's own rows, not what the layer below hands on.

    Examples
    --------
    >>> import torch
    >>> layer = Layer("0", [], nn.Conv2d(1, 4, 5), [nn.ReLU()], [nn.MaxPool2d(2), nn.Flatten()])
    >>> rows = torch.zeros(3, 1, 28, 28)
    >>> layer(rows).shape, layer.hand_on(rows).shape
    (torch.Size([3, 4, 24, 24]), torch.Size([3, 576]))
    """

    def __init__(
        self,
        name: str,
        preamble: Sequence[nn.Module],
        module: nn.Module,
        after: Sequence[nn.Module],
        onward: Sequence[nn.Module] = (),
        captured: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.preamble = nn.Sequential(*preamble)
        self.module: Any = module
        self.after = nn.Sequential(*after)
        self.onward = nn.Sequential(*onward)
        self.captured = captured

    @property
    def activation(self) -> str:
        """Name of the first activation after the module, "identity" when there is none."""
        known = {kind: name for name, kind in ACTIVATIONS.items()}
        return next((known[type(module)] for module in self.after if type(module) in known), "identity")

    @property
    def units(self) -> int:
        """Width of the code, or channels of a convolution's."""
        return len(self.module.weight)

    def train(self, mode: bool = True) -> Layer:
        """Set the training mode; dropout stays off, because corruption is the noise of pre-training."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Encode prepared rows, in the shape that the module takes, to codes (rows, units ...)."""
        codes: Tensor = self.after(self.module(inputs))
        return codes

    def hand_on(self, rows: Tensor) -> Tensor:
        """Return what the next layer is handed where this one is handed ``rows``."""
        if self.captured:
            return rows
        handed: Tensor = self.onward(self(self.preamble(rows)))
        return handed


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse the name of a module that can't be a layer, with the nearest one that can.

    Examples
    --------
    >>> check_names(["conv1"], ["conv1", "conv2"])
    """
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise NetworkError(
                f"the network has no dense or convolutional module {name!r}, it has {', '.join(known) or 'none'}",
                f"did you mean {near!r}?" if near else "name modules as the state_dict does",
            )
