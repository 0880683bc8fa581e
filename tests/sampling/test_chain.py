"""Chains at any depth, and the way down: against enumerated deep belief networks, and refused where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import binary, number, parameters, products, rbm_joint, sigmoid, stack_of, surprise
from torch import nn

from layerwise.errors import DataError, NetworkError, PlanError
from layerwise.nn.cutting import cut
from layerwise.nn.decoder import Decoder
from layerwise.nn.layers import Layer
from layerwise.objectives import (
    RBM,
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    PredictiveSparseDecomposition,
    SparseAutoencoder,
    SupervisedLayer,
)
from layerwise.sampling.chain import down, noise, row_shape, transition_of
from layerwise.sampling.sample import sample
from layerwise.stack import Stack

LEAST = 1e-5  # of a p-value: a false alarm for one seed in 100,000


def test_a_deep_belief_network_samples_its_own_distribution() -> None:
    """p(v) = sum over h1, h2 of p(v | h1) p(h1 | h2) p(h2) of three machines, all states enumerated."""
    stack = stack_of([3, 2, 3, 2], [RBM(), RBM(), RBM()])
    below = [
        products(sigmoid(binary(units) @ weight + visible), binary(weight.shape[1]))
        for units, (weight, _, visible) in ((2, parameters(stack, 0)), (3, parameters(stack, 1)))
    ]
    expected = rbm_joint(stack, 2).sum(1) @ below[1] @ below[0]
    assert expected.max() - expected.min() > 0.1
    drawn = sample(stack, 20_000, chains=20_000, burn_in=50, output="sample", random_state=0)
    assert drawn.depth == 2 and surprise(number(drawn.inputs), expected) > LEAST
    means = sample(stack, 20_000, chains=20_000, burn_in=50, random_state=0).inputs
    np.testing.assert_allclose(means.mean(0), expected @ binary(3), atol=0.02)  # 5 standard errors of a mean
    assert not torch.equal(means, means.round())
    assert {tuple(row) for row in means.numpy().round(9).tolist()} == {
        tuple(row) for row in sigmoid(binary(2) @ parameters(stack, 0)[0] + parameters(stack, 0)[2]).round(9).tolist()
    }, "each is the mean given one of four states of the units above"


def test_the_codes_of_auto_encoders_are_decoded_as_they_are() -> None:
    stack = stack_of([4, 3, 2], [DenoisingAutoencoder(), ContractiveAutoencoder()])
    drawn = sample(stack, 12, chains=6, burn_in=3, random_state=0)
    torch.testing.assert_close(drawn.inputs, stack.decode(drawn.codes, 1))
    assert drawn.codes.shape == (12, 3)


def test_each_layer_says_how_its_codes_are_taken_down() -> None:
    """Above a Boltzmann machine the codes are means of binary units, above an auto-encoder numbers."""
    stack = stack_of([4, 3, 5, 2], [RBM(), DenoisingAutoencoder(), RBM()])
    codes = torch.full((400, 5), 0.5, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    found = down(stack, codes, 2, generator)
    weight, _, visible = parameters(stack, 1)
    hidden = sigmoid(np.full(5, 0.5) @ weight + visible)
    assert len(found.unique(dim=0)) == 8, "three binary units below, whatever numbers above"
    weight, _, visible = parameters(stack, 0)
    expected = products(hidden[None], binary(3))[0] @ sigmoid(binary(3) @ weight + visible)
    np.testing.assert_allclose(found.mean(0), expected, atol=0.12)  # 5 standard errors of a mean of 400


def test_depth_0_is_the_input_space() -> None:
    stack = stack_of([4, 3, 2], [RBM(), RBM()])
    drawn = sample(stack, 30, depth=0, chains=10, burn_in=5, random_state=0)
    assert torch.equal(drawn.inputs, drawn.codes) and drawn.inputs.shape == (30, 4)
    binary_rows = sample(stack, 30, depth=0, chains=10, burn_in=5, output="sample", random_state=0).inputs
    assert set(binary_rows.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    "objective", [Autoencoder(), SparseAutoencoder(), PredictiveSparseDecomposition(), SupervisedLayer(), None]
)
def test_what_has_no_chain_is_refused_and_says_where_one_runs(objective) -> None:
    stack = stack_of([4, 3, 2], [RBM(), objective])
    known = "does not say how it was trained" if objective is None else f"{objective.kind!r}, which has no chain"
    with pytest.raises(NetworkError, match=f"no chain runs at depth 1: layer '1' would drive it, .*{known}") as caught:
        sample(stack, 5)
    assert caught.value.hint == "set depth to 0"
    assert sample(stack, 5, depth=0, random_state=0).inputs.shape == (5, 4)
    with pytest.raises(NetworkError, match="no chain") as caught:
        transition_of(stack_of([4, 3], [objective]), 0)
    assert "denoising or contractive auto-encoder or an RBM" in caught.value.hint


def test_a_stack_without_objectives_is_refused() -> None:
    stack = stack_of([4, 3], [RBM()])
    with pytest.raises(NetworkError, match="does not say how it was trained"):
        sample(Stack(stack.layers, stack.decoders), 5)


@pytest.mark.parametrize("depth", [-1, 2, 3, 0.5])
def test_depths_that_are_none(depth) -> None:
    with pytest.raises(PlanError, match=f"depth is {depth}: .* the stack has 2 layers") as caught:
        sample(stack_of([4, 3, 2], [RBM(), RBM()]), 5, depth=depth)
    assert "0 (the input space) to 1" in caught.value.hint


def test_steps_that_are_none() -> None:
    stack = stack_of([4, 3, 2], [ContractiveAutoencoder(), DenoisingAutoencoder()])
    assert sample(stack, 5, depth=0, step=0.3, random_state=0).inputs.shape == (5, 4)
    with pytest.raises(PlanError, match=r"step is 0\.3, but only a contractive auto-encoder's chain"):
        sample(stack, 5, step=0.3)
    for step in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(PlanError, match="expected a positive number"):
            sample(stack, 5, depth=0, step=step)


def convolutional(*before: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            *before, nn.Conv2d(1, 3, 3), nn.Sigmoid(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4), nn.Sigmoid(),
            nn.Linear(4, 2),
        )  # fmt: skip


@pytest.mark.parametrize("before", [[], [nn.Unflatten(1, (1, 6, 6))]], ids=["images", "flat"])
def test_chains_of_images(before: list[nn.Module]) -> None:
    """The lowest layer's own model needs no way back through the pooling above it; a deeper chain does."""
    one, two = cut(convolutional(*before))
    decoders = [Decoder(one.module, output="sigmoid", shape=(1, 6, 6)), Decoder(two.module, output="sigmoid")]
    stack = Stack([one, two], decoders, [DenoisingAutoencoder(), DenoisingAutoencoder()])
    shape = (36,) if before else (1, 6, 6)
    assert row_shape(stack) == shape
    rows = sample(stack, 7, depth=0, chains=3, burn_in=2, random_state=0).inputs
    assert rows.shape == (7, *shape) and float(rows.min()) > 0.0
    with pytest.raises(NetworkError, match=r"no way back from the code of layer .*MaxPool2d cannot be undone"):
        sample(stack, 7, random_state=0)


