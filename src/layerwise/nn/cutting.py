"""Cut a network into layers.

A layer is a dense or convolutional module and what follows it, up to the next one; the output head is never one.
``torch.fx`` writes down what the network does to a row. A cut lies before each of its dense and convolutional modules,
and is made only where a single tensor crosses it: else a layer trained alone would not be what the network computes.
Where tracing fails, or more than one tensor crosses, the named modules' own inputs can be captured instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn

from ..errors import NetworkError
from .capture import captured_layers
from .layers import LEARNED, Layer, check_names
from .lista import LISTA
from .modes import attributes_kept, evaluation
from .operations import (
    chain_of,
    is_module,
    is_pointwise,
    is_scaling,
    is_size,
    module_of,
    split_chain,
    trace,
)

# What may follow the module of a layer; a softmax marks an output head instead.
_OUTPUTS = (nn.Softmax, nn.LogSoftmax, nn.Softmin)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)


def cut(network: nn.Module, layers: str | Sequence[str] = "auto", activation: str = "auto") -> list[Layer]:
    """Cut a network into the layers to pre-train; the output head is left out.

    The last dense or convolutional module is the output head unless an activation other than a softmax follows it.

    Parameters
    ----------
    network : nn.Module
        Any module with one input that ``torch.fx`` can trace; or any at all, with ``layers`` and ``activation``.
    layers : "auto" or sequence of str
        Names of the modules to train, in order; they must be the first ones without a gap.
    activation : str
        "auto": what follows each module in the network. A name ("sigmoid", "tanh", "relu", "identity") captures
        the inputs of the named modules while the network runs, and takes each code to be that activation of the
        module's output: it asks nothing of what lies between them.

    Raises
    ------
    NetworkError
        When the network cannot be cut, naming what stands in the way.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    >>> [layer.name for layer in cut(network)]
    ['0']
    """
    if activation != "auto":
        if layers == "auto":
            raise NetworkError(
                f"activation={activation!r} captures the inputs of named modules, but layers is 'auto'",
                "name them, as the state_dict does: layers=['conv1', 'conv2']",
            )
        return captured_layers(network, list(layers), activation)
    with attributes_kept(network):
        return _cut(_Trace(network), layers)


def _cut(found: _Trace, layers: str | Sequence[str]) -> list[Layer]:
    count = len(found.starts) - found.has_head() if layers == "auto" else found.first(list(layers))
    if not count:
        found.refuse_other_parameters(found.nodes, 0)
        raise NetworkError(
            "the network has no layer to pre-train besides its output head",
            "add a hidden layer, for example nn.Sequential(nn.Linear(d, 100), nn.Sigmoid(), nn.Linear(100, classes))",
        )
    return [found.layer(number) for number in range(count)]


class _Trace:
    """The operations of a network in order, and where a layer starts among them."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.modules = dict(network.named_modules(remove_duplicate=False))
        graph = _traced(network, self.modules)
        (self.rows,) = (node for node in graph.nodes if node.op == "placeholder")
        (returned,) = (node for node in graph.nodes if node.op == "output")
        self.nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
        self.starts = [at for at, node in enumerate(self.nodes) if is_module(node, self.modules, LEARNED)]
        end = returned.args[0]
        self.end = end if isinstance(end, fx.Node) else None

    @property
    def names(self) -> list[str]:
        return [str(self.nodes[at].target) for at in self.starts]

    def has_head(self) -> bool:
        """Say whether the last dense or convolutional module is an output head."""
        if not self.starts:
            return False
        if is_module(self.nodes[self.starts[-1]], self.modules, (LISTA,)):
            return False  # its shrinkage is its activation
        silent = (nn.modules.dropout._DropoutNd, nn.Identity, *_NORMS)
        for node in self.nodes[self.starts[-1] + 1 :]:
            module = module_of(node, self.modules)
            if isinstance(module, _OUTPUTS):
                return True
            if is_size(node) or is_scaling(node) or node.op == "get_attr" or isinstance(module, silent):
                continue
            if is_pointwise(node, self.modules):
                return False
        return True

    def first(self, names: list[str]) -> int:
        """Return how many layers are named; they must be the first ones."""
        known = self.names
        check_names(names, known)
        if names != known[: len(names)]:
            raise NetworkError(
                f"layers={names} leaves a gap or changes the order; the modules are {known}",
                "name the first ones, in order: each layer learns from the codes of those before it",
            )
        return len(names)

    def layer(self, number: int) -> Layer:
        """Return one layer, sharing the network's modules."""
        start = self.starts[number]
        stop = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.nodes)
        self._refuse_shared(number)
        self.refuse_other_parameters(self.nodes[start + 1 : stop] if number else self.nodes[:stop], number)
        if stop < len(self.nodes):
            self._refuse_crossing(stop, number)
            end = self.nodes[stop].all_input_nodes[0]
        else:
            end = self.end or self.nodes[-1]
        node = self.nodes[start]
        preamble = [] if number else self._segment(self.nodes[:start], self.rows, node.all_input_nodes[0], 0)
        after, onward = self._split(self.nodes[start + 1 : stop], node, end, number)
        return Layer(str(node.target), preamble, self.modules[str(node.target)], after, onward)

    def _split(
        self, nodes: list[fx.Node], fed: fx.Node, end: fx.Node, number: int
    ) -> tuple[list[nn.Module], list[nn.Module]]:
        """Split what follows a module into what is trained with it and what only leads on to the next layer."""
        chain = self._chain(nodes, fed, end)
        if chain is not None:
            return split_chain(chain)
        plain = [is_size(node) or node.op == "get_attr" or is_pointwise(node, self.modules) for node in nodes]
        at = plain.index(False) if False in plain else len(nodes)
        # back to where a single value crosses
        while at and at < len(nodes) and len(self._entering(nodes[at:])) > 1:
            at -= 1
        middle = end if at == len(nodes) else next(iter(self._entering(nodes[at:])), fed)
        return self._segment(nodes[:at], fed, middle, number), self._segment(nodes[at:], middle, end, number)

    def _segment(self, nodes: list[fx.Node], fed: fx.Node, end: fx.Node, number: int) -> list[nn.Module]:
        """Return the modules that lead from one value to another as a run of operations does."""
        chain = self._chain(nodes, fed, end)
        return [self._graph(nodes, fed, end, number)] if chain is None else chain

    def _chain(self, nodes: list[fx.Node], fed: fx.Node, end: fx.Node) -> list[nn.Module] | None:
        steps = [node for node in nodes if not is_size(node)]
        if not steps:
            return [] if end is fed else None
        straight = fed in steps[0].all_input_nodes and steps[-1] is end
        return chain_of(nodes, self.modules) if straight else None

    def _entering(self, nodes: list[fx.Node]) -> list[fx.Node]:
        """Return the values that a run of operations takes from outside, in order."""
        found = {other: None for node in nodes if not is_size(node) for other in node.all_input_nodes}
        return [other for other in found if other not in nodes and other.op != "get_attr" and not is_size(other)]

    def _graph(self, nodes: list[fx.Node], fed: fx.Node, end: fx.Node, number: int) -> nn.Module:
        others = [node for node in self._entering(nodes) if node is not fed]
        if others or end not in (fed, *nodes):
            names = " and ".join(repr(node.name) for node in others or [end])
            where = f"after {self.names[number]!r}" if fed is not self.rows else f"before {self.names[0]!r}"
            raise NetworkError(
                f"the network cannot be cut: what stands {where} takes {names} besides {fed.name!r}",
                self._way_on(number),
            )
        graph = fx.Graph()
        rows = graph.placeholder("rows")
        copies: dict[fx.Node, fx.Node] = {fed: rows}

        def copied(node: fx.Node) -> fx.Node:
            if node not in copies:  # read elsewhere, the same for all rows: a constant, or how many rows there are
                size = is_size(node)
                copies[node] = graph.call_method("size", (rows, 0)) if size else graph.node_copy(node, copied)
            return copies[node]

        for node in nodes:
            if not is_size(node):
                copies[node] = graph.node_copy(node, copied)
        graph.output(copies[end])
        return fx.GraphModule(self.network, graph)

    def _refuse_crossing(self, at: int, number: int) -> None:
        """Refuse a cut before operation ``at`` that more than one value crosses."""
        before = {self.rows, *self.nodes[:at]}
        own = self.nodes[at].all_input_nodes[0]
        said = []
        for node in (self.rows, *self.nodes[:at]):
            users = ", ".join(repr(user.name) for user in node.users if user not in before)
            if users and node is not own and node.op != "get_attr" and not is_size(node):
                said.append(f"{node.name!r} (used by {users})")
        if said:
            raise NetworkError(
                f"the network cannot be cut before {str(self.nodes[at].target)!r}: "
                f"besides its input, {' and '.join(said)} crosses there",
                self._way_on(number),
            )

    def refuse_other_parameters(self, nodes: list[fx.Node], number: int) -> None:
        """Refuse what would have to be trained, and is neither in a layer's module nor normalises its codes."""
        first = self.starts[0] if self.starts else len(self.nodes)
        for node in nodes:
            if node.op == "get_attr" and isinstance(_attribute(self.network, str(node.target)), nn.Parameter):
                raise NetworkError(
                    f"the network uses its parameter {str(node.target)!r} outside a module of torch",
                    self._way_on(number),
                )
            module = self.modules[str(node.target)] if node.op == "call_module" else None
            if module is None or isinstance(module, LEARNED) or next(module.parameters(), None) is None:
                continue
            if not isinstance(module, _NORMS) or self.nodes.index(node) < first:
                raise NetworkError(
                    f"module {str(node.target)!r} of the network is a {type(module).__name__} with parameters, "
                    "expected a dense or convolutional module, or normalisation after one",
                    self._way_on(number),
                )

    def _refuse_shared(self, number: int) -> None:
        name = self.names[number]
        if self.names.count(name) > 1:
            raise NetworkError(
                f"module {name!r} of the network is used twice, and has parameters",
                "give each layer a module of its own: trained twice, it would lose what it learned first",
            )

    def _way_on(self, number: int) -> str:
        """Say how to go on where layer ``number`` cannot be made, and those below it can."""
        below = f"pre-train what lies below with layers={self.names[:number]}, or " if number else ""
        return below + _by_name(self.network)


