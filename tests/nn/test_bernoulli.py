"""Bernoulli draws: their frequencies, and what a low precision must not change."""

from __future__ import annotations

import pytest
import torch

from layerwise.nn.bernoulli import bernoulli

DRAWS = 40_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_frequencies_are_the_means(dtype: torch.dtype) -> None:
    """Each within 5 standard errors: a false alarm once in 100,000 seeds."""
    means = torch.tensor([0.001, 0.25, 0.5, 0.9], dtype=dtype)
    drawn = bernoulli(means.expand(DRAWS, -1), torch.Generator().manual_seed(0))
    assert drawn.dtype == dtype and set(drawn.unique().tolist()) == {0.0, 1.0}
    exact = means.double()
    error = (exact * (1 - exact) / DRAWS).sqrt()
    assert bool(((drawn.double().mean(0) - exact).abs() < 5 * error).all())


def test_what_is_certain_is_certain() -> None:
    means = torch.tensor([0.0, 1.0, -0.5, 1.5]).expand(10_000, -1)
    assert bernoulli(means, torch.Generator().manual_seed(0)).mean(0).tolist() == [0.0, 1.0, 0.0, 1.0]
