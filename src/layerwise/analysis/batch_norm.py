"""Batch normalisation as training sees it, without touching what it has learned about its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..nn.modes import buffers_kept

_NORMS = nn.modules.batchnorm._BatchNorm
_STATISTICS = ("running_mean", "running_var")


@contextmanager
def batch_statistics(network: nn.Module, inputs: Tensor) -> Iterator[None]:
    r"""Evaluate inside the block with the statistics of some rows in place of the running ones.

    .. math:: \mu = \frac1B \sum_b a_b, \qquad \sigma^2 = \frac1B \sum_b (a_b - \mu)^2

    In evaluation mode batch normalisation uses running means, which before training are none of the data's. Inside
    the block each such module has the mean and variance that it would use if the rows were a batch of training: then
    what evaluation gives is what training computes (dropout apart), and each row's result depends on that row alone,
    as a Jacobian asks. The running statistics are put back. A network without batch normalisation is left alone.

    Examples
    --------
    >>> network = nn.Sequential(nn.BatchNorm1d(1, eps=1e-12)).eval()
    >>> rows = torch.tensor([[1.0], [3.0]])
    >>> with batch_statistics(network, rows): network(rows).flatten().tolist()
    [-1.0, 1.0]
    >>> network[0].running_mean.item()
    0.0
    """
    norms = [module for module in network.modules() if isinstance(module, _NORMS)]
    if not norms:
        yield
        return
    found = [{name: module._buffers.get(name) for name in _STATISTICS} for module in norms]
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def see(module: nn.Module, given: tuple[Any, ...]) -> None:
        dimensions = [0, *range(2, given[0].ndim)]
        seen[module] = given[0].mean(dimensions), given[0].var(dimensions, unbiased=False)

    hooks = [module.register_forward_pre_hook(see) for module in norms]
    try:
        with without_dropout(network), buffers_kept(network), torch.no_grad():
            network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    try:
        for module in norms:
            if module in seen:
                module._buffers.update(zip(_STATISTICS, seen[module], strict=True))
        yield
    finally:
        for module, buffers in zip(norms, found, strict=True):
            module._buffers.update(buffers)


@contextmanager
def without_dropout(network: nn.Module) -> Iterator[None]:
    """Be in training mode inside the block, dropout off; modes and torch's global generator are put back after it."""
    modes = [(module, module.training) for module in network.modules()]
    for module, _ in modes:
        module.training = not isinstance(module, nn.modules.dropout._DropoutNd)
    try:
        with torch.random.fork_rng(devices=[]):  # dropout that a forward writes as a function still draws
            yield
    finally:
        for module, mode in modes:
            module.training = mode
