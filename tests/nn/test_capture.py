"""Layers by name: what a module is fed is caught while the network runs, and the network is left as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from layerwise.errors import NetworkError
from layerwise.nn import capture
from layerwise.nn.capture import Capture
from layerwise.nn.cutting import cut
from layerwise.nn.lista import LISTA


class Branches(nn.Module):
    """Control flow on data, a skip, batch normalisation and dropout: nothing that can be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.one, self.two, self.head = nn.Linear(32, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.spare = nn.Linear(6, 6)
        self.calls = 0

    def forward(self, rows):
        self.calls += 1
        code = torch.relu(self.norm(self.conv(rows))).flatten(1)
        code = nn.functional.dropout(code, 0.5, self.training)
        if float(code.sum()) < 0:
            code = self.spare(code)
        code = torch.tanh(self.one(code))
        return self.head(code + self.two(input=code))


def network() -> Branches:
    generator = torch.Generator().manual_seed(0)
    made = Branches()
    for value in made.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) - 0.3)
    made.norm.running_var.abs_()
    return made


def images(count: int = 5) -> torch.Tensor:
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(1))


NAMES = ["conv", "one", "two"]


@pytest.mark.parametrize("name", NAMES)
def test_catches_what_the_module_is_fed(name):
    made, found = network(), []
    twin = copy.deepcopy(made).eval()
    twin.get_submodule(name).register_forward_pre_hook(
        lambda _, inputs, named: found.append(inputs[0] if inputs else named["input"]), with_kwargs=True
    )
    with torch.no_grad():
        twin(images())
    (layer,) = cut(made, [name], "tanh")
    given = layer.preamble(images())
    assert torch.equal(given, found[0])
    assert not given.requires_grad
    assert layer.module is made.get_submodule(name)
    assert torch.equal(layer(given), torch.tanh(made.get_submodule(name)(given)))
    assert layer.activation == "tanh"
    assert layer.captured
    assert torch.equal(layer.hand_on(images()), images()), "the next layer is handed the network's own rows"


def state(made: nn.Module) -> tuple:
    return (
        [module.training for module in made.modules()],
        [[*module._forward_pre_hooks] for module in made.modules()],
        [*made.state_dict()],
        [value.clone() for value in made.state_dict().values()],
        [parameter.requires_grad for parameter in made.parameters()],
    )


def same(one: tuple, two: tuple) -> bool:
    plain = one[:3] == two[:3] and one[4] == two[4]
    return plain and all(torch.equal(a, b) for a, b in zip(one[3], two[3], strict=True))


def test_leaves_the_network_as_it_was():
    """Modes of every kind, hooks and running means, also where the network fails half-way or misses the module."""
    made = network()
    made.norm.eval()
    made.head.bias.requires_grad_(False)
    before = state(made)
    layers = cut(made, NAMES, "relu")
    for layer in layers:
        layer.preamble(images())
        assert same(state(made), before)
    wrong = torch.ones(3, 1, 2, 2)
    with pytest.raises(NetworkError, match=r"cannot run up to module 'two' on rows of shape \(1, 2, 2\) and type"):
        layers[2].preamble(wrong)
    assert same(state(made), before)
    with pytest.raises(NetworkError, match="runs without module 'spare'") as caught:
        Capture(made, made.spare)(images())
    assert "every row passes through" in caught.value.hint
    assert same(state(made), before)


def test_stops_at_the_module():
    made, seen = network(), []
    made.head.register_forward_hook(lambda *_: seen.append(1))
    Capture(made, made.two)(images())
    assert (made.calls, seen) == (1, [])


def test_the_modules_own_hooks_run_once():
    """A hook that changes a module's input: the layer's call of the module runs it, so the capture must not."""
    made = network()
    made.two.register_forward_pre_hook(
        lambda _, inputs, named: (inputs, {"input": 2 * named["input"]}) if named else ((2 * inputs[0],), {}),
        with_kwargs=True,
    )
    (layer,) = cut(made, ["two"], "identity")
    with torch.no_grad():
        twin = copy.deepcopy(made).eval()
        code = torch.tanh(twin.one(torch.relu(twin.norm(twin.conv(images()))).flatten(1)))
        torch.testing.assert_close(layer(layer.preamble(images())), code @ (2 * made.two.weight.T) + made.two.bias)


def test_block_by_block(monkeypatch):
    """All rows at once would fill the memory with every value in the network."""
    made = network()
    whole = Capture(made, made.two)(images(7))
    made.calls = 0
    monkeypatch.setattr(capture, "BLOCK", 3)
    torch.testing.assert_close(Capture(made, made.two)(images(7)), whole)
    assert made.calls == 3


def test_a_copy_of_a_layer_runs_its_own_network():
    (layer,) = cut(network(), ["one"], "relu")
    twin = copy.deepcopy(layer)
    owner, module = twin.preamble[0]._both
    assert module is twin.module
    with torch.no_grad():
        owner.conv.weight.zero_()
        owner.conv.bias.zero_()
    assert not torch.equal(twin.preamble(images()), layer.preamble(images()))


def test_lower_layers_change_what_the_upper_are_fed():
    """A stage sees the trained layers below it, not those that the network began with."""
    made = network()
    _, upper = cut(made, ["one", "two"], "relu")
    before = upper.preamble(images())
    with torch.no_grad():
        made.one.weight.mul_(2.0)
    assert not torch.equal(upper.preamble(images()), before)


def test_a_sparse_encoder_can_be_captured():
    made = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), LISTA(4, 3), nn.Linear(3, 2))
    (layer,) = cut(made, ["2"], "identity")
    rows = torch.rand(5, 4)
    assert torch.equal(layer(layer.preamble(rows)), made[:3](rows))


def test_words_are_refused_with_what_to_do():
    made = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    (layer,) = cut(made, ["2"], "relu")
    with pytest.raises(NetworkError, match="cannot run up to module '2' on rows of shape") as caught:
        layer.preamble(torch.ones(3, 2))
    assert "nn.Embedding" in caught.value.hint
    assert layer.preamble(torch.ones(3, 2, dtype=torch.int64)).shape == (3, 8)


def test_another_number_of_rows_is_refused():
    made = nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Flatten(0, 1), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    (layer,) = cut(made, ["2"], "relu")
    with pytest.raises(NetworkError, match="module '2' of the network is fed 10 rows for 5 rows"):
        layer.preamble(torch.rand(5, 6))


@pytest.mark.parametrize(
    ("names", "activation", "message", "hint"),
    [
        ("auto", "relu", "activation='relu' captures the inputs of named modules, but layers is 'auto'", "layers=["),
        (["one"], "sigmod", "activation is 'sigmod'", "sigmoid, tanh, relu, identity"),
        ([], "relu", "layers is empty", "state_dict"),
        (["on"], "relu", "no dense or convolutional module 'on', it has conv, one, two, head, spare", "'one'"),
        (["norm"], "relu", "no dense or convolutional module 'norm'", ""),
        (["one", "two", "one"], "relu", "names 'one' twice", "once"),
    ],
)
def test_refusals(names, activation, message, hint):
    with pytest.raises(NetworkError) as caught:
        cut(network(), names, activation)
    assert message in caught.value.message
    assert hint in caught.value.hint
