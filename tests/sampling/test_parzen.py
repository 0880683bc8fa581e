"""The Parzen estimate against SciPy's densities, a known density, and itself in other blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from layerwise.errors import DataError, PlanError
from layerwise.sampling import parzen as module
from layerwise.sampling.parzen import choose_sigma, log_densities, log_density, parzen


def draws(count: int, width: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width))


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
def test_is_a_mean_of_normal_densities(sigma: float) -> None:
    """By brute force: SciPy's density around each sample, one after the other."""
    rows, samples = draws(7, seed=1), draws(40)
    each = [stats.multivariate_normal(s, sigma**2 * np.eye(3)).logpdf(rows) for s in samples]
    expected = np.logaddexp.reduce(each, axis=0) - math.log(40)
    np.testing.assert_allclose(log_density(rows, samples, sigma), expected, rtol=1e-9, atol=1e-9)


def test_is_scipys_kernel_density_of_the_same_width() -> None:
    samples = draws(200, width=1)
    kde = stats.gaussian_kde(samples.T, bw_method=0.4 / samples.std(ddof=1))
    rows = draws(20, width=1, seed=2)
    np.testing.assert_allclose(log_density(rows, samples, 0.4), kde.logpdf(rows.T), rtol=1e-8)


def test_of_many_samples_it_is_the_smoothed_density() -> None:
    """Samples of N(0, I) under width sigma: N(0, (1 + sigma^2) I), within 5 standard errors of the samples' luck."""
    rows, samples, sigma = draws(50, width=2, seed=3), draws(40_000, width=2), 0.5
    kernel = stats.multivariate_normal([0, 0], sigma**2 * np.eye(2))
    expected = stats.multivariate_normal([0, 0], (1 + sigma**2) * np.eye(2)).logpdf(rows)
    luck = [
        kernel.pdf(samples - row).std() / math.sqrt(len(samples)) / math.exp(e)
        for row, e in zip(rows, expected, strict=True)
    ]
    assert (np.abs(log_density(rows, samples, sigma) - expected) < 5 * np.array(luck)).all()


def test_far_away_and_very_narrow_it_neither_overflows_nor_loses_digits() -> None:
    samples = np.array([[1e4, 0.0], [1e4 + 1, 0.0]])
    found = log_density(np.array([[1e4, 1e-3], [0.0, 0.0]]), samples, 1e-3)
    expected = -math.log(2) - math.log(2 * math.pi * 1e-6) - np.array([0.5, 0.5 * 1e14])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, samples = torch.from_numpy(draws(23)), draws(11).astype(np.float32)
    whole = log_densities(rows, samples, [0.2, 0.7])
    monkeypatch.setattr(module, "BLOCK", 5)
    np.testing.assert_allclose(log_densities(rows, samples, [0.2, 0.7]), whole, rtol=1e-12)
    assert whole.shape == (23, 2) and whole.dtype == np.float64
    images = log_densities(rows.reshape(23, 1, 1, 3), samples.reshape(11, 3, 1), [0.2])
    np.testing.assert_array_equal(images[:, 0], log_densities(rows, samples, [0.2])[:, 0])


def test_the_width_is_the_validation_rows_choice_and_never_the_test_rows() -> None:
    samples, validation, test = draws(300), draws(200, seed=1), draws(200, seed=2)
    sigmas = np.geomspace(0.1, 3.0, 12)
    likelihoods = [log_density(validation, samples, sigma).mean() for sigma in sigmas]
    found = parzen(samples, test, validation=validation, sigmas=sigmas)
    assert found.sigma == sigmas[int(np.argmax(likelihoods))]
    assert parzen(samples, 10 * test, validation=validation, sigmas=sigmas).sigma == found.sigma
    density = log_density(test, samples, found.sigma)
    assert found.mean == pytest.approx(density.mean())
    assert found.standard_error == pytest.approx(density.std(ddof=1) / math.sqrt(200))
    assert (found.samples, found.rows) == (300, 200)


def test_a_grid_that_ends_too_soon_is_refused() -> None:
    with pytest.raises(PlanError, match=r"best width is 0.1, an end of the grid from 0.01 to 0.1"):
        choose_sigma(draws(50), draws(50, seed=1), [0.01, 0.05, 0.1])
    assert choose_sigma(draws(50), draws(50, seed=1), [0.3]) == 0.3, "one given width is no grid"


BAD = {
    "widths": (draws(5), draws(5, width=2), [1.0], DataError, "rows have 2 elements, samples 3"),
    "no rows": (draws(5), np.zeros((0, 3)), [1.0], DataError, "expected \\(rows, elements"),
    "one dimension": (draws(5)[:, 0], draws(5), [1.0], DataError, "samples have shape \\(5,\\)"),
    "not finite": (np.full((2, 3), np.nan), draws(5), [1.0], DataError, "samples hold numbers that are not finite"),
    "no width": (draws(5), draws(5), [], PlanError, "expected positive numbers"),
    "a width of 0": (draws(5), draws(5), [0.0], PlanError, "expected positive numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_and_widths(case: str) -> None:
    samples, rows, sigmas, kind, message = BAD[case]
    with pytest.raises(kind, match=message) as caught:
        log_densities(rows, samples, sigmas)
    assert caught.value.hint
