"""Denoising: noise on the input, the clean input as target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_autoencoder import COMBINATIONS, learner_of, reference, setting, sigmoid
from torch import nn

from layerwise.data.batches import Batch
from layerwise.nn.corruption import GaussianNoise, Masking, SaltAndPepper, SwapNoise
from layerwise.nn.layers import Layer
from layerwise.objectives.denoising import DenoisingAutoencoder
from layerwise.objectives.objective import FeatureFacts
from small_network import binary

NOISES = [Masking(0.4), GaussianNoise(0.3), SaltAndPepper(0.4), SwapNoise(0.4)]


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.kind)
@pytest.mark.parametrize(("loss", "output"), COMBINATIONS)
@pytest.mark.parametrize("weights", ["full", "encoder", "untied"])
def test_loss_and_gradients_have_noise_on_the_input_and_a_clean_target(noise, loss, output, weights):
    """Against NumPy, fed the noisy rows that the same generator gives."""
    rows, weight, bias, back_bias = setting(1)
    tied = weights != "untied"
    objective = DenoisingAutoencoder(
        noise, loss=loss, decoder=output, tied=tied, tied_gradient=weights if tied else "full"
    )
    learner = learner_of(objective, rows, weight, bias, back_bias)
    value = learner.loss(Batch(torch.from_numpy(rows)), torch.Generator().manual_seed(9))
    value.backward()
    noisy = noise(torch.from_numpy(rows), torch.Generator().manual_seed(9)).numpy()
    assert not np.array_equal(noisy, rows)
    back = weight if tied else weight[::-1]
    expected, d_encoder, d_bias, d_decoder, d_back_bias = reference(
        weight, bias, back, back_bias, noisy, rows, loss, output
    )
    whole = {"full": d_encoder + d_decoder, "encoder": d_encoder, "untied": d_encoder}[weights]
    assert value.item() == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(learner.layer.module.weight.grad.numpy(), whole, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(learner.layer.module.bias.grad.numpy(), d_bias, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(learner.decoder.bias.grad.numpy(), d_back_bias, rtol=1e-10, atol=1e-12)
    if not tied:
        np.testing.assert_allclose(learner.decoder.weight.grad.numpy(), d_decoder, rtol=1e-10, atol=1e-12)


def test_noise_never_reaches_the_code():
    """The corruption sees tensors of the input's width, once per loss, and nothing else."""
    rows, *parameters = setting()
    seen = []

    def spy(inputs, generator):
        seen.append(tuple(inputs.shape))
        return inputs

    learner = learner_of(DenoisingAutoencoder(), rows, *parameters)
    learner.corruption = spy
    learner.loss(Batch(torch.from_numpy(rows)), torch.Generator())
    assert seen == [rows.shape]


def test_reconstruction_is_of_clean_rows():
    """Only training corrupts: encoding and reconstructing are functions of the rows."""
    rows, *parameters = setting()
    learner = learner_of(DenoisingAutoencoder(Masking(1.0)), rows, *parameters)
    inputs = torch.from_numpy(rows)
    assert torch.equal(learner.reconstruct(inputs), learner.reconstruct(inputs))
    assert learner.reconstruct(inputs).std(0).min() > 1e-4, "it depends on the row"
    loss = learner.loss(Batch(inputs), torch.Generator())
    assert loss.item() != pytest.approx(learner.clean_loss(Batch(inputs)).item())


def test_noise_differs_between_draws_and_rows():
    rows, *parameters = setting()
    learner = learner_of(DenoisingAutoencoder(Masking(0.5)), rows, *parameters)
    generator = torch.Generator().manual_seed(0)
    batch = Batch(torch.from_numpy(rows))
    assert learner.loss(batch, generator).item() != learner.loss(batch, generator).item()


def test_defaults_and_positional_corruption():
    assert DenoisingAutoencoder().corruption == Masking(0.25)
    assert DenoisingAutoencoder(GaussianNoise(0.2)).corruption == GaussianNoise(0.2)
    with pytest.raises(Exception, match="positional"):
        DenoisingAutoencoder(Masking(), "squared")


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.kind)
@pytest.mark.parametrize(("loss", "output"), COMBINATIONS)
def test_walkback_is_the_mean_over_a_chains_corrupted_rows(noise, loss, output):
    """Against NumPy: the chain replayed draw by draw, each of its corrupted rows with the first clean row as target."""
    rows, weight, bias, back_bias = setting(1)
    objective = DenoisingAutoencoder(noise, loss=loss, decoder=output, walkback=2)
    learner = learner_of(objective, rows, weight, bias, back_bias)
    value = learner.loss(Batch(torch.from_numpy(rows)), torch.Generator().manual_seed(9))
    value.backward()
    generator, state, parts = torch.Generator().manual_seed(9), rows, []
    for _ in range(3):
        noisy = noise(torch.from_numpy(state), generator).numpy()
        parts.append(reference(weight, bias, weight, back_bias, noisy, rows, loss, output))
        if len(parts) < 3:
            activation = sigmoid(noisy @ weight.T + bias) @ weight + back_bias
            state = sigmoid(activation) if output == "sigmoid" else activation
            if loss == "cross_entropy":
                state = binary(state, generator)
    expected, d_encoder, d_bias, d_decoder, d_back_bias = (sum(part) / 3 for part in zip(*parts, strict=True))
    assert value.item() == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(learner.layer.module.weight.grad.numpy(), d_encoder + d_decoder, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(learner.layer.module.bias.grad.numpy(), d_bias, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(learner.decoder.bias.grad.numpy(), d_back_bias, rtol=1e-10, atol=1e-12)


def test_without_walkback_nothing_is_drawn_but_noise():
    rows, *parameters = setting()
    losses = [
        learner_of(DenoisingAutoencoder(walkback=k), rows, *parameters)
        .loss(Batch(torch.from_numpy(rows)), torch.Generator().manual_seed(3))
        .item()
        for k in (0, 1)
    ]
    plain = learner_of(DenoisingAutoencoder(), rows, *parameters)
    assert losses[0] == plain.loss(Batch(torch.from_numpy(rows)), torch.Generator().manual_seed(3)).item() != losses[1]


def test_walkback_of_a_convolution():
    """A chain of images: each copy has its own row as target, whatever the shape of a row."""
    rows = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = Layer("0", [], nn.Conv2d(1, 3, 3), [nn.Sigmoid()])
    objective = DenoisingAutoencoder(Masking(0.0), loss="squared", walkback=1)
    learner = objective.build(layer, FeatureFacts.of(rows), torch.Generator())
    with torch.no_grad():
        once = learner.reconstruct(rows)
        twice = learner.reconstruct(once)
        expected = sum(0.5 * (z - rows).square().sum() for z in (once, twice)) / (2 * len(rows))
        found = learner.loss(Batch(rows), torch.Generator())
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"emphasis": (1.0, 0.5)}, "leave emphasis out"),
        ({"reconstruction": "sampled"}, "leave reconstruction at 'full'"),
    ],
)
def test_what_walkback_does_not_take(settings, message):
    with pytest.raises(ValueError, match=message):
        DenoisingAutoencoder(Masking(0.3), walkback=2, **settings)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        DenoisingAutoencoder(walkback=-1)
