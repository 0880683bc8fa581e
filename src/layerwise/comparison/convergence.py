"""How much sooner an arm converges: updates and seconds until each first reaches the random arm's best error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .statistics import FEWEST_SEEDS, paired_interval


@dataclass(frozen=True)
class Curve:
    """Validation error (percent) of one fit after so many updates and training seconds, from update 0 on."""

    updates: Sequence[int]
    seconds: Sequence[float]
    errors: Sequence[float]


def first_reach(updates: Sequence[float], errors: Sequence[float], threshold: float) -> tuple[float, bool]:
    """Return the first update whose error is at most the threshold, and True; else the last one and False.

    Examples
    --------
    >>> first_reach([0, 100, 200], [90.0, 12.0, 8.0], 12.0)
    (100, True)
    >>> first_reach([0, 100, 200], [90.0, 12.0, 8.0], 7.0)
    (200, False)
    """
    for update, error in zip(updates, errors, strict=True):
        if error <= threshold:
            return update, True
    return updates[-1], False


def convergence(
    random: Sequence[Curve],
    pretrained: Sequence[Curve],
    pretraining_seconds: Sequence[float],
    *,
    labels: int,
    rows: int,
    measured_on: str,
) -> dict[str, object]:
    """Compare how soon each arm first reaches the random arm's best validation error of that seed.

    A pre-trained arm that never does counts with its last update, the least it can have needed; its saving is
    then an upper bound. Hence the statement: "converges faster" when the interval of the updates saved lies
    above 0 and every pre-trained arm got there; "converges no faster" when the interval does not reach above
    0, even with those upper bounds; else, and below 3 seeds, "cannot tell". A mean below 0 alone proves
    nothing and is no statement.

    Parameters
    ----------
    random, pretrained : sequence of Curve
        One per seed, paired.
    pretraining_seconds : sequence of float
        What pre-training cost each seed.
    labels, rows, measured_on : int, int, str
        The label budget, the number of monitored rows, and which rows they are, in words.

    Returns
    -------
    dict
        The `convergence` entry of `results.json`.

    Examples
    --------
    >>> slow = [Curve([0, 10, 20], [0.0, 1.0, 2.0], [90.0, 50.0, 40.0])] * 3
    >>> quick = [Curve([0, 10, 20], [0.0, 1.0, 2.0], [90.0, 40.0, 30.0])] * 3
    >>> found = convergence(slow, quick, [5.0] * 3, labels=100, rows=50, measured_on="other rows")
    >>> found["statement"], found["updates_saved"]
    ('converges faster', {'mean': 10.0, 'low': 10.0, 'high': 10.0})
    """
    best = [float(np.nanmin(curve.errors)) for curve in random]
    own = [_reach(curve, threshold) for curve, threshold in zip(random, best, strict=True)]
    other = [_reach(curve, threshold) for curve, threshold in zip(pretrained, best, strict=True)]
    with_cost = [s + cost for (_, s, _), cost in zip(other, pretraining_seconds, strict=True)]
    reached = [r for _, _, r in other]
    updates_saved = _saving([u for u, _, _ in own], [u for u, _, _ in other])
    return {
        "labels": labels,
        "rows": rows,
        "measured_on": measured_on,
        "random_best_errors": best,
        "pretrained_updates": [u for u, _, _ in other],
        "random_updates": [u for u, _, _ in own],
        "pretrained_reached": reached,
        "pretrained_seconds": [s for _, s, _ in other],
        "random_seconds": [s for _, s, _ in own],
        "pretrained_seconds_with_pretraining": with_cost,
        "updates_saved": updates_saved,
        "seconds_saved": _saving([s for _, s, _ in own], [s for _, s, _ in other]),
        "seconds_saved_with_pretraining": _saving([s for _, s, _ in own], with_cost),
        "statement": _statement(updates_saved["low"], updates_saved["high"], all(reached)),
    }


def _reach(curve: Curve, threshold: float) -> tuple[int, float, bool]:
    positions = range(len(curve.updates))
    position, reached = first_reach(positions, curve.errors, threshold)
    return int(curve.updates[int(position)]), float(curve.seconds[int(position)]), reached


def _saving(random: Sequence[float], pretrained: Sequence[float]) -> dict[str, float | None]:
    differences = np.subtract(random, pretrained, dtype=np.float64)
    if len(differences) < FEWEST_SEEDS:
        return {"mean": float(differences.mean()), "low": None, "high": None}
    interval = paired_interval(differences)
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _statement(low: float | None, high: float | None, all_reached: bool) -> str:
    if low is None or high is None:
        return "cannot tell"
    if low > 0 and all_reached:
        return "converges faster"
    return "converges no faster" if high <= 0 else "cannot tell"
