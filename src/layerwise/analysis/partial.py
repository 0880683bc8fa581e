"""Networks of which only some layers start from pre-trained weights."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Literal

from torch import nn

from ..errors import NetworkError
from ..nn.cutting import cut


def partly_pretrained(initial: nn.Module, pretrained: nn.Module, layers: Literal["all"] | Collection[int]) -> nn.Module:
    """Return a copy of a network in which the layers of these numbers have the weights of the pre-trained one.

    All other weights, the output head's too, are those of ``initial``. A layer above the lowest was pre-trained on the
    codes of the pre-trained layers below it: with those left out it is fed codes that it has never seen.

    Parameters
    ----------
    initial : nn.Module
        The weights before pre-training; not changed.
    pretrained : nn.Module
        The same network after it.
    layers : "all" or collection of int
        Numbers of layers, counted from 1 at the input.

    Raises
    ------
    NetworkError
        When there is no layer of that number, or the two networks differ.

    Examples
    --------
    >>> import torch
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 3), nn.Sigmoid(), nn.Linear(3, 2))
    >>> trained = copy.deepcopy(network)
    >>> with torch.no_grad(): _ = [weight.add_(1.0) for weight in trained.parameters()]
    >>> mixed = partly_pretrained(network, trained, [2])
    >>> [torch.equal(mixed[k].weight, trained[k].weight) for k in (0, 2, 4)]
    [False, True, False]
    """
    network = copy.deepcopy(initial)
    own, others = cut(network), cut(pretrained)
    if [layer.name for layer in own] != [layer.name for layer in others]:
        raise NetworkError(
            "the initial and the pre-trained network have different layers", "give copies of one network"
        )
    chosen = range(1, len(own) + 1) if layers == "all" else sorted(set(layers))
    for number in chosen:
        if not 1 <= number <= len(own):
            raise NetworkError(
                f"there is no layer {number}, the network has layers 1 to {len(own)} below its output head",
                "count layers from 1 at the input",
            )
        layer, other = own[number - 1], others[number - 1]
        try:
            layer.module.load_state_dict(other.module.state_dict())
            layer.after.load_state_dict(other.after.state_dict())
        except RuntimeError as error:
            raise NetworkError(
                f"layer {number} differs between the two: {error}", "give copies of one network"
            ) from error
    return network
