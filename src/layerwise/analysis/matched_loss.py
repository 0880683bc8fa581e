"""Regularisation or optimisation: the test loss of both arms where their training loss is the same (Erhan et al. 2010).

A better start for the optimiser shows in a lower training loss. A regulariser shows in a lower test loss at the same
training loss, wherever the training loss ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ..intervals import Interval, mean_interval

LEVELS = 12


@dataclass(frozen=True)
class LossCurve:
    """Mean cross-entropy of the training rows and of the test rows at a run's checkpoints, in their order."""

    training: np.ndarray
    test: np.ndarray

    def __post_init__(self) -> None:
        shapes = np.shape(self.training), np.shape(self.test)
        if shapes[0] != shapes[1] or len(shapes[0]) != 1 or not shapes[0][0]:
            raise DataError(f"the losses have shapes {shapes[0]} and {shapes[1]}", "give both at every checkpoint")
        if not (np.asarray(self.training) > 0).all():
            raise DataError("a training loss is not above 0, so it has no logarithm", "give mean cross-entropies")


def at_training_loss(curve: LossCurve, levels: ArrayLike) -> np.ndarray:
    """Return a run's test loss when its training loss first reached each level.

    Between two checkpoints, the test loss is interpolated linearly in the logarithm of the training loss.

    Parameters
    ----------
    curve : LossCurve
        Of one run.
    levels : array, shape (n,)
        Training losses.

    Returns
    -------
    array, shape (n,)
        NaN where the run never got there, and where it began lower.

    Examples
    --------
    >>> curve = LossCurve(np.array([1.0, 0.1, 0.01]), np.array([1.0, 0.4, 0.6]))
    >>> at_training_loss(curve, [2.0, 1.0, 0.1**0.5, 0.01, 0.001]).round(3)
    array([nan, 1. , 0.7, 0.6, nan])
    """
    x, y = np.log(np.asarray(curve.training, dtype=np.float64)), np.asarray(curve.test, dtype=np.float64)
    found = []
    for level in np.log(np.asarray(levels, dtype=np.float64)):
        reached = np.flatnonzero(x <= level)
        if not len(reached) or (reached[0] == 0 and x[0] < level):
            found.append(math.nan)
            continue
        after = int(reached[0])
        before = max(after - 1, 0)
        share = (x[before] - level) / (x[before] - x[after]) if after else 0.0
        found.append(float(y[before] + share * (y[after] - y[before])))
    return np.array(found)


@dataclass(frozen=True)
class EqualLoss:
    """Both arms at equal training loss.

    Attributes
    ----------
    levels : tuple of float
        Training losses, from high to low.
    pretrained, random : tuple of float
        Mean test loss of each arm at each level.
    differences : tuple of Interval
        Of the test loss, pre-trained minus random, paired by seed, at each level.
    seeds : tuple of int
        The pairs in which both arms reached the level.
    lowest : dict of str to float
        By arm, the geometric mean of the lowest training loss of each run.
    ratio : Interval
        Of the lowest training loss, pre-trained over random, paired by seed; its interval is that of the logarithm.
    """

    levels: tuple[float, ...]
    pretrained: tuple[float, ...]
    random: tuple[float, ...]
    differences: tuple[Interval, ...]
    seeds: tuple[int, ...]
    lowest: dict[str, float]
    ratio: Interval

    @property
    def sentence(self) -> str:
        """Say what the lowest level and the lowest training losses speak for."""
        return f"{self._regularisation()} {self._optimisation()}"

    def _regularisation(self) -> str:
        found, level = self.differences[-1], self.levels[-1]
        where = f"At a training loss of {level:.2g}, the lowest level, the pre-trained arm's test loss is"
        ends = f"{self.seeds[-1]} seeds" + _ends(found.low, found.high, 3)
        if not found.sign:
            return f"{where} not clearly another ({found.mean:+.3f}; {ends}): no sign of regularisation there."
        lower = found.sign < 0
        meaning = "for" if lower else "against"
        word = "lower" if lower else "higher"
        return f"{where} {abs(found.mean):.3f} {word} ({ends}): that speaks {meaning} regularisation."

    def _optimisation(self) -> str:
        ratio = self.ratio
        where = f"The lowest training loss it reaches is {ratio.mean:.2f} times the random arm's"
        ends = _ends(ratio.low, ratio.high, 2).removeprefix(", ") or "a single seed"
        if ratio.low is None or ratio.high is None or ratio.low <= 1.0 <= ratio.high:
            return f"{where} ({ends}): no clear difference in optimisation."
        return f"{where} ({ends}): that speaks {'for' if ratio.mean < 1 else 'against'} better optimisation."


