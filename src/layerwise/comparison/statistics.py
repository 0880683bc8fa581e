"""How sure a measured gain is: intervals over seeds and test rows, and how much sooner an arm converges.

A seed redraws labels, initial weights and batch order, but every seed is tested on the same rows. The spread
over seeds therefore says nothing about how lucky those rows are, and an interval must carry both errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from ..errors import DataError

FEWEST_SEEDS = 3  # two differences give a t interval 13 standard deviations wide: no verdict from that


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, all in the units of what was measured.

    `se_seeds` and `se_rows` are the standard errors over seeds and over test rows.
    """

    mean: float
    low: float
    high: float
    p_value: float
    se_seeds: float = 0.0
    se_rows: float = 0.0


@dataclass(frozen=True)
class Gain:
    """What pre-training gained at one label budget, in percent of the test rows.

    `low`, `high` and `p_value` are None below 3 seeds. `wins` counts the seeds whose pre-trained arm errs
    less (a tie is no win).
    """

    pretrained_error: float
    random_error: float
    gain: float
    low: float | None
    high: float | None
    wins: int
    pretrained_errors: list[float]
    random_errors: list[float]
    p_value: float | None
    se_seeds: float
    se_rows: float
    test_rows: int

    def fields(self) -> dict[str, object]:
        """Return what `results.json` holds of it."""
        return {k: v for k, v in asdict(self).items() if k not in ("se_seeds", "se_rows", "test_rows")}


def half_width(se_seeds: float, se_rows: float, seeds: int, confidence: float = 0.95) -> float:
    """Return the interval's half-width: sqrt((t * se_seeds)^2 + (z * se_rows)^2), t with seeds - 1 degrees.

    Examples
    --------
    >>> round(half_width(1.0, 0.0, seeds=5), 3), round(half_width(0.0, 1.0, seeds=5), 3)
    (2.776, 1.96)
    """
    return _half_width(se_seeds, se_rows, seeds, 1 - confidence)


def paired_interval(
    differences: ArrayLike, row_differences: ArrayLike | None = None, confidence: float = 0.95
) -> Interval:
    r"""Interval of a mean paired difference over seeds, widened by the error of the shared test rows.

    .. math:: \bar d \pm \sqrt{(t_{S-1}\, s_d/\sqrt S)^2 + (z\, s_r/\sqrt R)^2}

    Parameters
    ----------
    differences : array, shape (S,)
        One paired difference per seed, at least two.
    row_differences : array, shape (R,), optional
        The differences of single test rows averaged over the seeds, in the same units. Without them the
        interval is the paired t interval.
    confidence : float
        Of the two-sided interval.

    Returns
    -------
    Interval
        `p_value` is the smallest 1 - confidence at which the interval excludes 0.

    Raises
    ------
    DataError
        With fewer than two differences.

    Examples
    --------
    >>> interval = paired_interval([2.0, 1.0, 3.0])
    >>> print(f"{interval.mean:.2f} {interval.low:.2f} {interval.high:.2f} {interval.p_value:.3f}")
    2.00 -0.48 4.48 0.074
    """
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2:
        raise DataError(f"an interval needs at least 2 seeds, found {len(d)}", "run more seeds")
    return _interval(d, _standard_error(row_differences), confidence)


def gain(random_wrong: ArrayLike, pretrained_wrong: ArrayLike, confidence: float = 0.95) -> Gain:
    """Measure what pre-training gained from which test rows each arm got wrong.

    The error over test rows is never taken to be less than that of a single row: on 30 rows that both arms
    get right, the gain is 0, but not 0 give or take nothing.

    Parameters
    ----------
    random_wrong, pretrained_wrong : array of bool, shape (S, R)
        Per seed and test row, whether the arm's prediction is wrong. All seeds share the rows.

    Raises
    ------
    DataError
        When the two have different shapes, or no seed or row.

    Examples
    --------
    >>> found = gain([[True, True, False, False]] * 3, [[True, False, False, False]] * 3)
    >>> found.random_error, found.pretrained_error, found.gain, found.wins
    (50.0, 25.0, 25.0, 3)
    """
    random, pretrained = np.asarray(random_wrong, dtype=bool), np.asarray(pretrained_wrong, dtype=bool)
    if random.shape != pretrained.shape or random.ndim != 2 or not random.size:
        raise DataError(
            f"the wrong rows have shapes {random.shape} and {pretrained.shape}, not equal (seeds, rows)",
            "test both arms of every seed on the same rows",
        )
    seeds, rows = random.shape
    errors = 100 * random.mean(axis=1), 100 * pretrained.mean(axis=1)
    # From whole counts, so that a tie is exactly 0.
    differences = 100 * (random.sum(axis=1) - pretrained.sum(axis=1)) / rows
    by_row = 100 * (random.mean(axis=0) - pretrained.mean(axis=0))
    se_rows = max(_standard_error(by_row), 100 / rows)
    interval = _interval(differences, se_rows, confidence) if seeds >= FEWEST_SEEDS else None
    return Gain(
        pretrained_error=float(errors[1].mean()),
        random_error=float(errors[0].mean()),
        gain=float(differences.mean()),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        wins=int((differences > 0).sum()),
        pretrained_errors=errors[1].tolist(),
        random_errors=errors[0].tolist(),
        p_value=interval.p_value if interval else None,
        se_seeds=interval.se_seeds if interval else 0.0,
        se_rows=se_rows,
        test_rows=rows,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for having asked several questions (Holm 1979), in the order given.

    With m values in rising order, the k-th (k = 0, 1, ...) becomes the largest of (m - j) p_j over j <= k, at
    most 1.

    Examples
    --------
    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return [float(value) for value in adjusted]


def _standard_error(values: ArrayLike | None) -> float:
    v = np.asarray([] if values is None else values, dtype=np.float64)
    # Rounding leaves equal values a spread of 1e-17 that would pass for a measured one.
    if len(v) < 2 or np.ptp(v) == 0:
        return 0.0
    return float(v.std(ddof=1) / math.sqrt(len(v)))


def _interval(differences: np.ndarray, se_rows: float, confidence: float) -> Interval:
    mean, se_seeds, seeds = float(differences.mean()), _standard_error(differences), len(differences)
    half = _half_width(se_seeds, se_rows, seeds, 1 - confidence)
    return Interval(mean, mean - half, mean + half, _p_value(abs(mean), se_seeds, se_rows, seeds), se_seeds, se_rows)


def _half_width(se_seeds: float, se_rows: float, seeds: int, alpha: float) -> float:
    t, z = -special.stdtrit(seeds - 1, alpha / 2), -special.ndtri(alpha / 2)
    return math.hypot(t * se_seeds, z * se_rows)


def _p_value(distance: float, se_seeds: float, se_rows: float, seeds: int) -> float:
    """Solve half-width(alpha) = distance from 0 for alpha, on a logarithmic scale: it may be 1e-50."""
    if distance == 0:
        return 1.0

    def excess(log_alpha: float) -> float:
        return _half_width(se_seeds, se_rows, seeds, math.exp(log_alpha)) - distance

    smallest = -300.0  # 1e-130; scipy finds no t quantile much further out, and nobody needs one
    return 0.0 if excess(smallest) < 0 else math.exp(optimize.brentq(excess, smallest, 0.0, xtol=1e-10))
