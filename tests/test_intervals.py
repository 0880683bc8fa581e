"""The interval of a mean against the textbook and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from layerwise.errors import DataError
from layerwise.intervals import mean_interval


def test_it_is_students_interval_by_hand() -> None:
    x = np.random.default_rng(0).normal(2, 3, 12)
    found = mean_interval(x, 0.9)
    half = stats.t.ppf(0.95, 11) * x.std(ddof=1) / np.sqrt(12)
    assert (found.mean, found.low, found.high) == pytest.approx((x.mean(), x.mean() - half, x.mean() + half))


def test_of_differences_it_is_scipys_paired_test() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 9))
    found, paired = mean_interval(a - b), stats.ttest_rel(a, b)
    ends = paired.confidence_interval()
    assert (found.low, found.high, found.p_value) == pytest.approx((ends.low, ends.high, paired.pvalue))


def test_a_single_value_has_no_interval_and_equal_ones_a_width_of_0() -> None:
    assert (mean_interval([2.0]).low, mean_interval([2.0]).sign) == (None, 0)
    same = mean_interval([2.0, 2.0])
    assert (same.low, same.high, same.p_value, same.sign) == (2.0, 2.0, 0.0, 1)
    assert mean_interval([0.0, 0.0]).p_value == 1.0


@pytest.mark.parametrize(("values", "sign"), [([1.0, 1.1, 1.2], 1), ([-1.0, -1.1], -1), ([-1.0, 1.0, 0.5], 0)])
def test_the_sign_is_that_of_an_interval_that_leaves_0_out(values: list[float], sign: int) -> None:
    assert mean_interval(values).sign == sign


def test_no_value_is_refused() -> None:
    with pytest.raises(DataError, match="needs values"):
        mean_interval([])
