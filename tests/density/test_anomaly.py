"""The detector: conformal p-values by hand, their uniformity, the false alarms promised, and anomalies found."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy.stats import binom, kstest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import layerwise as lw
from layerwise.density.anomaly import BY_NAME, AnomalyDetector
from layerwise.density.nonconformity import ReconstructionError
from layerwise.errors import DataError, PlanError
from small_network import build, inputs

METHODS = [name for name in BY_NAME if name != "energy"]
# All of the same patterns: those to train on, to calibrate with, and new ones.
TRAINED, HELD_OUT, NEW = inputs(1100).split([100, 500, 500])


def stack_of() -> lw.Stack:
    return lw.pretrain(build(), TRAINED, epochs=2, random_state=0).stack


def test_p_values_by_hand():
    stack, held_out, rows = stack_of(), HELD_OUT[:40], NEW[:15]
    detector = AnomalyDetector(stack, "reconstruction").fit(held_out)
    errors = [(stack.reconstruct(part) - part).square().sum(1) for part in (held_out, rows)]
    by_hand = [(1 + sum(float(own) >= float(error) for own in errors[0])) / 41 for error in errors[1]]
    np.testing.assert_allclose(detector.p_values(rows), by_hand)
    np.testing.assert_allclose(detector.score_samples(rows), -errors[1], rtol=1e-6)
    np.testing.assert_array_equal(detector.predict(rows, false_alarm=0.2), np.where(np.array(by_hand) <= 0.2, -1, 1))


def test_ties_count_as_strange_as_the_row():
    detector = AnomalyDetector(stack_of(), "reconstruction").fit(inputs(1).repeat(9, 1))
    assert detector.p_values(inputs(1)).tolist() == [1.0]


class OneNumber:
    """A stack that does nothing, so that a test has many rows in a moment: a row is its own measure."""

    needs_reference, kind = False, "one"

    def fit(self, stack, reference):
        return None

    def measure(self, stack, fitted, rows, generator):
        return rows[:, 0]


def test_p_values_of_exchangeable_rows_are_uniform():
    """One new row for each of 2,000 draws of 99 calibration rows; false alarm of this test 0.1 %, with a fixed seed."""
    draws = torch.randn(2000, 100, 1, generator=torch.Generator().manual_seed(0))
    found = [float(AnomalyDetector(None, OneNumber()).fit(rows[:99]).p_values(rows[99:])[0]) for rows in draws]
    # p-values are multiples of 1/100: less half of that, spread evenly, they are compared with the uniform law
    spread = torch.rand(2000, generator=torch.Generator().manual_seed(1)).double().numpy()
    assert kstest(np.array(found) - spread / 100, "uniform").pvalue > 0.001
    assert min(found) == 0.01 and max(found) == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_false_alarms_come_at_the_rate_that_is_stated(method):
    """One new row for each of 200 draws of the rows; the bounds hold 99.9 % of the time, and the seeds are fixed.

    39 rows are left to calibrate with, so that the rate 0.1 is met exactly: 4 of 40 ranks raise an alarm.
    """
    stack, rows = stack_of(), torch.cat([HELD_OUT, NEW])
    halved = method in ("neighbours", "mahalanobis")
    alarms = 0
    for trial in range(200):
        order = torch.randperm(1000, generator=torch.Generator().manual_seed(trial))
        used, new = order[: 78 if halved else 39], order[-1:]
        detector = AnomalyDetector(stack, method, random_state=trial).fit(rows[used])
        assert len(detector.calibration_) == 39
        alarms += int(detector.predict(rows[new], false_alarm=0.1)[0] == -1)
    assert binom.ppf(0.0005, 200, 0.1) <= alarms <= binom.ppf(0.9995, 200, 0.1)


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_another_kind_are_found(method):
    odd = torch.rand(300, 12, generator=torch.Generator().manual_seed(8)).round()
    detector = AnomalyDetector(stack_of(), method).fit(HELD_OUT, reference=TRAINED)
    assert (detector.predict(odd, false_alarm=0.05) == -1).mean() > 0.9
    assert (detector.predict(NEW, false_alarm=0.05) == -1).mean() < 0.1


def test_energy_finds_rows_that_an_rbm_holds_unlikely():
    trained, held_out = (TRAINED > 0.5).float(), (HELD_OUT > 0.5).float()
    stack = lw.pretrain(build(), trained, objective="rbm", epochs=60, learning_rate=0.1, random_state=0).stack
    detector = AnomalyDetector(stack, "energy").fit(held_out)
    assert (detector.predict(1 - held_out, false_alarm=0.05) == -1).mean() > 0.5


def test_the_reference_rows_are_no_part_of_the_calibration():
    stack, held_out = stack_of(), HELD_OUT[:101]
    assert len(AnomalyDetector(stack, "neighbours").fit(held_out).calibration_) == 51
    assert len(AnomalyDetector(stack, "neighbours").fit(held_out, reference=TRAINED[:30]).calibration_) == 101
    assert len(AnomalyDetector(stack, "reconstruction").fit(held_out).calibration_) == 101


def test_the_same_state_gives_the_same_numbers_and_another_another():
    stack, held_out, rows = stack_of(), HELD_OUT[:60], NEW[:9]

    def scores(state, method="denoising"):
        return AnomalyDetector(stack, method, random_state=state).fit(held_out).score_samples(rows)

    assert np.array_equal(scores(0), scores(0)) and not np.array_equal(scores(0), scores(1))
    assert np.array_equal(scores(3, "neighbours"), scores(3, "neighbours"))
    detector = AnomalyDetector(stack, "denoising").fit(held_out)
    assert np.array_equal(detector.score_samples(rows), detector.score_samples(rows))


def test_as_scikit_learn_has_it():
    detector = AnomalyDetector(stack_of(), ReconstructionError(1))
    with pytest.raises(NotFittedError):
        detector.predict(inputs())
    fitted = detector.fit(HELD_OUT[:50].numpy().astype(float))
    assert fitted is detector and clone(detector).get_params()["method"] == ReconstructionError(1)
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.score_samples(inputs()), fitted.score_samples(inputs()))


def test_what_is_no_number_is_stranger_than_any():
    detector = AnomalyDetector(stack_of(), "reconstruction").fit(HELD_OUT[:30])
    assert detector.score_samples(torch.full((1, 12), 3e38)).tolist() == [-np.inf]
    assert detector.p_values(torch.full((1, 12), 3e38)).tolist() == [1 / 31]


def test_misuse():
    stack = stack_of()
    detector = AnomalyDetector(stack, "reconstruction").fit(HELD_OUT[:30])
    for rate in (0.0, 1.0, -1.0):
        with pytest.raises(PlanError, match="expected a rate between 0 and 1"):
            detector.predict(inputs(), false_alarm=rate)
    with pytest.raises(PlanError, match="30 calibration rows raise no alarm at a rate below 1 in 31") as caught:
        detector.predict(inputs(), false_alarm=0.01)
    assert "99 rows or more" in caught.value.hint
    with pytest.raises(PlanError, match="method is 'neighbors'") as caught:
        AnomalyDetector(stack, "neighbors").fit(inputs())
    assert "'neighbours'" in caught.value.hint
    with pytest.raises(PlanError, match="need not be the gradient"):
        AnomalyDetector(stack, "energy").fit(inputs())
    with pytest.raises(DataError, match="there are 3 reference rows, expected 5 or more"):
        AnomalyDetector(stack, "neighbours").fit(inputs(), reference=inputs(3))
    with pytest.raises(DataError, match="row 0, column 0 is NaN"):
        detector.predict(torch.full((2, 12), torch.nan))
