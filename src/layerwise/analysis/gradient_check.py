"""The gradient check: autograd's gradients, and those from factors, against differences of the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import NetworkError, PlanError
from ..randomness import Randomness
from .differences import Slopes, Subject
from .example import Loss

TOLERANCE = 1e-5  # what differences leave open is far below, what a wrong formula makes of a gradient far above
# An error is relative to the gradient; but to this part of the largest one where that is more, since differences of a
# loss know nothing smaller.
FLOOR = 1e-4


@dataclass(frozen=True)
class ParameterCheck:
    """How one parameter's gradient compares with differences of the loss.

    Attributes
    ----------
    name : str
        As in ``named_parameters``.
    source : str
        "autograd" or "factors": where the gradient comes from.
    shape : tuple of int
        Of the parameter.
    compared, kinks : int
        Directions that were compared, elements and one random direction of all elements together; and those left out
        since the loss has a kink there, with different slopes on both sides and the gradient between them.
    error : float
        The largest relative error.
    element : tuple of int or None
        Where that was; None: along the random direction.
    gradient, difference : float
        What the source says there, and what the difference is.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    compared: int
    kinks: int
    error: float
    element: tuple[int, ...] | None
    gradient: float
    difference: float

    @property
    def place(self) -> str:
        """Where the largest error was, in words."""
        if self.element is None:
            return f"{self.name} along a random direction"
        return self.name + (f"[{', '.join(map(str, self.element))}]" if self.element else "")


@dataclass(frozen=True)
class GradientCheck:
    """What `check_gradients` returns; printed, it is a table.

    Attributes
    ----------
    parameters : tuple of ParameterCheck
        In the order of ``named_parameters``; where a learner states factors, each source is one of its own.
    """

    parameters: tuple[ParameterCheck, ...]

    @property
    def worst(self) -> ParameterCheck:
        """The parameter with the largest relative error."""
        return max(self.parameters, key=lambda found: found.error)

    def passed(self, tolerance: float = TOLERANCE) -> bool:
        """Say whether every gradient agrees, and anything was compared at all."""
        compared = any(found.compared for found in self.parameters)
        return compared and all(found.error <= tolerance for found in self.parameters)

    def __str__(self) -> str:
        """Return the table, and below it the worst."""
        heads = ("parameter", "shape", "gradient from", "compared", "at a kink", "largest error")
        rows = [
            (p.name, "x".join(map(str, p.shape)), p.source, str(p.compared), str(p.kinks), f"{p.error:.1e}")
            for p in self.parameters
        ]
        wide = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(w) if k < 3 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, wide, strict=True))
            )
            for row in (heads, *rows)
        ]
        worst = self.worst
        lines.append(
            f"worst: {worst.place}: {worst.source} says {worst.gradient:.6g}, the difference is {worst.difference:.6g}"
        )
        return "\n".join(line.rstrip() for line in lines)


