"""Leave a network's modes as they were found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def modes_kept(network: nn.Module) -> Iterator[None]:
    """Put back each module's training mode and each parameter's ``requires_grad`` after the block.

    Examples
    --------
    >>> module = nn.Linear(2, 2)
    >>> with modes_kept(module): _ = module.eval()
    >>> module.training
    True
    """
    modes = [(module, module.training) for module in network.modules()]
    gradients = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, wanted in gradients:
            parameter.requires_grad_(wanted)
            parameter.grad = None


@contextmanager
def evaluation(network: nn.Module) -> Iterator[None]:
    """Evaluate inside the block: no dropout, no gradients; modes are put back after it."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def buffers_kept(network: nn.Module) -> Iterator[None]:
    """Put back each buffer (the running means of batch normalisation) after the block: measuring is not training."""
    found = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in found:
                buffer.copy_(value)


@contextmanager
def attributes_kept(network: nn.Module) -> Iterator[None]:
    """Put back each module's attributes after the block: a trace leaves constants there, and a forward its values."""
    found = [(vars(module), dict(vars(module))) for module in network.modules()]
    try:
        yield
    finally:
        for now, before in found:
            now.clear()
            now.update(before)
