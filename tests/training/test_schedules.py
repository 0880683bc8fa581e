"""Learning rates worked out by hand."""

from __future__ import annotations

import pytest

from layerwise.plan import InverseTime, Linear
from layerwise.training.schedules import rate_at


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (None, [0.8, 0.8, 0.8, 0.8, 0.8, 0.8]),
        (InverseTime(tau=2), [0.8, 0.8, 0.8, 0.8 * 2 / 3, 0.4, 0.8 * 2 / 8]),
        (InverseTime(tau=1), [0.8, 0.8, 0.4, 0.8 / 3, 0.2, 0.1]),
        (Linear(), [0.8, 0.7, 0.6, 0.5, 0.4, 0.0]),
    ],
    ids=["fixed", "inverse-time", "inverse-time-at-once", "linear"],
)
def test_by_hand(schedule, expected):
    found = [rate_at(schedule, 0.8, update, total=8) for update in (0, 1, 2, 3, 4, 8)]
    assert found == pytest.approx(expected)


def test_the_last_update_of_a_linear_schedule_still_moves():
    assert rate_at(Linear(), 1.0, 99, total=100) == pytest.approx(0.01)
