"""Cutting a network into layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerwise.errors import NetworkError
from layerwise.nn.cutting import cut
from layerwise.nn.layers import ACTIVATIONS
from layerwise.nn.networks import dense_modules


def mlp(*between: nn.Module, end: tuple[nn.Module, ...] = (nn.Linear(3, 2),)) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 4), nn.Sigmoid(), *between, nn.Linear(4, 3), nn.Tanh(), *end)


@pytest.mark.parametrize(
    "end",
    [
        (nn.Linear(3, 2),),
        (nn.Linear(3, 2), nn.Softmax(1)),
        (nn.Linear(3, 2), nn.LogSoftmax(1)),
        (nn.Linear(3, 2), nn.Dropout(0.1), nn.LogSoftmax(1)),
        (nn.Linear(3, 2), nn.Identity()),
    ],
    ids=["bare", "softmax", "log-softmax", "dropout", "identity"],
)
def test_the_output_head_is_left_out(end):
    assert [layer.name for layer in cut(mlp(end=end))] == ["0", "2"]


def test_without_a_head_every_layer_is_one():
    assert [layer.name for layer in cut(mlp(end=()))] == ["0", "2"]
    assert [layer.name for layer in cut(mlp(end=(nn.Linear(3, 2), nn.Sigmoid())))] == ["0", "2", "4"]


def test_a_layer_is_the_dense_module_and_all_that_follows_it():
    network = nn.Sequential(
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2)
    )
    (layer,) = cut(network)
    assert layer.name == "2"
    assert list(layer.preamble) == [network[0], network[1]]
    assert layer.module is network[2]
    assert list(layer.after) == [network[3], network[4], network[5]]
    assert layer.activation == "relu"


def test_layers_encode_as_the_network_does():
    """The whole of it: activations included, in order, sharing the network's own weights."""
    network = mlp()
    rows = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    codes = rows
    for layer in cut(network):
        codes = layer(layer.preamble(codes))
    assert torch.equal(codes, network[:4](rows))


def test_one_activation_object_used_twice():
    """nn.Module lists a shared child once; the second layer would lose its activation."""
    activation = nn.Sigmoid()
    network = nn.Sequential(nn.Linear(5, 4), activation, nn.Linear(4, 3), activation, nn.Linear(3, 2))
    layers = cut(network)
    assert [layer.activation for layer in layers] == ["sigmoid", "sigmoid"]
    rows = torch.rand(6, 5)
    assert torch.equal(layers[1](layers[0](rows)), network[:4](rows))


def test_one_dense_module_used_twice_is_refused():
    dense = nn.Linear(4, 4)
    with pytest.raises(NetworkError, match="module '0' of the network is used twice"):
        cut(nn.Sequential(dense, nn.Tanh(), dense, nn.Tanh(), nn.Linear(4, 2)))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_names(name):
    layer = cut(nn.Sequential(nn.Linear(2, 2), ACTIVATIONS[name](), nn.Linear(2, 2)), ["0"])[0]
    assert layer.activation == name


def test_dropout_is_off_while_a_layer_is_trained():
    """Corruption is the noise of pre-training; batch normalisation does train."""
    network = nn.Sequential(nn.Dropout(0.9), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.AlphaDropout(0.9), nn.Linear(4, 2))
    (layer,) = cut(network, ["1"])
    layer.train()
    assert [module.training for module in network[:4]] == [False, True, True, False]
    rows = torch.rand(8, 5)
    assert torch.equal(layer(layer.preamble(rows)), layer(layer.preamble(rows)))
    layer.eval()
    assert not any(module.training for module in layer.modules())


def test_cutting_changes_no_mode():
    network = mlp(nn.Dropout(0.5))
    cut(network)
    assert all(module.training for module in network.modules())


def test_chosen_layers():
    assert [layer.name for layer in cut(mlp(), ["0"])] == ["0"]
    assert [layer.name for layer in cut(mlp(), ("0", "2", "4"))] == ["0", "2", "4"]


@pytest.mark.parametrize(
    ("network", "layers", "message", "hint"),
    [
        (nn.ReLU(), "auto", "no layer to pre-train besides its output head", "hidden layer"),
        (nn.Sequential(nn.Linear(2, 2)), "auto", "no layer to pre-train besides its output head", "hidden layer"),
        (nn.Sequential(), "auto", "no layer to pre-train", "hidden layer"),
        (mlp(nn.PReLU()), "auto", "module '2' of the network is a PReLU with parameters", "activation='relu'"),
        (nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2), nn.ReLU()), "auto", "'0'.* BatchNorm1d", "layers="),
        (mlp(), ["0", "3"], "no dense or convolutional module '3', it has 0, 2, 4", "state_dict"),
        (mlp(), ["2"], r"layers=\['2'\] leaves a gap .* \['0', '2', '4'\]", "in order"),
        (mlp(), ["2", "0"], "leaves a gap or changes the order", "in order"),
        (mlp(), [], "no layer to pre-train", "hidden layer"),
    ],
)
def test_refusals_name_what_stands_in_the_way(network, layers, message, hint):
    with pytest.raises(NetworkError, match=message) as caught:
        cut(network, layers)
    assert hint in caught.value.hint


def test_a_misspelt_layer_has_its_nearest_name():
    network = nn.Sequential()
    for name, module in [("first", nn.Linear(2, 2)), ("act", nn.ReLU()), ("head", nn.Linear(2, 2))]:
        network.add_module(name, module)
    with pytest.raises(NetworkError) as caught:
        cut(network, ["frist"])
    assert "'first'" in caught.value.hint
    assert dense_modules(network) == [network.first, network.head]
