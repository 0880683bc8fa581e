"""Building plain networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from layerwise.errors import PlanError
from layerwise.nn.cutting import cut
from layerwise.nn.networks import Convolution, build_network, dense_modules
from layerwise.randomness import Randomness


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


def test_convolutions_stand_below_the_dense_layers():
    network = build_network(
        144, (7,), 3, convolutions=(Convolution(4, kernel=3, pool=2), Convolution(5, kernel=2, pool=1)),
        image_shape=(12, 12), activation="relu", randomness=Randomness(0),
    )  # fmt: skip
    names = [type(module).__name__ for module in network]
    assert names == [
        "Unflatten",
        "Conv2d",
        "ReLU",
        "MaxPool2d",
        "Conv2d",
        "ReLU",
        "Flatten",
        "Linear",
        "ReLU",
        "Linear",
    ]
    assert network(torch.rand(2, 144)).shape == (2, 3)
    bound = np.sqrt(6 / 9)  # He et al.: a fan-in of 1 channel times 3 x 3
    largest = float(network[1].weight.detach().abs().max())
    assert 0.8 * bound < largest <= bound
    assert not network[1].bias.any()


def test_convolutions_need_images():
    settings = {"convolutions": (Convolution(4, kernel=9),), "randomness": Randomness(0)}
    with pytest.raises(PlanError, match="rows of 10 features are no grey images"):
        build_network(10, (), 2, **settings)
    with pytest.raises(PlanError, match="nothing is left of an image after convolution 1"):
        build_network(64, (), 2, image_shape=(8, 8), **settings)


@pytest.mark.parametrize(
    ("side", "convolutions"),
    [
        (8, (Convolution(2, kernel=9),)),
        (8, (Convolution(2, kernel=5, pool=5),)),
        (8, (Convolution(2, kernel=5, pool=2), Convolution(2, kernel=3, pool=1))),
    ],
)
def test_images_too_small_for_their_convolutions(side, convolutions):
    with pytest.raises(PlanError, match=f"nothing is left of an image after convolution {len(convolutions)}") as caught:
        build_network(side * side, (), 2, convolutions=convolutions, image_shape=(side, side), randomness=Randomness(0))
    assert "smaller kernels" in caught.value.hint


def test_the_smallest_image_that_fits():
    settings = {"convolutions": (Convolution(2, kernel=5, pool=4),), "randomness": Randomness(0)}
    network = build_network(9 * 8, (), 2, image_shape=(9, 8), **settings)
    assert network(torch.rand(3, 72)).shape == (3, 2)
    assert dense_modules(network)[0].in_features == 2
    with pytest.raises(PlanError, match="rows of 72 features are no grey images"):
        build_network(72, (), 2, image_shape=(9, 9), **settings)


def test_convolutions_are_cut_into_layers_and_draw_nothing_global():
    before = torch.random.get_rng_state()
    network = build_network(
        100, (7,), 3, convolutions=(Convolution(4, kernel=3), Convolution(5, kernel=2, pool=1)), image_shape=(10, 10),
        batch_norm=True, dropout=0.5, input_dropout=0.1, activation="relu", randomness=Randomness(0),
    )  # fmt: skip
    assert torch.equal(torch.random.get_rng_state(), before)
    layers = cut(network)
    assert [type(layer.module).__name__ for layer in layers] == ["Conv2d", "Conv2d", "Linear"]
    assert [layer.activation for layer in layers] == ["relu"] * 3
    rows = torch.rand(4, 100, generator=torch.Generator().manual_seed(0))
    network.eval()
    handed = rows
    for layer in layers:
        handed = layer.hand_on(handed)
    assert torch.equal(handed, network[:-1](rows))
