"""Which of a network's parameters are pre-trained, and which are as they were drawn."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from torch import nn

from .nn.layers import Layer

logger = logging.getLogger("layerwise")


def origins(network: nn.Module, layers: Sequence[Layer] = ()) -> dict[str, str]:
    """Say for each parameter whether it is pre-trained or initialised.

    Examples
    --------
    >>> from layerwise.nn.cutting import cut
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    >>> list(origins(network, cut(network)).values())
    ['pre-trained', 'pre-trained', 'initialised', 'initialised']
    """
    parts = [part for layer in layers for part in (layer.module, layer.after)]
    trained = {id(parameter) for part in parts for parameter in part.parameters() if parameter.requires_grad}
    return {
        name: "pre-trained" if id(parameter) in trained else "initialised"
        for name, parameter in network.named_parameters()
    }


def log_origins(network: nn.Module, found: Mapping[str, str], arm: str = "") -> None:
    """Log a line for each parameter, the head's included, that says pre-trained or initialised."""
    of = f"{arm}: " if arm else ""
    for name, parameter in network.named_parameters():
        logger.info("%sparameter %s (%s): %s", of, name, "x".join(map(str, parameter.shape)), found[name])