def equal_loss(
    pretrained: Sequence[LossCurve], random: Sequence[LossCurve], levels: ArrayLike | None = None
) -> EqualLoss:
    """Compare the test loss of two arms at equal training loss, paired by seed.

    Parameters
    ----------
    pretrained, random : sequence of LossCurve
        One run a seed, in the same order; two or more.
    levels : array, optional
        Training losses to compare at. None: 12 of them, spaced logarithmically over the range that every run passed
        through, so that the last is the lowest that all of them reached.

    Returns
    -------
    EqualLoss
        Without the levels that fewer than two pairs reached.

    Raises
    ------
    DataError
        When the arms have different numbers of runs, or there is no level that two pairs reached.

    References
    ----------
    Erhan, Bengio, Courville, Manzagol, Vincent and Bengio (2010), section 7.2.

    Examples
    --------
    >>> losses = np.geomspace(2.0, 0.01, 20)
    >>> random = [LossCurve(losses, losses + shift) for shift in (0.30, 0.31, 0.32)]
    >>> pretrained = [LossCurve(losses, losses + shift) for shift in (0.20, 0.20, 0.23)]
    >>> print(equal_loss(pretrained, random).sentence)  # doctest: +NORMALIZE_WHITESPACE
    At a training loss of 0.01, the lowest level, the pre-trained arm's test loss is 0.100 lower (3 seeds, 95 % interval
    -0.125 to -0.075): that speaks for regularisation. The lowest training loss it reaches is 1.00 times the random
    arm's (95 % interval 1.00 to 1.00): no clear difference in optimisation.
    """
    if len(pretrained) != len(random) or len(random) < 2:
        raise DataError(
            f"the arms have {len(pretrained)} and {len(random)} runs, expected the same two or more seeds of both",
            "give both arms of every seed",
        )
    chosen = np.asarray(_common([*pretrained, *random]) if levels is None else levels, dtype=np.float64)
    here, there = (np.array([at_training_loss(curve, chosen) for curve in arm]) for arm in (pretrained, random))
    kept = np.isfinite(here - there)
    used = [number for number in range(len(chosen)) if kept[:, number].sum() >= 2]
    if not used:
        raise DataError(
            "there is no training loss that two seeds reached in both arms", "train longer, or give levels that were"
        )
    lowest = {name: [float(np.min(curve.training)) for curve in arm]
              for name, arm in (("pretrained", pretrained), ("random", random))}  # fmt: skip
    logs = {name: np.log(values) for name, values in lowest.items()}
    return EqualLoss(
        levels=tuple(float(chosen[number]) for number in used),
        pretrained=tuple(float(here[kept[:, number], number].mean()) for number in used),
        random=tuple(float(there[kept[:, number], number].mean()) for number in used),
        differences=tuple(mean_interval((here - there)[kept[:, number], number]) for number in used),
        seeds=tuple(int(kept[:, number].sum()) for number in used),
        lowest={name: float(np.exp(values.mean())) for name, values in logs.items()},
        ratio=_exponential(mean_interval(logs["pretrained"] - logs["random"])),
    )


def _exponential(found: Interval) -> Interval:
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return Interval(math.exp(found.mean), low, high, found.p_value)


def _common(curves: Sequence[LossCurve]) -> np.ndarray:
    """Return levels over the range of training losses that every run passed through, from high to low."""
    highest = min(float(curve.training[0]) for curve in curves)
    lowest = max(float(np.min(curve.training)) for curve in curves)
    if lowest >= highest:
        raise DataError(
            f"a run never gets below a training loss of {lowest:.3g}, where others start at {highest:.3g} or less",
            "train it longer, or give levels: seeds in which an arm does not reach one are then left out of it",
        )
    levels = np.geomspace(highest, lowest, LEVELS)
    levels[0], levels[-1] = highest, lowest  # rounding must not put the ends out of reach
    return levels


def _ends(low: float | None, high: float | None, places: int) -> str:
    return "" if low is None or high is None else f", 95 % interval {low:.{places}f} to {high:.{places}f}"
