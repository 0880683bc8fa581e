"""The interval against scipy and against simulated truth; Holm against sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from layerwise.comparison.statistics import (
    gain,
    half_width,
    holm,
    paired_interval,
)
from layerwise.errors import DataError


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_without_row_error_it_is_the_paired_t_interval(seeds: int, confidence: float) -> None:
    draw = np.random.default_rng(seeds)
    random, pretrained = 8 + draw.normal(size=seeds), 6 + draw.normal(size=seeds)
    reference = stats.ttest_rel(random, pretrained)
    expected = reference.confidence_interval(confidence)
    for rows in (None, np.full(50, 1.5)):
        found = paired_interval(random - pretrained, rows, confidence)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
        assert found.p_value == pytest.approx(reference.pvalue, rel=1e-6)


def test_row_error_widens_by_the_root_of_the_sum_of_squares() -> None:
    seeds, rows = np.array([1.0, 2.0, 3.0]), np.array([100.0, 0.0, 0.0, -100.0, 0.0])
    by_seeds = stats.t.ppf(0.975, 2) * 1.0 / math.sqrt(3)
    by_rows = stats.norm.ppf(0.975) * math.sqrt(20000 / 4) / math.sqrt(5)
    found = paired_interval(seeds, rows)
    assert found.high - 2.0 == pytest.approx(math.hypot(by_seeds, by_rows))
    assert found.low == pytest.approx(2 * 2.0 - found.high)


@pytest.mark.parametrize("scale", [0.3, 2.0, 20.0])
def test_the_p_value_is_where_the_interval_touches_0(scale: float) -> None:
    draw = np.random.default_rng(0)
    differences, rows = 1 + draw.normal(size=4), scale * draw.normal(size=300)
    p_value = paired_interval(differences, rows).p_value
    assert paired_interval(differences, rows, confidence=1 - p_value).low == pytest.approx(0, abs=1e-6)


def test_no_spread_at_all() -> None:
    found = paired_interval([0.7, 0.7, 0.7], np.full(10, 0.7))
    assert found.low == found.high == pytest.approx(0.7) and found.p_value == 0
    nothing = paired_interval([0.0, 0.0, 0.0])
    assert (nothing.low, nothing.high, nothing.p_value) == (0, 0, 1)


def test_a_far_away_gain_has_a_tiny_p_value_and_no_overflow() -> None:
    assert 0 <= paired_interval([5.0, 5.0, 5.0], np.tile([0.0, 10.0], 10**4)).p_value < 1e-100
    assert 0 < paired_interval([1e9, 1e9 + 1, 1e9 + 2]).p_value < 1e-15


def test_one_difference_has_no_interval() -> None:
    with pytest.raises(DataError, match="at least 2 seeds, found 1"):
        paired_interval([1.0])


def simulate(seeds: int, rows: int, repetitions: int, seed: int) -> tuple[float, float]:
    """Share of repetitions in which our interval, and the seed-only one, cover the true gain.

    Each row has its own probability of being got wrong by each arm: a quarter are hard (.95 random; .05
    pre-trained on half of them, else .95), the others easy (.01). A seed shifts each arm's probabilities on
    hard rows by a draw from U(-.05, .05) of its own, never out of [0, 1], so that the true gain is the
    difference of the mean probabilities.
    """
    draw = np.random.default_rng(seed)
    true_gain = 100 * 0.25 * 0.5 * (0.95 - 0.05)
    t = stats.t.ppf(0.975, seeds - 1)
    covered = covered_by_seeds = 0
    for _ in range(repetitions):
        hard, helped = draw.random(rows) < 0.25, draw.random(rows) < 0.5
        random = np.where(hard, 0.95, 0.01)
        pretrained = np.where(hard & helped, 0.05, random)
        shifts = draw.uniform(-0.05, 0.05, (2, seeds, 1)) * hard
        wrong = [draw.random((seeds, rows)) < p + s for p, s in zip((random, pretrained), shifts, strict=True)]
        found = gain(*wrong)
        assert found.low is not None and found.high is not None
        covered += found.low <= true_gain <= found.high
        covered_by_seeds += abs(found.gain - true_gain) <= t * found.se_seeds
    return covered / repetitions, covered_by_seeds / repetitions


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_covers_the_true_gain_and_one_over_seeds_alone_does_not(seeds: int) -> None:
    """0/1 errors of 1,000 shared test rows, 3,000 repetitions; the seeded bug forgets the rows.

    False alarms: a true coverage of 95 % is measured below 93 % with probability 1e-6, one of 94.5 %
    (the least measured, 10 seeds) with 3e-4; the seed is fixed. Without the rows: 88, 76 and 58 %.
    """
    covered, covered_by_seeds = simulate(seeds, rows=1000, repetitions=3000, seed=seeds)
    assert covered >= 0.93
    assert covered_by_seeds < 0.91


def test_gain_counts_errors_and_wins_in_percent() -> None:
    random = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]], dtype=bool)
    pretrained = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)
    random, pretrained = np.tile(random, 3), np.tile(pretrained, 3)
    found = gain(random, pretrained)
    assert found.random_errors == [50, 25, 75] and found.pretrained_errors == [25, 25, 0]
    assert (found.random_error, found.gain, found.wins) == (50, pytest.approx(100 / 3), 2)
    expected = paired_interval([25, 0, 75], 100 * (random.mean(0) - pretrained.mean(0)))
    assert expected.se_rows == pytest.approx(found.se_rows) and found.se_rows > 100 / 12  # above the floor of one row
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert set(found.fields()) == {
        *("pretrained_error", "random_error", "gain", "low", "high", "wins"),
        *("pretrained_errors", "random_errors", "p_value"),
    }


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_there_is_no_interval(seeds: int) -> None:
    found = gain(np.ones((seeds, 9), bool), np.zeros((seeds, 9), bool))
    assert found.gain == 100 and found.low is found.high is found.p_value is None


def test_rows_on_which_the_arms_never_differ_still_leave_doubt() -> None:
    found = gain(np.zeros((5, 30), bool), np.zeros((5, 30), bool))
    assert found.high == pytest.approx(1.96 * 100 / 30, rel=1e-3) and found.wins == 0


def test_arms_tested_on_different_rows_are_refused() -> None:
    with pytest.raises(DataError, match="shapes"):
        gain(np.zeros((3, 30), bool), np.zeros((3, 29), bool))


def test_holm_by_hand() -> None:
    """Sorted .005 .01 .03 .04 times 4 3 2 1 is .02 .03 .06 .04; none may fall again: .02 .03 .06 .06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_half_width_shrinks_with_confidence() -> None:
    assert half_width(1, 1, 5, 0.99) > half_width(1, 1, 5) > half_width(1, 1, 5, 0.5) > 0
