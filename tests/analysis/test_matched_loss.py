"""The test loss at equal training loss of curves whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from layerwise.analysis import EqualLoss, LossCurve, at_training_loss, equal_loss
from layerwise.errors import DataError

LOSSES = np.geomspace(2.0, 0.01, 25)
SHIFTS = (0.00, 0.01, 0.02)  # from seed to seed


def arm(test: float, ends_at: float = 0.01) -> list[LossCurve]:
    """Three runs whose test loss lies this far above a line in the log of the training loss."""
    training = np.geomspace(2.0, ends_at, 25)
    return [LossCurve(training, 1 - 0.2 * np.log(training) + test + shift) for shift in SHIFTS]


def test_between_checkpoints_the_line_in_the_logarithm_is_met_exactly() -> None:
    (curve, *_) = arm(0.0)
    levels = np.geomspace(1.99, 0.0101, 50)
    assert at_training_loss(curve, levels) == pytest.approx(1 - 0.2 * np.log(levels))


def test_what_counts_is_when_a_level_is_first_reached() -> None:
    curve = LossCurve(np.array([1.0, 0.1, 1.0, 0.01]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert at_training_loss(curve, [0.1, 0.01]).tolist() == [2.0, 4.0]


def test_levels_outside_a_run_are_not_made_up() -> None:
    assert np.isnan(at_training_loss(arm(0.0)[0], [2.1, 0.009])).all()


def test_a_lower_test_loss_at_equal_training_loss_speaks_for_regularisation() -> None:
    found = equal_loss(arm(-0.3), arm(0.0))
    assert [gap.mean for gap in found.differences] == pytest.approx([-0.3] * 12)
    assert found.seeds == (3,) * 12 and found.levels[-1] == pytest.approx(0.01)
    assert "0.300 lower" in found.sentence and "speaks for regularisation" in found.sentence
    assert found.ratio.mean == pytest.approx(1.0) and "no clear difference in optimisation" in found.sentence


def test_a_lower_training_loss_alone_speaks_for_optimisation() -> None:
    here = [LossCurve(np.append(curve.training, end), np.append(curve.test, 2.0))
            for curve, end in zip(arm(0.0), (0.002, 0.0021, 0.0019), strict=True)]  # fmt: skip
    found = equal_loss(here, arm(0.0))
    assert found.levels[-1] == pytest.approx(0.01)
    assert "no sign of regularisation" in found.sentence and "speaks for better optimisation" in found.sentence
    assert found.ratio.mean == pytest.approx((0.002 * 0.0021 * 0.0019) ** (1 / 3) / 0.01)
    assert found.lowest["random"] == pytest.approx(0.01)


def test_the_contrary_is_said_too() -> None:
    found = equal_loss(arm(0.3, ends_at=0.1), arm(0.0))
    assert "speaks against regularisation" in found.sentence and "speaks against better optimisation" in found.sentence
    assert found.levels[-1] == pytest.approx(0.1)


def test_differences_are_paired_by_seed() -> None:
    wild = np.array([0.0, 3.0, -2.0])  # from seed to seed, in both arms
    here, there = ([LossCurve(LOSSES, 5 + shift + gap + LOSSES) for shift in wild] for gap in (0.0, 0.1))
    (first, *_) = equal_loss(here, there).differences
    assert (first.low, first.high) == pytest.approx((-0.1, -0.1))


def test_a_level_is_compared_over_the_seeds_that_reached_it() -> None:
    here = arm(-0.3)
    here[2] = LossCurve(LOSSES[:5], here[2].test[:5])
    found = equal_loss(here, arm(0.0), levels=[1.5, 0.02])
    assert found.seeds == (3, 2) and len(found.levels) == 2
    only: EqualLoss = equal_loss([here[0], here[2], here[2]], arm(0.0), levels=[1.5, 0.02])
    assert only.levels == (1.5,)


def test_runs_that_never_learn_are_said_so() -> None:
    stuck = [LossCurve(np.array([2.3, 2.3]), np.array([2.3, 2.3]))] * 3
    with pytest.raises(DataError, match=r"never gets below a training loss of 2\.3, where others start at 2"):
        equal_loss(stuck, arm(0.0))
    with pytest.raises(DataError, match="no training loss that two seeds reached"):
        equal_loss(arm(0.0), arm(0.0), levels=[1e-9])


def test_unpaired_or_odd_curves_are_refused() -> None:
    with pytest.raises(DataError, match="3 and 2 runs"):
        equal_loss(arm(0.0), arm(0.0)[:2])
    with pytest.raises(DataError, match="shapes"):
        LossCurve(np.ones(3), np.ones(2))
    with pytest.raises(DataError, match="not above 0"):
        LossCurve(np.zeros(3), np.ones(3))
