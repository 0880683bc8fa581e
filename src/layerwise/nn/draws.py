"""Fast random choices: four of them come of one draw of 64 bits, at probabilities that are multiples of 2^-16."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def whole_numbers(like: Tensor, generator: Generator) -> Tensor:
    """Draw a whole number from -2^15 up to 2^15, exclusive, for each element of a tensor; int16, of its shape."""
    count = like.numel()
    words = torch.empty(-(-count // 4), dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)  # without its bounds random_ leaves the sign bit at 0
    return words.view(torch.int16)[:count].view(like.shape).to(like.device)


def happens(numbers: Tensor, rate: float) -> Tensor:
    """Return where an event of this probability, rounded to a multiple of 2^-16, happens; from `whole_numbers`.

    Examples
    --------
    >>> numbers = whole_numbers(torch.empty(100_000), torch.Generator().manual_seed(0))
    >>> 0.24 < float(happens(numbers, 0.25).double().mean()) < 0.26
    True
    """
    bound = round(rate * 2**16) - 2**15
    return numbers < bound if bound < 2**15 else torch.ones_like(numbers, dtype=torch.bool)  # 2^15 is no 16-bit number


def bernoulli(probabilities: Tensor, generator: Generator) -> Tensor:
    """Draw binary units, 0 or 1 in the type of their probabilities, each of which is rounded to a multiple of 2^-16.

    Examples
    --------
    >>> bernoulli(torch.tensor([0.0, 1.0]), torch.Generator().manual_seed(0))
    tensor([0., 1.])
    """
    numbers = whole_numbers(probabilities, generator).to(torch.float32)
    # halves, so that a probability is rounded to the nearest multiple; bfloat16 cannot hold them
    bounds = probabilities.to(torch.promote_types(probabilities.dtype, torch.float32)) * 2**16 - (2**15 + 0.5)
    return bounds.gt_(numbers).to(probabilities.dtype)
