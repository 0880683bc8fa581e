"""The greedy procedure: against a loop written out by hand, and what it leaves as it found it."""

from __future__ import annotations

import copy
import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import layerwise as lw
from layerwise import (
    Autoencoder,
    DenoisingAutoencoder,
    EarlyStopping,
    GaussianNoise,
    Linear,
    Masking,
    SaltAndPepper,
)
from layerwise.data.batches import hold_out
from layerwise.randomness import Randomness
from small_network import build, inputs, same, uniform, weights

EPOCHS, BATCH = 3, 20


def by_hand(codes: Tensor, weight: Tensor, bias: Tensor, rate: float, number: int, seed: int, noise: float) -> Tensor:
    """Train one sigmoid layer in place by gradients worked out on paper, and return the codes of the clean rows.

    Tied weights, sigmoid decoder, cross-entropy: with d = z - x the gradient of W is h^T d + (d W^T * h(1-h))^T x~,
    each over the rows of the batch. Masking draws come from the generator of that update.
    """
    mean = codes.mean(0).clamp(1e-3, 1 - 1e-3)
    offset = torch.log(mean / (1 - mean))
    randomness = Randomness(seed).child(str(number))
    generator, update = torch.Generator(), 0
    for epoch in range(EPOCHS):
        order = torch.randperm(len(codes), generator=randomness.generator("order", epoch))
        for rows in order.split(BATCH):
            generator.manual_seed((randomness.seed("updates") + update) % 2**63)
            x = codes[rows]
            noisy = x * (uniform(x.shape, generator) >= noise)
            h = 1 / (1 + torch.exp(-(noisy @ weight.T + bias)))
            d = (1 / (1 + torch.exp(-(h @ weight + offset))) - x) / len(x)
            below = (d @ weight.T) * h * (1 - h)
            weight -= rate * (h.T @ d + below.T @ noisy)
            bias -= rate * below.sum(0)
            offset -= rate * d.sum(0)
            update += 1
    return 1 / (1 + torch.exp(-(codes @ weight.T + bias)))


def test_equals_a_loop_written_by_hand() -> None:
    """Each stage is trained on the clean codes of the stage below; corruption is on the stage's own input."""
    network, rows = build(dtype=torch.float64), inputs()
    expected = weights(network)
    noises, rates = (0.25, 0.5), (0.3, 0.2)
    codes = rows.double()
    for number, name in enumerate(("0", "2"), 1):
        codes = by_hand(
            codes,
            expected[f"{name}.weight"],
            expected[f"{name}.bias"],
            rates[number - 1],
            number,
            3,
            noises[number - 1],
        )
    before = weights(network)
    result = lw.pretrain(
        network, rows, objective=[DenoisingAutoencoder(Masking(noise)) for noise in noises], learning_rate=rates,
        epochs=EPOCHS, batch_size=BATCH, random_state=3, device="cpu",
    )  # fmt: skip
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-13)
    assert not torch.allclose(before["0.weight"], expected["0.weight"], atol=1e-3)
    assert not torch.allclose(before["2.weight"], expected["2.weight"], atol=1e-3)
    torch.testing.assert_close(result.stack.encode(rows), codes, rtol=0, atol=1e-13)
    assert [stage.updates for stage in result.history] == [9, 9]


def test_a_layer_is_not_changed_by_the_stages_above_and_the_head_by_none() -> None:
    rows = inputs()
    alone, both = build(), build()
    lw.pretrain(alone, rows, layers=["0"], epochs=2, random_state=0)
    lw.pretrain(both, rows, epochs=2, random_state=0)
    start = weights(build())
    for name in ("0.weight", "0.bias"):
        assert torch.equal(alone.state_dict()[name], both.state_dict()[name])
        assert not torch.equal(alone.state_dict()[name], start[name])
    for name in ("2.weight", "2.bias"):
        assert torch.equal(alone.state_dict()[name], start[name])
        assert not torch.equal(both.state_dict()[name], start[name])
    for name in ("4.weight", "4.bias"):
        assert torch.equal(both.state_dict()[name], start[name])


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back_as_found(fails: bool) -> None:
    network = nn.Sequential(
        nn.Dropout(0.2), nn.Linear(12, 9), nn.BatchNorm1d(9), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(9, 6), nn.Tanh(),
        nn.Linear(6, 3),
    ).double()  # fmt: skip
    network[0].eval()
    network[3].eval()
    network[5].bias.requires_grad_(False)
    network[7].requires_grad_(False)
    modes = {name: module.training for name, module in network.named_modules()}
    gradients = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    kinds = {name: (value.dtype, value.device, value.shape) for name, value in network.state_dict().items()}
    parts = {name: id(parameter) for name, parameter in network.named_parameters()}
    frozen = network[5].bias.detach().clone()

    def stop(progress: Any) -> None:
        if fails and progress.fit == "pretrain/2":
            raise KeyboardInterrupt

    try:
        lw.pretrain(network, inputs(), epochs=2, learning_rate=0.05, random_state=0, callbacks=[stop])
        assert not fails
    except KeyboardInterrupt:
        assert fails
    assert {name: module.training for name, module in network.named_modules()} == modes
    assert {name: parameter.requires_grad for name, parameter in network.named_parameters()} == gradients
    assert {name: (v.dtype, v.device, v.shape) for name, v in network.state_dict().items()} == kinds
    assert {name: id(parameter) for name, parameter in network.named_parameters()} == parts
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(network[5].bias, frozen)


