"""Cutting a network into layers."""

from __future__ import annotations

import ast

import pytest
import torch
from torch import nn

from layerwise.errors import NetworkError
from layerwise.nn.cutting import cut
from layerwise.nn.layers import ACTIVATIONS
from layerwise.nn.lista import LISTA
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


class Residual(nn.Module):
    """A skip over two modules, above a plain one; the shape of a residual network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 4)
        self.block = nn.ModuleDict({"up": nn.Linear(4, 4), "down": nn.Linear(4, 4)})
        self.head = nn.Linear(4, 2)

    def forward(self, rows):
        skip = torch.relu(self.stem(rows))
        rows = self.block["down"](torch.relu(self.block["up"](skip)))
        return self.head(torch.relu(rows + skip))


class Gated(nn.Module):
    """A skip over one module, from the rows themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.head = nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, rows):
        return self.head(torch.sigmoid(self.gate(rows)) * rows)


class Dense(nn.Module):
    """The rows themselves, beside the codes of all below the head."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(5, 4), nn.Linear(4, 3), nn.Linear(8, 2)

    def forward(self, rows):
        code = torch.relu(self.two(torch.relu(self.one(rows))))
        return self.head(torch.cat([code, rows], 1))


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.below, self.mean, self.spread = nn.Linear(5, 4), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, rows):
        code = torch.tanh(self.below(rows))
        return self.mean(code), self.spread(code)


def layers_in(hint: str, after: str) -> list[str]:
    """The list of names that a hint offers."""
    return ast.literal_eval(hint[hint.index(after) + len(after) : hint.index("]", hint.index(after)) + 1])


def test_a_residual_network_is_refused_and_both_ways_on_work():
    network = Residual()
    with pytest.raises(NetworkError) as caught:
        cut(network)
    message, hint = caught.value.message, caught.value.hint
    assert "cannot be cut before 'block.down': besides its input, 'relu' (used by 'add') crosses there" in message
    below = layers_in(hint, "lies below with layers=")
    assert below == ["stem"]
    assert [layer.name for layer in cut(network, below)] == below
    named = layers_in(hint, "for example layers=")
    assert named == ["stem", "block.up"]
    assert "activation='relu'" in hint
    assert [layer.name for layer in cut(network, named, "relu")] == named
    every = cut(network, ["stem", "block.up", "block.down"], "relu")
    rows = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        skip = torch.relu(network.stem(rows))
        assert torch.equal(every[2].preamble(rows), torch.relu(network.block["up"](skip)))


@pytest.mark.parametrize(
    ("network", "message", "below"),
    [
        (
            Gated(),
            "cannot be cut: what stands after 'gate' takes 'rows' besides 'gate'",
            None,
        ),
        (Dense(), r"before 'two': besides its input, 'rows' \(used by 'cat'\) crosses there", None),
        (TwoHeads(), r"before 'spread': besides its input, 'mean' \(used by 'output'\) crosses there", ["below"]),
    ],
)
def test_other_crossings_are_refused_by_name(network, message, below):
    with pytest.raises(NetworkError, match=message) as caught:
        cut(network)
    if below:
        assert [layer.name for layer in cut(network, layers_in(caught.value.hint, "lies below with layers="))] == below
    named = layers_in(caught.value.hint, "for example layers=")
    assert torch.isfinite(cut(network, named, "relu")[-1].preamble(torch.rand(3, 5))).all()


class Decides(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(5, 4), nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, rows):
        code = torch.relu(self.one(rows))
        if code.sum() > 0:
            code = code * 2
        return self.head(torch.relu(self.two(code)))


class Scaled(Decides):
    """Its own parameter, used in forward, above the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, rows):
        return self.head(torch.relu(self.two(torch.relu(self.one(rows)))) * self.scale)