def _traced(network: nn.Module, modules: dict[str, nn.Module]) -> fx.Graph:
    try:
        # in evaluation mode, since a trace holds dropout written as a function in the mode it was traced in
        with evaluation(network), torch.enable_grad():
            graph = trace(network, modules)
    except Exception as error:  # whatever the user's forward raises when it is given a proxy
        raise NetworkError(
            f"the network, a {type(network).__name__}, cannot be traced: {error}",
            _by_name(network),
        ) from error
    given = [str(node.target) for node in graph.nodes if node.op == "placeholder"]
    if len(given) != 1:
        raise NetworkError(
            f"the network takes {len(given)} inputs ({', '.join(given)}), expected 1",
            "wrap it in a module whose forward takes the rows alone",
        )
    return graph


def _attribute(network: nn.Module, name: str) -> Any:
    found: Any = network
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _by_name(network: nn.Module) -> str:
    # attention never calls the last kind, only reads its weight
    unseen = nn.modules.linear.NonDynamicallyQuantizableLinear
    names = [n for n, m in network.named_modules() if n and isinstance(m, LEARNED) and not isinstance(m, unseen)]
    if not names:
        return "only dense and convolutional modules are trained: put one, with its activation, before the output head"
    # the last is likely the output head
    return (
        f"name the modules to train and their activation, for example layers={names[:-1][:2] or names}, "
        "activation='relu': their inputs are then captured while the network runs"
        + ("" if names[1:] else f" (if {names[0]!r} is the output head, there is nothing to pre-train but new layers)")
    )
