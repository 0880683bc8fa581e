"""Saturated activations and dead units of networks that were made to have so many."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerwise.analysis import activity
from layerwise.analysis.units import dead_share, saturated_share
from layerwise.nn.capture import captured_layers


def dense(weights: list[float], biases: list[float], activation: nn.Module) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(1, len(weights)), activation, nn.Linear(len(weights), 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor(weights)[:, None])
        network[0].bias.copy_(torch.tensor(biases))
    return network


ROWS = torch.tensor([[-1.0], [0.0], [0.5], [1.0]])


def test_sigmoid_units() -> None:
    """Unit 0 is saturated at three of four rows, 1 never, 2 always and constant, 3 constant in the middle."""
    network = dense([100.0, 1.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.3], nn.Sigmoid())
    (found,) = activity(network, ROWS)
    assert (found.saturated, found.dead) == ((3 + 0 + 4 + 0) / 16, 2 / 4)


def test_tanh_is_saturated_at_both_ends_of_its_own_range() -> None:
    network = dense([100.0, 1.0], [0.0, 0.0], nn.Tanh())
    (found,) = activity(network, ROWS)
    assert (found.saturated, found.dead) == (3 / 8, 0.0)  # tanh(1) = .76 is inside


def test_relu_units_die_and_do_not_saturate() -> None:
    """Never above 0; only at 0; always at 5, which a ReLU unit may be; alive."""
    network = dense([1.0, -1.0, 0.0, 1.0], [-2.0, -1.0, 5.0, 0.0], nn.ReLU())
    (found,) = activity(network, ROWS)
    assert (found.saturated, found.dead) == (None, 2 / 4)


def test_bounds() -> None:
    codes = torch.tensor([[0.04, 0.5], [0.06, 0.51], [0.94, 0.5], [0.96, 0.505]])
    assert saturated_share(codes, "sigmoid") == 2 / 8
    assert dead_share(codes, "sigmoid") == 1 / 2 and dead_share(codes, "identity") == 0.0


def test_a_convolutions_unit_is_a_channel() -> None:
    network = nn.Sequential(nn.Conv1d(1, 3, 2), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(6, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[-1.0, -1.0]]]))
        network[0].bias.zero_()
    rows = torch.zeros(2, 1, 5)
    rows[1, 0, 4] = 1.0  # only the last position, which the first channel never sees at its left
    (found,) = activity(network, rows)
    assert found.dead == pytest.approx(2 / 3)


def test_deeper_layers_are_fed_codes_and_captured_ones_what_the_network_feeds_them() -> None:
    network = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.fill_(1.0), network[0].bias.fill_(5.0)
        network[2].weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])), network[2].bias.zero_()
    found = activity(network, ROWS)
    assert [one.dead for one in found] == [0.0, 0.5]
    assert activity(captured_layers(network, ["0", "2"], "relu"), ROWS) == found
