"""How far each layer's weights move, as in fine-tuning, where they may stay near what pre-training gave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import NetworkError

Weights = nn.Module | Mapping[str, Tensor]


@dataclass(frozen=True)
class Moved:
    """How far one layer moved.

    Attributes
    ----------
    layer : str
        Name of its module, as in the ``state_dict``.
    distance, relative, cosine : float
        Of the weight; ``relative`` and ``cosine`` are None where it was all zeros before (or, the cosine, after).
    bias_distance, bias_relative, bias_cosine : float or None
        Of the bias; None where there is none, or as above.
    """

    layer: str
    distance: float
    relative: float | None
    cosine: float | None
    bias_distance: float | None = None
    bias_relative: float | None = None
    bias_cosine: float | None = None


def distance_moved(before: Weights, after: Weights) -> list[Moved]:
    r"""Return how far each layer's weight and bias moved from one state of a network to another.

    .. math::
        d = \lVert W' - W \rVert_F, \qquad
        d / \lVert W \rVert_F, \qquad
        \cos = \frac{\langle W, W' \rangle}{\lVert W \rVert_F \lVert W' \rVert_F}

    Parameters
    ----------
    before, after : nn.Module or mapping of str to Tensor
        Two copies of a network, or their ``state_dict``; a copy is taken with ``copy.deepcopy`` before training.

    Returns
    -------
    list of Moved
        One for each weight of two dimensions or more, in the network's order, the output head included.

    Raises
    ------
    NetworkError
        When the two are not states of one network.

    Examples
    --------
    >>> import copy, torch
    >>> network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
    >>> before = copy.deepcopy(network)
    >>> with torch.no_grad(): _ = network[0].weight.mul_(1.5)
    >>> moved, = distance_moved(before, network)
    >>> moved.layer, round(moved.relative, 4), round(moved.cosine, 4)
    ('0', 0.5, 1.0)
    """
    start, end = _weights(before), _weights(after)
    names = [name for name, value in end.items() if value.ndim > 1 and name.rpartition(".")[2] == "weight"]
    moved = []
    for name in names:
        layer = name.rpartition(".")[0]
        bias = f"{layer}.bias" if layer else "bias"
        moved.append(Moved(layer, *_moved(name, start, end), *(_moved(bias, start, end) if bias in end else ())))
    if not moved:
        raise NetworkError("the network has no weight", "give a network with dense or convolutional modules")
    return moved


def _weights(model: Weights) -> Mapping[str, Tensor]:
    return model.state_dict() if isinstance(model, nn.Module) else model


def _moved(
    name: str, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> tuple[float, float | None, float | None]:
    here, there = before.get(name), after[name]
    if here is None or here.shape != there.shape:
        found = "no such parameter" if here is None else f"shape {tuple(here.shape)}"
        raise NetworkError(
            f"parameter {name!r} has shape {tuple(there.shape)} after, and before there is {found}",
            "give two states of one network",
        )
    old, new = (value.detach().double().cpu().flatten() for value in (here, there))
    distance, length, length_after = float((new - old).norm()), float(old.norm()), float(new.norm())
    cosine = float(old @ new) / (length * length_after) if length and length_after else None
    return distance, distance / length if length else None, cosine
