"""A mean over seeds, chains or whatever else is independent, with its confidence interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .errors import DataError

ROUNDING = 1e-14


@dataclass(frozen=True)
class Interval:
    """A mean with the interval of Student's t: ``low`` and ``high`` are None with a single value."""

    mean: float
    low: float | None
    high: float | None
    p_value: float | None = None

    @property
    def sign(self) -> int:
        """Return 1 or -1 where the whole interval lies above or below 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    r"""Return the mean of values over seeds with its t interval; of paired differences, the paired t interval.

    .. math:: \bar x \pm t_{n-1}\, s / \sqrt n

    It speaks of other seeds on the same rows, not of other test rows.

    Parameters
    ----------
    values : array, shape (seeds,)
        One value, or one difference, for each seed.
    confidence : float
        Of the two-sided interval.

    Raises
    ------
    DataError
        When there is no value.

    Examples
    --------
    >>> found = mean_interval([2.0, 1.0, 3.0])
    >>> print(f"{found.mean:.2f} {found.low:.2f} {found.high:.2f} {found.p_value:.3f}")
    2.00 -0.48 4.48 0.074
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise DataError(f"a mean over seeds needs values, found shape {x.shape}", "give one value for each seed")
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, None, None)
    if np.ptp(x) <= ROUNDING * abs(mean):  # equal but for rounding: scipy would divide by it
        return Interval(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    test = stats.ttest_1samp(x, 0.0)
    ends = test.confidence_interval(confidence)
    return Interval(mean, float(ends.low), float(ends.high), float(test.pvalue))
