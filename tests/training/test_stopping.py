"""Patience by hand: start with P updates, look ahead twice as far as the last clear improvement."""

from __future__ import annotations

import math

import pytest

from layerwise.settings import EarlyStopping
from layerwise.training.stopping import Patience


def test_defaults_are_those_of_the_rule():
    rule = EarlyStopping()
    assert (rule.patience, rule.improvement, rule.growth) == (None, 0.995, 2.0)
    assert Patience(rule, per_epoch=30).limit == 300, "ten epochs"


@pytest.mark.parametrize(
    ("patience", "per_epoch", "every"), [(100, 30, 30), (50, 30, 25), (5, 30, 2), (1, 30, 1), (None, 7, 7)]
)
def test_validates_every_epoch_or_half_the_patience(patience, per_epoch, every):
    assert Patience(EarlyStopping(patience=patience), per_epoch).validate_every == every


def test_a_sequence_worked_by_hand():
    """Threshold .995 of the best; a smaller improvement is kept but buys no patience."""
    patience = Patience(EarlyStopping(patience=40), per_epoch=10)
    for update, result, best in [(0, 10.0, True), (10, 9.0, True), (20, 9.5, False)]:
        assert patience.seen(update, result) is best
        assert patience.limit == 40, "twice these updates is less"
    assert patience.seen(30, 8.96) is True  # an improvement, but not below .995 * 9.0 = 8.955
    assert patience.limit == 40
    assert (patience.best, patience.best_update) == (8.96, 30)
    assert not patience.exhausted(39)
    assert patience.seen(35, 8.9) is True  # below .995 * 8.96 = 8.9152: patience is 2 * 35
    assert patience.limit == 70
    assert not patience.exhausted(69)
    assert patience.seen(50, 8.9) is False, "equal is no improvement"
    assert patience.seen(60, 8.8999) is True
    assert patience.limit == 70
    assert (patience.best, patience.best_update) == (8.8999, 60)
    assert patience.exhausted(70)
    assert patience.exhausted(71)


def test_patience_never_shrinks():
    patience = Patience(EarlyStopping(patience=1000), per_epoch=10)
    assert patience.seen(10, 1.0)
    assert patience.limit == 1000


def test_growth_rounds_up():
    patience = Patience(EarlyStopping(patience=1, growth=1.5), per_epoch=10)
    assert patience.seen(3, 1.0)
    assert patience.limit == 5


def test_nan_is_no_improvement():
    """And does not hide the improvements after it."""
    patience = Patience(EarlyStopping(patience=10), per_epoch=5)
    assert not patience.seen(0, math.nan)
    assert patience.seen(5, 2.0)
    assert not patience.seen(10, math.nan)
    assert not patience.seen(15, 3.0)
    assert (patience.best, patience.best_update) == (2.0, 5)


def test_a_wait_is_counted_from_the_last_best():
    patience = Patience(EarlyStopping(patience=10, improvement=1.0, growth=1.0, wait=10), per_epoch=2)
    assert patience.seen(8, 5.0) and patience.limit == 18
    assert not patience.seen(10, 5.0) and patience.limit == 18, "no better is no improvement"
    assert patience.seen(16, 4.9999) and patience.limit == 26
    assert not patience.exhausted(25) and patience.exhausted(26)
