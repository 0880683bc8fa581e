"""What a reconstruction is the mean of: the distribution that a layer's objective gives its inputs."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Generator, Tensor

from ..nn.decoder import Decoder
from ..nn.draws import bernoulli
from ..objectives import RBM
from ..objectives.objective import Objective

Visible = Literal["bernoulli", "normal", "mean"]


def visible_of(objective: Objective | None, decoder: Decoder) -> Visible:
    """Say how a layer's inputs are drawn, given their mean.

    Bernoulli where the loss is cross-entropy or the visible units are binary, normal with variance 1 for Gaussian
    visible units. An auto-encoder trained by squared error has no scale for its noise: the mean itself is taken.

    Examples
    --------
    >>> from torch import nn
    >>> from layerwise.objectives import DenoisingAutoencoder
    >>> visible_of(DenoisingAutoencoder(), Decoder(nn.Linear(3, 2), output="sigmoid"))
    'bernoulli'
    >>> visible_of(DenoisingAutoencoder(), Decoder(nn.Linear(3, 2)))
    'mean'
    """
    if isinstance(objective, RBM):
        return "bernoulli" if objective.visible == "bernoulli" else "normal"
    loss: Any = getattr(objective, "loss", "squared")
    settled = "cross_entropy" if loss == "auto" and decoder.output == "sigmoid" else loss
    return "bernoulli" if settled == "cross_entropy" else "mean"


def draw(mean: Tensor, visible: Visible, generator: Generator) -> Tensor:
    """Draw rows with the given means, any shape.

    Examples
    --------
    >>> draw(torch.tensor([0.0, 1.0]), "bernoulli", torch.Generator()).tolist()
    [0.0, 1.0]
    """
    if visible == "bernoulli":
        return bernoulli(mean, generator)
    if visible == "mean":
        return mean
    noise = torch.randn(mean.shape, generator=generator, device=generator.device, dtype=torch.float32)
    return mean + noise.to(mean)
