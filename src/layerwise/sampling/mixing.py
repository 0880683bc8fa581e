r"""How well chains mix, as numbers: the effective sample size, and how many classes are visited.

A chain that mixes goes everywhere its distribution is, and soon; one that does not stays near where it is, however long
it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import fft

from ..errors import DataError, PlanError
from ..intervals import Interval, mean_interval


def effective_sample_size(values: Any) -> float:
    r"""Return how many independent draws the visits of chains are worth, by one number of each visit.

    .. math::
        n_\text{eff} = \frac{m n}{-1 + 2 \sum_{k} P_k}, \qquad P_k = \rho_{2k} + \rho_{2k+1}, \qquad
        \rho_t = 1 - \frac{W - \frac1m \sum_j s_j^2 \rho_{t, j}}{V}

    for m chains of n visits, with W the mean variance within chains and V their pooled variance, which holds that
    between chains too: chains that have not met count little. Sums of pairs of autocorrelations are positive and fall
    (Geyer 1992); they are followed as long as they are positive, and no further up than they have been.

    Parameters
    ----------
    values : array, shape (chains, visits)
        One number of each visit, for example the probability of a class; 4 visits or more.

    Returns
    -------
    float
        At most m n log10(m n); NaN where nothing ever moves.

    Raises
    ------
    DataError
        When the values have another shape, are too few or not finite.

    References
    ----------
    Geyer (1992), Practical Markov chain Monte Carlo. Gelman et al. (2013), Bayesian data analysis, section 11.5.

    Examples
    --------
    >>> independent = np.random.default_rng(0).normal(size=(4, 1000))
    >>> 3000 < effective_sample_size(independent) < 5000
    True
    """
    values = _chains(values, least=4)
    chains, visits = values.shape
    centred = values - values.mean(1, keepdims=True)
    spectrum = fft.rfft(centred, n=fft.next_fast_len(2 * visits), axis=1)
    covariance = fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :visits] / visits
    within = covariance[:, 0].mean() * visits / (visits - 1)
    between = values.mean(1).var(ddof=1) if chains > 1 else 0.0
    pooled = within * (visits - 1) / visits + between
    if pooled == 0.0:
        return float("nan")
    correlation = 1 - (within - covariance.mean(0) * visits / (visits - 1)) / pooled
    correlation[0] = 1.0
    pairs = correlation[: visits // 2 * 2].reshape(-1, 2).sum(1)
    positive = pairs[: int(np.argmax(pairs <= 0))] if (pairs <= 0).any() else pairs
    time = -1 + 2 * np.minimum.accumulate(positive).sum()
    total = chains * visits
    # a chain that swings to and fro is worth more than its visits, but not without bound
    return float(min(total / time, total * np.log10(total))) if time > 0 else float(total * np.log10(total))


def classes_visited(rows: Any, classify: Callable[[Any], Any], transitions: int = 100) -> Interval:
    """Return how many different classes a chain visits in so many transitions: the mean over independent chains.

    Parameters
    ----------
    rows : array or tensor, shape (chains, visits, features ...)
        Successive visits of each chain, thinned by 1: `Samples.by_chain`. Whole stretches of ``transitions`` visits are
        counted, and averaged within each chain first.
    classify : callable
        Maps rows (n, features ...) to the class of each, (n,).
    transitions : int
        Length of a stretch.

    Raises
    ------
    PlanError
        When the chains are shorter than a stretch.

    Examples
    --------
    >>> visits = np.array([[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])[..., None]
    >>> classes_visited(visits, lambda rows: rows[:, 0], transitions=4).mean
    3.0
    """
    chains, visits = rows.shape[:2]
    stretches = visits // transitions if transitions > 0 else 0
    if stretches == 0:
        raise PlanError(f"{visits} visits, fewer than the {transitions} transitions of a stretch", "run longer chains")
    classes = np.asarray(classify(rows.reshape(chains * visits, *rows.shape[2:]))).reshape(chains, visits)
    parts = np.sort(classes[:, : stretches * transitions].reshape(chains, stretches, transitions), axis=2)
    return mean_interval((1 + (np.diff(parts, axis=2) != 0).sum(2)).mean(1))


def burn_in(noise: Any, data: Any) -> int | None:
    """Return the transitions after which chains started from noise look like chains started from data.

    That is the first transition from which on, to the end, the median over the chains from noise lies within the middle
    half of the values of the chains from data: the quartiles of all their visits. Once both have met, the median of 30
    independent chains leaves that range by chance once in 400 visits, that of 100 chains hardly ever.

    Parameters
    ----------
    noise, data : array, shapes (chains, visits)
        One number of each visit, for example the distance to the nearest row of the data. Of chains from noise the
        start, before any transition, is visit 0; of chains from data take visits after they too have left their starts.

    Returns
    -------
    int or None
        None when the chains from noise never arrive.

    Raises
    ------
    DataError
        When the values have another shape or are not finite.

    Examples
    --------
    >>> falling, level = np.array([[9.0, 5.0, 1.0, 1.0]] * 3), np.array([[0.0] * 4, [1.0] * 4, [2.0] * 4])
    >>> burn_in(falling, level)
    2
    """
    low, high = np.quantile(_chains(data), [0.25, 0.75])
    median = np.median(_chains(noise), axis=0)
    outside = np.flatnonzero((median < low) | (median > high))
    arrived = int(outside[-1]) + 1 if len(outside) else 0
    return arrived if arrived < len(median) else None


def _chains(values: Any, least: int = 1) -> np.ndarray:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or found.shape[0] < 1 or found.shape[1] < least:
        raise DataError(
            f"values have shape {found.shape}, expected (chains, visits) with {least} visits or more",
            "give one number for each visit of each chain",
        )
    if not np.isfinite(found).all():
        raise DataError("values hold numbers that are not finite", "look at the rows they were made from")
    return found
