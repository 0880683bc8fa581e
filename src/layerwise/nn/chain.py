"""Networks that are a plain chain of modules: forward, and the factors of every weight's gradient on the way back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from .products import down, up

Products = dict[nn.Parameter, list[tuple[Tensor, Tensor | None]]]
aten = torch.ops.aten
_SILENT = (nn.Flatten, nn.Identity)
_ACTIVATIONS = {nn.Sigmoid: torch.sigmoid, nn.Tanh: torch.tanh, nn.ReLU: torch.relu}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def chain_of(network: nn.Module) -> list[Any] | None:
    """Return the modules of a multi-layer perceptron in the order they run; None for any other network.

    A multi-layer perceptron is an ``nn.Sequential``, sequences in it included, of dense modules, sigmoid, tanh, ReLU,
    dropout and ``nn.Flatten``. A module that carries a hook, or a parameter used twice, makes it another network.

    Examples
    --------
    >>> len(chain_of(nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(4, 3), nn.ReLU()), nn.Linear(3, 2))))
    4
    >>> chain_of(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))) is None
    True
    """
    if any(getattr(network, name) for name in _HOOKS):
        return None
    if type(network) is nn.Sequential:
        parts = [chain_of(module) for module in network]
        chain = [module for part in parts for module in part or ()]
        used = [id(parameter) for module in chain for parameter in module.parameters()]
        return None if None in parts or len(set(used)) < len(used) else chain
    known = type(network) in (nn.Linear, nn.Dropout, *_SILENT, *_ACTIVATIONS)
    return [network] if known else None


def takes(chain: Sequence[Any], shape: Sequence[int]) -> bool:
    """Say whether rows of this shape come to the first dense module as vectors.

    Examples
    --------
    >>> takes([nn.Linear(4, 3)], (2, 4)), takes([nn.Flatten(), nn.Linear(8, 3)], (2, 4))
    (False, True)
    """
    first = [module for module in chain if isinstance(module, (nn.Linear, nn.Flatten))][:1]
    return len(shape) == 1 or (isinstance(first[0], nn.Flatten) and first[0].start_dim == 1 and first[0].end_dim == -1)


def activation_of(module: nn.Module, after: Iterable[nn.Module]) -> type[nn.Module] | None:
    """Return the kind of the only activation after a dense module, ``nn.Identity`` where there is none.

    None where the module isn't dense, or something else stands after it. Dropout counts as nothing: it is off.

    Examples
    --------
    >>> activation_of(nn.Linear(4, 3), [nn.Sigmoid(), nn.Identity()])
    <class 'torch.nn.modules.activation.Sigmoid'>
    >>> activation_of(nn.Linear(4, 3), [nn.BatchNorm1d(3), nn.ReLU()]) is None
    True
    """
    chain = chain_of(nn.Sequential(module, *after))
    if chain is None or [number for number, part in enumerate(chain) if isinstance(part, nn.Linear)] != [0]:
        return None
    found = [type(part) for part in chain if type(part) in _ACTIVATIONS]
    return (found or [nn.Identity])[0] if len(found) < 2 else None


def forward(chain: Sequence[Any], rows: Tensor) -> tuple[Tensor, list[Any]]:
    """Run a chain; return what it gives and, for each module, what its way back needs.

    That is a dense module's input, an activation's output, a dropout's factors, and nothing of the others.
    """
    kept: list[Any] = []
    for module in chain:
        held: Any = None
        if isinstance(module, nn.Linear):
            held, rows = rows, up(rows, module.weight, module.bias)
        elif isinstance(module, nn.Dropout):
            if module.training and module.p > 0:
                # the draw that nn.Dropout makes, from torch's own generator
                held = torch.empty_like(rows).bernoulli_(1 - module.p).div_(1 - module.p if module.p < 1 else 1.0)
                rows = rows * held
        elif isinstance(module, _SILENT):
            rows = module(rows)
        else:
            held = rows = _ACTIVATIONS[type(module)](rows)
        kept.append(held)
    return rows, kept


def backward(chain: Sequence[Any], kept: Sequence[Any], gradient: Tensor) -> Products:
    r"""Return the factors of the gradient of every parameter that is trained, from the gradient by the outputs.

    The gradient of a parameter is the sum of :math:`A^\top B` over its pairs (A, B); None is a column of ones.
    """
    products: Products = {}
    lowest = next((number for number, module in enumerate(chain) if _trained(module)), len(chain))
    for number in range(len(chain) - 1, lowest - 1, -1):
        module, held = chain[number], kept[number]
        if isinstance(module, nn.Linear):
            weight, bias = cast(tuple[nn.Parameter, nn.Parameter | None], (module.weight, module.bias))
            if weight.requires_grad:
                products[weight] = [(gradient, held)]
            if bias is not None and bias.requires_grad:
                products[bias] = [(gradient, None)]
            gradient = down(gradient, module.weight) if number > lowest else gradient
        elif isinstance(module, nn.Dropout):
            gradient = gradient if held is None else gradient.mul_(held)
        elif type(module) in _ACTIVATIONS:
            gradient = through(type(module), gradient, held)
    return products


def activate(activation: type[nn.Module], rows: Tensor) -> Tensor:
    """Apply an activation in place.

    Examples
    --------
    >>> activate(nn.ReLU, torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return rows if activation is nn.Identity else getattr(torch, f"{activation.__name__.lower()}_")(rows)


def through(activation: type[nn.Module], gradient: Tensor, output: Tensor) -> Tensor:
    """Take a gradient back through an activation, in place.

    Examples
    --------
    >>> through(nn.Tanh, torch.ones(1, 2), torch.tensor([[0.0, 0.5]]))
    tensor([[1.0000, 0.7500]])
    """
    if activation is nn.Sigmoid:
        aten.sigmoid_backward.grad_input(gradient, output, grad_input=gradient)
    elif activation is nn.Tanh:
        aten.tanh_backward.grad_input(gradient, output, grad_input=gradient)
    elif activation is nn.ReLU:
        aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)
    return gradient


def _trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
