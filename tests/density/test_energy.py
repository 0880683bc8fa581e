"""Energies against enumeration and autograd, and what is no model refused."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import layerwise as lw
from layerwise.density.energy import energy_model, free_energy
from layerwise.errors import DataError, NetworkError, PlanError
from layerwise.stack import BLOCK, Stack
from random_stack import GAUSSIAN, drawn, stack_of


def parameters(stack: Stack) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    module = stack.layers[0].module
    return module.weight.detach(), module.bias.detach(), stack.decoders[0].bias.detach()


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_an_rbms_energy_is_minus_log_of_the_sum_over_all_hidden_states(visible):
    stack = stack_of(lw.RBM(visible), output="sigmoid" if visible == "bernoulli" else "linear")
    weight, hidden_bias, bias = parameters(stack)
    rows = drawn(7, 5, seed=9) if visible == "gaussian" else (drawn(7, 5, seed=9) > 0).double()
    states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)), dtype=torch.float64)
    own = -rows @ bias if visible == "bernoulli" else 0.5 * (rows - bias).square().sum(1)
    energies = own[:, None] - states @ hidden_bias - rows @ weight.T @ states.T
    torch.testing.assert_close(free_energy(stack, rows), -torch.logsumexp(-energies, 1))


def test_a_gaussian_noise_autoencoders_energy_is_that_of_a_gaussian_rbm_over_the_noises_variance():
    autoencoder, rbm = stack_of(GAUSSIAN), stack_of(lw.RBM("gaussian"))
    rows = drawn(6, 5, seed=3)
    torch.testing.assert_close(free_energy(autoencoder, rows), free_energy(rbm, rows) / 0.25)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.Identity])
def test_energies_of_other_activations_by_quadrature(activation):
    """F along a line is the integral of its slope, which is minus the residual along that line."""
    stack = stack_of(GAUSSIAN, activation)
    start, way = drawn(5, seed=5), drawn(5, seed=6)
    places, lengths = torch.linspace(0, 1, 20001, dtype=torch.float64), 1 / 20000
    rows = start + places[:, None] * way
    slope = -((stack.reconstruct(rows) - rows) @ way) / 0.25
    integral = lengths * (slope.sum() - 0.5 * (slope[0] + slope[-1]))
    ends = free_energy(stack, rows[[0, -1]])
    torch.testing.assert_close(ends[1] - ends[0], integral, rtol=1e-6, atol=1e-6)


def test_a_convolutions_energy_is_that_of_the_dense_matrix_it_is():
    convolution = nn.Conv1d(2, 3, 2, stride=2).double()
    stack = stack_of(GAUSSIAN, module=convolution, shape=(2, 4))
    rows = drawn(5, 2, 4, seed=4)
    matrix = torch.stack([convolution(row[None]).flatten() for row in torch.eye(8).double().reshape(8, 2, 4)]).detach()
    offset = convolution(torch.zeros(1, 2, 4).double()).flatten().detach()
    activation = rows.flatten(1) @ (matrix - offset) + offset
    bias = stack.decoders[0].bias.detach().repeat_interleave(4)
    by_hand = 0.5 * (rows.flatten(1) - bias).square().sum(1) - nn.functional.softplus(activation).sum(1)
    torch.testing.assert_close(free_energy(stack, rows), by_hand / 0.25)


def test_large_activations_neither_overflow_nor_lose_the_integral():
    stack = stack_of(GAUSSIAN, nn.Tanh)
    assert torch.isfinite(free_energy(stack, 1e4 * drawn(3, 5))).all()


def test_rows_beyond_a_block_and_a_layer_above_the_first():
    stack = stack_of(lw.RBM("gaussian"))
    upper = stack_of(lw.RBM(), module=nn.Linear(4, 3), output="sigmoid")
    both = Stack([*stack.layers, *upper.layers], [*stack.decoders, *upper.decoders], [*stack.objectives, lw.RBM()])
    rows = drawn(BLOCK + 2, 5, seed=8)
    codes = both.encode(rows, 1)
    found = free_energy(both, codes, layer=2)
    torch.testing.assert_close(found, free_energy(upper, codes))
    torch.testing.assert_close(found[-2:], free_energy(upper, codes[-2:]))
    assert len(found) == BLOCK + 2 and not found.requires_grad


REFUSED = {
    "masking": (lw.DenoisingAutoencoder(lw.Masking(0.3), decoder="linear"), {}, "Masking.*expected Gaussian noise"),
    "no-noise": (lw.DenoisingAutoencoder(lw.GaussianNoise(0.0), decoder="linear"), {}, "expected Gaussian noise"),
    "sigmoid": (GAUSSIAN, {"output": "sigmoid"}, "a sigmoid decoder"),
    "untied": (GAUSSIAN, {"tied": False}, "untied weights"),
    "penalties": (
        lw.DenoisingAutoencoder(lw.GaussianNoise(0.5), decoder="linear", penalties=(lw.L1Sparsity(0.1),)), {},
        "penalties, which move the optimum",
    ),
    "encoder-gradient": (
        lw.DenoisingAutoencoder(lw.GaussianNoise(0.5), decoder="linear", tied_gradient="encoder"), {},
        "a gradient of the encoder alone",
    ),
    "plain": (lw.Autoencoder(decoder="linear"), {}, "the objective 'autoencoder', expected denoising or rbm"),
    "contractive": (lw.ContractiveAutoencoder(decoder="linear"), {}, "the objective 'contractive'"),
    "unknown": (None, {}, "how layer '0' was trained is not known"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_need_not_be_a_model_is_refused_with_its_reason(name):
    objective, settings, reason = REFUSED[name]
    with pytest.raises(PlanError, match=reason) as caught:
        energy_model(stack_of(objective, **settings), 1)
    assert caught.value.hint


def test_all_faults_of_a_layer_are_named_together():
    stack = stack_of(lw.DenoisingAutoencoder(), output="sigmoid", tied=False)
    with pytest.raises(PlanError, match=r"Masking.*; a sigmoid decoder.*; untied weights"):
        energy_model(stack, 1)


def test_several_activations_and_computed_inputs_are_refused():
    stack = stack_of(GAUSSIAN)
    stack.layers[0].after.append(nn.BatchNorm1d(4).double())
    with pytest.raises(PlanError, match="more than one activation"):
        energy_model(stack, 1)
    with pytest.raises(PlanError, match="no sigmoid alone after its module"):
        energy_model(stack_of(lw.RBM("gaussian"), nn.Tanh), 1)
    with pytest.raises(NetworkError, match="computed from the rows"):
        energy_model(stack_of(GAUSSIAN, preamble=[nn.BatchNorm1d(5)]), 1)


@pytest.mark.parametrize("layer", [0, 2])
def test_a_layer_that_is_not_there(layer):
    with pytest.raises(PlanError, match=f"layer is {layer}, the stack has 1 layers"):
        free_energy(stack_of(GAUSSIAN), drawn(3, 5), layer=layer)


def test_no_rows():
    with pytest.raises(DataError, match="there are no rows"):
        free_energy(stack_of(GAUSSIAN), drawn(0, 5))
