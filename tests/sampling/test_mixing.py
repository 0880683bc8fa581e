"""Mixing: against processes whose numbers are known, and cases small enough to count by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from layerwise.errors import DataError, PlanError
from layerwise.intervals import mean_interval
from layerwise.sampling.mixing import burn_in, classes_visited, effective_sample_size


def autoregressive(phi: float, chains: int, visits: int, seed: int = 0) -> np.ndarray:
    """Stationary chains x_t = phi x_{t-1} + noise."""
    draw = np.random.default_rng(seed)
    start = draw.normal(0, 1 / math.sqrt(1 - phi**2), (chains, 1))
    noise = draw.normal(size=(chains, visits - 1))
    return np.concatenate([start, lfilter([1], [1, -phi], noise, zi=phi * start)[0]], axis=1)


@pytest.mark.parametrize("phi", [-0.4, 0.0, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("chains", [1, 4, 50])
def test_an_autoregressive_process_has_its_known_size(phi: float, chains: int) -> None:
    """n (1 - phi) / (1 + phi). Its standard error was seen to be below 7 % here: false alarms at 5 of them are rare."""
    values = autoregressive(phi, chains, 200_000 // chains)
    expected = values.size * (1 - phi) / (1 + phi)
    assert effective_sample_size(values) == pytest.approx(expected, rel=0.35 if phi == 0.97 else 0.2)


def test_on_average_over_seeds_it_is_unbiased() -> None:
    found = [effective_sample_size(autoregressive(0.8, 10, 2000, seed)) for seed in range(40)]
    expected = 20_000 * 0.2 / 1.8
    assert np.mean(found) == pytest.approx(expected, rel=0.06), "a standard error of the mean is 1 %"


def test_scale_and_shift_change_nothing() -> None:
    values = autoregressive(0.7, 3, 1000)
    assert effective_sample_size(5 * values - 100) == pytest.approx(effective_sample_size(values), rel=1e-9)


def test_chains_that_have_not_met_count_little() -> None:
    values = autoregressive(0.0, 4, 5000)
    apart = values + np.array([[0.0], [0.0], [20.0], [20.0]])
    assert effective_sample_size(values) > 15_000
    assert effective_sample_size(apart) < 40


def test_by_the_definition_on_a_short_series() -> None:
    """Autocovariances by a double loop, pairs of them summed by hand."""
    values = autoregressive(0.6, 3, 41, seed=7)
    chains, visits = values.shape
    centred = values - values.mean(1, keepdims=True)
    covariance = [
        np.mean([(centred[j, : visits - t] * centred[j, t:]).sum() / visits for j in range(chains)])
        for t in range(visits)
    ]
    within = values.var(1, ddof=1).mean()
    pooled = within * (visits - 1) / visits + values.mean(1).var(ddof=1)
    rho = [1.0] + [1 - (within - c * visits / (visits - 1)) / pooled for c in covariance[1:]]
    total, least = 0.0, math.inf
    for k in range(visits // 2):
        pair = rho[2 * k] + rho[2 * k + 1]
        if pair <= 0:
            break
        least = min(least, pair)
        total += least
    assert effective_sample_size(values) == pytest.approx(values.size / (2 * total - 1), rel=1e-9)


def test_extremes() -> None:
    assert math.isnan(effective_sample_size(np.ones((2, 10))))
    swinging = np.tile([1.0, -1.0], 500)[None]
    assert effective_sample_size(swinging) == pytest.approx(1000 * 3), "bounded by n log10 n"


def test_classes_are_counted_by_stretch() -> None:
    """Two chains of two stretches of 5: 1 and 3 classes, 2 and 2; a tail that is no whole stretch is left out."""
    classes = np.array([[7, 7, 7, 7, 7, 1, 2, 3, 2, 1, 9], [0, 1, 0, 1, 0, 5, 5, 5, 4, 4, 8]])
    found = classes_visited(classes[..., None].astype(float), lambda rows: rows[:, 0], transitions=5)
    assert (found.mean, found.low, found.high) == (2.0, 2.0, 2.0)
    one = classes_visited(classes[:1, :5, None].astype(float), lambda rows: rows[:, 0], transitions=5)
    assert one.mean == 1.0 and one.low is None


def test_classes_of_images_are_asked_row_by_row() -> None:
    seen = []

    def classify(rows: np.ndarray) -> np.ndarray:
        seen.append(rows.shape)
        return rows.mean((1, 2))

    rows = np.arange(6.0).reshape(2, 3, 1, 1) * np.ones((2, 3, 4, 5))
    assert classes_visited(rows, classify, transitions=3).mean == 3.0
    assert seen == [(6, 4, 5)]


def test_an_interval_covers_as_often_as_it_says() -> None:
    """Of 2,000 normal samples of 8: 95 % within 5 standard errors of 0.5 %."""
    draw = np.random.default_rng(0)
    found = [mean_interval(draw.normal(3, 2, 8)) for _ in range(2000)]
    assert np.mean([part.low < 3 < part.high for part in found]) == pytest.approx(0.95, abs=0.025)


def test_burn_in_is_where_noise_has_become_like_data() -> None:
    """Means that decay by half at each transition, from 64 to a spread of 1: within the quartiles after 7."""
    draw = np.random.default_rng(0)
    data = draw.normal(size=(101, 60))
    noise = draw.normal(size=(101, 60)) * 0.5 + 64 * 0.5 ** np.arange(60)
    assert burn_in(noise, data) == 7
    assert burn_in(data[::-1], data) == 0
    assert burn_in(noise + 5, data) is None
    late = noise.copy()
    late[:, 30:40] += 9
    assert burn_in(late, data) == 40, "what leaves again had not arrived"


def test_chains_that_have_met_stay_met() -> None:
    """The stated rate of false alarms: independent visits of 30 chains, 20,000 times."""
    draw = np.random.default_rng(1)
    data, noise = draw.normal(size=(30, 20_000)), draw.normal(size=(30, 20_000))
    low, high = np.quantile(data, [0.25, 0.75])
    median = np.median(noise, axis=0)
    assert np.mean((median < low) | (median > high)) < 1e-2


@pytest.mark.parametrize("values", [np.zeros(5), np.zeros((2, 3)), np.zeros((0, 9)), np.full((2, 9), np.nan)])
def test_values_of_another_shape(values: np.ndarray) -> None:
    with pytest.raises(DataError) as caught:
        effective_sample_size(values)
    assert caught.value.hint


@pytest.mark.parametrize("transitions", [0, 6])
def test_chains_that_are_too_short(transitions: int) -> None:
    with pytest.raises(PlanError, match=f"5 visits, fewer than the {transitions} transitions"):
        classes_visited(np.zeros((2, 5, 3)), lambda rows: rows[:, 0], transitions=transitions)
