"""What the operations of a traced network are: modules, pointwise functions, pooling, reshaping."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

from torch import fx, nn

# A traced function or method, by its name, as the module that does the same with the same arguments.
_AS_MODULE: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU, "softplus": nn.Softplus, "softmax": nn.Softmax, "log_softmax": nn.LogSoftmax,
    "dropout": nn.Dropout, "dropout2d": nn.Dropout2d, "flatten": nn.Flatten, "max_pool1d": nn.MaxPool1d,
    "max_pool2d": nn.MaxPool2d, "avg_pool1d": nn.AvgPool1d, "avg_pool2d": nn.AvgPool2d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d, "adaptive_max_pool2d": nn.AdaptiveMaxPool2d,
}  # fmt: skip
_RESHAPES = {
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "squeeze", "unsqueeze", "size", "mean", "sum",
    "amax", "max", "interpolate", "pad", "cat", "stack", "getattr", "getitem",
}  # fmt: skip
_RESHAPING = (nn.Flatten, nn.Unflatten, nn.Upsample, nn.ZeroPad2d)
_MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool2d)
# A maximum commutes with these (dropout is off in pre-training).
_RISING = (nn.Sigmoid, nn.Tanh, nn.ReLU, nn.Softplus, nn.ELU, nn.LeakyReLU, nn.Identity, nn.modules.dropout._DropoutNd)


def is_module(node: fx.Node, modules: Mapping[str, nn.Module], kinds: tuple[type, ...]) -> bool:
    """Say whether an operation is a call of a module of these kinds."""
    return node.op == "call_module" and isinstance(modules[str(node.target)], kinds)


def is_size(node: fx.Node) -> bool:
    """Say whether an operation only reads how many rows there are, to reshape them."""
    return node.op == "call_method" and node.target == "size" and all(_flattens(user) for user in node.users)


def is_pointwise(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Say whether an operation keeps the shape of what it is given."""
    if node.op == "call_module":
        return _keeps_shape(modules[str(node.target)])
    return not (_name(node) in _RESHAPES or "pool" in _name(node))


def module_of(node: fx.Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    """Return an operation as a module: the network's own, or the one of torch that does the same; else None.

    Examples
    --------
    >>> import torch
    >>> graph = fx.Tracer().trace(nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
    >>> [module_of(node, {"0": nn.Linear(2, 2), "1": nn.Tanh()}) for node in graph.nodes if node.op == "call_module"]
    [Linear(in_features=2, out_features=2, bias=True), Tanh()]
    """
    if node.op == "call_module":
        return modules[str(node.target)]
    if _flattens(node):
        return nn.Flatten()
    kind = _AS_MODULE.get(_name(node))
    if kind is None or not node.args:
        return None
    known = inspect.signature(kind).parameters
    given = dict(zip(known, node.args[1:], strict=False))
    given |= {key: value for key, value in node.kwargs.items() if key in known}
    return None if any(isinstance(value, fx.Node) for value in given.values()) else kind(**given)


def chain_of(nodes: Sequence[fx.Node], modules: Mapping[str, nn.Module]) -> list[nn.Module] | None:
    """Return a run of operations as modules, each fed by the one before it; None where they are more than that."""
    chain: list[nn.Module] = []
    nodes = [node for node in nodes if not is_size(node)]
    for number, node in enumerate(nodes):
        fed = [other for other in node.all_input_nodes if not is_size(other)]
        built = module_of(node, modules)
        if built is None or len(fed) != 1 or (number and fed[0] is not nodes[number - 1]):
            return None
        chain.append(built)
    return chain


def split_chain(chain: Sequence[nn.Module]) -> tuple[list[nn.Module], list[nn.Module]]:
    """Split modules into the pointwise ones that come first, and the rest.

    A maximum commutes with an activation that rises everywhere, so pooling before the activation is taken as after it:
    the layer is then trained at full resolution.

    Examples
    --------
    >>> split_chain([nn.AdaptiveMaxPool2d(2), nn.ReLU(), nn.Flatten()])
    ([ReLU()], [AdaptiveMaxPool2d(output_size=2), Flatten(start_dim=1, end_dim=-1)])
    """
    count = len(chain)
    at = next((k for k in range(count) if not _keeps_shape(chain[k])), count)
    pools = next((k for k in range(at, count) if not isinstance(chain[k], _MAXIMA)), count)
    rises = next((k for k in range(pools, count) if not isinstance(chain[k], _RISING)), count)
    if pools == at:
        rises = pools
    return [*chain[:at], *chain[pools:rises]], [*chain[at:pools], *chain[rises:]]


def _keeps_shape(module: nn.Module) -> bool:
    return not isinstance(module, _RESHAPING) and "pooling" not in type(module).__module__


def _name(node: fx.Node) -> str:
    if node.op == "call_function":
        return str(getattr(node.target, "__name__", node.target))
    return str(node.target) if node.op == "call_method" else ""


def _flattens(node: fx.Node) -> bool:
    """Say whether an operation is ``x.view(-1, n)`` or ``x.view(x.size(0), -1)``."""
    if _name(node) not in ("view", "reshape") or len(node.args) != 3:
        return False
    rows, width = node.args[1:]
    return (rows == -1 or isinstance(rows, fx.Node)) and isinstance(width, int)
