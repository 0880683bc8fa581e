"""Each transition against its whole transition matrix, enumerated, or its formula.

Stochastic tests compare counts with exact probabilities; their p-values must exceed 1e-5, so that each is a false alarm
for one seed in 100,000, and the seed is fixed.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import binary, number, parameters, products, rbm_joint, sigmoid, stack_of, stationary, surprise
from torch import nn

from layerwise.errors import NetworkError
from layerwise.nn.corruption import Corruption, GaussianNoise, Masking, SaltAndPepper, SwapNoise
from layerwise.nn.decoder import Decoder
from layerwise.nn.layers import Layer
from layerwise.objectives import RBM, ContractiveAutoencoder, DenoisingAutoencoder
from layerwise.sampling.chain import transition_of
from layerwise.sampling.transitions import contract

CHAINS, LEAST = 20_000, 1e-5


def corrupted(rows: np.ndarray, noise: Corruption) -> np.ndarray:
    """q(noisy row | row) of binary rows, by enumeration."""
    assert isinstance(noise, (Masking, SaltAndPepper))
    up, down = (0.0, noise.rate) if isinstance(noise, Masking) else (noise.rate / 2, noise.rate / 2)
    return products(rows * (1 - down) + (1 - rows) * up, rows)


def denoising_matrix(stack, noise: Corruption) -> np.ndarray:
    weight, hidden_bias, visible_bias = parameters(stack)
    rows = binary(weight.shape[1])
    means = sigmoid(sigmoid(rows @ weight.T + hidden_bias) @ weight + visible_bias)
    return corrupted(rows, noise) @ products(means, rows)


@pytest.mark.parametrize("noise", [Masking(0.5), SaltAndPepper(0.5)], ids=lambda noise: noise.kind)
def test_a_denoising_chain_has_the_stationary_distribution_of_its_matrix(noise: Corruption) -> None:
    stack = stack_of([3, 4], [DenoisingAutoencoder(noise)])
    matrix = denoising_matrix(stack, noise)
    expected = stationary(matrix)
    assert np.allclose(matrix.sum(1), 1) and expected.max() > 0.2
    transition, generator = transition_of(stack, 0), torch.Generator().manual_seed(0)
    state = torch.zeros(CHAINS, 3, dtype=torch.float64)
    for _ in range(40):
        state, mean = transition(state, generator)
    assert surprise(number(state), expected) > LEAST
    np.testing.assert_allclose(mean.mean(0), expected @ binary(3), atol=0.02)  # 5 standard errors of a mean of CHAINS


@pytest.mark.parametrize("noise", [Masking(0.5), SaltAndPepper(0.5)], ids=lambda noise: noise.kind)
def test_one_denoising_transition_from_each_state(noise: Corruption) -> None:
    stack = stack_of([3, 4], [DenoisingAutoencoder(noise)])
    matrix, transition = denoising_matrix(stack, noise), transition_of(stack, 0)
    for row, expected in zip(binary(3), matrix, strict=True):
        state = torch.from_numpy(row).expand(CHAINS, -1)
        moved = transition(state, torch.Generator().manual_seed(1)).state
        assert surprise(number(moved), expected) > LEAST, row


def test_of_squared_loss_the_reconstruction_itself_is_the_next_state() -> None:
    stack = stack_of([3, 4], [DenoisingAutoencoder(GaussianNoise(0.3), loss="squared")], output="linear")
    state = torch.rand(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = transition_of(stack, 0)(state, torch.Generator().manual_seed(4))
    noisy = GaussianNoise(0.3)(state, torch.Generator().manual_seed(4)).numpy()
    weight, hidden_bias, visible_bias = parameters(stack)
    np.testing.assert_allclose(moved.state, sigmoid(noisy @ weight.T + hidden_bias) @ weight + visible_bias, rtol=1e-10)
    assert torch.equal(moved.state, moved.mean)


def test_a_gibbs_chain_has_the_distribution_of_its_energy() -> None:
    stack = stack_of([4, 3], [RBM()])
    joint = rbm_joint(stack)
    marginal = joint.sum(1)
    transition, generator = transition_of(stack, 0), torch.Generator().manual_seed(0)
    state = torch.zeros(CHAINS, 4, dtype=torch.float64)
    for _ in range(60):
        state, _ = transition(state, generator)
    assert surprise(number(state), marginal) > LEAST
    matrix = (joint / marginal[:, None]) @ (joint / joint.sum(0)).T  # sum over h of p(h | v) p(v' | h)
    np.testing.assert_allclose(marginal @ matrix, marginal, rtol=1e-10)
    for row, expected in list(zip(binary(4), matrix, strict=True))[::5]:
        moved = transition(torch.from_numpy(row).expand(CHAINS, -1), generator)
        assert surprise(number(moved.state), expected) > LEAST


def test_gaussian_visible_units_have_the_moments_of_their_energy() -> None:
    """From one row: v' is a mixture over h of normal densities around b + W^T h."""
    stack = stack_of([2, 3], [RBM("gaussian")], output="linear", scale=0.8)
    weight, hidden_bias, visible_bias = parameters(stack)
    row, h = np.array([0.3, -0.7]), binary(3)
    chance = products(sigmoid(weight @ row + hidden_bias)[None], h)[0]
    centres = visible_bias + h @ weight
    mean = chance @ centres
    covariance = np.eye(2) + (chance[:, None] * (centres - mean)).T @ (centres - mean)
    moved = transition_of(stack, 0)(torch.from_numpy(row).expand(200_000, -1), torch.Generator().manual_seed(0))
    np.testing.assert_allclose(moved.state.mean(0), mean, atol=0.02)  # 5 standard errors or more, all of them
    np.testing.assert_allclose(np.cov(moved.state.numpy().T), covariance, atol=0.06)
    np.testing.assert_allclose(np.cov(moved.mean.numpy().T), covariance - np.eye(2), atol=0.04)


