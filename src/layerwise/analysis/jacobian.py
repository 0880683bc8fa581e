"""Singular values of Jacobians: what a layer, or the whole network, does to small changes of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.func import jacrev

from ..errors import NetworkError
from ..nn.layers import Layer
from ..nn.modes import evaluation
from ..stack import prepare
from .codes import Model, codes_by_layer, layers_of

MOST_ELEMENTS = 16_000_000  # of one row's Jacobian: 64 MiB, and seconds for its singular values


def jacobians(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    r"""Return the Jacobian of a function at each row, the row alone.

    .. math:: J_{ij} = \partial f_i(x) / \partial x_j

    Parameters
    ----------
    function : callable
        Maps rows (1, ...) to (1, ...), built from torch's operations.
    rows : Tensor, shape (rows, ...)
        Where.

    Returns
    -------
    Tensor, shape (rows, outputs, inputs)

    Raises
    ------
    NetworkError
        When one of them has more than 16 million elements.

    Examples
    --------
    >>> jacobians(lambda row: row**2, torch.tensor([[1.0, 3.0]])).tolist()
    [[[2.0, 0.0], [0.0, 6.0]]]
    """

    def alone(row: Tensor) -> Tensor:
        return function(row[None]).flatten()

    with torch.no_grad():
        outputs, inputs = alone(rows[0]).numel(), rows[0].numel()
    if outputs * inputs > MOST_ELEMENTS:
        raise NetworkError(
            f"a Jacobian of {outputs:,} outputs by {inputs:,} inputs has more than {MOST_ELEMENTS:,} elements",
            "measure dense layers, or smaller images",
        )
    with torch.no_grad():  # the derivative by the row is taken all the same; that by the weights isn't needed
        found = [jacrev(alone)(row).reshape(outputs, inputs) for row in rows]
    return torch.stack(found).detach()


def layer_jacobians(model: Model, inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield each layer's name and the Jacobians (rows, outputs, inputs) of what it hands on by what it is handed.

    Parameters
    ----------
    model : Stack, nn.Module or sequence of Layer
        It runs in evaluation mode, as in `activity`.
    inputs : Tensor, shape (rows, ...)
        A few rows as the network takes them.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    >>> [(name, found.shape) for name, found in layer_jacobians(network, torch.rand(5, 4))]
    [('0', torch.Size([5, 3, 4]))]
    """
    fed = inputs
    for layer, _, handed in codes_by_layer(layers_of(model), inputs):
        weight = layer.module.weight
        rows = prepare(layer, fed.to(weight.device, weight.dtype))

        def function(row: Tensor, layer: Layer = layer) -> Tensor:
            handed_on: Tensor = layer.onward(layer(row))
            return handed_on

        with evaluation(layer):
            yield layer.name, jacobians(function, rows)
        fed = inputs if layer.captured else handed


def singular_values(model: Model, inputs: Tensor) -> dict[str, Tensor]:
    r"""Return the singular values of each layer's Jacobian, and of the whole network's where a network is given.

    Those of a layer say how it stretches a small change on its way up and, since :math:`J^\top` leads back, an error
    on its way down: :math:`\sigma_{min} \lVert e \rVert \le \lVert J^\top e \rVert \le \sigma_{max} \lVert e \rVert`
    (the lower bound where J has no more rows than columns). Products of small ones vanish, of large ones explode.

    Parameters
    ----------
    model : Stack, nn.Module or sequence of Layer
        It runs in evaluation mode, as in `activity`.
    inputs : Tensor, shape (rows, ...)
        A few rows: the cost is that of as many decompositions a layer.

    Returns
    -------
    dict of str to Tensor
        By the layer's name, shape (rows, min(outputs, inputs)), the largest first; "network" is from inputs to
        outputs.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural networks. Glorot & Bengio (2010).

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 2), nn.Identity(), nn.Linear(2, 1))
    >>> _ = network[0].weight.data.copy_(torch.diag(torch.tensor([3.0, 4.0])))
    >>> _ = network[2].weight.data.copy_(torch.tensor([[1.0, 0.0]]))
    >>> singular_values(network, torch.zeros(1, 2))
    {'0': tensor([[4., 3.]]), 'network': tensor([[3.]])}
    """
    found = {name: torch.linalg.svdvals(values) for name, values in layer_jacobians(model, inputs)}
    if isinstance(model, nn.Module):
        weight = next(model.parameters())
        with evaluation(model):
            found["network"] = torch.linalg.svdvals(jacobians(model, inputs.to(weight.device, weight.dtype)))
    return found
