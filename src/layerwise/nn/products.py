"""Matrix products with a weight, and the low precision that they can be made in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor


class _Lowering:
    """A type that products are made in, with the weights' copies in it."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        # by the weight's identity: the weight, the number of changes it had seen, and its copy
        self.copies: dict[int, tuple[Tensor, int, Tensor]] = {}

    def of(self, weight: Tensor) -> Tensor:
        """Return a weight's copy, made anew only after the weight has changed."""
        kept = self.copies.get(id(weight))
        if kept is None or kept[1] != weight._version:
            kept = self.copies[id(weight)] = (weight, weight._version, weight.detach().to(self.dtype))
        return kept[2]


_lowering: ContextVar[_Lowering | None] = ContextVar("lowering", default=None)


@contextmanager
def lowered(dtype: torch.dtype) -> Iterator[None]:
    """Make the products of this module in another type inside the block; what they return keeps the rows' type.

    Examples
    --------
    >>> rows, weight = torch.full((1, 1), 1 + 2**-10), torch.ones(1, 1)
    >>> with lowered(torch.bfloat16): up(rows, weight)
    tensor([[1.]])
    """
    token = _lowering.set(_Lowering(dtype))
    try:
        yield
    finally:
        _lowering.reset(token)


def mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which autograd's products too are made in the type of `lowered`; empty outside of it."""
    lowering = _lowering.get()
    return nullcontext() if lowering is None else torch.autocast(device.type, lowering.dtype)


def up(rows: Tensor, weight: Tensor, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """Return rows (B, d) times the transpose of a weight (H, d), plus a bias (H,)."""
    lowering = _lowering.get()
    if lowering is None:
        return _exact(rows, weight.t(), bias, out)
    return _finish(torch.mm(rows.to(lowering.dtype), lowering.of(weight).t()), rows, bias, out)


def down(rows: Tensor, weight: Tensor, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """Return rows (B, H) times a weight (H, d), plus a bias (d,)."""
    lowering = _lowering.get()
    if lowering is None:
        return _exact(rows, weight, bias, out)
    return _finish(torch.mm(rows.to(lowering.dtype), lowering.of(weight)), rows, bias, out)


def add_product(into: Tensor, left: Tensor, right: Tensor | None, alpha: float, beta: float = 1.0) -> None:
    r"""Change a tensor in place: :math:`M \leftarrow \beta M + \alpha A^\top B`, B being a column of ones where None.

    With beta 0 it does not matter what was there, NaN included.

    Examples
    --------
    >>> into = torch.zeros(2, 2)
    >>> add_product(into, torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), alpha=0.5)
    >>> into.tolist()
    [[1.5, 2.0], [3.0, 4.0]]
    """
    lowering = _lowering.get()
    if right is not None and lowering is None:
        into.addmm_(left.t(), right, alpha=alpha, beta=beta)
        return
    if beta == 0.0:
        into.zero_()
    elif beta != 1.0:
        into.mul_(beta)
    if right is None:
        into.add_(left.sum(0), alpha=alpha)
    elif lowering is not None:
        into.add_(torch.mm(left.to(lowering.dtype).t(), right.to(lowering.dtype)), alpha=alpha)


def room(kept: tuple[Tensor, Tensor] | None, rows: int, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return room for both factors of a weight's gradient, (rows, H) and (rows, d): what was kept, where it fits.

    Examples
    --------
    >>> above, below = room(None, 5, torch.zeros(2, 3))
    >>> above.shape, below.shape, room((above, below), 5, torch.zeros(2, 3))[0] is above
    (torch.Size([5, 2]), torch.Size([5, 3]), True)
    """
    if kept is not None and (len(kept[0]), kept[0].device, kept[0].dtype) == (rows, weight.device, weight.dtype):
        return kept
    return weight.new_empty(rows, len(weight)), weight.new_empty(rows, weight.shape[1])


def _exact(rows: Tensor, factor: Tensor, bias: Tensor | None, out: Tensor | None) -> Tensor:
    if bias is None:
        return torch.mm(rows, factor, out=out)
    return torch.addmm(bias, rows, factor, out=out)


def _finish(product: Tensor, rows: Tensor, bias: Tensor | None, out: Tensor | None) -> Tensor:
    if out is None:
        return product.to(rows.dtype) if bias is None else product + bias  # the sum has the bias's type, the rows' own
    return out.copy_(product) if bias is None else torch.add(product, bias, out=out)