def test_a_dense_network_that_flattens_takes_images_and_gives_rows() -> None:
    (layer,) = cut(nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.Sigmoid(), nn.Linear(4, 2)))
    stack = Stack([layer], [Decoder(layer.module, output="sigmoid")], [RBM()])
    images = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    assert sample(stack, 5, start=images, chains=5, random_state=0).inputs.shape == (5, 36)
    with pytest.raises(DataError, match="takes rows of 36 features"):
        sample(stack, 5, start=torch.rand(5, 35), chains=5)


def test_noise_is_of_the_range_of_the_inputs() -> None:
    rows = noise(stack_of([4, 3], [RBM()]), 500, torch.Generator().manual_seed(0))
    assert rows.shape == (500, 4) and 0 <= float(rows.min()) < 0.05 and 0.95 < float(rows.max()) <= 1
    real = noise(stack_of([4, 3], [RBM("gaussian")], output="linear"), 500, torch.Generator().manual_seed(0))
    assert float(real.min()) < -2 and 0.9 < float(real.std()) < 1.1


def test_no_decoder_no_chain() -> None:
    layer = Layer("0", [], nn.Linear(4, 3), [nn.Sigmoid()])
    with pytest.raises(NetworkError, match="its objective has no decoder"):
        sample(Stack([layer], [None], [DenoisingAutoencoder()]), 5)
    with pytest.raises(NetworkError, match="was trained as 'supervised', which has no chain"):
        sample(Stack([layer], [None], [SupervisedLayer()]), 5)
