"""Bernoulli draws: binary units with given probabilities."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def bernoulli(mean: Tensor, generator: Generator) -> Tensor:
    r"""Draw binary elements, each 1 where a uniform number of its own is below its mean.

    .. math:: x_i = 1 \text{ if } u_i < \text{mean}_i \text{ else } 0, \qquad u_i \sim U(0, 1)

    Parameters
    ----------
    mean : Tensor
        Probabilities, any shape.
    generator : Generator
        Source of the draws, one float32 number per element whatever the type of ``mean``: in bfloat16 a uniform number
        is 0 once in 256 draws.

    Examples
    --------
    >>> bernoulli(torch.tensor([0.0, 1.0]), torch.Generator()).tolist()
    [0.0, 1.0]
    """
    uniform = torch.rand(mean.shape, generator=generator, device=generator.device, dtype=torch.float32)
    return (uniform.to(mean.device) < mean).to(mean)
