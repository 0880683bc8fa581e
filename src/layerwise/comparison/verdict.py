"""From an interval to one of four answers, and a sentence that says no more than was measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import PlanError
from .statistics import FEWEST_SEEDS, half_width

WORTH_IT = "WORTH IT"
DO_NOT = "DO NOT PRE-TRAIN"
CANNOT_TELL = "CANNOT TELL"
NO_VERDICT = "NO VERDICT"

FIRM_FROM = 5  # seeds; below, the verdict is preliminary
MOST_SEEDS = 100  # needing more than this is the same as never settling
MOST_ROWS = 100  # times the test rows there are, likewise
SCOPE = "this holds for this data, network and settings only"


@dataclass(frozen=True)
class Verdict:
    """Whether pre-training helps; `needed`, {"seeds": n} or {"test_rows": n}, is what would settle it."""

    verdict: str
    harmful: bool
    preliminary: bool
    explanation: str
    needed: dict[str, int] | None


def decide(
    gain: float,
    low: float | None,
    high: float | None,
    *,
    seeds: int,
    min_gain: float,
    se_seeds: float = 0.0,
    se_rows: float = 0.0,
    test_rows: int = 0,
    labels: int | None = None,
    control: bool = False,
) -> Verdict:
    """Judge a gain in test error by its interval.

    WORTH IT when the interval lies above 0 and the gain is at least `min_gain`; DO NOT PRE-TRAIN when the
    whole interval lies below `min_gain`, harmful when it lies below 0; CANNOT TELL otherwise; NO VERDICT
    below 3 seeds.

    Parameters
    ----------
    gain, low, high : float
        Mean gain and its interval, in points of test error; `low` and `high` may be None below 3 seeds.
    seeds : int
        Number of paired runs; with 3 or 4 the verdict is preliminary.
    min_gain : float
        The smallest gain worth having, in points, at least 0.
    se_seeds, se_rows, test_rows : float, float, int
        The two standard errors and the number of test rows, from which `needed` is estimated.
    labels : int, optional
        The label budget, for the explanation.
    control : bool
        Whether both arms were random.

    Raises
    ------
    PlanError
        When `min_gain` is negative or not a number.

    Examples
    --------
    >>> found = decide(2.1, 1.6, 2.6, seeds=5, min_gain=0.5, labels=1000)
    >>> found.verdict
    'WORTH IT'
    >>> print(found.explanation.split("; ")[0][-73:])
    (95 % interval 1.60 to 2.60, 5 seeds), at least the 0.50 points asked for
    """
    if not 0 <= min_gain < math.inf:
        raise PlanError(
            f"min_gain is {min_gain}, expected 0 or more points of test error",
            "give for example min_gain=0.5",
        )
    if seeds < FEWEST_SEEDS or low is None or high is None:
        return _no_verdict(gain, seeds, labels, control)
    needed: dict[str, int] | None = None
    if low > 0 and gain >= min_gain:
        verdict, why = WORTH_IT, f"at least the {min_gain:.2f} points asked for"
    elif high < min_gain:
        verdict, why = DO_NOT, f"all of it below the {min_gain:.2f} points asked for"
        why = "all of it below 0: it did harm" if high < 0 else why
    else:
        verdict = CANNOT_TELL
        needed = what_settles(gain, seeds, min_gain, se_seeds, se_rows, test_rows)
        why = _open_question(gain, low, min_gain, needed)
    interval = f"95 % interval {_number(low)} to {_number(high)}, {seeds} seeds"
    if control and (low > 0 or high < 0):
        why = "all of it on one side of 0: a false alarm"
    preliminary = seeds < FIRM_FROM
    why += " (preliminary)" if preliminary else ""
    return Verdict(
        verdict=verdict,
        harmful=verdict == DO_NOT and high < 0,
        preliminary=preliminary,
        explanation=_sentence(gain, interval, why, labels, control),
        needed=needed,
    )


def what_settles(
    gain: float, seeds: int, min_gain: float, se_seeds: float, se_rows: float, test_rows: int
) -> dict[str, int] | None:
    """Estimate the seeds or the test rows that would turn CANNOT TELL into an answer, were the gain to stay.

    The half-width must shrink below the gain itself where that is at least `min_gain` (the interval then lies
    above 0), else below its distance from `min_gain`. Whichever error dominates is tried first, the other
    kept as it is; both shrink with the square root of what there is more of.

    Returns
    -------
    dict or None
        {"seeds": n} or {"test_rows": n}; None when neither alone, up to 100 seeds or 100 times the rows,
        would do, or the errors are not known.

    Examples
    --------
    >>> what_settles(1.0, 5, 0.5, se_seeds=0.5, se_rows=0.1, test_rows=10_000)
    {'seeds': 8}
    >>> what_settles(1.0, 5, 0.5, se_seeds=0.05, se_rows=0.6, test_rows=1_000)
    {'test_rows': 1500}
    """
    if se_seeds == se_rows == 0:
        return None
    target = gain if gain >= min_gain else min_gain - gain
    spread = se_seeds * math.sqrt(seeds)

    def enough_seeds() -> dict[str, int] | None:
        for n in range(seeds + 1, MOST_SEEDS + 1):
            if half_width(spread / math.sqrt(n), se_rows, n) < target:
                return {"seeds": n}
        return None

    def enough_rows() -> dict[str, int] | None:
        left = target**2 - half_width(se_seeds, 0.0, seeds) ** 2
        if left <= 0 or se_rows == 0:
            return None
        rows = _round_up(test_rows * half_width(0.0, se_rows, seeds) ** 2 / left)
        return {"test_rows": rows} if test_rows < rows <= MOST_ROWS * test_rows else None

    by_seeds = half_width(se_seeds, 0.0, seeds) >= half_width(0.0, se_rows, seeds)
    attempts: list[Callable[[], dict[str, int] | None]] = [enough_seeds, enough_rows]
    for attempt in attempts if by_seeds else attempts[::-1]:
        if found := attempt():
            return found
    return None


def _no_verdict(gain: float, seeds: int, labels: int | None, control: bool) -> Verdict:
    why = f"too few for an interval, of which a verdict needs at least {FEWEST_SEEDS}"
    text = _sentence(gain, f"{seeds} seed{'' if seeds == 1 else 's'}", why, labels, control)
    return Verdict(NO_VERDICT, False, False, text, {"seeds": FEWEST_SEEDS})


def _open_question(gain: float, low: float, min_gain: float, needed: dict[str, int] | None) -> str:
    doubt = (
        f"which lies above 0 but leaves open whether the gain reaches the {min_gain:.2f} points asked for"
        if low > 0
        else f"which allows both no gain and one of the {min_gain:.2f} points asked for"
    )
    if min_gain == 0:
        doubt = "which allows both harm and gain"
    if needed is None:
        return doubt + "; neither more seeds nor more test rows alone would be likely to settle it"
    [(what, count)] = needed.items()
    return doubt + f"; about {count:,} {what.replace('_', ' ')} would settle it if the gain stays as it is"


def _sentence(gain: float, interval: str, why: str, labels: int | None, control: bool) -> str:
    start = "" if labels is None else f"with {labels:,} label{'' if labels == 1 else 's'}, "
    if control:
        did = (
            f"both arms were random, so that no true difference exists, and their test errors differed by "
            f"{_number(gain)} points"
        )
    elif round(gain, 2) == 0:
        did = "pre-training changed the test error by 0.00 points"
    else:
        did = f"pre-training {'lowered' if gain > 0 else 'raised'} the test error by {abs(gain):.2f} points"
    sign = f"gain {gain:.2f}, " if not control and round(gain, 2) < 0 else ""
    text = f"{start}{did} ({sign}{interval}), {why}; {SCOPE}."
    return text[0].upper() + text[1:]


def _number(value: float) -> str:
    return f"{0.0 if round(value, 2) == 0 else value:.2f}"


def _round_up(value: float) -> int:
    """Round up to two digits: an estimate should not look exact."""
    if not value > 0:
        return 0
    unit: int = 10 ** max(math.floor(math.log10(value)) - 1, 0)
    return int(math.ceil(value / unit) * unit)
