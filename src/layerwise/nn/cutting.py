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

from ..errors import NetworkError, nearest
from .capture import captured_layers
from .layers import LEARNED, Layer
from .modes import evaluation
from .operations import chain_of, is_module, is_pointwise, is_size, module_of, split_chain

# What may follow the module of a layer; a softmax marks an output head instead.
_OUTPUTS = (nn.Softmax, nn.LogSoftmax, nn.Softmin)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)


def cut(network: nn.Module, layers: str | Sequence[str] = "auto", activation: str = "auto") -> list[Layer]:
    """Cut a network into the layers to pre-train; the output head is left out.

    The last dense module is the output head unless an activation other than a softmax follows it.

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
    trace = _Trace(network)
    count = len(trace.starts) - trace.has_head() if layers == "auto" else trace.first(list(layers))
    if not count:
        raise NetworkError(
            "the network has no layer to pre-train besides its output head",
            "add a hidden layer, for example nn.Sequential(nn.Linear(d, 100), nn.Sigmoid(), nn.Linear(100, classes))",
        )
    return [trace.layer(number) for number in range(count)]


class _Trace:
    """The operations of a network in order, and where a layer starts among them."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.modules = dict(network.named_modules(remove_duplicate=False))
        self.nodes = [node for node in _traced(network).nodes if node.op != "output"]
        self.nodes = [node for node in self.nodes if node.op != "get_attr" or _refuse_parameter(network, node)]
        self.starts = [at for at, node in enumerate(self.nodes) if is_module(node, self.modules, LEARNED)]
        self._refuse_other_parameters()
        self._refuse_shared()

    @property
    def names(self) -> list[str]:
        return [str(self.nodes[at].target) for at in self.starts]

    def has_head(self) -> bool:
        """Say whether the last dense or convolutional module is an output head."""
        if not self.starts:
            return False
        silent = (nn.modules.dropout._DropoutNd, nn.Identity, *_NORMS)
        for node in self.nodes[self.starts[-1] + 1 :]:
            module = module_of(node, self.modules)
            if isinstance(module, _OUTPUTS):
                return True
            if is_pointwise(node, self.modules) and not isinstance(module, silent):
                return False
        return True

    def first(self, names: list[str]) -> int:
        """Return how many layers are named; they must be the first ones."""
        known = self.names
        for name in names:
            if name not in known:
                near = nearest(name, known)
                raise NetworkError(
                    f"the network has no dense or convolutional module {name!r}, it has {', '.join(known) or 'none'}",
                    f"did you mean {near!r}?" if near else "name modules as the state_dict does",
                )
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
        if stop < len(self.nodes):
            self._refuse_crossing(stop)
        preamble = self._segment(self.nodes[:start]) if number == 0 else []
        after, onward = self._split(self.nodes[start + 1 : stop])
        node = self.nodes[start]
        return Layer(str(node.target), preamble, self.modules[str(node.target)], after, onward)

    def _split(self, nodes: list[fx.Node]) -> tuple[list[nn.Module], list[nn.Module]]:
        """Split what follows a module into what is trained with it and what only leads on to the next layer."""
        chain = chain_of(nodes, self.modules)
        if chain is not None:
            return split_chain(chain)
        at = next((k for k, node in enumerate(nodes) if not is_pointwise(node, self.modules)), len(nodes))
        return self._segment(nodes[:at]), self._segment(nodes[at:])

    def _segment(self, nodes: list[fx.Node]) -> list[nn.Module]:
        """Return the modules that do what a run of operations does."""
        nodes = [node for node in nodes if node.op != "placeholder"]
        chain = chain_of(nodes, self.modules)
        return [self._graph(nodes)] if chain is None else chain

    def _graph(self, nodes: list[fx.Node]) -> nn.Module:
        graph = fx.Graph()
        inside = set(nodes)
        entering = {other for node in nodes for other in node.all_input_nodes if other not in inside}
        if len(entering) > 1:
            names = ", ".join(repr(node.name) for node in nodes)
            raise NetworkError(f"operations {names} cannot be separated", _by_name(self.network))
        copies: dict[fx.Node, fx.Node] = dict.fromkeys(entering, graph.placeholder("rows"))
        for node in nodes:
            copies[node] = graph.node_copy(node, lambda found: copies[found])
        graph.output(copies[nodes[-1]])
        return fx.GraphModule(self.network, graph)

    def _crossing(self, at: int) -> list[fx.Node]:
        """Return the values besides its input that cross the cut before operation ``at``, in order."""
        before = set(self.nodes[:at])
        own = self.nodes[at].all_input_nodes[0]
        left_out = {own, *(node for node in before if node.op == "get_attr" or is_size(node))}
        return [n for n in self.nodes[:at] if n not in left_out and any(user not in before for user in n.users)]

    def _refuse_crossing(self, at: int) -> None:
        """Refuse a cut before operation ``at`` that more than one value crosses."""
        before, others = set(self.nodes[:at]), self._crossing(at)
        if not others:
            return
        said = []
        for node in others:
            users = ", ".join(repr(user.name) for user in node.users if user not in before)
            said.append(f"{node.name!r} (used by {users})")
        cuts = [not self._crossing(start) for start in self.starts[1:]]
        whole = self.names[: cuts.index(False)]
        raise NetworkError(
            f"the network cannot be cut before {str(self.nodes[at].target)!r}: "
            f"besides its input, {' and '.join(said)} crosses there",
            f"{f'pre-train what lies below with layers={whole}, or ' if whole else ''}{_by_name(self.network)}",
        )

    def _refuse_other_parameters(self) -> None:
        first = self.starts[0] if self.starts else len(self.nodes)
        for at, node in enumerate(self.nodes):
            if node.op != "call_module" or at in self.starts:
                continue
            module = self.modules[str(node.target)]
            if next(module.parameters(), None) is None or (isinstance(module, _NORMS) and at > first):
                continue
            raise NetworkError(
                f"module {str(node.target)!r} of the network is a {type(module).__name__} with parameters, "
                "expected a dense or convolutional module, or normalisation after one",
                _by_name(self.network),
            )

    def _refuse_shared(self) -> None:
        twice = next((name for name in self.names if self.names.count(name) > 1), None)
        if twice is not None:
            raise NetworkError(
                f"module {twice!r} of the network is used twice, and has parameters",
                "give each layer a module of its own: trained twice, it would lose what it learned first",
            )


