"""Initial weights, by name.

============== =========================================== ==========================================
name           weights                                     for
============== =========================================== ==========================================
glorot         U(±sqrt(6 / (fan_in + fan_out)))            tanh (Glorot & Bengio 2010)
glorot-sigmoid 4 times that                                sigmoid (Bengio 2012)
he             U(±sqrt(6 / fan_in))                        ReLU (He et al. 2015)
xavier         U(±sqrt(3 / fan_in))                        what Mocha and Caffe call Xavier
mocha-early    U(±sqrt(3) / fan_in)                        the slip of Mocha 0.0.6: about sqrt(fan_in) too small
============== =========================================== ==========================================

Biases start at 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Generator, Tensor, nn

from ..errors import PlanError, nearest
from .lista import LISTA

InitializerName = Literal["glorot", "glorot-sigmoid", "he", "xavier", "mocha-early"]

BOUNDS: dict[str, Callable[[int, int], float]] = {
    "glorot": lambda fan_in, fan_out: math.sqrt(6 / (fan_in + fan_out)),
    "glorot-sigmoid": lambda fan_in, fan_out: 4 * math.sqrt(6 / (fan_in + fan_out)),
    "he": lambda fan_in, fan_out: math.sqrt(6 / fan_in),
    "xavier": lambda fan_in, fan_out: math.sqrt(3 / fan_in),
    "mocha-early": lambda fan_in, fan_out: math.sqrt(3) / fan_in,
}
FOR_ACTIVATION: dict[str, InitializerName] = {
    "sigmoid": "glorot-sigmoid",
    "tanh": "glorot",
    "relu": "he",
    "identity": "glorot",
}


def initialize(module: Any, initializer: str, generator: Generator) -> None:
    """Draw the weights of one dense or convolutional module in place; its bias becomes 0.

    Parameters
    ----------
    module : nn.Module
        Its weight has shape (fan_out, fan_in); of a convolution (channels, input channels, kernel ...), with a fan-in
        and fan-out of channels times kernel size.
    initializer : str
        A name of the table above.
    generator : Generator
        Source of the draws.

    Raises
    ------
    PlanError
        When the name is unknown.

    Examples
    --------
    >>> layer = nn.Linear(100, 50)
    >>> initialize(layer, "glorot", torch.Generator().manual_seed(0))
    >>> bool(layer.weight.abs().max() <= math.sqrt(6 / 150)), bool(layer.bias.any())
    (True, False)
    """
    if initializer not in BOUNDS:
        near = nearest(initializer, BOUNDS)
        raise PlanError(
            f"initializer is {initializer!r}, expected one of {', '.join(get_args(InitializerName))}",
            f"did you mean {near!r}?" if near else "choose one of these names",
        )
    kernel = module.weight[0, 0].numel()
    fan_out, fan_in = len(module.weight) * kernel, module.weight[0].numel()
    bound = BOUNDS[initializer](fan_in, fan_out)
    with torch.no_grad():
        # drawn in float32 on the CPU, so that device and precision do not change where a network starts
        draw = torch.rand(module.weight.shape, generator=generator)
        module.weight.copy_((2 * draw - 1) * bound)
        if module.bias is not None:
            module.bias.zero_()
        if isinstance(module, LISTA):
            module.follow_weight()


def initialize_output_bias(head: nn.Linear, codes: Tensor) -> None:
    r"""Set the bias of an output head to the inverse link of the mean target: the log frequency of each class.

    Parameters
    ----------
    head : nn.Linear
        One output per class.
    codes : Tensor of int64, shape (rows,)
        Class of each labelled row; a class without a row counts as half a row.

    References
    ----------
    Bengio (2012), Practical recommendations for gradient-based training of deep architectures, section 3.1.

    Examples
    --------
    >>> head = nn.Linear(3, 2)
    >>> initialize_output_bias(head, torch.tensor([0, 0, 0, 1]))
    >>> [round(math.exp(value), 2) for value in head.bias.tolist()]
    [0.75, 0.25]
    """
    counts = torch.bincount(codes, minlength=head.out_features).double().clamp(min=0.5)
    with torch.no_grad():
        head.bias.copy_((counts / counts.sum()).log())
