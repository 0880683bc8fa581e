"""Networks of every kind are pre-trained in place: convolutions, forward methods of one's own, skips, normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import layerwise as lw
from layerwise import Autoencoder, DenoisingAutoencoder, GaussianNoise
from small_network import same, weights

ROWS = 200
SQUARED = Autoencoder(loss="squared", decoder="linear")


def digits(count: int = ROWS) -> Tensor:
    """Images of digits (count, 1, 8, 8) in [0, 1]."""
    return torch.from_numpy(load_digits().data[:count] / 16).float().reshape(count, 1, 8, 8)


class Own(nn.Module):
    """Activations, pooling and reshaping in forward; the head is registered first."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 10)
        self.filters = nn.Conv2d(1, 6, 3)
        self.dense = nn.Linear(54, 12)

    def forward(self, images: Tensor) -> Tensor:
        maps = nn.functional.max_pool2d(torch.relu(self.filters(images)), 2)
        return self.head(torch.sigmoid(self.dense(maps.flatten(1))))


class Residual(nn.Module):
    """Two tensors cross between its convolutions: it can be pre-trained by name only."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 10)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.norm(self.first(images)))
        maps = torch.relu(self.second(maps) + maps)
        return self.head(maps.mean((2, 3)))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 12), nn.Tanh(), nn.Linear(12, 10)
    )


def normalised() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 20), nn.BatchNorm1d(20), nn.Sigmoid(), nn.Dropout(0.5),
        nn.Linear(20, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 10),
    )  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], list[str], list[str]]] = {
    # what makes it, settings, layers, and the modules that are trained with them
    "convolutional": (convolutional, {}, ["0", "4"], ["0", "4"]),
    "its first layer": (convolutional, {"layers": ["0"]}, ["0"], ["0"]),
    "own forward": (Own, {}, ["filters", "dense"], ["filters", "dense"]),
    "residual": (Residual, {"layers": ["first", "second"], "activation": "relu"}, ["first", "second"],
                 ["first", "second"]),
    "batch normalisation and dropout": (normalised, {}, ["2", "6"], ["2", "3", "6", "7"]),
}  # fmt: skip


def made(make: Callable[[], nn.Module], dtype: torch.dtype = torch.float32) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return make().to(dtype)


def owners(names: list[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names}


@pytest.mark.parametrize("kind", NETWORKS)
def test_exactly_the_layers_are_trained_and_each_beats_the_mean(kind: str) -> None:
    make, settings, layers, trained = NETWORKS[kind]
    network = made(make)
    before = weights(network)
    result = lw.pretrain(network, digits(), epochs=6, batch_size=10, random_state=0, **settings)
    after = network.state_dict()
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    assert [stage.layer for stage in result.history] == layers
    assert owners(changed) == set(trained)
    # every parameter of a trained module, not some of them
    assert {name for name, _ in network.named_parameters() if owners([name]) & set(trained)} <= set(changed)
    assert result.parameters == {
        name: "pre-trained" if owners([name]) & set(trained) else "initialised"
        for name, _ in network.named_parameters()
    }
    for stage in result.history:
        assert stage.loss < stage.mean_predictor_loss, (stage.layer, stage.loss, stage.mean_predictor_loss)
        assert stage.records[-1]["training_loss"] < stage.records[0]["training_loss"]


@pytest.mark.parametrize("kind", NETWORKS)
def test_everything_else_is_put_back_as_found(kind: str) -> None:
    make, settings, _, _ = NETWORKS[kind]
    network = made(make, torch.float64)
    for number, module in enumerate(network.modules()):
        module.training = number % 2 == 0
    for number, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(number % 3 != 1)
    keys = {name: (value.dtype, value.device, value.shape) for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    gradients = [parameter.requires_grad for parameter in network.parameters()]
    frozen = {name: p.detach().clone() for name, p in network.named_parameters() if not p.requires_grad}
    parts = [id(parameter) for parameter in network.parameters()]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    lw.pretrain(network, digits(60), epochs=1, learning_rate=0.01, random_state=0, **settings)
    assert {name: (v.dtype, v.device, v.shape) for name, v in network.state_dict().items()} == keys
    assert [module.training for module in network.modules()] == modes
    assert [parameter.requires_grad for parameter in network.parameters()] == gradients
    assert [id(parameter) for parameter in network.parameters()] == parts
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(network.get_parameter(name), value) for name, value in frozen.items())
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_forward_of_ones_own_is_trained_as_the_same_modules_in_a_row() -> None:
    own, row = made(Own), made(convolutional)
    row[5] = nn.Sigmoid()
    row[0].load_state_dict(own.filters.state_dict())
    row[4].load_state_dict(own.dense.state_dict())
    for network in (own, row):
        lw.pretrain(network, digits(100), epochs=2, random_state=0)
    assert same(weights(own.filters), weights(row[0])) and same(weights(own.dense), weights(row[4]))


def test_a_captured_layer_learns_from_what_the_network_feeds_it() -> None:
    """The second convolution is trained as if alone, on the activations that the network hands it."""
    network, settings = made(Residual), {"epochs": 2, "learning_rate": 0.01, "random_state": 0, "objective": SQUARED}
    result = lw.pretrain(network, digits(100), layers=["first", "second"], activation="relu", **settings)
    network.eval()
    with torch.no_grad():
        fed = torch.relu(network.norm(network.first(digits(100))))
        code = torch.relu(network.second(fed))
        decoded = result.stack.decoders[1](code)
        own = 0.5 * (decoded - fed).square().sum((1, 2, 3)).mean()
        mean = 0.5 * (fed - fed.mean(0)).square().sum((1, 2, 3)).mean()
    assert result.history[1].loss == pytest.approx(float(own), rel=1e-5)
    assert result.history[1].mean_predictor_loss == pytest.approx(float(mean), rel=1e-5)
    torch.testing.assert_close(result.stack.encode(digits(100)), code, rtol=1e-5, atol=1e-6)


def test_captured_inputs_are_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole network run on all rows at once would fill the memory."""
    monkeypatch.setattr("layerwise.nn.capture.BLOCK", 64)
    sizes: list[int] = []
    network = made(Residual)
    hook = network.norm.register_forward_hook(lambda module, given, output: sizes.append(len(output)))
    lw.pretrain(network, digits(200), layers=["first", "second"], activation="relu", epochs=1, batch_size=50,
                learning_rate=0.01, random_state=0)  # fmt: skip
    hook.remove()
    assert sizes and max(sizes) <= 64


