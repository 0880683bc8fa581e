"""Spreads over seeds against scipy and against what normal draws must cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from layerwise.analysis import equal_spreads, spread
from layerwise.errors import DataError


def test_the_summary_is_numpys_and_scipys() -> None:
    x = np.random.default_rng(0).gamma(2.0, size=15)
    found = spread(x)
    ends = stats.t.interval(0.95, 14, x.mean(), stats.sem(x))
    assert (found.seeds, found.mean, found.std) == pytest.approx((15, x.mean(), x.std(ddof=1)))
    assert (found.low, found.high) == pytest.approx(ends)
    assert found.quartiles == pytest.approx(tuple(np.percentile(x, [25, 50, 75])))


def test_the_interval_of_the_standard_deviation_covers_it() -> None:
    # 500 intervals at 95 %: right ones cover 454 or fewer, or 493 or more, with probability 1e-4
    draws = np.random.default_rng(3).normal(0, 2.0, (500, 8))
    covered = sum(found.std_low <= 2.0 <= found.std_high for found in map(spread, draws))
    assert 454 < covered < 493


def test_equal_spreads_is_brown_and_forsythes_test() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(5, 1, 20), rng.normal(9, 3, 20)
    found = equal_spreads(a, b)
    deviations = [np.abs(x - np.median(x)) for x in (a, b)]
    by_hand = stats.f_oneway(*deviations)
    assert (found.statistic, found.p_value) == pytest.approx((by_hand.statistic, by_hand.pvalue))
    assert found.ratio == pytest.approx(b.std(ddof=1) / a.std(ddof=1))


def test_a_shift_of_all_errors_is_no_other_spread() -> None:
    x = np.random.default_rng(2).normal(size=12)
    assert equal_spreads(x, x + 50.0).p_value == pytest.approx(1.0)


def test_errors_without_any_spread_are_alike() -> None:
    found = equal_spreads([3.0] * 4, [5.0] * 4)
    assert (found.ratio, found.p_value) == (None, 1.0)


def test_fewer_than_three_seeds_are_refused() -> None:
    for ask in (lambda: spread([1.0, 2.0]), lambda: equal_spreads([1.0, 2.0, 3.0], [1.0])):
        with pytest.raises(DataError, match="needs three errors or more"):
            ask()
