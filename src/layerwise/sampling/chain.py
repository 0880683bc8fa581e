"""A chain in the representation of any depth: the transition of a layer's model, where it starts, the way down."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ..errors import NetworkError, PlanError
from ..nn.corruption import SwapNoise
from ..nn.modes import evaluation
from ..objectives import RBM, ContractiveAutoencoder, DenoisingAutoencoder
from ..stack import Stack, decode, prepare, way_back
from .transitions import Moved, contract, denoise, gibbs
from .visible import draw, visible_of

Transition = Callable[[Tensor, Generator], Moved]
STEP = 1.0
WITH_CHAIN = (DenoisingAutoencoder, ContractiveAutoencoder, RBM)


def transition_of(stack: Stack, depth: int, step: float | None = None) -> Transition:
    """Return the transition of the chain in the codes of ``depth`` layers: that of the next layer's own model.

    Parameters
    ----------
    stack : Stack
        It must know how the layer was trained.
    depth : int
        0 is the input space.
    step : float, optional
        Of a contractive auto-encoder's chain; 1 when not given.

    Returns
    -------
    callable
        Maps a state (chains, features ...), in the shape of a code of that depth, and a generator to `Moved`.

    Raises
    ------
    PlanError
        When there is no such depth, or ``step`` is given to a chain that has none.
    NetworkError
        When the layer's objective has no chain or is not known, or there is no way back from its codes.
    """
    if not isinstance(depth, int) or not 0 <= depth < stack.depth:
        raise PlanError(
            f"depth is {depth}: a chain needs a layer above its representation, and the stack has {stack.depth} layers",
            f"give 0 (the input space) to {stack.depth - 1}",
        )
    layer, objective = stack.layers[depth], stack.objectives[depth]
    if not isinstance(objective, WITH_CHAIN):
        raise _no_chain(stack, depth)
    if isinstance(objective, DenoisingAutoencoder) and isinstance(objective.corruption, SwapNoise):
        raise NetworkError(
            f"no chain runs at depth {depth}: layer {layer.name!r} was trained with swap noise, which takes the values "
            "of other rows, and a chain has only its own",
            "pre-train it with Masking, GaussianNoise or SaltAndPepper to draw rows from it",
        )
    decoder = way_back(layer, stack.decoders[depth], layer.preamble)
    _check_step(step, objective)
    visible, size = visible_of(objective, decoder), STEP if step is None else step

    def transition(state: Tensor, generator: Generator) -> Moved:
        rows = prepare(layer, state)
        with evaluation(layer):
            if isinstance(objective, DenoisingAutoencoder):
                return denoise(layer, decoder, objective.corruption, visible, rows, generator)
            if isinstance(objective, ContractiveAutoencoder):
                return contract(layer, decoder, size, rows, generator)
            return gibbs(layer, decoder, visible, rows, generator)

    return transition


def _check_step(step: float | None, objective: Any) -> None:
    if step is None:
        return
    if not isinstance(objective, ContractiveAutoencoder):
        raise PlanError(
            f"step is {step:g}, but only a contractive auto-encoder's chain has a step to choose",
            "leave step out, or choose a depth whose next layer is contractive",
        )
    if not 0 < step < float("inf"):
        raise PlanError(f"step is {step:g}, expected a positive number", "for example step=1.0")


def _no_chain(stack: Stack, depth: int) -> NetworkError:
    others = [str(at) for at, objective in enumerate(stack.objectives) if isinstance(objective, WITH_CHAIN)]
    objective = stack.objectives[depth]
    found = (
        "the stack does not say how it was trained" if objective is None
        else f"it was trained as {objective.kind!r}, which has no chain"
    )  # fmt: skip
    return NetworkError(
        f"no chain runs at depth {depth}: layer {stack.layers[depth].name!r} would drive it, and {found}",
        f"set depth to {' or '.join(others)}" if others
        else "pre-train it as a denoising or contractive auto-encoder or an RBM, and save that stack",
    )  # fmt: skip


def visits(
    transition: Transition, state: Tensor, generator: Generator, burn_in: int = 0, thinning: int = 1
) -> Iterator[Moved]:
    """Run a chain on and on: yield every so many-th of its visits after the burn-in.

    Examples
    --------
    >>> def count(state, generator): return Moved(state + 1, state + 1)
    >>> chain = visits(count, torch.zeros(1), torch.Generator(), burn_in=10, thinning=3)
    >>> [float(next(chain).state) for _ in range(3)]
    [13.0, 16.0, 19.0]
    """
    for _ in range(burn_in):
        state = transition(state, generator).state
    while True:
        for _ in range(thinning):
            moved = transition(state, generator)
            state = moved.state
        yield moved


def down(stack: Stack, codes: Tensor, depth: int, generator: Generator) -> Tensor:
    """Take mean codes of ``depth`` layers down to the mean of the input.

    An auto-encoder's codes are numbers, and are decoded as they are. The codes of a Boltzmann machine are the means of
    binary units: states are drawn before they are decoded, as in the single top-down pass of a deep belief network
    (Hinton, Osindero & Teh 2006), and only the input's own mean is left a mean.
    """
    for at in reversed(range(depth)):
        if isinstance(stack.objectives[at], RBM):
            codes = draw(codes, "bernoulli", generator)
        codes = decode(stack.layers[at], stack.decoders[at], codes)
    return codes


def noise(stack: Stack, chains: int, generator: Generator) -> Tensor:
    """Draw rows that look like nothing: uniform in [0, 1] where the lowest decoder ends in a sigmoid, else normal."""
    layer = stack.layers[0]
    decoder = way_back(layer, stack.decoders[0], layer.preamble)
    draws = torch.rand if decoder.output == "sigmoid" else torch.randn
    return draws((chains, *row_shape(stack)), generator=generator).to(layer.module.weight)


def row_shape(stack: Stack) -> tuple[int, ...]:
    """Return the shape of the rows that a stack decodes to.

    Raises
    ------
    NetworkError
        When there is no way back through the first layer.
    """
    layer = stack.layers[0]
    decoder = way_back(layer, stack.decoders[0], layer.preamble)
    weight: Any = layer.module.weight
    shape: tuple[int, ...] = decoder.shape or tuple(weight.shape[1:])
    return (math.prod(shape),) if any(isinstance(module, nn.Unflatten) for module in layer.preamble) else shape
