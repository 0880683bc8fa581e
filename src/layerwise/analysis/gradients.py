"""The size of the gradient at each layer, which says whether the error reaches the lowest ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..nn.layers import LEARNED
from ..nn.modes import buffers_kept
from .batch_norm import without_dropout


def gradient_norms(network: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, float]:
    r"""Return the norm of the loss's gradient by each dense and convolutional module's weight.

    .. math:: \Big\lVert \frac{\partial \ell}{\partial W} \Big\rVert_F, \qquad
        \ell = -\tfrac1B \sum_b \log \mathrm{softmax}(f(x_b))_{y_b}

    Parameters
    ----------
    network : nn.Module
        Ends in one output per class. It runs as in training, batch normalisation by the rows' statistics, but without
        dropout; its running statistics, gradients and modes stay as they are.
    inputs : Tensor, shape (rows, ...)
        Rows as the network takes them.
    targets : Tensor of int64, shape (rows,)
        Class of each.

    Returns
    -------
    dict of str to float
        By the module's name, in the network's order, the output head included; 0 where the loss doesn't reach.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 2, bias=False))
    >>> _ = network[0].weight.data.zero_()
    >>> round(gradient_norms(network, torch.tensor([[1.0, 0.0]]), torch.tensor([0]))["0"], 4)  # |(-1/2, 1/2)|
    0.7071
    """
    return loss_and_gradient_norms(network, inputs, targets)[1]


def loss_and_gradient_norms(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[float, dict[str, float]]:
    """Do what `gradient_norms` does, and return the loss beside it."""
    weights = {name: module.weight for name, module in network.named_modules() if isinstance(module, LEARNED)}
    wanted = [weight.requires_grad for weight in weights.values()]
    place = next(network.parameters())
    for weight in weights.values():
        weight.requires_grad_(True)  # a frozen layer has a gradient too
    try:
        with without_dropout(network), buffers_kept(network), torch.enable_grad():
            outputs = network(inputs.to(place.device, place.dtype))
            loss = nn.functional.cross_entropy(outputs, targets.to(place.device))
            gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    finally:
        for weight, before in zip(weights.values(), wanted, strict=True):
            weight.requires_grad_(before)
    norms = [0.0 if gradient is None else float(gradient.norm()) for gradient in gradients]
    return float(loss.detach()), dict(zip(weights, norms, strict=True))
