"""Interpolation: straight in the codes, by hand, and refused where there is no line."""

from __future__ import annotations

import pytest
import torch
from tiny_models import stack_of

import layerwise as lw
from layerwise.errors import DataError, NetworkError, PlanError
from layerwise.objectives import DenoisingAutoencoder


def rows(seed: int, count: int = 3) -> torch.Tensor:
    return torch.rand(count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("depth", [0, 1, 2, None])
def test_the_line_is_straight_in_the_codes(depth: int | None) -> None:
    stack = stack_of([5, 4, 3], [DenoisingAutoencoder()] * 2)
    a, b = rows(0), rows(1)
    found = lw.interpolate(stack, a.numpy(), b, steps=5, depth=depth)
    assert found.shape == (3, 5, 5)
    for at, share in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
        codes = (1 - share) * stack.encode(a, depth) + share * stack.encode(b, depth)
        torch.testing.assert_close(found[:, at], stack.decode(codes, depth))


def test_both_ends_change_places() -> None:
    stack = stack_of([5, 4], [DenoisingAutoencoder()])
    there, back = lw.interpolate(stack, rows(0), rows(1)), lw.interpolate(stack, rows(1), rows(0))
    torch.testing.assert_close(there, back.flip(1))
    assert there.shape[1] == 11


def test_what_is_refused() -> None:
    stack = stack_of([5, 4], [DenoisingAutoencoder()])
    with pytest.raises(DataError, match=r"a has shape \(3, 5\), b has \(2, 5\)"):
        lw.interpolate(stack, rows(0), rows(1, 2))
    for steps in (1, 2.5):
        with pytest.raises(PlanError, match=f"steps is {steps}"):
            lw.interpolate(stack, rows(0), rows(1), steps=steps)
    with pytest.raises(PlanError, match="depth is 2, the stack has 1 layers"):
        lw.interpolate(stack, rows(0), rows(1), depth=2)
    with pytest.raises(NetworkError, match="no way back"):
        lw.interpolate(lw.Stack(stack.layers, [None]), rows(0), rows(1))
