"""What the estimators hold out, and that nothing learns from it."""

from __future__ import annotations

import numpy as np
import pytest

from layerwise import LayerwiseClassifier
from layerwise.errors import PlanError
from layerwise.estimators.training import has_target, hold_out, without
from layerwise.randomness import Randomness

CODES = np.array([0] * 30 + [1] * 20 + [2] + [-1] * 9)
QUANTITIES = np.where(np.arange(60)[:, None] < 50, np.arange(120.0).reshape(60, 2), np.nan)


def test_a_part_of_each_class_is_held_out_and_of_a_lone_one_nothing() -> None:
    held = hold_out(CODES, 0.2, Randomness(0))
    assert np.bincount(CODES[held]).tolist() == [6, 4]
    assert held.tolist() == hold_out(CODES, 0.2, Randomness(0)).tolist() != hold_out(CODES, 0.2, Randomness(1)).tolist()


def test_a_part_of_all_rows_that_have_a_quantity() -> None:
    held = hold_out(QUANTITIES, 0.2, Randomness(0))
    assert len(held) == 10 and held.max() < 50


@pytest.mark.parametrize("targets", [CODES, QUANTITIES])
def test_held_out_rows_have_no_target_afterwards(targets: np.ndarray) -> None:
    held = hold_out(targets, 0.1, Randomness(0))
    training = without(targets, held)
    assert has_target(training).sum() == has_target(targets).sum() - len(held) and not has_target(training)[held].any()
    assert has_target(targets)[held].all(), "what was handed in stays as it was"


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_rows_must_be_left_on_both_sides(fraction: float) -> None:
    with pytest.raises(PlanError, match=r"holds out \d+ of 3 labelled rows"):
        hold_out(np.array([0, 0, 1, -1]), fraction, Randomness(0))


def test_nothing_is_learnt_from_held_out_labels() -> None:
    """Not by an objective that learns from labels either: with others in their place, pre-training does the same."""
    rows = np.random.default_rng(0).normal(size=(60, 4))
    settings = {"objective": "supervised", "early_stopping": True, "epochs": 1, "device": "cpu", "random_state": 0}
    codes = np.arange(60) % 2
    held = hold_out(codes, 0.1, Randomness(0, "estimator", 0))
    flipped = np.where(np.isin(np.arange(60), held), 1 - codes, codes)
    losses = []
    for labels in (codes, flipped):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("layerwise.estimators.training.hold_out", lambda *_: held)
            classifier = LayerwiseClassifier((5,), **settings).fit(rows, np.where(np.arange(60) < 58, labels, -1))
        losses.append((classifier.history_["pretrain"][0].loss, classifier.loss_curve_))
    assert losses[0] == losses[1]