class Tied(Decides):
    def forward(self, rows):
        code = torch.relu(self.one(rows))
        return self.head(torch.relu(nn.functional.linear(code, self.two.weight)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(5, 4, batch_first=True)
        self.one, self.head = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, rows):
        codes, _ = self.gru(rows.view(-1, 1, 5))
        return self.head(torch.relu(self.one(codes[:, -1])))


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Linear(5, 5)
        self.gru = nn.MultiheadAttention(5, 1, batch_first=True)
        self.one, self.head = nn.Linear(5, 3), nn.Linear(3, 2)

    def forward(self, rows):
        rows = torch.relu(self.below(rows)).unsqueeze(1)
        codes, _ = self.gru(rows, rows, rows)
        return self.head(torch.relu(self.one(codes[:, -1])))


@pytest.mark.parametrize(
    ("network", "message", "below", "named"),
    [
        (Decides(), "a Decides, cannot be traced: symbolically traced variables", None, ["one", "two"]),
        (Scaled(), "uses its parameter 'scale' outside a module", ["one"], ["one", "two"]),
        (Tied(), "uses its parameter 'two.weight' outside a module", None, ["one"]),
        (Recurrent(), "module 'gru' of the network is a GRU with parameters", None, ["one"]),
        (Attending(), "module 'gru' of the network is a MultiheadAttention with parameters", None, ["below", "one"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_what_cannot_be_cut_is_refused_and_can_be_captured(network, message, below, named):
    with pytest.raises(NetworkError, match=message) as caught:
        cut(network)
    hint = caught.value.hint
    if below:
        assert [layer.name for layer in cut(network, layers_in(hint, "lies below with layers="))] == below
    else:
        assert "below" not in hint.split("for example")[0]
    offered = layers_in(hint, "for example layers=")
    assert set(named) <= set(offered)
    for layer in cut(network, named, "relu"):
        assert layer(layer.preamble(torch.rand(3, 5))).shape == (3, layer.units)


def test_what_stands_above_the_named_layers_does_not_matter():
    network = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 4), nn.PReLU(), nn.Linear(4, 2))
    assert [layer.name for layer in cut(network, ["0"])] == ["0"]
    with pytest.raises(NetworkError, match="'3' of the network is a PReLU") as caught:
        cut(network)
    assert layers_in(caught.value.hint, "lies below with layers=") == ["0"]


def test_a_network_without_anything_to_train_has_no_names_to_offer():
    with pytest.raises(NetworkError, match="module '0' of the network is a GRU") as caught:
        cut(nn.Sequential(nn.GRU(5, 4)))
    assert "layers=[]" not in caught.value.hint
    assert "dense and convolutional modules" in caught.value.hint


def test_two_inputs_are_refused_and_a_wrapper_is_not():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.head = nn.Linear(5, 4), nn.Linear(4, 2)

        def forward(self, left, right):
            return self.head(torch.relu(self.one(torch.cat([left, right], 1))))

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Both()

        def forward(self, rows):
            return self.inner(rows[:, :2], rows[:, 2:])

    with pytest.raises(NetworkError, match=r"takes 2 inputs \(left, right\), expected 1") as caught:
        cut(Both())
    assert "wrap it" in caught.value.hint
    (layer,) = cut(Wrapped())
    rows = torch.rand(3, 5)
    assert layer.name == "inner.one"
    assert torch.equal(layer.preamble(rows), rows)


def test_a_module_used_twice_under_two_names_is_refused():
    network = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    network[2] = network[0]
    with pytest.raises(NetworkError, match="module '0' of the network is used twice"):
        cut(network)


def test_a_sparse_encoder_is_a_layer_of_its_own():
    network = nn.Sequential(LISTA(5, 4), nn.Linear(4, 2))
    (layer,) = cut(network)
    assert (layer.name, layer.units, layer.activation) == ("0", 4, "identity")
    assert layer.module is network[0]
    assert [layer.name for layer in cut(nn.Sequential(nn.Linear(5, 5), nn.ReLU(), LISTA(5, 4)))] == ["0", "2"]


def test_a_modules_own_kind_is_kept_whole():
    """A dense module of the owner's making, with a forward of its own."""

    class Doubled(nn.Linear):
        def forward(self, rows):
            return super().forward(2 * rows)

    network = nn.Sequential(Doubled(5, 4), nn.ReLU(), nn.Linear(4, 2))
    (layer,) = cut(network)
    rows = torch.rand(3, 5)
    assert torch.equal(layer(rows), network[:2](rows))
