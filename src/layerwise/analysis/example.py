"""A small example to run a network on: its rows, and the loss of what the network makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import DataError, PlanError, nearest

Loss = Literal["auto", "cross_entropy", "squared"] | Callable[..., Tensor]
SUM = "sum of the outputs"


def rows_for(network: nn.Module, batch: Any) -> Tensor:
    """Return rows as a network takes them: on its device, real numbers in its dtype.

    Examples
    --------
    >>> rows_for(nn.Linear(2, 1).double(), [[0, 1], [1, 0]]).dtype
    torch.int64
    >>> rows_for(nn.Linear(2, 1).double(), [[0.0, 1.0]]).dtype
    torch.float64
    """
    try:
        rows = torch.as_tensor(batch).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"the batch, a {type(batch).__name__}, is no tensor or array: {error}",
            "give a few rows as the network takes them, for example inputs[:3]",
        ) from error
    like = next((p for p in network.parameters() if p.is_floating_point()), None)
    if like is None:
        return rows
    return rows.to(like.device, like.dtype if rows.is_floating_point() else rows.dtype)


def loss_of(targets: Any, loss: Loss) -> tuple[str, Callable[[Any], Tensor]]:
    r"""Return the name of a loss and the loss as a function of a network's outputs.

    "auto" is the cross-entropy where targets are whole numbers, :math:`\tfrac1{2N}\sum (f(x) - t)^2` over N rows
    where they are real ones, and the sum of the outputs where there are none.

    Raises
    ------
    PlanError
        When there is no loss of that name, or one that needs targets has none.

    Examples
    --------
    >>> name, loss = loss_of([[1.0, 2.0]], "auto")
    >>> name, float(loss(torch.tensor([[2.0, 4.0]])))
    ('squared', 2.5)
    """
    if callable(loss):
        name = str(getattr(loss, "__name__", type(loss).__name__))
        return name, (loss if targets is None else lambda outputs: loss(outputs, torch.as_tensor(targets)))
    known = {"auto": None, "cross_entropy": nn.functional.cross_entropy, "squared": _squared}
    if loss not in known:
        near = nearest(str(loss), known)
        raise PlanError(
            f"loss is {loss!r}, expected one of {', '.join(known)}, or a function of outputs and targets",
            f"did you mean {near!r}?" if near else "leave it out for the loss that fits the targets",
        )
    if targets is None:
        if loss != "auto":
            raise PlanError(f"loss={loss!r} compares outputs with targets, and there are none", "give targets=...")
        return SUM, total
    wanted = torch.as_tensor(targets)
    name = loss if loss != "auto" else "squared" if wanted.is_floating_point() else "cross_entropy"
    compare = known[name]
    assert compare is not None
    return name, lambda outputs: compare(outputs, wanted.to(outputs.device))


def total(outputs: Any) -> Tensor:
    """Return the sum of all real numbers that a network gives, be they in one tensor or in several."""
    tensors = [t for t in torch.utils._pytree.tree_leaves(outputs) if isinstance(t, Tensor) and t.is_floating_point()]
    if not tensors:
        raise DataError("the network gives no tensor of real numbers", "give a loss, a function of what it gives")
    return torch.stack([tensor.sum() for tensor in tensors]).sum()


def scalar_loss(loss: Callable[[Any], Tensor], outputs: Any, name: str) -> Tensor:
    """Return the loss of outputs, a tensor of shape ().

    Raises
    ------
    DataError
        When it cannot be computed, or is not one number.

    Examples
    --------
    >>> scalar_loss(total, torch.ones(2, 3), SUM)
    tensor(6.)
    """
    hint = "give targets that fit the outputs, or loss=..., a function of both that gives one number"
    try:
        found = loss(outputs)
    except DataError:
        raise
    except Exception as error:  # whatever the user's function raises
        raise DataError(f"the loss ({name}) of the network's outputs cannot be computed: {error}", hint) from error
    if not isinstance(found, Tensor) or found.numel() != 1:
        shape = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise DataError(f"the loss ({name}) is {shape}, expected one number", hint)
    return found.reshape(())


@contextmanager
def drawn_from(seed: int, device: torch.device) -> Iterator[None]:
    """Let what draws from torch's own generators, such as dropout, draw from a seed inside the block."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed also seeds the devices that are not put back
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def _squared(outputs: Tensor, targets: Tensor) -> Tensor:
    if outputs.shape != targets.shape:
        raise DataError(
            f"the outputs have shape {tuple(outputs.shape)}, the targets {tuple(targets.shape)}",
            "give one target for each output",
        )
    return 0.5 * (outputs - targets.to(outputs)).square().sum() / len(outputs)
