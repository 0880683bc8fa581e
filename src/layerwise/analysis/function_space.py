"""Whether two arms' networks lie in one region of function space or in two, in numbers: pictures can mislead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist, squareform
from scipy.stats import permutation_test
from sklearn.metrics import silhouette_score

from ..errors import DataError

RESAMPLES = 9999


@dataclass(frozen=True)
class Regions:
    """How two arms' networks lie to each other.

    Attributes
    ----------
    within : dict of str to float
        By arm, the mean distance between two of its networks.
    between : float
        The mean distance between networks of different arms.
    purity : float
        The share of networks whose nearest other is of their own arm: 1 where the regions are apart.
    chance : float
        The purity to expect if the arms did not matter.
    silhouette : float
        Mean silhouette of the arms as clusters: near 1 apart, 0 as close as together, below 0 mixed.
    p_value : float or None
        Of the difference between the two ``within``, by swapping the arms of each seed; None where the arms are not
        paired.
    """

    within: dict[str, float]
    between: float
    purity: float
    chance: float
    silhouette: float
    p_value: float | None = None


def regions(points: ArrayLike, arms: Sequence[str], random_state: int = 0, *, paired: bool = False) -> Regions:
    """Measure how the networks of two arms lie to each other in function space.

    Parameters
    ----------
    points : array, shape (n, features)
        One row a network, as `function_points` gives them.
    arms : sequence of str
        The arm of each; two different ones, two or more networks of each.
    random_state : int
        Of the swaps.
    paired : bool
        Whether the k-th network of each arm belongs to one seed: then the difference of the arms' spread is tested by
        swapping arms within seeds (at most 9,999 random swaps, all of them where there are fewer).

    Returns
    -------
    Regions
        Euclidean distances.

    Raises
    ------
    DataError
        When there are not two arms of two or more networks each.

    References
    ----------
    Rousseeuw (1987), for the silhouette.

    Examples
    --------
    >>> found = regions([[0.0], [1.0], [10.0], [13.0]], ["a", "a", "b", "b"])
    >>> found.within, found.between, found.purity, round(found.silhouette, 3)
    ({'a': 1.0, 'b': 3.0}, 11.0, 1.0, 0.816)
    """
    table, names = np.asarray(points, dtype=np.float64), np.asarray(arms)
    kinds, counts = np.unique(names, return_counts=True)
    if len(table) != len(names) or len(kinds) != 2 or counts.min() < 2:
        raise DataError(
            f"{len(table)} points of the arms {dict(zip(kinds.tolist(), counts.tolist(), strict=True))}",
            "give two arms of two or more networks each, and the arm of every point",
        )
    distance = squareform(pdist(table))
    first, second = (np.flatnonzero(names == kind) for kind in kinds)
    nearest = (distance + np.diag(np.full(len(table), np.inf))).argmin(1)
    same = [(count - 1) / (len(names) - 1) for count in counts]
    return Regions(
        within={str(kind): _within(distance, names == kind) for kind in kinds},
        between=float(distance[np.ix_(first, second)].mean()),
        purity=float((names[nearest] == names).mean()),
        chance=float(np.average(same, weights=counts)),
        silhouette=float(silhouette_score(distance, names, metric="precomputed")),
        p_value=_swapped(distance, first, second, random_state) if paired else None,
    )


def _within(distance: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean distance between two of the chosen points, by mask or by number."""
    own = distance[np.ix_(chosen, chosen)]
    return float(own[np.triu_indices(len(own), 1)].mean())


def _swapped(distance: np.ndarray, first: np.ndarray, second: np.ndarray, random_state: int) -> float:
    if len(first) != len(second):
        raise DataError(
            f"the arms have {len(first)} and {len(second)} networks, so they are not paired by seed",
            "leave paired out, or give both arms of every seed",
        )

    def difference(a: np.ndarray, b: np.ndarray) -> float:
        return _within(distance, a) - _within(distance, b)

    found = permutation_test(
        (first, second), difference, permutation_type="samples", vectorized=False, n_resamples=RESAMPLES,
        rng=np.random.default_rng(random_state),
    )  # fmt: skip
    return float(found.pvalue)
