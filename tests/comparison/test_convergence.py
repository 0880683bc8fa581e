"""Convergence against sums done by hand."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from layerwise.comparison.convergence import Curve, convergence, first_reach


def test_first_reach_takes_the_first_update_and_the_start_counts() -> None:
    assert first_reach([0, 5, 10, 15], [9.0, 4.0, 6.0, 3.0], 4.0) == (5, True)
    assert first_reach([0, 5], [2.0, 1.0], 4.0) == (0, True)
    assert first_reach([0, 5], [9.0, math.nan], 4.0) == (5, False)


def curve(*errors: float, seconds: float = 0.1) -> Curve:
    updates = [10 * k for k in range(len(errors))]
    return Curve(updates, [seconds * u for u in updates], list(errors))


def compared(random: list[Curve], pretrained: list[Curve], cost: float = 0.0) -> dict[str, object]:
    return convergence(random, pretrained, [cost] * len(random), labels=9, rows=7, measured_on="other rows")


def test_convergence_by_hand() -> None:
    """Saved: 30-10, 20-0, 30-20 updates; mean 16.7, standard error 3.33; 10 updates take a second."""
    random = [curve(90, 50, 40, 30, 35), curve(90, 50, 20, 20), curve(90, 40, 30, 10)]
    pretrained = [curve(60, 30, 25), curve(20, 10), curve(50, 20, 9)]
    found = compared(random, pretrained, cost=2.5)
    assert found["random_best_errors"] == [30, 20, 10]
    assert found["random_updates"] == [30, 20, 30] and found["pretrained_updates"] == [10, 0, 20]
    assert found["pretrained_reached"] == [True, True, True]
    assert found["random_seconds"] == pytest.approx([3, 2, 3])
    assert found["pretrained_seconds"] == pytest.approx([1, 0, 2])
    assert found["pretrained_seconds_with_pretraining"] == pytest.approx([3.5, 2.5, 4.5])
    half = stats.t.ppf(0.975, 2) * 10 / 3
    expected = {"mean": 50 / 3, "low": 50 / 3 - half, "high": 50 / 3 + half}
    assert found["updates_saved"] == pytest.approx(expected)
    assert found["seconds_saved"] == pytest.approx({k: v / 10 for k, v in expected.items()})
    assert found["seconds_saved_with_pretraining"] == pytest.approx({k: v / 10 - 2.5 for k, v in expected.items()})
    assert found["statement"] == "converges faster"
    assert (found["labels"], found["rows"], found["measured_on"]) == (9, 7, "other rows")


SLOW = curve(90, 50, 40, 30)


@pytest.mark.parametrize(
    ("pretrained", "statement"),
    [
        ([curve(90, 30)] * 3, "converges faster"),
        ([SLOW] * 3, "converges no faster"),
        ([curve(90, 80, 70, 60, 50, 30)] * 3, "converges no faster"),
        ([curve(90, 80, 70, 60, 50)] * 3, "converges no faster"),  # never got there, and took longer over it
        ([curve(90, 80)] * 3, "cannot tell"),  # never got there, but gave up before the random arm had
        (
            [curve(90, 30), curve(90, 30), curve(90, 31)],
            "cannot tell",
        ),  # 20 saved thrice, but one is only a bound
        ([curve(90, 30), curve(90, 80, 70, 60, 30), curve(90, 40, 30)], "cannot tell"),
        ([curve(90, 30)] * 2, "cannot tell"),
    ],
)
def test_statement(pretrained: list[Curve], statement: str) -> None:
    found = compared([SLOW] * len(pretrained), pretrained)
    assert found["statement"] == statement


def test_below_three_seeds_convergence_has_no_interval() -> None:
    assert compared([SLOW], [curve(90, 30)])["updates_saved"] == {"mean": 20.0, "low": None, "high": None}
