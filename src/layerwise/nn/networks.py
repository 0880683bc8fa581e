"""The plain networks that a comparison trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import nn

from ..errors import PlanError
from ..randomness import Randomness
from .initialization import FOR_ACTIVATION, initialize
from .layers import ACTIVATIONS, LEARNED

ActivationName = Literal["sigmoid", "tanh", "relu", "identity"]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Convolution:
    """One convolutional layer of a plain network: convolution, activation, pooling.

    Parameters
    ----------
    channels : int
        Of the code.
    kernel : int
        Width and height of each filter.
    pool : int
        Maximum pooling over squares of this side; 1 is none.

    Examples
    --------
    >>> Convolution(16, kernel=5, pool=2).channels
    16
    """

    channels: Count
    kernel: Count = 5
    pool: Count = 2


def build_network(
    features: int,
    hidden_layer_sizes: Sequence[int],
    outputs: int,
    *,
    convolutions: Sequence[Convolution] = (),
    image_shape: tuple[int, int] | None = None,
    activation: ActivationName = "sigmoid",
    initializer: str = "auto",
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    batch_norm: bool = False,
    randomness: Randomness,
) -> nn.Sequential:
    """Build a network of convolutions, then dense layers, then a linear output head.

    Parameters
    ----------
    features, outputs : int
        Width of the rows and of the head.
    hidden_layer_sizes : sequence of int
        Units per dense hidden layer.
    convolutions : sequence of Convolution
        Below the dense layers; rows are then images of ``image_shape``, (height, width), given flat.
    activation : {"sigmoid", "tanh", "relu", "identity"}
        Of the hidden layers.
    initializer : str
        A name of `layerwise.nn.initialization`, or "auto": the one for the activation. The head uses "glorot", unless a
        name was given.
    dropout, input_dropout : float
        Rates after each hidden layer and on the inputs.
    batch_norm : bool
        Batch normalisation between a hidden layer's module and its activation.
    randomness : Randomness
        Each module draws from its own generator.

    Raises
    ------
    PlanError
        When there are convolutions and rows are no images, or too small ones.

    Examples
    --------
    >>> build_network(4, (3,), 2, randomness=Randomness(0))
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): Sigmoid()
      (2): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    modules: list[nn.Module] = [nn.Dropout(input_dropout)] if input_dropout else []
    if convolutions:
        # nn modules themselves would draw from torch's global generator
        shape = _image(image_shape, features)
        modules.append(nn.Unflatten(1, (1, *shape)))
        channels = 1
        for number, settings in enumerate(convolutions):
            convolution = nn.utils.skip_init(nn.Conv2d, channels, settings.channels, settings.kernel)
            modules.append(convolution)
            modules += [nn.BatchNorm2d(settings.channels)] if batch_norm else []
            modules.append(ACTIVATIONS[activation]())
            modules += [nn.MaxPool2d(settings.pool)] if settings.pool > 1 else []
            channels = settings.channels
            shape = tuple((side - settings.kernel + 1) // settings.pool for side in shape)
            if min(shape) < 1:
                raise PlanError(
                    f"network.convolutions: nothing is left of an image after convolution {number + 1}",
                    "use fewer of them, smaller kernels or less pooling",
                )
        modules.append(nn.Flatten())
        features = channels * shape[0] * shape[1]
    for units in hidden_layer_sizes:
        modules.append(nn.utils.skip_init(nn.Linear, features, units))
        modules += [nn.BatchNorm1d(units)] if batch_norm else []
        modules.append(ACTIVATIONS[activation]())
        modules += [nn.Dropout(dropout)] if dropout else []
        features = units
    head = nn.utils.skip_init(nn.Linear, features, outputs)
    chosen = FOR_ACTIVATION[activation] if initializer == "auto" else initializer
    learned = [module for module in modules if isinstance(module, LEARNED)]
    for number, module in enumerate(learned):
        initialize(module, chosen, randomness.generator("weights", number))
        if isinstance(module, nn.Conv2d):
            # an image's channels side by side: convolution and pooling then take about half the time on a CPU
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    initialize(head, "glorot" if initializer == "auto" else initializer, randomness.generator("weights", "head"))
    return nn.Sequential(*modules, head)


def dense_modules(network: nn.Module) -> list[nn.Linear]:
    """Return a network's dense modules in order; the last is its output head."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def _image(shape: tuple[int, int] | None, features: int) -> tuple[int, ...]:
    if shape is None or shape[0] * shape[1] != features:
        raise PlanError(
            f"network.convolutions is set, but rows of {features} features are no grey images",
            "give rows of shape (height, width), or leave convolutions out",
        )
    return shape