def test_dropout_draws_nothing_while_a_layer_is_trained() -> None:
    """Corruption is the noise of pre-training: with and without dropout modules the weights are the same."""

    def without() -> nn.Module:
        modules = [nn.Identity() if isinstance(module, nn.Dropout) else module for module in normalised()]
        return nn.Sequential(*modules)

    networks = made(normalised), made(without)
    for network in networks:
        lw.pretrain(network, digits(100), epochs=2, random_state=0)
    assert same(weights(networks[0]), weights(networks[1]))


def test_running_means_of_lower_layers_stay_while_higher_ones_are_trained() -> None:
    alone, both = made(normalised), made(normalised)
    lw.pretrain(alone, digits(100), layers=["2"], epochs=2, random_state=0)
    lw.pretrain(both, digits(100), epochs=2, random_state=0)
    assert same(weights(alone[3]), weights(both[3]))
    assert int(both[3].num_batches_tracked) == 2 and int(both[7].num_batches_tracked) == 2


def test_rows_of_another_type_reach_a_captured_layer() -> None:
    """The module named is not the first: the network runs below it, in its own type."""
    network = made(Residual, torch.float64)
    before = weights(network)
    lw.pretrain(network, digits(60), layers=["second"], activation="relu", epochs=1, random_state=0)
    changed = [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["second.weight", "second.bias"]


def test_noise_on_images_is_learned_from_by_every_layer() -> None:
    result = lw.pretrain(
        made(convolutional), digits(), objective=DenoisingAutoencoder(GaussianNoise(0.2)), corrupt="input", epochs=6,
        batch_size=10, random_state=0,
    )  # fmt: skip
    assert len(result.history) == 2
    assert all(stage.loss < stage.mean_predictor_loss for stage in result.history)
