"""How much a test error differs from seed to seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ..errors import DataError
from ..intervals import mean_interval


@dataclass(frozen=True)
class Spread:
    """The distribution of one arm's errors over seeds, all in the errors' unit.

    ``low`` to ``high`` is the t interval of the mean; ``std_low`` to ``std_high`` is the chi-squared interval of the
    standard deviation, which holds for errors that are normal over seeds; ``quartiles`` are the lower one, the median
    and the upper one.
    """

    seeds: int
    mean: float
    low: float
    high: float
    std: float
    std_low: float
    std_high: float
    quartiles: tuple[float, float, float]


@dataclass(frozen=True)
class SpreadTest:
    """Whether two arms' errors spread alike over seeds.

    ``ratio`` is the second's standard deviation as a multiple of the first's, None where the first has none;
    ``statistic`` and ``p_value`` are Brown and Forsythe's.
    """

    ratio: float | None
    statistic: float
    p_value: float


def spread(errors: ArrayLike, confidence: float = 0.95) -> Spread:
    r"""Summarise one arm's errors over seeds.

    .. math:: s \sqrt{(n-1) / \chi^2_{n-1,\,1-\alpha/2}} \le \sigma \le s \sqrt{(n-1) / \chi^2_{n-1,\,\alpha/2}}

    Parameters
    ----------
    errors : array, shape (seeds,)
        One error a seed, three or more.
    confidence : float
        Of both two-sided intervals.

    Raises
    ------
    DataError
        With fewer than three seeds.

    Examples
    --------
    >>> found = spread([8.0, 9.0, 10.0, 13.0])
    >>> found.mean, round(found.std, 3), round(found.std_low, 3), round(found.std_high, 3), found.quartiles
    (10.0, 2.16, 1.224, 8.055, (8.75, 9.5, 10.75))
    """
    x = _checked(errors)
    over, std = len(x) - 1, float(x.std(ddof=1))
    tail = (1 - confidence) / 2
    mean = mean_interval(x, confidence)
    assert mean.low is not None and mean.high is not None
    lower, middle, upper = (float(value) for value in np.quantile(x, [0.25, 0.5, 0.75]))
    return Spread(
        len(x), mean.mean, mean.low, mean.high, std,
        std * math.sqrt(over / float(stats.chi2.ppf(1 - tail, over))),
        std * math.sqrt(over / float(stats.chi2.ppf(tail, over))),
        (lower, middle, upper),
    )  # fmt: skip


def equal_spreads(first: ArrayLike, second: ArrayLike) -> SpreadTest:
    """Test whether two arms' errors spread alike, by absolute deviations from the medians.

    Parameters
    ----------
    first, second : array, shape (seeds,)
        Errors of each arm.

    Raises
    ------
    DataError
        With fewer than three seeds in an arm.

    References
    ----------
    Brown and Forsythe (1974), Robust tests for the equality of variances. It holds for errors that are not normal.

    Examples
    --------
    >>> found = equal_spreads([8.0, 8.1, 8.2, 8.3, 8.4], [8.0, 9.0, 10.0, 11.0, 12.0])
    >>> round(found.ratio, 6), round(found.p_value, 3)
    (10.0, 0.021)
    """
    a, b = _checked(first), _checked(second)
    if np.ptp(a) == 0 and np.ptp(b) == 0:  # scipy would divide 0 by 0
        return SpreadTest(None, 0.0, 1.0)
    found = stats.levene(a, b, center="median")
    ratio = float(b.std(ddof=1) / a.std(ddof=1)) if np.ptp(a) else None
    return SpreadTest(ratio, float(found.statistic), float(found.pvalue))


def _checked(errors: ArrayLike) -> np.ndarray:
    x = np.asarray(errors, dtype=np.float64)
    if x.ndim != 1 or len(x) < 3:
        raise DataError(f"a spread over seeds needs three errors or more, found shape {x.shape}", "run more seeds")
    return x
