"""Exactly the named layers are pre-trained, and all else is as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from layerwise.analysis import partly_pretrained
from layerwise.errors import NetworkError
from small_network import same, weights


def networks() -> tuple[nn.Module, nn.Module]:
    """Three layers, the second with batch normalisation, and a copy of which all is changed."""
    torch.manual_seed(0)
    modules = [nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU()]
    initial = nn.Sequential(*modules, nn.Linear(4, 3))
    trained = copy.deepcopy(initial)
    with torch.no_grad():
        for value in trained.state_dict().values():
            value.add_(1)
    return initial, trained


OF_LAYER = {1: ["0."], 2: ["2.", "3."], 3: ["5."]}


@pytest.mark.parametrize("layers", [(), (1,), (2,), (3,), (1, 2), (2, 3), (1, 3), "all"])
def test_exactly_the_named_layers_are_those_of_the_pretrained_network(layers: Any) -> None:
    initial, trained = networks()
    mixed = weights(partly_pretrained(initial, trained, layers))
    chosen = [name for number in (OF_LAYER if layers == "all" else layers) for name in OF_LAYER[number]]
    expected = {
        name: (trained if any(name.startswith(start) for start in chosen) else initial).state_dict()[name]
        for name in mixed
    }
    assert same(mixed, expected)


def test_neither_network_is_changed_nor_shared() -> None:
    initial, trained = networks()
    before = weights(initial), weights(trained)
    mixed = partly_pretrained(initial, trained, "all")
    with torch.no_grad():
        for value in mixed.state_dict().values():
            value.zero_()
    assert same(before[0], weights(initial)) and same(before[1], weights(trained))


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_layer_that_is_not_there_is_named(number: int) -> None:
    with pytest.raises(NetworkError, match=f"no layer {number}, the network has layers 1 to 3"):
        partly_pretrained(*networks(), [number])


def test_another_network_is_refused() -> None:
    initial, _ = networks()
    with pytest.raises(NetworkError, match="different layers"):
        partly_pretrained(initial, nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)), "all")
    other, _ = networks()
    other[0] = nn.Linear(6, 4)  # type: ignore[operator]
    other[2] = nn.Linear(4, 5)  # type: ignore[operator]
    with pytest.raises(NetworkError, match="layer 1 differs"):
        partly_pretrained(initial, other, [1])
