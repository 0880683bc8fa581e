r"""The Parzen estimate: how likely rows are under a normal density around each of many samples.

.. math::
    \log p(x) = \log \frac1N \sum_{i=1}^N \exp\!\Big(-\frac{\lVert x - s_i \rVert^2}{2 \sigma^2}\Big)
        - \frac d2 \log 2 \pi \sigma^2

It is the number that generative models of MNIST were compared by (Breuleux, Bengio & Vincent 2011): the samples
:math:`s_i` are 10,000 means, :math:`\sigma` is chosen on validation rows, the rest is a mean over test rows. It is a
crude number: in many dimensions it prefers samples near rows to samples like rows, and only estimates from equally many
samples can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, PlanError

SIGMAS = tuple(float(sigma) for sigma in np.geomspace(0.05, 1.0, 25))
BLOCK = 100  # rows whose squared distances to all samples are held at a time: 8 MB for 10,000 samples


@dataclass(frozen=True)
class Parzen:
    """A Parzen estimate.

    Attributes
    ----------
    mean : float
        Of log p over the test rows, in nats.
    standard_error : float
        Of that mean, over test rows: the samples' own luck is not in it.
    sigma : float
        The width, chosen on validation rows.
    samples, rows : int
        How many of each.
    """

    mean: float
    standard_error: float
    sigma: float
    samples: int
    rows: int


def parzen(samples: Any, test: Any, *, validation: Any, sigmas: Sequence[float] = SIGMAS) -> Parzen:
    """Estimate how likely test rows are by samples, with a width chosen on validation rows.

    Parameters
    ----------
    samples, test, validation : array or tensor, shapes (N, ...), (n, ...), (m, ...)
        Rows; they are flattened. Validation rows are neither test rows nor, for an honest number, training rows.
    sigmas : sequence of float
        Widths to choose from, in the unit of the rows.

    Raises
    ------
    DataError
        When widths differ, rows are missing or not finite.
    PlanError
        When a width is not positive, or the best is the first or last of them: the grid ends too soon.

    References
    ----------
    Breuleux, Bengio & Vincent (2011), Quickly generating representative samples from an RBM-derived process, Neural
    Computation 23.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> draws = [torch.randn(count, 1, generator=generator) for count in (3000, 1000, 1000)]
    >>> found = parzen(draws[0], draws[1], validation=draws[2])
    >>> abs(found.mean - -0.5 * math.log(2 * math.pi * math.e)) < 0.1  # that of a standard normal variable
    True
    """
    sigma = choose_sigma(samples, validation, sigmas)
    density = log_density(test, samples, sigma)
    error = float(density.std(ddof=1) / math.sqrt(len(density))) if len(density) > 1 else math.nan
    return Parzen(float(density.mean()), error, sigma, len(samples), len(density))


def choose_sigma(samples: Any, validation: Any, sigmas: Sequence[float] = SIGMAS) -> float:
    """Return the width under which validation rows are likeliest; arguments and errors as of `parzen`."""
    found = log_densities(validation, samples, sigmas).mean(0)
    best = int(found.argmax())
    if len(sigmas) > 2 and best in (0, len(sigmas) - 1):
        raise PlanError(
            f"the best width is {sigmas[best]:g}, an end of the grid from {sigmas[0]:g} to {sigmas[-1]:g}",
            "give sigmas that go further, in the unit of the rows",
        )
    return float(sigmas[best])


def log_density(rows: Any, samples: Any, sigma: float) -> np.ndarray:
    """Return log p of each row, shape (n,), float64, in nats, under a normal density of one width around each sample.

    Examples
    --------
    >>> log_density(np.zeros((1, 2)), np.zeros((5, 2)), 1.0).round(4).tolist()
    [-1.8379]
    """
    return log_densities(rows, samples, (sigma,))[:, 0]


def log_densities(rows: Any, samples: Any, sigmas: Sequence[float]) -> np.ndarray:
    """Return log p of each row under each width: shape (n, widths).

    Squared distances are matrix products, of a block of rows at a time; all is float64.
    """
    points, centres = _rows(rows, "rows"), _rows(samples, "samples")
    if points.shape[1] != centres.shape[1]:
        raise DataError(
            f"rows have {points.shape[1]} elements, samples {centres.shape[1]}", "give rows and samples alike"
        )
    widths = [float(sigma) for sigma in sigmas]
    if not widths or not all(math.isfinite(sigma) and sigma > 0 for sigma in widths):
        raise PlanError(f"sigmas are {widths}, expected positive numbers", "for example [0.1, 0.2, 0.4]")
    # distances are the same wherever zero is; around the samples' mean least is lost in the difference of squares
    middle = centres.mean(0)
    points, centres = points - middle, centres - middle
    lengths, width = centres.square().sum(1), points.shape[1]
    found = torch.empty(len(points), len(widths), dtype=torch.float64)
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK]
        squares = torch.addmm(lengths, block, centres.T, alpha=-2.0).add_(block.square().sum(1, keepdim=True))
        squares.clamp_(min=0.0)
        for number, sigma in enumerate(widths):
            found[start : start + BLOCK, number] = (squares * (-0.5 / sigma**2)).logsumexp(1)
    constants = [math.log(len(centres)) + 0.5 * width * math.log(2 * math.pi * sigma**2) for sigma in widths]
    return (found - torch.tensor(constants, dtype=torch.float64)).numpy()


def _rows(value: Any, name: str) -> Tensor:
    rows = torch.as_tensor(value).detach().to("cpu", torch.float64)
    if rows.ndim < 2 or len(rows) == 0:
        raise DataError(f"{name} have shape {tuple(rows.shape)}, expected (rows, elements ...)", "give rows")
    if not bool(rows.isfinite().all()):
        raise DataError(f"{name} hold numbers that are not finite", "leave those rows out")
    return rows.flatten(1)
