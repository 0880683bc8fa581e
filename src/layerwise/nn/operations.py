"""What the operations of a traced network are: modules, pointwise functions, pooling, reshaping."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn

from .layers import LEARNED

# A traced function or method, by its name, as the module that does the same with the same arguments.
_AS_MODULE: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU, "softplus": nn.Softplus, "softmax": nn.Softmax, "log_softmax": nn.LogSoftmax,
    "softmin": nn.Softmin,
    "dropout": nn.Dropout, "dropout2d": nn.Dropout2d, "flatten": nn.Flatten, "max_pool1d": nn.MaxPool1d,
    "max_pool2d": nn.MaxPool2d, "avg_pool1d": nn.AvgPool1d, "avg_pool2d": nn.AvgPool2d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d, "adaptive_max_pool2d": nn.AdaptiveMaxPool2d,
}  # fmt: skip
# The positional arguments after the first, where a function's are not its module's; what is missing there is left out.
_POSITIONAL: dict[str, tuple[str, ...]] = {
    "dropout": ("p",), "dropout2d": ("p",), "softmax": ("dim",), "log_softmax": ("dim",), "softmin": ("dim",),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), ("kernel_size", "stride", "padding", "dilation", "ceil_mode")),
}  # fmt: skip
# Arguments of functions that change no value here: dropout is off in pre-training.
_SILENT_ARGUMENTS = {"training", "_stacklevel"}
_RESHAPES = {
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "swapaxes", "movedim", "t", "squeeze",
    "unsqueeze", "size", "mean", "sum", "prod", "std", "var", "norm", "logsumexp", "amax", "max", "amin", "min", "topk",
    "interpolate", "pad", "cat", "concat", "stack", "chunk", "split", "narrow", "select", "index_select", "expand",
    "repeat", "glu", "pixel_shuffle", "pixel_unshuffle", "fold", "unfold", "matmul", "bmm", "einsum", "getattr",
    "getitem",
}  # fmt: skip
_RESHAPING = (
    nn.Flatten, nn.Unflatten, nn.Upsample, nn.GLU, nn.PixelShuffle, nn.PixelUnshuffle, nn.Fold, nn.Unfold,
    nn.modules.padding._ConstantPadNd, nn.modules.padding._ReflectionPadNd, nn.modules.padding._ReplicationPadNd,
)  # fmt: skip
# These change the scale or precision of an output, and are no activation.
_SCALING = {"add", "sub", "mul", "truediv", "div", "neg", "contiguous", "clone", "float", "double", "to"}
_MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool2d)
# A maximum commutes with these (dropout is off in pre-training).
_RISING = (nn.Sigmoid, nn.Tanh, nn.ReLU, nn.Softplus, nn.ELU, nn.LeakyReLU, nn.Identity, nn.modules.dropout._DropoutNd)


class _Tracer(fx.Tracer):
    """A tracer to which our own modules are as whole as torch's, and which gives the rows alone."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, LEARNED) or super().is_leaf_module(module, name)

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """Leave each further input at its default, as a call with the rows alone does."""
        function, given = super().create_args_for_root(root_fn, is_module, concrete_args)
        for at in range(2, len(given)):
            node = given[at].node
            if node.args:
                given[at] = node.args[0]
            elif str(node.target).startswith("*"):
                given[at] = {} if str(node.target).startswith("**") else ()
            else:
                continue
            self.graph.erase_node(node)
        return function, given


def trace(network: nn.Module, modules: Mapping[str, nn.Module]) -> fx.Graph:
    """Write down what a network does to rows, without results that it does not use."""
    graph = _Tracer().trace(network)
    for node in reversed(graph.nodes):
        if not node.users and node.op not in ("placeholder", "output") and not changes_in_place(node, modules):
            graph.erase_node(node)
    return graph


def is_module(node: fx.Node, modules: Mapping[str, nn.Module], kinds: tuple[type, ...]) -> bool:
    """Say whether an operation is a call of a module of these kinds."""
    return node.op == "call_module" and isinstance(modules[str(node.target)], kinds)


