"""Fast random choices: against exact probabilities, in every type."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from layerwise.nn.draws import bernoulli, happens, whole_numbers

DRAWS = 400_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_whole_numbers_are_uniform_over_all_of_16_bits():
    """Chi-squared over 256 bins, p above 1e-6; the extremes are there with the others."""
    numbers = whole_numbers(torch.empty(DRAWS), seeded()).numpy()
    assert numbers.dtype == np.int16
    assert scipy.stats.chisquare(np.bincount((numbers.astype(int) + 2**15) // 256)).pvalue > 1e-6
    assert numbers.min() < -(2**15) + 10
    assert numbers.max() > 2**15 - 10


def test_neighbours_are_independent():
    """Those of one draw of 64 bits too: correlations of lag 1 to 4 within 6 standard errors, false alarm below 1e-8."""
    numbers = whole_numbers(torch.empty(DRAWS), seeded(1)).double().numpy()
    for lag in range(1, 5):
        assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 6 / np.sqrt(DRAWS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("probability", [0.001, 0.25, 0.5, 0.99])
def test_units_fire_as_often_as_they_should(probability, dtype):
    """The count is binomial: p-value above 1e-6 in each of 12 cases, a false alarm of 1.2e-5."""
    probabilities = torch.full((DRAWS,), probability, dtype=dtype)
    units = bernoulli(probabilities, seeded(2))
    assert units.dtype == dtype
    assert set(units.unique().tolist()) == {0.0, 1.0}
    expected = round(float(probabilities[0]) * 2**16) / 2**16
    assert scipy.stats.binomtest(int(units.double().sum()), DRAWS, expected).pvalue > 1e-6


def test_what_is_certain_happens():
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        certain = torch.tensor([0.0, 1.0], dtype=dtype).repeat(DRAWS // 2)
        assert torch.equal(bernoulli(certain, seeded(3)), certain)
        beyond = torch.tensor([-0.5, 1.5], dtype=dtype).repeat(DRAWS // 2)
        assert torch.equal(bernoulli(beyond, seeded(3)), certain)
    numbers = whole_numbers(torch.empty(DRAWS), seeded(4))
    assert happens(numbers, 1.0).all()
    assert not happens(numbers, 0.0).any()


def test_probabilities_stay_and_any_shape_is_taken():
    probabilities = torch.rand(3, 5, 7, generator=seeded(5))
    before = probabilities.clone()
    assert bernoulli(probabilities, seeded(6)).shape == (3, 5, 7)
    assert torch.equal(probabilities, before)
