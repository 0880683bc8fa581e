"""Cutting a network into layers, and building plain ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from layerwise.errors import NetworkError
from layerwise.nn.layers import ACTIVATIONS, build_network, cut, dense_modules
from layerwise.randomness import Randomness


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
    assert layer.linear is network[2]
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
    with pytest.raises(NetworkError, match="module '2' of the network is the same as '0'"):
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
        (nn.ReLU(), "auto", "the network is a ReLU, expected an nn.Sequential", "nn.Sequential"),
        (nn.Sequential(nn.Linear(2, 2)), "auto", "no layer to pre-train besides its output head", "hidden layer"),
        (nn.Sequential(), "auto", "no layer to pre-train", "hidden layer"),
        (nn.Sequential(nn.Conv1d(1, 1, 1), nn.Linear(2, 2)), "auto", "module '0' .* is a Conv1d", "nn.Linear"),
        (mlp(nn.Sequential(nn.Linear(4, 4))), "auto", "module '2' of the network is a Sequential", "flatten"),
        (mlp(nn.PReLU()), "auto", "module '2' of the network is a PReLU with parameters", "nn.Linear"),
        (nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2), nn.ReLU()), "auto", "module '0'.* BatchNorm1d", "nn.Linear"),
        (mlp(), ["0", "3"], "the network has no dense module '3', it has 0, 2, 4", "state_dict"),
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


def test_built_networks():
    network = build_network(
        6, (5, 4), 3, activation="relu", dropout=0.5, input_dropout=0.2, batch_norm=True, randomness=Randomness(0)
    )
    kinds = [type(module).__name__ for module in network]
    hidden = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert kinds == ["Dropout", *hidden, *hidden, "Linear"]
    assert (network[0].p, network[4].p) == (0.2, 0.5)
    assert [(m.in_features, m.out_features) for m in dense_modules(network)] == [(6, 5), (5, 4), (4, 3)]
    assert network(torch.rand(2, 6)).shape == (2, 3)
    assert len(cut(network)) == 2


@pytest.mark.parametrize(
    ("activation", "initializer", "hidden", "head"),
    [
        ("sigmoid", "auto", 4 * (6 / 100) ** 0.5, (6 / 60) ** 0.5),
        ("tanh", "auto", (6 / 100) ** 0.5, (6 / 60) ** 0.5),
        ("relu", "auto", (6 / 50) ** 0.5, (6 / 60) ** 0.5),
        ("sigmoid", "mocha-early", 3**0.5 / 50, 3**0.5 / 50),
    ],
)
def test_built_weights_fill_the_bounds_of_their_initializer(activation, initializer, hidden, head):
    """The largest of 500 (2,500) uniform draws is below .98 of the bound with probability 4e-5; the seed is fixed."""
    network = build_network(50, (50,), 10, activation=activation, initializer=initializer, randomness=Randomness(0))
    for module, bound in zip(dense_modules(network), [hidden, head], strict=True):
        assert 0.98 * bound < float(module.weight.detach().abs().max()) <= bound * (1 + 1e-6)
        assert not module.bias.any()


def test_building_draws_nothing_global_and_repeats():
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    one, two = (build_network(6, (5, 4), 3, randomness=Randomness(7)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    other = build_network(6, (5, 4), 3, randomness=Randomness(8))
    assert not torch.equal(one[0].weight, other[0].weight)


def test_widths_above_do_not_shift_the_draws_below():
    small, large = (build_network(6, (5, top), 3, randomness=Randomness(0)) for top in (4, 9))
    assert torch.equal(small[0].weight, large[0].weight)
