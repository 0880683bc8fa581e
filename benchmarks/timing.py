"""Two or more sides timed in turn, and the ratios of their times.

A machine's speed drifts, with its clock and with whoever shares it. So the sides of a comparison take turns in many
short rounds, and a ratio is taken within each round, of times that lie seconds apart.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

# No further round begins after so long, once so many are done: all parts together stay within twelve minutes.
SECONDS, FEWEST = 60.0, 3


@dataclass(frozen=True)
class Side:
    """One way to do some work.

    Attributes
    ----------
    name : str
        As in the results.
    updates : callable
        Makes that many more updates and returns the seconds they took.
    loss : callable or None
        The loss reached so far, by the measure that all sides of the comparison share; None where nothing is trained.
    """

    name: str
    updates: Callable[[int], float]
    loss: Callable[[], float] | None = None


@dataclass(frozen=True)
class Spread:
    """A median and its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Summarise values, one or more.

        Examples
        --------
        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, low=1.5, high=2.5)
        """
        found = sorted(values)
        if len(found) == 1:
            return cls(found[0], found[0], found[0])
        low, median, high = statistics.quantiles(found, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Timed:
    """The times of one side.

    Attributes
    ----------
    name : str
        Of the side.
    seconds : tuple of float
        Seconds an update, one number for each round.
    loss : float or None
        After all updates; each side has made as many.
    """

    name: str
    seconds: tuple[float, ...]
    loss: float | None = None


def interleave(
    sides: Sequence[Side],
    updates: int,
    rounds: int,
    told: Callable[[str], None] = lambda line: None,
    warm_up: bool = True,
) -> list[Timed]:
    """Time sides in turn, each round in another order.

    Parameters
    ----------
    sides : sequence of Side
        What is compared.
    updates, rounds : int
        Each side makes that many updates in each of the rounds. After `SECONDS` there are fewer, `FEWEST` or more.
    told : callable
        Is given a line after each round.
    warm_up : bool
        Whether there is a round before them that is not timed; sides that start a process each time gain nothing by it.

    Returns
    -------
    list of Timed
        In the order of the sides.
    """
    began = time.perf_counter()
    for side in sides if warm_up else ():
        side.updates(updates)
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(rounds):
        if number >= FEWEST and time.perf_counter() - began > SECONDS:
            break
        first = number % len(sides)
        for side in (*sides[first:], *sides[:first]):
            seconds[side.name].append(side.updates(updates) / updates)
        last = ", ".join(f"{name} {1e3 * times[-1]:.2f}" for name, times in seconds.items())
        told(f"round {number + 1} of {rounds}: {last} ms")
    return [Timed(side.name, tuple(seconds[side.name]), side.loss() if side.loss else None) for side in sides]


def ratio(over: Timed, under: Timed) -> Spread:
    """Return how many times as long one side takes as another, from the ratios within each round.

    Examples
    --------
    >>> ratio(Timed("slow", (2.0, 6.0, 3.0)), Timed("fast", (1.0, 2.0, 1.0))).median
    3.0
    """
    return Spread.of(a / b for a, b in zip(over.seconds, under.seconds, strict=True))


def together(name: str, *parts: Timed) -> Timed:
    """Return the times of several pieces of work as those of one, with the last one's loss."""
    seconds = tuple(sum(times) / len(parts) for times in zip(*(part.seconds for part in parts), strict=True))
    return Timed(name, seconds, parts[-1].loss)


def stopwatch(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