def test_every_parameter_is_said_to_be_pretrained_or_initialised(caplog: pytest.LogCaptureFixture) -> None:
    network = build()
    with caplog.at_level(logging.INFO, logger="layerwise"):
        result = lw.pretrain(network, inputs(), layers=["0"], epochs=1, random_state=0)
    expected = dict.fromkeys(network.state_dict(), "initialised") | {"0.weight": "pre-trained", "0.bias": "pre-trained"}
    assert result.parameters == expected
    lines = [record.getMessage() for record in caplog.records if record.name == "layerwise"]
    assert lines == [
        "parameter 0.weight (9x12): pre-trained",
        "parameter 0.bias (9): pre-trained",
        "parameter 2.weight (6x9): initialised",
        "parameter 2.bias (6): initialised",
        "parameter 4.weight (3x6): initialised",
        "parameter 4.bias (3): initialised",
    ]


def test_a_frozen_parameter_is_not_said_to_be_pretrained() -> None:
    network = build()
    network[0].weight.requires_grad_(False)
    before = network[0].weight.detach().clone()
    found = lw.pretrain(network, inputs(), epochs=1, random_state=0).parameters
    assert torch.equal(network[0].weight, before)
    assert found["0.weight"] == "initialised" and found["0.bias"] == "pre-trained"


def test_an_objective_and_a_learning_rate_for_each_layer() -> None:
    result = lw.pretrain(
        build(), inputs(), objective=["autoencoder", DenoisingAutoencoder(GaussianNoise(0.1), loss="squared")],
        learning_rate=[0.2, 0.05], epochs=1, random_state=0,
    )  # fmt: skip
    assert [stage.objective for stage in result.history] == ["autoencoder", "denoising"]
    assert [stage.loss_name for stage in result.history] == ["cross_entropy", "squared"]
    assert [stage.learning_rate for stage in result.history] == [0.2, 0.05]
    assert [stage.layer for stage in result.history] == ["0", "2"]
    assert [stage.units for stage in result.history] == [9, 6]


@pytest.mark.parametrize(
    "objective",
    ["autoencoder", "denoising", Autoencoder(tied=False), Autoencoder(tied_gradient="encoder"),
     DenoisingAutoencoder(SaltAndPepper(0.1)), DenoisingAutoencoder(Masking(0.3), loss="squared", decoder="linear")],
    ids=range(6),
)  # fmt: skip
def test_each_objective_learns(objective: Any) -> None:
    """Every stage ends below where it began, and below predicting the mean."""
    rows = inputs(400)
    result = lw.pretrain(build(), rows, objective=objective, epochs=12, batch_size=20, random_state=0)
    for stage in result.history:
        assert stage.records[-1]["training_loss"] < stage.records[0]["training_loss"]
        assert stage.loss < stage.mean_predictor_loss


def test_the_stage_says_what_it_reconstructs() -> None:
    """The losses of a stage are those of the clean validation rows, and of the training mean on them."""
    rows, held = inputs(), inputs(30, seed=0)[10:]
    result = lw.pretrain(
        build(), rows, objective=Autoencoder(loss="squared"), epochs=2, validation=held, random_state=0
    )
    layer, decoder = result.stack.layers[0], result.stack.decoders[0]
    with torch.no_grad():
        own = 0.5 * (decoder(layer(held)) - held).square().sum(1).mean()
    mean = 0.5 * (rows.mean(0) - held).square().sum(1).mean()
    assert result.history[0].loss == pytest.approx(float(own), rel=1e-5)
    assert result.history[0].mean_predictor_loss == pytest.approx(float(mean), rel=1e-5)
    assert result.history[0].records[-1]["validation_loss"] == pytest.approx(float(own), rel=1e-5)


def test_the_initializer_draws_the_layers_anew_and_not_the_head() -> None:
    networks = [build(), build()]
    with torch.no_grad():
        for parameter in networks[1].parameters():
            parameter.add_(1.0)
    for network in networks:
        lw.pretrain(network, inputs(), initializer="glorot", epochs=1, learning_rate=0.1, random_state=0)
    first, second = (weights(network) for network in networks)
    assert all(torch.equal(first[name], second[name]) for name in first if not name.startswith("4"))
    assert torch.allclose(first["4.weight"] + 1.0, second["4.weight"])