def is_size(node: fx.Node) -> bool:
    """Say whether an operation only reads how many rows there are, to reshape them.

    It is ``x.size(0)``, ``x.shape[0]`` or ``x.size()[0]``, or the part of those before the index.
    """
    if _is_whole_size(node):
        return all(user.target is operator.getitem and is_size(user) for user in node.users)
    first = node.args[1:] == (0,) and (
        _name(node) == "size" or (_name(node) == "getitem" and _is_whole_size(node.args[0]))
    )
    return first and all(_row_shape(user) is not None for user in node.users)


def is_scaling(node: fx.Node) -> bool:
    """Say whether an operation scales, shifts or casts one tensor by a number: no activation."""
    return _name(node) in _SCALING and len(node.all_input_nodes) == 1


def changes_in_place(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Say whether an operation changes what it is given, so that it counts even where its result is not used."""
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    in_place = name.endswith("_") and not name.endswith("__")
    return in_place or bool(node.kwargs.get("inplace")) or name in ("iadd", "isub", "imul", "itruediv")


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
    shape = _row_shape(node)
    if shape is not None:
        return nn.Flatten() if len(shape) == 1 else None
    kind = _AS_MODULE.get(_name(node))
    # without a start, torch.flatten mixes rows
    if kind is None or not node.args or (kind is nn.Flatten and len(node.args) == 1 and "start_dim" not in node.kwargs):
        return None
    known = inspect.signature(kind).parameters
    given: dict[str, Any] = dict(zip(_POSITIONAL.get(_name(node), known), node.args[1:], strict=False))
    given |= {key: value for key, value in node.kwargs.items() if key in known}
    lost = {key for key, value in node.kwargs.items() if value and key not in known} - _SILENT_ARGUMENTS
    return None if lost or any(isinstance(value, fx.Node) for value in given.values()) else kind(**given)


def chain_of(nodes: Sequence[fx.Node], modules: Mapping[str, nn.Module]) -> list[nn.Module] | None:
    """Return a run of operations as modules, each fed by the one before it; None where they are more than that."""
    chain: list[nn.Module] = []
    nodes = [node for node in nodes if not is_size(node)]
    for number, node in enumerate(nodes):
        fed = [other for other in node.all_input_nodes if not is_size(other)]
        built = module_of(node, modules)
        if len(fed) != 1 or (number and fed[0] is not nodes[number - 1]):
            return None
        shape = _row_shape(node)
        if built is not None:
            chain.append(built)
        elif shape is not None:
            chain += [nn.Flatten(), nn.Unflatten(1, shape)]
        else:
            return None
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
    rises = next((k for k in range(pools, count) if not _rises(chain[k])), count)
    if pools == at:
        rises = pools
    return [*chain[:at], *chain[pools:rises]], [*chain[at:pools], *chain[rises:]]


def _rises(module: nn.Module) -> bool:
    slope = getattr(module, "negative_slope", getattr(module, "alpha", 1.0))
    return isinstance(module, _RISING) and slope >= 0


def _keeps_shape(module: nn.Module) -> bool:
    return not isinstance(module, _RESHAPING) and "pooling" not in type(module).__module__


def _name(node: fx.Node) -> str:
    """Return the name of a function or method; in a chain, where each result is used once, ``relu_`` is ``relu``."""
    if node.op not in ("call_function", "call_method"):
        return ""
    return str(getattr(node.target, "__name__", node.target)).removesuffix("_")


def _is_whole_size(node: Any) -> bool:
    if not isinstance(node, fx.Node):
        return False
    shape = _name(node) == "getattr" and node.args[1] == "shape"
    return shape or (_name(node) == "size" and len(node.args) == 1 and not node.kwargs)


def _row_shape(node: fx.Node) -> torch.Size | None:
    """Return the shape that ``x.view(-1, *shape)`` or ``x.view(x.size(0), *shape)`` gives each row; else None."""
    if _name(node) not in ("view", "reshape") or node.kwargs:
        return None
    shape: Any = node.args[1:]
    if len(shape) == 1 and isinstance(shape[0], list | tuple):
        shape = shape[0]
    if len(shape) < 2 or not (shape[0] == -1 or isinstance(shape[0], fx.Node)):
        return None
    return torch.Size(shape[1:]) if all(type(size) is int for size in shape[1:]) else None
