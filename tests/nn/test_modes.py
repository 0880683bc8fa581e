"""Modes and gradients are put back as found, also after an error."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerwise.nn.modes import attributes_kept, buffers_kept, evaluation, modes_kept


def mixed() -> nn.Sequential:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    network[1].eval()
    network[0].bias.requires_grad_(False)
    return network


def modes(network: nn.Module) -> list[bool]:
    return [module.training for module in network.modules()]


@pytest.mark.parametrize("broken", [False, True])
def test_modes_kept(broken):
    network = mixed()
    before = modes(network)
    try:
        with modes_kept(network):
            network.train()
            network.requires_grad_(True)
            network[0].weight.grad = torch.ones(2, 2)
            if broken:
                raise KeyError
    except KeyError:
        pass
    assert modes(network) == before == [True, True, False, True]
    assert [p.requires_grad for p in network.parameters()] == [True, False, True, True]
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("broken", [False, True])
def test_evaluation(broken):
    network = mixed()
    before = modes(network)
    try:
        with evaluation(network):
            assert not any(modes(network))
            assert not network(torch.ones(3, 2)).requires_grad
            if broken:
                raise KeyError
    except KeyError:
        pass
    assert modes(network) == before
    assert network(torch.ones(3, 2)).requires_grad


def test_buffers_kept():
    """A loss that is only looked at leaves the running means of batch normalisation alone."""
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    buffers = [buffer.clone() for buffer in network.buffers()]
    with buffers_kept(network):
        network(torch.rand(5, 2))
        assert network[1].num_batches_tracked == 1
    assert all(torch.equal(a, b) for a, b in zip(buffers, network.buffers(), strict=True))


def test_attributes_kept():
    network = mixed()
    network[1].own = "mine"
    before = [dict(vars(module)) for module in network.modules()]
    with attributes_kept(network):
        network._tensor_constant0 = torch.ones(1)
        network[1].own = "changed"
        network[2].codes = torch.ones(2)
    assert [dict(vars(module)) for module in network.modules()] == before
