"""What a random search of fewer trials would have found: the best of k, over all ways to draw them from those made."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln


def expected_best(errors: Sequence[float | None], share: float = 0.9) -> list[tuple[int, float, float, float]]:
    r"""Return for k = 1, 2, ... the mean of the smallest of k errors, and the ends of its middle ``share``.

    With the n errors in rising order, the smallest of k drawn without replacement is the i-th (from 0) with probability

    .. math:: \binom{n - 1 - i}{k - 1} \Big/ \binom{n}{k}

    Parameters
    ----------
    errors : sequence of float or None
        Of trials drawn alike and independently. None, a trial without a result, is worse than all others; the mean is
        over the draws with a result.
    share : float
        Of the interval.

    References
    ----------
    Bergstra and Bengio (2012), Random search for hyper-parameter optimization, whose curves of random experiment
    efficiency show the same distribution.

    Examples
    --------
    >>> [(k, round(mean, 2)) for k, mean, _, _ in expected_best([3.0, 1.0, 2.0])]
    [(1, 2.0), (2, 1.33), (3, 1.0)]
    """
    ordered = np.sort(np.array([math.inf if error is None else error for error in errors], dtype=float))
    finite, n = int(np.isfinite(ordered).sum()), len(ordered)
    if not finite:
        return []
    found = []
    places = np.arange(n)
    for k in range(1, n + 1):
        left = n - 1 - places
        with np.errstate(invalid="ignore"):
            chance = np.where(left >= k - 1, np.exp(_log_choose(left, k - 1) - _log_choose(n, k)), 0.0)
        below = np.cumsum(chance)
        low, high = (ordered[min(int(np.searchsorted(below, end - 1e-12)), finite - 1)] for end in _ends(share))
        mean = float(np.sum(chance[:finite] * ordered[:finite]) / np.sum(chance[:finite]))
        found.append((k, mean, float(low), float(high)))
    return found


def _ends(share: float) -> tuple[float, float]:
    return (1 - share) / 2, (1 + share) / 2


def _log_choose(n: np.ndarray | int, k: int) -> np.ndarray:
    found: np.ndarray = gammaln(np.asarray(n) + 1.0) - gammaln(k + 1.0) - gammaln(np.asarray(n) - k + 1.0)
    return found
