"""Denoise and project: move rows to what a stack has learned, by reconstructing them again and again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.features import as_features, blocks
from ..errors import DataError, PlanError
from ..stack import BLOCK, Stack


@dataclass(frozen=True)
class Projection:
    """What `project` returns.

    Attributes
    ----------
    rows : Tensor, shape of the inputs
        Where the rows came to.
    distances : Tensor, shape (rows,)
        Euclidean distance from each row to where it came to.
    moves : Tensor, shape (repeats, rows)
        Euclidean length of each single move; moves that do not become short have not arrived.
    """

    rows: Tensor
    distances: Tensor
    moves: Tensor


def project(stack: Stack, inputs: Tensor, *, repeats: int = 5, depth: int | None = None) -> Projection:
    r"""Move rows towards the manifold that a stack has learned, by repeated reconstruction without noise.

    .. math:: x_0 = x, \qquad x_{t+1} = r(x_t), \qquad r = \text{decode} \circ \text{encode, to the depth asked for}

    An auto-encoder that has learned to undo noise sends a row that is off the data back towards it. Where r is that of
    a denoising auto-encoder with small Gaussian noise, each repeat is one move up the gradient of the log-density, of
    length :math:`\sigma^2` times the score; a deeper r also takes out what the upper codes do not hold.

    What it is not: the nearest point of the manifold, a sample, or the row before it was corrupted. The fixed points
    of r are where repeats lead; those may be few, so that many repeats forget the row and end at a typical one. With
    a linear decoder nothing bounds r, and rows far from the data may move away. Two to ten repeats are usual;
    ``moves`` says what each of them did.

    Parameters
    ----------
    stack : Stack
        With a decoder for every layer up to ``depth``.
    inputs : Tensor, shape (rows, ...)
        As the network takes them.
    repeats : int
        Reconstructions, 1 or more.
    depth : int or None
        Layers to encode through and decode from; None: all.

    Returns
    -------
    Projection
        ``.rows``, and how far each moved.

    Raises
    ------
    PlanError
        When ``repeats`` or ``depth`` is below 1, or the stack is not that deep.
    NetworkError
        When there is no way back from a layer.
    DataError
        When there are no rows, they do not fit, or rows are no longer finite.

    References
    ----------
    Vincent et al. (2010), Stacked denoising autoencoders, section 4.2: the manifold view. Alain & Bengio (2014), What
    regularized auto-encoders learn from the data-generating distribution.

    Examples
    --------
    >>> from torch import nn
    >>> from layerwise import pretrain
    >>> rows = torch.rand(50, 6, generator=torch.Generator().manual_seed(0))
    >>> network = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 2))
    >>> stack = pretrain(network, rows, epochs=2, random_state=0).stack
    >>> found = project(stack, rows, repeats=3)
    >>> found.rows.shape, found.distances.shape, found.moves.shape
    (torch.Size([50, 6]), torch.Size([50]), torch.Size([3, 50]))
    """
    depth = stack.depth if depth is None else depth
    if not 1 <= depth <= stack.depth:
        raise PlanError(f"depth is {depth}, the stack has {stack.depth} layers", f"give 1 to {stack.depth}")
    if repeats < 1:
        raise PlanError(f"repeats is {repeats}, expected 1 or more", "give the number of reconstructions")
    if len(inputs) == 0:
        raise DataError("there are no rows to project", "give at least one row")
    parts = [_projected(stack, block, repeats, depth) for block in blocks(as_features(inputs), BLOCK)]
    rows = torch.cat([part.rows for part in parts])
    if not torch.isfinite(rows).all():
        raise DataError(
            f"rows are no longer finite after {repeats} repeats: the reconstruction takes them ever further away",
            "use fewer repeats, rows nearer to those trained on, or a stack with a sigmoid decoder",
        )
    distances = torch.cat([part.distances for part in parts])
    return Projection(rows, distances, torch.cat([part.moves for part in parts], 1))


def _projected(stack: Stack, block: Tensor, repeats: int, depth: int) -> Projection:
    start = reached = stack.encode(block, 0)
    moves: list[Tensor] = []
    for _ in range(repeats):
        moved = stack.reconstruct(reached, depth).reshape(block.shape)
        moves.append(_lengths(moved - reached.to(moved)))
        reached = moved
    return Projection(reached, _lengths(reached - start.to(reached)), torch.stack(moves))


def _lengths(rows: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(rows.flatten(1), dim=1)
    return lengths
