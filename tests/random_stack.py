"""A stack of one layer with weights drawn at random, in float64: what was learned plays no part in an identity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import layerwise as lw
from layerwise.nn.decoder import Decoder
from layerwise.nn.layers import Layer
from layerwise.stack import Stack

GAUSSIAN = lw.DenoisingAutoencoder(lw.GaussianNoise(0.5), decoder="linear")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stack_of(
    objective: Any,
    activation: type[nn.Module] = nn.Sigmoid,
    *,
    module: Any = None,
    output: Any = "linear",
    tied: bool = True,
    shape: tuple[int, ...] = (),
    preamble: tuple[nn.Module, ...] = (),
) -> Stack:
    """Return a stack of one layer over rows of 5 features, or over those of the module given."""
    module = nn.Linear(5, 4) if module is None else module
    layer = Layer("0", preamble, module.double(), [activation()])
    decoder = Decoder(module, tied=tied, output=output, shape=shape)
    with torch.no_grad():
        for number, parameter in enumerate((*module.parameters(), *decoder.parameters())):
            parameter.copy_(drawn(*parameter.shape, seed=number))
    return Stack([layer], [decoder], [objective])