CODES = {
    "sigmoid": (nn.Linear(5, 4), nn.Sigmoid(), (5,)),
    "tanh": (nn.Linear(5, 4), nn.Tanh(), (5,)),
    "convolution": (nn.Conv2d(1, 2, 2), nn.Sigmoid(), (1, 3, 3)),
}


@pytest.mark.parametrize("kind", CODES)
def test_a_contractive_step_is_along_the_jacobian(kind: str) -> None:
    """Against the whole Jacobian, by automatic and by finite differences, row by row."""
    module, activation, shape = CODES[kind]
    module = module.double()
    decoder = Decoder(module, output="sigmoid", shape=shape)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in (module.weight, module.bias, decoder.bias):
            parameter.copy_(torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    layer = Layer("0", [], module, [activation])
    rows = torch.rand(6, *shape, generator=draw, dtype=torch.float64)
    with torch.no_grad():
        moved = contract(layer, decoder, 0.7, rows, torch.Generator().manual_seed(8))
        codes = layer(rows)
    noise = 0.7 * torch.randn(codes.shape, generator=torch.Generator().manual_seed(8)).double()
    for at, row in enumerate(rows):
        by_autograd = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0].flatten(), row)
        jacobian = by_autograd.reshape(codes[0].numel(), row.numel())
        for element in range(row.numel()):
            shift = torch.zeros(row.numel(), dtype=torch.float64)
            shift[element] = 1e-6
            with torch.no_grad():
                ends = [layer((row + sign * shift.reshape(shape))[None])[0].flatten() for sign in (1, -1)]
            torch.testing.assert_close((ends[0] - ends[1]) / 2e-6, jacobian[:, element], rtol=1e-6, atol=1e-8)
        stepped = codes[at] + (jacobian @ jacobian.T @ noise[at].flatten()).reshape(codes[at].shape)
        with torch.no_grad():
            torch.testing.assert_close(moved.mean[at], decoder(stepped[None])[0], rtol=1e-10, atol=1e-12)
    assert torch.equal(moved.state, moved.mean)


def test_a_contractive_chain_moves_as_far_as_its_step() -> None:
    stack = stack_of([6, 5], [ContractiveAutoencoder()], scale=0.5)
    rows = torch.rand(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    still = stack.reconstruct(rows)
    distances = [
        float((transition_of(stack, 0, step)(rows, torch.Generator().manual_seed(0)).mean - still).norm())
        for step in (1e-6, 0.1, 0.2)
    ]
    assert distances[0] < 1e-4
    assert distances[2] == pytest.approx(2 * distances[1], rel=0.1)


def test_a_layer_keeps_its_mode_and_gets_no_gradient() -> None:
    stack = stack_of([3, 4], [DenoisingAutoencoder()])
    stack.layers[0].train()
    moved = transition_of(stack, 0)(torch.zeros(2, 3, dtype=torch.float64), torch.Generator())
    assert stack.layers[0].training and not moved.mean.requires_grad


def test_a_layer_trained_with_swap_noise_drives_no_chain() -> None:
    stack = stack_of([3, 4], [DenoisingAutoencoder(SwapNoise(0.2))])
    with pytest.raises(NetworkError, match=r"trained with swap noise, which takes the values of other rows.*\nhint: "):
        transition_of(stack, 0)
