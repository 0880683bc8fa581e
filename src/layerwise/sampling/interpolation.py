"""Interpolation: the straight line between two rows, drawn in the codes of any depth and decoded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..data.source import load_rows, open_source
from ..errors import DataError, PlanError
from ..stack import Stack


def interpolate(stack: Stack, a: Any, b: Any, steps: int = 11, depth: int | None = None) -> Tensor:
    r"""Decode the points on the line between the codes of two rows.

    .. math:: x(t) = g\big((1 - t) f(a) + t f(b)\big), \qquad t = 0, \tfrac{1}{\text{steps} - 1}, \dots, 1

    In the input (depth 0) the line passes through mixtures of both rows. The more its middle looks like a row of its
    own, the flatter the data lie in that representation (Bengio, Mesnil, Dauphin & Rifai 2013).

    Parameters
    ----------
    stack : Stack
        With a way back from ``depth``.
    a, b : array or tensor, shape (n, features ...)
        Rows; the i-th of one goes to the i-th of the other.
    steps : int
        Points on each line, its ends included: 2 or more.
    depth : int, optional
        Of the codes; all layers when not given. The ends are then reconstructions, not the rows.

    Returns
    -------
    Tensor, shape (n, steps, features ...)

    Raises
    ------
    PlanError
        When there are fewer than two steps, or no such depth.
    DataError
        When ``a`` and ``b`` are not equally many rows.
    NetworkError
        When there is no way back from that depth.

    Examples
    --------
    >>> from torch import nn
    >>> from layerwise.nn.layers import Layer
    >>> stack = Stack([Layer("0", [], nn.Linear(2, 3), [nn.Sigmoid()])], [None])
    >>> interpolate(stack, torch.zeros(1, 2), torch.ones(1, 2), steps=3, depth=0)[0].tolist()
    [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]
    """
    if not isinstance(steps, int) or steps < 2:
        raise PlanError(f"steps is {steps!r}, expected a whole number of 2 or more", "set steps=11")
    weight = stack.layers[0].module.weight
    first, last = (load_rows(open_source(rows), dtype=weight.dtype).to(weight.device) for rows in (a, b))
    if first.shape != last.shape:
        raise DataError(
            f"a has shape {tuple(first.shape)}, b has {tuple(last.shape)}", "give one row of b for each row of a"
        )
    ends = [stack.encode(rows, depth) for rows in (first, last)]
    share = torch.linspace(0, 1, steps).to(ends[0]).reshape(steps, *[1] * (ends[0].ndim - 1))
    line = torch.lerp(ends[0][:, None], ends[1][:, None], share)
    decoded = stack.decode(line.flatten(0, 1), depth)
    return decoded.reshape(len(first), steps, *decoded.shape[1:])
