"""The graph of a network's operations as data: what each makes of what, and the gradient on its way back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from ..errors import NetworkError, PlanError, nearest
from ..nn.modes import attributes_kept, buffers_kept
from ..nn.operations import is_size, trace
from ..randomness import Randomness
from .example import Loss, drawn_from, loss_of, rows_for, scalar_loss
from .opening import OPENED, Opened, open_modules
from .passes import Passes

Kind = Literal["input", "parameter", "constant", "operation", "output"]
AGREES = 1e-3  # of the largest output: operations in float32, in another order, differ by less


@dataclass(frozen=True, eq=False)
class Entering:
    """A parameter that enters an operation.

    Attributes
    ----------
    name : str
        As in the network's ``state_dict``.
    shape : tuple of int
        Of the parameter.
    origin : str
        "pre-trained", "initialised", or "" where that is not known.
    value : Tensor
        Detached.
    gradient : Tensor or None
        Of the loss by the parameter where it enters this operation; one that enters several has a part in each, and
        their sum is its gradient.
    """

    name: str
    shape: tuple[int, ...]
    origin: str
    value: Tensor
    gradient: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Operation:
    """One node of the graph.

    Attributes
    ----------
    name : str
        Unique: the module's name in the network, the function's otherwise.
    kind : str
        "input", "parameter", "constant", "operation" or "output".
    does : str
        What it does: the module's class, the function, the loss.
    formula : str
        The same in symbols, for the operations of opened modules.
    module : str
        Name of the module that it is, or that was opened into it; "" where it is a function in the network's forward.
    inputs : tuple of str
        Names of the operations whose values it takes; one that is taken twice is there twice.
    parameters : tuple of Entering
        What else it takes.
    shape : tuple of int or None
        Of what it makes; None without a batch, or where that is not one tensor.
    value, gradient : Tensor or None
        What it makes of the batch, and the gradient of the loss by that: the sum of ``arriving``.
    arriving : tuple of (str, Tensor or None)
        Each use of the value: by which operation, and the gradient that comes back from there.
    """

    name: str
    kind: Kind
    does: str
    formula: str = ""
    module: str = ""
    inputs: tuple[str, ...] = ()
    parameters: tuple[Entering, ...] = ()
    shape: tuple[int, ...] | None = None
    value: Tensor | None = None
    gradient: Tensor | None = None
    arriving: tuple[tuple[str, Tensor | None], ...] = ()


@dataclass(frozen=True, eq=False)
class Graph:
    """The operations of a network in the order in which they are made.

    Attributes
    ----------
    network : str
        Its class.
    operations : tuple of Operation
        An operation comes after those it takes values from.
    loss : str
        What the gradients are of; "" where there was no batch.
    """

    network: str
    operations: tuple[Operation, ...]
    loss: str = ""
    _by_name: dict[str, Operation] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {operation.name: operation for operation in self.operations})

    def __getitem__(self, name: str) -> Operation:
        """Return the operation of a name."""
        return self._by_name[name]

    def edges(self) -> list[tuple[str, str]]:
        """Return each use of a value: by name, the operation that makes it and the one that takes it."""
        return [(made, operation.name) for operation in self.operations for made in operation.inputs]


def graph_of(
    network: nn.Module,
    batch: Any = None,
    *,
    targets: Any = None,
    loss: Loss = "auto",
    parameters: Mapping[str, str] | None = None,
    opened: Collection[Opened] = (),
    random_state: int = 0,
) -> Graph:
    r"""Return the graph of a network's operations, with the values and the gradients of a batch where one is given.

    Forward, each operation makes its value from those it takes. Backward, it multiplies the gradient that arrives by
    its own derivative and hands the products to those; where a value was taken more than once, what arrives is summed:

    .. math:: \frac{\partial \ell}{\partial v} = \sum_{u \text{ takes } v} \frac{\partial \ell}{\partial u}
        \frac{\partial u}{\partial v}

    The network runs in the modes it is in: in training, batch normalisation takes the batch's own mean and variance.
    Its weights, buffers, modes and gradients stay as found, and so do torch's own generators.

    Parameters
    ----------
    network : nn.Module
        With one input, and such that ``torch.fx`` can trace it.
    batch : Tensor or array, shape (rows, ...)
        A few rows, as the network takes them; None: the graph without shapes.
    targets : Tensor or array, optional
        What the loss compares outputs with.
    loss : {"auto", "cross_entropy", "squared"} or callable
        "auto": cross-entropy where targets are whole numbers, half the squared error per row where they are real, the
        sum of the outputs where there are none. A function takes the outputs, and the targets if there are any.
    parameters : dict of str to str, optional
        For names of parameters, "pre-trained" or "initialised": the ``parameters`` of a `PretrainResult`.
    opened : collection of {"batch_norm", "dense"}
        Modules that are shown as the elementary operations they consist of.
    random_state : int
        What dropout draws in training.

    Raises
    ------
    NetworkError
        When the network cannot be traced, or what the trace says is not what the network does.
    PlanError, DataError
        When a name is not known, or the loss cannot be made of the outputs.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    >>> graph = graph_of(network, torch.ones(5, 2))
    >>> [(operation.name, operation.does, operation.shape) for operation in graph.operations]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('input', 'input', (5, 2)), ('0', 'Linear', (5, 3)), ('1', 'Tanh', (5, 3)), ('2', 'Linear', (5, 1)),
     ('output', 'sum of the outputs', ())]
    >>> graph["2"].gradient.T
    tensor([[1., 1., 1., 1., 1.]])
    """
    origins = _origins(network, parameters)
    for kind in opened:
        if kind not in OPENED:
            raise PlanError(f"opened names {kind!r}, expected some of {', '.join(OPENED)}", f"opened={OPENED[:1]}")
    with attributes_kept(network):
        graph = _traced(network)
        if batch is None:
            open_modules(network, graph, opened)
            return _Reader(network, graph, origins).graph("")
        rows = rows_for(network, batch)
        name, of_outputs = loss_of(targets, loss)
        seed = Randomness(random_state).seed("graph")
        with buffers_kept(network), torch.enable_grad():
            expected = _outputs(network, rows, seed)
            open_modules(network, graph, opened)
            passes = Passes(network, graph)
            with drawn_from(seed, rows.device):  # the masks that the network itself has just drawn
                outputs = passes.forward(rows)
            _check_same(outputs, expected, network)
            passes.backward(scalar_loss(of_outputs, outputs, name))
        return _Reader(network, graph, origins, passes).graph(name)


class _Reader:
    """What a traced graph says, in our own words."""

    def __init__(
        self, network: nn.Module, graph: fx.Graph, origins: Mapping[str, str], passes: Passes | None = None
    ) -> None:
        self.network, self.origins, self.passes = network, origins, passes
        self.modules = dict(network.named_modules(remove_duplicate=False))
        self.parameters = {id(parameter): name for name, parameter in network.named_parameters()}
        self.nodes = [node for node in graph.nodes if not self._silent(node)]
        self.names: dict[fx.Node, str] = {}
        for node in self.nodes:
            self.names[node] = self._name(node)

    def graph(self, loss: str) -> Graph:
        """Return the whole."""
        return Graph(type(self.network).__name__, tuple(self._operation(node, loss) for node in self.nodes), loss)

    def _silent(self, node: fx.Node) -> bool:
        """Say whether a node makes no values of the network, only numbers that other operations are told."""
        if self.passes is None:
            return is_size(node)
        found = torch.utils._pytree.tree_leaves(self.passes.values.get(node))
        return node.op != "output" and not any(isinstance(part, Tensor) for part in found)

    def _name(self, node: fx.Node) -> str:
        own = {"placeholder": "input", "output": "output", "call_module": str(node.target)}.get(node.op, node.name)
        if node.op == "get_attr":
            own = self._attribute(node)
        wanted = str(node.meta.get("name", own))
        used, name, number = set(self.names.values()), wanted, 2
        while name in used:
            name, number = f"{wanted} ({number})", number + 1
        return name

    def _attribute(self, node: fx.Node) -> str:
        return self.parameters.get(id(self._found(node)), str(node.target))

    def _found(self, node: fx.Node) -> Any:
        found: Any = self.network
        for part in str(node.target).split("."):
            found = getattr(found, part)
        return found

    def _operation(self, node: fx.Node, loss: str) -> Operation:
        taken: list[str] = []
        fx.node.map_arg((node.args, node.kwargs), lambda other: taken.append(self.names.get(other, "")))
        about = Operation(
            self.names[node], self._kind(node), self._does(node, loss), str(node.meta.get("formula", "")),
            str(node.meta.get("module", node.target if node.op == "call_module" else "")),
            tuple(name for name in taken if name), self._parameters(node),
        )  # fmt: skip
        if self.passes is None:
            return about
        value, gradient = self.passes.value(node), self.passes.gradient(node)
        arriving = tuple((self.names[user], got) for user, got in self.passes.arriving(node) if user in self.names)
        shape = None if value is None else tuple(value.shape)
        return replace(about, shape=shape, value=value, gradient=gradient, arriving=arriving)

    def _kind(self, node: fx.Node) -> Kind:
        if node.op == "placeholder":
            return "input"
        if node.op == "get_attr":
            return "parameter" if isinstance(self._found(node), nn.Parameter) else "constant"
        return "output" if node.op == "output" else "operation"

    def _does(self, node: fx.Node, loss: str) -> str:
        if "does" in node.meta:
            return str(node.meta["does"])
        if node.op == "call_module":
            return type(self.modules[str(node.target)]).__name__
        if node.op in ("placeholder", "output", "get_attr"):
            return loss if loss and node.op == "output" else self._kind(node)
        return str(getattr(node.target, "__name__", node.target)).strip("_")

    def _parameters(self, node: fx.Node) -> tuple[Entering, ...]:
        if node.op == "get_attr":
            own = {"": self._found(node)} if self._kind(node) == "parameter" else {}
        else:
            own = dict(self.modules[str(node.target)].named_parameters()) if node.op == "call_module" else {}
        found = []
        for local, parameter in own.items():
            name = self.parameters[id(parameter)]
            gradient = self.passes.parameter_gradient(node, local) if self.passes else None
            value = parameter.detach().clone()
            found.append(Entering(name, tuple(parameter.shape), self.origins.get(name, ""), value, gradient))
        return tuple(found)


def _origins(network: nn.Module, parameters: Mapping[str, str] | None) -> dict[str, str]:
    known = dict(network.named_parameters())
    for name in parameters or {}:
        if name not in known:
            near = nearest(name, known)
            raise PlanError(
                f"parameters names {name!r}, which is no parameter of the network",
                f"did you mean {near!r}?" if near else "give the .parameters of the PretrainResult of this network",
            )
    return dict(parameters or {})


def _traced(network: nn.Module) -> fx.Graph:
    hint = "draw a part of it that can be traced, a module within it, or wrap it so that forward takes the rows alone"
    try:
        graph = trace(network, dict(network.named_modules(remove_duplicate=False)))
    except Exception as error:  # whatever the user's forward raises when it is given a proxy
        raise NetworkError(f"the network, a {type(network).__name__}, cannot be traced: {error}", hint) from error
    given = [str(node.target) for node in graph.nodes if node.op == "placeholder"]
    if len(given) != 1:
        raise NetworkError(f"the network takes {len(given)} inputs ({', '.join(given)}), expected 1", hint)
    return graph


def _outputs(network: nn.Module, rows: Tensor, seed: int) -> Any:
    try:
        with torch.no_grad(), drawn_from(seed, rows.device):
            return network(rows)
    except Exception as error:  # whatever the user's forward raises
        raise NetworkError(
            f"the network cannot take a batch of shape {tuple(rows.shape)}: {error}",
            "give a few rows in the shape that the network takes",
        ) from error


def _check_same(found: Any, expected: Any, network: nn.Module) -> None:
    """Refuse a trace that computes something else: a changed value used later, a size that the trace took as fixed."""
    leaves = torch.utils._pytree.tree_leaves
    for mine, own in zip(leaves(found), leaves(expected), strict=True):
        if isinstance(own, Tensor) and own.numel() and own.is_floating_point():
            most = float(own.abs().nan_to_num().max()) * AGREES
            if mine.shape != own.shape or not torch.allclose(mine.detach(), own, rtol=0, atol=most, equal_nan=True):
                raise NetworkError(
                    f"the operations that were traced do not give what the network, a {type(network).__name__}, gives",
                    "an operation changes in place a value that is used again: make it with inplace=False",
                )
