"""The learning rate and the momentum at an update."""

from __future__ import annotations

import math
from typing import Any

from ..settings import Exponential, Inverse, InverseTime, Linear, OnValidation, Schedule, Staged, Step


def value_at(schedule: Schedule | None, value: float, update: int, total: int, decays: int = 0) -> float:
    r"""Return the scheduled value (learning rate or momentum) of the next update.

    Parameters
    ----------
    schedule : Schedule or None
        None: the value is fixed. Each class says its equation.
    value : float
        The initial value :math:`v_0`.
    update : int
        Updates t already made, counted from the start of this stage.
    total : int
        Updates planned.
    decays : int
        Falls that `OnValidation` has made so far.

    Examples
    --------
    >>> value_at(InverseTime(tau=100), 0.1, 50, 1000), value_at(InverseTime(tau=100), 0.1, 200, 1000)
    (0.1, 0.05)
    >>> value_at(Linear(), 0.8, 250, 1000), value_at(Linear(end=0.5, updates=100), 0.0, 50, 1000)
    (0.6000000000000001, 0.25)
    """
    match schedule:
        case None:
            return value
        case Step(every=every, factor=factor, end=end):
            return _no_further(value, value * _power(factor, update // every), end)
        case Exponential(factor=factor):
            return value * factor**update
        case Inverse(gamma=gamma, power=power):
            return value / math.pow(1 + gamma * update, power)
        case Staged(stages=stages):
            return next((later for start, later in reversed(stages) if update >= start), value)
        case InverseTime(tau=tau):
            return value * tau / max(update, tau)
        case Linear(end=end, updates=updates):
            share = min(update / (updates or total), 1.0)
            return value * (1 - share) + end * share
        case OnValidation(factor=factor, end=end):
            return _no_further(value, value * factor**decays, end)


def _power(factor: float, times: int) -> float:
    """Return the factor's power, infinity where a float would overflow: a rising value has an end."""
    return math.inf if times * math.log(factor) > 700 else factor**times


def _no_further(start: float, now: float, end: float | None) -> float:
    """Stop a value at its end; one that starts beyond it stays where it is."""
    if end is None:
        return now
    return max(now, min(start, end)) if now <= start else min(now, max(start, end))


class Scheduled:
    """A value that follows a schedule, and what it remembers of the validation results.

    Parameters
    ----------
    schedule : Schedule or None
        How it changes.
    value : float
        Where it starts.
    total : int
        Updates planned.

    Examples
    --------
    >>> rate = Scheduled(OnValidation(factor=0.5, patience=2), 0.8, total=100)
    >>> for result in [5.0, 6.0, 5.0]: rate.seen(result)
    >>> rate.at(30)
    0.4
    """

    def __init__(self, schedule: Schedule | None, value: float, total: int) -> None:
        self.schedule, self.value, self.total = schedule, value, total
        self.best = math.inf
        self.waited = 0
        self.decays = 0

    def at(self, update: int) -> float:
        """Return the value of the next update, after ``update`` of them."""
        return value_at(self.schedule, self.value, update, self.total, self.decays)

    def seen(self, result: float) -> None:
        """Take a validation result; lower is better."""
        if not isinstance(self.schedule, OnValidation):
            return
        if result < self.best:
            self.best, self.waited = result, 0
            return
        self.waited += 1  # nan too: it is no improvement
        if self.waited == self.schedule.patience:
            self.decays, self.waited = self.decays + 1, 0

    def state(self) -> dict[str, Any]:
        """Return what it remembers, as values of JSON."""
        return {"best": self.best if math.isfinite(self.best) else None, "waited": self.waited, "decays": self.decays}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what was remembered."""
        self.best = math.inf if state["best"] is None else state["best"]
        self.waited, self.decays = state["waited"], state["decays"]
