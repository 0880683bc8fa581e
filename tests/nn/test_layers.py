"""A layer by itself: what it is called, how wide it is, its modes, and what it hands on."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from layerwise.nn.layers import ACTIVATIONS, Layer
from layerwise.nn.lista import LISTA


def made(captured: bool = False) -> Layer:
    return Layer(
        "conv", [nn.Flatten(), nn.Unflatten(1, (2, 5, 5))], nn.Conv2d(2, 3, 2), [nn.BatchNorm2d(3), nn.Tanh()],
        [nn.MaxPool2d(2), nn.Flatten()], captured,
    )  # fmt: skip


def test_hands_on_what_stands_between_it_and_the_next_layer():
    layer = made().eval()
    rows = torch.rand(4, 50, generator=torch.Generator().manual_seed(0))
    pictures = rows.reshape(4, 2, 5, 5)
    codes = torch.tanh(layer.after[0](layer.module(pictures)))
    assert torch.equal(layer(pictures), codes)
    assert torch.equal(layer.hand_on(rows), nn.functional.max_pool2d(codes, 2).flatten(1))
    assert torch.equal(made(captured=True).hand_on(rows), rows)


@pytest.mark.parametrize(
    ("after", "name"),
    [
        ([], "identity"),
        ([nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout(0.5)], "relu"),
        ([nn.Sigmoid(), nn.Tanh()], "sigmoid"),
        ([nn.LeakyReLU()], "identity"),
        ([nn.Softplus()], "identity"),
        *([[kind()], name] for name, kind in ACTIVATIONS.items()),
    ],
)
def test_is_known_by_its_first_activation(after, name):
    assert Layer("0", [], nn.Linear(4, 3), after).activation == name


@pytest.mark.parametrize(
    ("module", "units"),
    [(nn.Linear(4, 3), 3), (nn.Conv2d(4, 6, 3, groups=2), 6), (nn.Conv1d(2, 5, 3), 5), (LISTA(4, 7), 7)],
)
def test_its_units_are_its_codes_channels(module, units):
    assert Layer("0", [], module, []).units == units


def test_only_dropout_stays_off_in_training():
    layer = Layer("0", [nn.Dropout(0.5)], nn.Linear(4, 3), [nn.BatchNorm1d(3), nn.Dropout(0.5)], [nn.Dropout2d(0.5)])
    assert layer.train() is layer
    kinds = {type(module).__name__ for module in layer.modules() if not module.training}
    assert kinds == {"Dropout", "Dropout2d"}
    assert not any(module.training for module in layer.eval().modules())


def test_names_its_parameters_once_and_copies_them():
    layer = made()
    assert [name for name, _ in layer.named_parameters()] == [
        "module.weight", "module.bias", "after.0.weight", "after.0.bias",
    ]  # fmt: skip
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        twin.module.weight.zero_()
    assert layer.module.weight.any()
    assert (twin.name, twin.captured) == ("conv", False)
