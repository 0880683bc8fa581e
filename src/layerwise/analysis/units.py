"""Activity of units over rows: which sigmoid and tanh units saturate, which units are dead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..nn.layers import Layer
from .codes import Model, codes_by_layer, layers_of

# An activation's range; ReLU has no upper end, so it doesn't saturate.
RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
OUTER = 0.05  # of the range, at either end: there a sigmoid's slope is below a fifth of its largest
STILL = 0.01  # of the range: a unit that moves less over all rows tells them apart no more


@dataclass(frozen=True)
class Activity:
    """What the units of one layer do over rows.

    Attributes
    ----------
    layer : str
        Name of its module.
    saturated : float or None
        Share of all activations in the outer parts of a sigmoid's or tanh's range; None for other activations.
    dead : float
        Share of the units that tell no two rows apart.
    """

    layer: str
    saturated: float | None
    dead: float


def activity(model: Model, inputs: Tensor) -> list[Activity]:
    """Return the share of saturated activations and of dead units of each layer.

    Parameters
    ----------
    model : Stack, nn.Module or sequence of Layer
        It runs in evaluation mode; `batch_statistics` makes that what training sees where there is batch normalisation.
    inputs : Tensor, shape (rows, ...)
        Some hundred rows as the network takes them.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Linear(1, 2), nn.Sigmoid(), nn.Linear(2, 2))
    >>> _ = network[0].weight.data.copy_(torch.tensor([[9.0], [0.0]])), network[0].bias.data.zero_()
    >>> activity(network, torch.tensor([[-1.0], [0.1], [1.0]]))
    [Activity(layer='0', saturated=0.3333333333333333, dead=0.5)]
    """
    return activity_of(layers_of(model), inputs)


def activity_of(layers: Sequence[Layer], inputs: Tensor) -> list[Activity]:
    """Do what `activity` does with layers that are at hand."""
    return [
        Activity(layer.name, saturated_share(codes, layer.activation), dead_share(codes, layer.activation))
        for layer, codes, _ in codes_by_layer(layers, inputs)
    ]


def saturated_share(codes: Tensor, activation: str) -> float | None:
    r"""Return the share of activations (rows, units ...) in the outer parts of the activation's range.

    .. math:: h < 0.05 \text{ or } h > 0.95 \text{ (sigmoid)}, \qquad |h| > 0.9 \text{ (tanh)}
    """
    if activation not in RANGES:
        return None
    low, high = RANGES[activation]
    outer = OUTER * (high - low)
    return float(((codes < low + outer) | (codes > high - outer)).double().mean())


def dead_share(codes: Tensor, activation: str) -> float:
    """Return the share of units that are constant over all rows, and positions of a convolution's channel.

    A ReLU unit is dead when it is never above 0; a sigmoid or tanh unit when it moves by less than a hundredth of its
    range; any other when it doesn't move at all.
    """
    units = codes.transpose(0, 1).flatten(1)
    if activation == "relu":
        return float((units.amax(1) <= 0).double().mean())
    low, high = RANGES.get(activation, (0.0, 0.0))
    return float((units.amax(1) - units.amin(1) <= STILL * (high - low)).double().mean())
