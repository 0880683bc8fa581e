"""The copy test on auto-encoders that copy, that project, and that know nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import layerwise as lw
from layerwise.analysis import copy_test
from layerwise.analysis.copying import _kinds
from layerwise.errors import DataError, NetworkError
from layerwise.nn.decoder import Decoder
from layerwise.nn.layers import Layer
from layerwise.randomness import Randomness
from layerwise.stack import Stack
from small_network import build, inputs


def linear(matrix: torch.Tensor) -> Stack:
    """An auto-encoder that maps x to M^T M x."""
    layer = Layer("0", [], nn.Linear(matrix.shape[1], len(matrix)), [])
    with torch.no_grad():
        layer.module.weight.copy_(matrix), layer.module.bias.zero_()
    return Stack([layer], [Decoder(layer.module)])


def test_the_identity_copies_noise_as_well_as_rows() -> None:
    orthogonal = torch.linalg.qr(torch.randn(20, 12, generator=torch.Generator().manual_seed(0)))[0]
    found = copy_test(linear(orthogonal), inputs())
    assert all(share < 1e-10 for share in found.shares.values()) and set(found.shares) == set(found.errors)
    torch.testing.assert_close(found.singular_values, torch.ones(12))
    assert found.from_identity < 1e-6


def test_a_projection_passes_what_it_was_made_for() -> None:
    """Rows lie in a plane: the projection on it keeps them, and 2 of 12 directions of anything else."""
    draws = torch.Generator().manual_seed(0)
    plane = torch.linalg.qr(torch.randn(12, 2, generator=draws))[0].T
    rows = torch.randn(2000, 2, generator=draws) @ plane
    found = copy_test(linear(plane), rows)
    assert found.shares["rows"] < 1e-10
    assert found.shares["white"] == pytest.approx(10 / 12, abs=0.03)
    assert found.shares["shuffled"] > 0.3 and found.shares["permuted"] > 0.3
    torch.testing.assert_close(found.singular_values, torch.tensor([1.0, 1.0] + 10 * [0.0]), atol=1e-5, rtol=0)
    assert found.from_identity == pytest.approx(np.sqrt(10 / 12), rel=1e-5)


def test_a_constant_knows_nothing() -> None:
    stack = linear(torch.zeros(12, 12))
    rows = inputs()
    stack.decoders[0].start_at(rows.mean(0))
    found = copy_test(stack, rows)
    assert found.shares["rows"] == pytest.approx(1.0, rel=1e-5) and found.from_identity == pytest.approx(1.0)
    assert found.errors["rows"] == pytest.approx(float(rows.var(0, unbiased=False).sum()), rel=1e-5)


def test_the_noise_keeps_what_it_says() -> None:
    rows = inputs(60)
    kinds = dict(_kinds(rows, Randomness(0)))
    assert torch.equal(kinds["rows"], rows)
    assert torch.equal(kinds["shuffled"].sort(0).values, rows.sort(0).values)
    assert torch.equal(kinds["permuted"].sort(1).values, rows.sort(1).values)
    assert not torch.equal(kinds["shuffled"], rows) and not torch.equal(kinds["permuted"], rows)
    assert rows.min() <= kinds["white"].min() and kinds["white"].max() <= rows.max()
    assert float(kinds["white"].mean()) == pytest.approx(float(rows.mean()), abs=0.05)


def test_the_jacobian_is_that_of_the_stacks_own_reconstruction() -> None:
    """By finite differences, through two layers with tied sigmoid decoders."""
    network = build(dtype=torch.float64)
    rows = inputs().double()
    stack = lw.pretrain(network, rows, epochs=2, random_state=0).stack
    found = copy_test(stack, rows, depth=2, jacobian_rows=1)
    steps = 1e-5 * torch.eye(12, dtype=torch.float64)
    row = rows[0]
    slope = (stack.reconstruct(row + steps, 2) - stack.reconstruct(row - steps, 2)).T / 2e-5
    np.testing.assert_allclose(found.singular_values, np.linalg.svd(slope)[1], atol=1e-8)
    away = float((slope - torch.eye(12)).norm()) / np.sqrt(12)
    assert found.from_identity == pytest.approx(away, rel=1e-6)


def test_what_cannot_be_tested_is_refused() -> None:
    layer = Layer("0", [], nn.Linear(12, 3), [])
    with pytest.raises(NetworkError, match="no way back"):
        copy_test(Stack([layer], [None]), inputs())
    with pytest.raises(DataError, match=r"shape \(12,\)"):
        copy_test(linear(torch.eye(12)), inputs()[0])
