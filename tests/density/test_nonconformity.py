"""Each measure against the same by hand, NumPy or SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.spatial.distance import cdist
from torch import nn

import layerwise as lw
from layerwise.density.nonconformity import (
    DenoisingError,
    Energy,
    MahalanobisDistance,
    NeighbourDistance,
    ReconstructionError,
)
from layerwise.errors import PlanError
from random_stack import GAUSSIAN, drawn, stack_of
from small_network import build, inputs


def two_layers() -> lw.Stack:
    return lw.pretrain(build(), inputs(), epochs=1, random_state=0).stack


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def measured(method, stack, rows, reference=None):
    return method.measure(stack, method.fit(stack, reference), rows, generator())


@pytest.mark.parametrize("depth", [1, 2, None])
def test_reconstruction(depth):
    stack, rows = two_layers(), inputs(9, seed=3)
    error = (stack.reconstruct(rows, depth) - rows).square().sum(1)
    torch.testing.assert_close(measured(ReconstructionError(depth), stack, rows), error)


def test_denoising_is_the_mean_over_draws_against_the_clean_row():
    stack, rows, noise = two_layers(), inputs(9, seed=3), lw.GaussianNoise(0.7)
    draws = generator()
    errors = [(stack.reconstruct(noise(rows, draws), 1) - rows).square().sum(1) for _ in range(3)]
    found = measured(DenoisingError(noise, draws=3, depth=1), stack, rows)
    torch.testing.assert_close(found, sum(errors) / 3)


def test_energy_is_of_the_code_below_its_layer():
    lower, upper = stack_of(GAUSSIAN), stack_of(lw.RBM(), module=nn.Linear(4, 3), output="sigmoid")
    both = lw.Stack([*lower.layers, *upper.layers], [*lower.decoders, *upper.decoders], [GAUSSIAN, lw.RBM()])
    rows = drawn(6, 5, seed=2)
    codes, module = lower.encode(rows), upper.layers[0].module
    by_hand = -codes @ upper.decoders[0].bias - nn.functional.softplus(module(codes)).sum(1)
    torch.testing.assert_close(measured(Energy(2), both, rows), by_hand.detach())


def test_energy_refuses_a_layer_that_is_no_model():
    with pytest.raises(PlanError, match="need not be the gradient"):
        Energy().fit(two_layers(), None)


def test_mahalanobis_is_that_of_numpy_where_there_are_rows_enough_to_shrink_little():
    stack = stack_of(GAUSSIAN, nn.Identity, module=nn.Linear(5, 3))
    reference, rows = drawn(4009, 5, seed=1).split([4000, 9])
    codes, own = (stack.encode(part).numpy() for part in (reference, rows))
    away = own - codes.mean(0)
    by_hand = (away @ np.linalg.inv(np.cov(codes.T)) * away).sum(1)
    np.testing.assert_allclose(measured(MahalanobisDistance(), stack, rows, reference), by_hand, rtol=0.01)


def test_mahalanobis_with_fewer_rows_than_features_is_shrunk_not_singular():
    stack = stack_of(GAUSSIAN, module=nn.Linear(5, 40))
    assert torch.isfinite(measured(MahalanobisDistance(1), stack, drawn(9, 5), drawn(20, 5, seed=1))).all()


@pytest.mark.parametrize("components", [None, 2, 50])
def test_neighbours_by_hand(components):
    stack, (reference, rows) = stack_of(GAUSSIAN, module=nn.Linear(5, 4)), drawn(59, 5, seed=1).split([50, 9])
    codes, own = (stack.encode(part).numpy() for part in (reference, rows))
    if components is not None:
        mean = codes.mean(0)
        values, vectors = np.linalg.eigh(np.cov(codes.T))
        axes = (vectors / np.sqrt(values))[:, ::-1][:, :components]
        codes, own = (codes - mean) @ axes, (own - mean) @ axes
    by_hand = np.sort(cdist(own, codes), 1)[:, :3].mean(1)
    found = measured(NeighbourDistance(3, components=components), stack, rows, reference)
    np.testing.assert_allclose(found, by_hand, rtol=1e-6)


@pytest.mark.parametrize("bad", [lambda: ReconstructionError(0), lambda: DenoisingError(draws=0), lambda: Energy(0)])
def test_values_are_checked(bad):
    with pytest.raises(ValidationError):
        bad()
