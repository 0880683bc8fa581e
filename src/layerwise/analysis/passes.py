"""Forward and backward through a traced network, node by node, keeping every value and every gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

# Of a value: the node that made it. Of one use of a value: that node, and the one that took it, and which use it is. Of
# a parameter: the node it enters, and its name there.
_Key = tuple[Any, ...]


class Passes(fx.Interpreter):
    """The two passes through a graph of operations.

    Each use of a value is a copy of its own, so that the gradient that comes back from there is told apart.

    Parameters
    ----------
    network : nn.Module
        Whose modules and attributes the graph names. Its parameters enter as copies: no gradient is left with them.
    graph : fx.Graph
        With one input.

    Attributes
    ----------
    values : dict of fx.Node to what it made
        Of the output node: the loss, after `backward`.
    """

    def __init__(self, network: nn.Module, graph: fx.Graph) -> None:
        super().__init__(network, garbage_collect_values=False, graph=graph)
        self.values: dict[fx.Node, Any] = {}
        self._edges: dict[_Key, GradientEdge] = {}
        self._uses: dict[fx.Node, list[_Key]] = {}
        self._gradients: dict[_Key, Tensor | None] = {}

    def forward(self, rows: Tensor) -> Any:
        """Return what the network gives."""
        return self.run(_leaf(rows))

    def backward(self, loss: Tensor) -> None:
        """Take the gradient of a loss of the outputs back to every value, every use of one, and every parameter."""
        (output,) = (node for node in self.graph.nodes if node.op == "output")
        self.values[output] = loss
        self._gradients[(output,)] = torch.ones_like(loss)
        if loss.requires_grad and self._edges:
            found = torch.autograd.grad(loss, list(self._edges.values()), allow_unused=True)
            self._gradients |= dict(zip(self._edges, found, strict=True))

    def value(self, node: fx.Node) -> Tensor | None:
        """Return what a node made, where that is one tensor."""
        value = self.values.get(node)
        return value.detach() if isinstance(value, Tensor) else None

    def gradient(self, node: fx.Node) -> Tensor | None:
        """Return the gradient of the loss by what a node made."""
        return self._gradients.get((node,))

    def arriving(self, node: fx.Node) -> list[tuple[fx.Node, Tensor | None]]:
        """Return for each use of what a node made: by whom, and the gradient that comes back from there."""
        return [(key[1], self._gradients.get(key)) for key in self._uses.get(node, ())]

    def parameter_gradient(self, node: fx.Node, name: str) -> Tensor | None:
        """Return the gradient by a parameter where it enters a node; "" names the parameter that a node is."""
        return self._gradients.get((node, name) if name else (node,))

    def run_node(self, n: fx.Node) -> Any:
        """Make the value of one node, from a copy of each value that it takes."""
        args, kwargs = fx.node.map_arg((n.args, n.kwargs), lambda other: self._taken(other, n))
        made = self._entered(n, args, kwargs) if n.op == "call_module" else getattr(self, n.op)(n.target, args, kwargs)
        if n.op == "get_attr" and isinstance(made, nn.Parameter):
            made = _leaf(made)
        self.values[n] = made
        if n.op != "output":
            self._watch((n,), made)
        return made

    def _taken(self, made: fx.Node, by: fx.Node) -> Any:
        value = self.values[made]
        key = (made, by, len(self._uses.setdefault(made, [])))
        self._uses[made].append(key)
        if isinstance(value, Tensor):
            value = value.clone()  # also what keeps a value as it was where an operation changes its input in place
            self._watch(key, value)
        return value

    def _entered(self, node: fx.Node, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Call a module with copies of its parameters: one that is shared has a gradient from each of its uses."""
        module = self.fetch_attr(str(node.target))
        own = {name: _leaf(parameter) for name, parameter in module.named_parameters()}
        for name, parameter in own.items():
            self._watch((node, name), parameter)
        return torch.func.functional_call(module, own, args, dict(kwargs))

    def _watch(self, key: _Key, value: Any) -> None:
        if isinstance(value, Tensor) and value.requires_grad:
            # the edge, not the tensor: an operation in place makes the tensor stand for what it became
            self._edges[key] = get_gradient_edge(value)


def _leaf(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone()
    return copy.requires_grad_(copy.is_floating_point() or copy.is_complex())
