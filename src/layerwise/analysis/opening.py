r"""Modules opened into the elementary operations that they consist of: batch normalisation and dense modules.

Batch normalisation, as a graph (Ioffe & Szegedy 2015; Kratzert 2016, Understanding the backward pass through the batch
normalization layer):

.. math:: \mu = \tfrac1N \sum_n x_n, \qquad \sigma^2 = \tfrac1N \sum_n (x_n - \mu)^2, \qquad
    y = \gamma \, (x - \mu) \frac1{\sqrt{\sigma^2 + \epsilon}} + \beta

In training, mean and variance are the batch's; in evaluation they are the running ones, constants. An image's sums run
over its pixels too.
"""

# ruff: noqa: RUF001 (the formulas' own letters)
from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

Opened = Literal["batch_norm", "dense"]
OPENED: tuple[Opened, ...] = ("batch_norm", "dense")
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def open_modules(network: nn.Module, graph: fx.Graph, opened: Collection[Opened]) -> None:
    """Replace, in a traced graph, each call of a module of these kinds by its elementary operations."""
    modules = dict(network.named_modules(remove_duplicate=False))
    writer = _Writer(graph)
    for node in list(graph.nodes):
        module = modules[str(node.target)] if node.op == "call_module" else None
        if "batch_norm" in opened and type(module) in _BATCH_NORMS:
            writer.replace(node, _batch_norm, module)
        elif "dense" in opened and type(module) is nn.Linear:
            writer.replace(node, _dense, module)


class _Writer:
    """Writes operations in the place of a module's call."""

    def __init__(self, graph: fx.Graph) -> None:
        self.graph = graph
        self.module = ""
        self.attributes: dict[str, fx.Node] = {}

    def replace(self, node: fx.Node, opening: Callable[..., fx.Node], module: nn.Module | None) -> None:
        """Write a module's operations before its call, and let what takes the call's value take theirs."""
        self.module = str(node.target)
        self.graph.inserting_before(node)
        fed: Any = node.args[0] if node.args else node.kwargs["input"]
        with self.graph.inserting_before(node):
            node.replace_all_uses_with(opening(self, module, fed))
        self.graph.erase_node(node)

    def write(self, name: str, does: str, formula: str, function: Callable[..., Tensor], *args: Any) -> fx.Node:
        """Write one operation."""
        node = self.graph.call_function(function, args)
        node.meta = {"name": f"{self.module}.{name}", "does": does, "formula": formula, "module": self.module}
        return node

    def attribute(self, name: str, formula: str) -> fx.Node:
        """Write a parameter or buffer of the module, once."""
        target = f"{self.module}.{name}"
        if target not in self.attributes:
            first = next(iter(self.graph.nodes))
            with self.graph.inserting_before(first):  # a module that is used twice has it before the first use
                node = self.attributes[target] = self.graph.get_attr(target)
            node.meta = {"formula": formula, "module": self.module}
        return self.attributes[target]


def _batch_norm(graph: _Writer, module: Any, rows: fx.Node) -> fx.Node:
    if module.training or module.running_mean is None:
        mean = graph.write("mean", "mean over the batch", "μ = mean(x)", over_batch, rows)
        centred = graph.write("centred", "subtract", "x − μ", torch.sub, rows, mean)
        squares = graph.write("squares", "square", "(x − μ)²", torch.square, centred)
        variance = graph.write("variance", "mean over the batch", "σ² = mean((x − μ)²)", over_batch, squares)
    else:
        mean, variance = graph.attribute("running_mean", "μ"), graph.attribute("running_var", "σ²")
        centred = graph.write("centred", "subtract", "x − μ", minus_each, rows, mean)
    eps = graph.write("plus_eps", "add ε", "σ² + ε", operator.add, variance, module.eps)
    root = graph.write("root", "square root", "√(σ² + ε)", torch.sqrt, eps)
    inverse = graph.write("reciprocal", "reciprocal", "1 / √(σ² + ε)", torch.reciprocal, root)
    made = graph.write("normalised", "multiply", "x̂ = (x − μ) · 1/√(σ² + ε)", times_each, centred, inverse)
    if module.weight is not None:
        made = graph.write("scaled", "multiply", "γ x̂", times_each, made, graph.attribute("weight", "γ"))
        made = graph.write("shifted", "add", "γ x̂ + β", plus_each, made, graph.attribute("bias", "β"))
    return made


def _dense(graph: _Writer, module: Any, rows: fx.Node) -> fx.Node:
    made = graph.write("product", "matrix product", "x Wᵀ", _product, rows, graph.attribute("weight", "W"))
    if module.bias is not None:
        made = graph.write("sum", "add", "x Wᵀ + b", torch.add, made, graph.attribute("bias", "b"))
    return made


def over_batch(rows: Tensor) -> Tensor:
    """Return the mean of each feature or channel: (rows, features, ...) to (1, features, 1 ...).

    Examples
    --------
    >>> over_batch(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[2., 3.]])
    """
    return rows.mean([axis for axis in range(rows.ndim) if axis != 1], keepdim=True)


def minus_each(rows: Tensor, numbers: Tensor) -> Tensor:
    """Return rows less one number for each feature or channel."""
    return rows - _each(numbers, rows)


def times_each(rows: Tensor, numbers: Tensor) -> Tensor:
    """Return rows times one number for each feature or channel."""
    return rows * _each(numbers, rows)


def plus_each(rows: Tensor, numbers: Tensor) -> Tensor:
    """Return rows plus one number for each feature or channel."""
    return rows + _each(numbers, rows)


def _product(rows: Tensor, weight: Tensor) -> Tensor:
    return rows @ weight.t()


def _each(numbers: Tensor, rows: Tensor) -> Tensor:
    return numbers.reshape(1, -1, *[1] * (rows.ndim - 2))