def test_validation_rows_are_no_training_rows() -> None:
    """A fraction holds rows out before training; the rest trains as if given alone, in its own order."""
    rows = inputs(60)
    records = lw.pretrain(build(), rows, validation=0.25, epochs=2, batch_size=45, random_state=1).history[0].records
    assert [record["update"] for record in records] == [0, 1, 2]
    assert all("validation_loss" in record for record in records)
    other = rows.clone()
    kept, held = hold_out(60, 0.25, Randomness(1).child("validation"))
    other[held] = inputs(60, seed=9)[held]
    networks = [build(), build(), build()]
    lw.pretrain(networks[0], rows, validation=0.25, epochs=2, random_state=1)
    lw.pretrain(networks[1], other, validation=0.25, epochs=2, random_state=1)
    lw.pretrain(networks[2], rows[kept], validation=rows[held], epochs=2, random_state=1)
    assert same(weights(networks[0]), weights(networks[1]))
    assert same(weights(networks[0]), weights(networks[2]))


def test_early_stopping_keeps_the_best_parameters() -> None:
    """Trained far too fast, the validation loss rises again; what is kept is the best of the validated moments."""
    rows, held = inputs(20), inputs(200)[50:]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(12, 30), nn.Sigmoid(), nn.Linear(30, 2))
    result = lw.pretrain(
        network, rows, objective=DenoisingAutoencoder(Masking(0.6)), validation=held, learning_rate=4.0, batch_size=10,
        epochs=200, early_stopping=EarlyStopping(patience=40), random_state=0,
    )  # fmt: skip
    stage = result.history[0]
    losses = [record["validation_loss"] for record in stage.records if "validation_loss" in record]
    assert stage.updates < 400 and losses[-1] > min(losses)
    assert stage.loss == pytest.approx(min(losses), rel=1e-6)


def test_the_schedule_restarts_with_each_stage() -> None:
    result = lw.pretrain(
        build(), inputs(), schedule=Linear(), learning_rate=0.1, epochs=2, random_state=0, batch_size=25
    )
    for stage in result.history:
        assert [record["learning_rate"] for record in stage.records] == pytest.approx([0.1, 0.05, 0.0])


def test_the_same_random_state_gives_the_same_bits_and_another_does_not() -> None:
    networks = [build(), build(), build()]
    for network, seed in zip(networks, (5, 5, 6), strict=True):
        lw.pretrain(network, inputs(), epochs=2, random_state=seed)
    assert same(weights(networks[0]), weights(networks[1]))
    assert not torch.equal(networks[0][0].weight, networks[2][0].weight)


def test_nothing_global_is_read_or_changed() -> None:
    networks = [nn.Sequential(nn.Linear(12, 9), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(9, 2)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    for number, network in enumerate(networks):
        torch.manual_seed(number)
        np.random.seed(number)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        options = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
        lw.pretrain(network, inputs(), epochs=1, random_state=0)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])
        assert (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()) == options
    assert same(weights(networks[0]), weights(networks[1]))


def test_the_caller_s_rows_are_not_changed() -> None:
    rows = inputs()
    kept = rows.clone()
    lw.pretrain(build(), rows, epochs=1, random_state=0)
    assert torch.equal(rows, kept)


def test_rows_of_more_dimensions_pass_a_flatten() -> None:
    images = inputs(40, 16).reshape(40, 1, 4, 4)
    first = nn.Sequential(nn.Flatten(), *build(16))
    second = build(16)
    lw.pretrain(first, images, epochs=1, random_state=0)
    lw.pretrain(second, images.flatten(1), epochs=1, random_state=0)
    assert torch.equal(first[1].weight, second[0].weight) and torch.equal(first[3].weight, second[2].weight)


def test_callbacks_hear_every_record(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[Any] = []
    result = lw.pretrain(build(), inputs(), epochs=2, random_state=0, callbacks=[heard.append], verbose=1)
    told = [progress.record for progress in heard if progress.record is not None]
    assert [record["update"] for record in told] == [0, 1, 2] * 2
    assert [r["training_loss"] for r in told] == [r["training_loss"] for s in result.history for r in s.records]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6 and lines[0].startswith("pretrain/1: update 0 of 2")


def test_the_network_can_be_copied_and_trained_afterwards() -> None:
    network = build()
    lw.pretrain(network, inputs(), epochs=1, random_state=0)
    copied = copy.deepcopy(network)
    copied(inputs()).sum().backward()
    assert all(parameter.grad is not None for parameter in copied.parameters())


def test_what_stands_before_the_first_layer_is_passed_once():
    """A preamble that is not idempotent: the second layer must learn from the codes that the network itself makes."""

    class Halve(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs / 2

    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(60, 6, generator=generator)
    network = nn.Sequential(Halve(), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 2))
    twin = nn.Sequential(*[copy.deepcopy(module) for module in list(network)[1:]])
    settings = {"epochs": 3, "learning_rate": 0.05, "random_state": 0}
    lw.pretrain(network, rows, **settings)
    lw.pretrain(twin, rows / 2, **settings)
    for mine, other in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, other)
