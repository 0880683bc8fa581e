"""Which parts of a network are trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ..errors import NetworkError, nearest
from .networks import dense_modules


def part_of(network: nn.Module, name: str) -> nn.Module | nn.Parameter:
    """Return the module or parameter of this name.

    Raises
    ------
    NetworkError
        When there is none, with the nearest name that there is.
    """
    modules: dict[str, nn.Module] = dict(network.named_modules())
    parameters: dict[str, nn.Parameter] = dict(network.named_parameters())
    if name and name in modules:
        return modules[name]
    if name in parameters:
        return parameters[name]
    near = nearest(name, [*modules, *parameters])
    raise NetworkError(
        f"freeze names {name!r}, which the network doesn't have",
        f"did you mean {near!r}?" if near else f"its parameters are {', '.join(parameters)}",
    )


def parameters_of(part: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    """Return a module's parameters, or the parameter itself.

    Examples
    --------
    >>> [tuple(parameter.shape) for parameter in parameters_of(nn.Linear(3, 2))]
    [(2, 3), (2,)]
    """
    return list(part.parameters()) if isinstance(part, nn.Module) else [part]


@contextmanager
def only_head(network: nn.Module) -> Iterator[None]:
    """Train the last dense module alone inside the block."""
    head = {id(parameter) for parameter in dense_modules(network)[-1].parameters()}
    others = [p for p in network.parameters() if id(p) not in head and p.requires_grad]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
