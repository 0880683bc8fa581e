"""Modules as data: each comes back as it was, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
import torch
from torch import fx, nn

from layerwise.errors import NetworkError, RunError
from layerwise.nn.capture import Capture
from layerwise.nn.description import MODULES, build, describe
from layerwise.nn.lista import LISTA

# Each with arguments that are not its defaults, and that change what it computes.
EXAMPLES: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Linear(6, 3, bias=False), (6,)),
    (nn.Conv1d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2), (2, 9)),
    (nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2, bias=False), (2, 9, 8)),
    (nn.Conv2d(2, 4, 3, padding="same"), (2, 5, 6)),
    (nn.Sigmoid(), (6,)), (nn.Tanh(), (6,)), (nn.ReLU(), (6,)), (nn.Identity(), (6,)), (nn.Softplus(3.0, 0.5), (6,)),
    (nn.GELU(approximate="tanh"), (6,)), (nn.SiLU(), (6,)), (nn.Softsign(), (6,)), (nn.LeakyReLU(0.3), (6,)),
    (nn.ELU(0.7), (6,)), (nn.Dropout(0.3), (6,)), (nn.Dropout2d(0.3), (2, 4, 4)), (nn.Flatten(2), (2, 3, 4)),
    (nn.Flatten(1, 2), (2, 3, 4)), (nn.Unflatten(1, (2, 3)), (6,)),
    (nn.MaxPool1d(3, 2, 1, 2, ceil_mode=True), (2, 12)), (nn.MaxPool2d((3, 2), 2, 1, ceil_mode=True), (2, 8, 7)),
    (nn.AvgPool1d(3, 2, 1, True, False), (2, 10)), (nn.AvgPool2d(3, 2, 1, True, False), (2, 8, 8)),
    (nn.AvgPool2d(3, divisor_override=2), (2, 8, 8)), (nn.AdaptiveAvgPool2d((2, 3)), (2, 8, 8)),
    (nn.BatchNorm1d(3, 0.1, 0.3, affine=False), (3,)),
    (nn.BatchNorm2d(2, 0.1, 0.3, track_running_stats=False), (2, 4, 4)),
]  # fmt: skip


def test_every_known_module_is_tried():
    assert {type(module).__name__ for module, _ in EXAMPLES} == set(MODULES)


@pytest.mark.parametrize(("module", "shape"), EXAMPLES, ids=[str(module)[:30] for module, _ in EXAMPLES])
def test_comes_back_through_json_and_computes_the_same(module, shape):
    (twin,) = build([json.loads(json.dumps(describe(module)))])
    assert repr(twin) == repr(module)
    twin.load_state_dict(module.state_dict())
    rows = 4 * torch.rand(5, *shape, generator=torch.Generator().manual_seed(0)) - 2
    assert torch.equal(twin.eval()(rows), module.eval()(rows))
    assert vars(twin).keys() == vars(module).keys()
    assert getattr(twin, "p", 0) == getattr(module, "p", 0)


def test_building_draws_nothing_global():
    before = torch.random.get_rng_state()
    build([describe(module) for module, _ in EXAMPLES])
    assert torch.equal(torch.random.get_rng_state(), before)


class Linear(nn.Linear):
    """The owner's own, with the name of a known one."""


NETWORK = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Linear(2, 2), "a module of type Linear of its own cannot be saved"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "type Conv2d of its own"),
        (nn.Softmax(1), "type Softmax"),
        (LISTA(3, 2), "type LISTA cannot"),
        (Capture(NETWORK, NETWORK[2]), "a stack with inputs captured in its network cannot be saved"),
        (fx.symbolic_trace(NETWORK), "a stack with operations of the network's forward cannot be saved"),
    ],
)
def test_what_cannot_be_described_is_refused(module, message):
    with pytest.raises(NetworkError, match=message) as caught:
        describe(module)
    assert "state_dict" in caught.value.hint


@pytest.mark.parametrize("name", ["Module", "Sequential", "LISTA", "__builtins__", "Bilinear"])
def test_nothing_but_the_known_is_built(name):
    with pytest.raises(RunError, match=f"unknown module '{name}'"):
        build([{"module": name}])