class _Tracer(fx.Tracer):
    """A tracer to which our own modules are as whole as torch's."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, LEARNED) or super().is_leaf_module(module, name)


def _traced(network: nn.Module) -> fx.Graph:
    try:
        # in evaluation mode, since a trace holds dropout written as a function in the mode it was traced in
        with evaluation(network), torch.enable_grad():
            graph = _Tracer().trace(network)
    except Exception as error:  # whatever the user's forward raises when it is given a proxy
        raise NetworkError(
            f"the network, a {type(network).__name__}, cannot be traced: {error}",
            _by_name(network),
        ) from error
    given = [node for node in graph.nodes if node.op == "placeholder" and not node.args]
    if len(given) != 1:
        raise NetworkError(
            f"the network takes {len(given)} inputs ({', '.join(str(node.target) for node in given)}), expected 1",
            "wrap it in a module whose forward takes the rows alone",
        )
    return graph


def _refuse_parameter(network: nn.Module, node: fx.Node) -> bool:
    found: Any = network
    for part in str(node.target).split("."):
        found = getattr(found, part)
    if isinstance(found, nn.Parameter):
        raise NetworkError(
            f"the network uses its parameter {str(node.target)!r} outside a module",
            _by_name(network),
        )
    return True


def _by_name(network: nn.Module) -> str:
    names = [name for name, module in network.named_modules() if isinstance(module, LEARNED)][:2]
    return (
        f"name the modules to train and their activation, for example layers={names}, activation='relu': "
        "their inputs are then captured while the network runs"
    )