def check_gradients(
    network: nn.Module,
    batch: Any,
    *,
    targets: Any = None,
    loss: Loss = "auto",
    elements: int = 20,
    random_state: int = 0,
) -> GradientCheck:
    r"""Compare the gradients of a loss with central differences.

    .. math:: \frac{\partial \ell}{\partial \theta_i} \approx
        \frac{\ell(\theta + h e_i) - \ell(\theta - h e_i)}{2 h}, \qquad h = 10^{-5}

    All is done in float64, on a copy: the network, its modes, weights and buffers, and torch's own generators stay as
    they are. The copy runs in the modes it is found in; dropout and a learner's noise draw the same in each evaluation,
    and batch normalisation in training takes the batch's own mean and variance. One random direction of all of a
    parameter's elements together finds what a sample of them misses.

    Parameters
    ----------
    network : nn.Module
        A network; or a `Learner`, where the batch is a `Batch`: then its own loss is checked, and the gradient from its
        factors as well, where it states them.
    batch : Tensor, array or Batch, shape (rows, ...)
        A few rows.
    targets : Tensor or array, optional
        What the loss compares outputs with.
    loss : {"auto", "cross_entropy", "squared"} or callable
        As in `draw_graph`; "auto" without targets is a sum of the outputs with random weights, since a plain sum is
        the same for all parameters below a softmax or batch normalisation.
    elements : int
        Per parameter; smaller parameters are compared in whole. Each takes four evaluations of the loss.
    random_state : int
        Of the sample of elements, the directions, and all noise.

    Returns
    -------
    GradientCheck
        With ``.worst``, ``.passed()`` and a printed form.

    Raises
    ------
    NetworkError
        When the network cannot be copied to float64, has nothing to train, or its loss is not finite or never the same.
    PlanError, DataError
        When the loss cannot be made of the outputs.

    Notes
    -----
    A learner's loss may be a surrogate whose gradient is meant to be another than its slope; the check then fails, and
    rightly so: tied weights with ``tied_gradient="encoder"``, sparse codes that are held fixed, contrastive divergence
    of Gaussian units. A network that casts to float32 itself is only as exact as that.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    >>> check = check_gradients(network, torch.rand(5, 4), targets=torch.tensor([0, 1, 1, 0, 1]))
    >>> check.passed(), len(check.parameters)
    (True, 4)
    """
    if elements < 1:
        raise PlanError(f"elements is {elements}, expected 1 or more", "say how many elements to compare per parameter")
    subject = Subject(network, batch, targets, loss, Randomness(random_state).child("gradient check"))
    value = subject.value()
    if not math.isfinite(value) or subject.value() != value:
        found = "is not the same when it is computed again" if math.isfinite(value) else f"is {value}"
        raise NetworkError(
            f"the loss of the batch {found}",
            "give rows and weights for which it is finite, and let noise come from torch's own generators",
        )
    sources = dict(subject.sources())
    largest = max(float(gradient.abs().max()) for found in sources.values() for gradient in found.values())
    floor = max(FLOOR * max(largest, abs(value)), torch.finfo(torch.float64).tiny)
    checks = []
    for name, parameter in subject.parameters.items():
        ways = _directions(parameter, elements, subject.randomness.generator("elements", name))
        slopes = [(*way, subject.slopes(parameter, way[1], value)) for way in ways]
        for source, gradients in sources.items():
            if name in gradients:
                checks.append(_check(name, source, gradients[name], slopes, floor))
    return GradientCheck(tuple(checks))


_Element = tuple[int, ...] | None  # None: all elements together


def _directions(parameter: Tensor, elements: int, generator: torch.Generator) -> list[tuple[_Element, Tensor]]:
    """Return the directions to look along: single elements, all or a sample, and a random one of all together."""
    count = parameter.numel()
    chosen = range(count) if count <= elements else torch.randperm(count, generator=generator)[:elements].tolist()
    found: list[tuple[_Element, Tensor]] = []
    for flat in chosen:
        way = torch.zeros(count, dtype=parameter.dtype, device=parameter.device)
        way[flat] = 1.0
        index = tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), parameter.shape))
        found.append((index, way.reshape(parameter.shape)))
    together = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype).to(parameter.device)
    return [*found, (None, together / together.norm())]


def _check(
    name: str,
    source: str,
    gradient: Tensor,
    slopes: Sequence[tuple[_Element, Tensor, Slopes]],
    floor: float,
) -> ParameterCheck:
    """Compare one parameter's gradient with the slopes of the loss along some directions."""
    kinks = 0
    worst: tuple[float, _Element, float, float] = (-1.0, None, 0.0, 0.0)
    for element, way, sides in slopes:
        mine = float((gradient * way).sum())
        tried = []
        for left, right in sides:
            middle = (left + right) / 2
            tried.append((abs(mine - middle) / max(abs(mine), abs(middle), floor), element, mine, middle))
        best = min(tried, key=lambda found: found[0])
        low, high = sorted(sides[-1])
        margin = 0.01 * (high - low)
        if best[0] > TOLERANCE and low - margin <= mine <= high + margin:
            kinks += 1  # one of the slopes that there are
        elif best[0] > worst[0] and (element is not None or worst[0] <= TOLERANCE):
            worst = best  # the direction, which comes last, says no place: it counts where no element is wrong
    return ParameterCheck(
        name, source, tuple(gradient.shape), len(slopes) - kinks, kinks, max(worst[0], 0.0), *worst[1:]
    )
