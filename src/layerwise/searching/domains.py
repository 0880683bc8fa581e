"""Where a setting is looked for: drawn at random, laid out on a grid, and whether a value sits on the edge."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import PlanError
from ..plan import Plan
from ..recipe import misfit
from ..settings import Range

EDGE = 0.05  # of a range, in its logarithm where it is searched there: nearer to an end than this is on its edge
WIDER = 0.5  # of a range, by which the cure widens it
SIZES = "network.hidden_layer_sizes"
# What is searched where a recipe names nothing, as far as it fits the recipe.
DEFAULT_DOMAINS: dict[str, Any] = {
    SIZES: [[width] * depth for depth in (1, 2, 3) for width in (250, 500, 1000)],
    "pretrain.learning_rate": Range(low=0.001, high=0.5, log=True),
    "pretrain.objective.corruption.rate": Range(low=0.0, high=0.6),
    "pretrain.epochs": Range(low=2, high=30, log=True),
    "finetune.learning_rate": Range(low=0.003, high=0.5, log=True),
    "finetune.l2": Range(low=1e-6, high=0.01, log=True),
}


@dataclass(frozen=True)
class Span:
    """All numbers between two, whole where the setting takes no others.

    Examples
    --------
    >>> Span(0.001, 1.0, log=True).points(4)
    [0.001, 0.01, 0.1, 1.0]
    >>> Span(1, 3, whole=True).points(9)
    [1, 2, 3]
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def draw(self, uniform: float) -> float:
        """Return the value below which this share, in [0, 1), of the domain lies."""
        if not self.whole:
            return self._at(self.low, self.high, uniform)
        # half a step wider at each end, so that the ends are as likely as the numbers between them
        return int(min(max(round(self._at(self.low - 0.5, self.high + 0.5, uniform)), self.low), self.high))

    def points(self, count: int) -> list[float]:
        """Return values at equal distances: from end to end; of one the middle, of two the middles of the halves."""
        few = {1: [0.5], 2: [0.25, 0.75]}  # the ends alone would say nothing of what lies between them
        shares = few[count] if count in few else [step / (count - 1) for step in range(count)]
        found = [self._at(self.low, self.high, share) for share in shares]
        if self.whole:
            return list(dict.fromkeys(round(value) for value in found))
        return [float(f"{value:.6g}") for value in found]

    def place(self, value: float) -> float:
        """Return where a value stands, 0 at the low end and 1 at the high."""
        low, high, value = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return (value - low) / (high - low)

    def _at(self, low: float, high: float, share: float) -> float:
        return float(low * (high / low) ** share) if self.log else float(low + (high - low) * share)


@dataclass(frozen=True)
class Choices:
    """Some values, none of them before another.

    Examples
    --------
    >>> Choices(((250,), (500, 500))).draw(0.7)
    (500, 500)
    """

    values: tuple[Any, ...]

    def draw(self, uniform: float) -> Any:
        """Return the value at this share of the list."""
        return self.values[int(uniform * len(self.values))]

    def points(self, count: int) -> list[Any]:
        """Return all values: a grid leaves none out."""
        return list(self.values)


Domain = Span | Choices
Values = dict[str, Any]  # a value for each name


def domains_of(plan: Plan) -> dict[str, Domain]:
    """Return what a plan searches: its own domains, or the default ones as far as they fit it.

    Examples
    --------
    >>> list(domains_of(Plan(search={"pretrain.epochs": {"low": 1, "high": 9}})).values())
    [Span(low=1.0, high=9.0, log=False, whole=True)]
    """
    asked = dict(plan.search.domains) if plan.search else {}
    return {name: _domain(plan, name, domain) for name, domain in (asked or default_domains(plan)).items()}


def default_domains(plan: Plan) -> dict[str, Any]:
    """Return the default domains that fit a plan: no corruption without noise, no depths where layers are named.

    Examples
    --------
    >>> [name for name in DEFAULT_DOMAINS if name not in default_domains(Plan(pretrain={"objective": "rbm"}))]
    ['pretrain.objective.corruption.rate']
    """
    layered = (plan.pretrain.objective, plan.pretrain.learning_rate, plan.pretrain.layers)
    fixed = any(isinstance(value, tuple) for value in layered) or bool(plan.network.convolutions)
    return {
        name: domain
        for name, domain in DEFAULT_DOMAINS.items()
        if not (name == SIZES and fixed) and not misfit(plan, name, _some(domain))
    }


def _some(domain: Any) -> Any:
    return domain.high if isinstance(domain, Range) else domain[0]


def _domain(plan: Plan, name: str, domain: Any) -> Domain:
    if not isinstance(domain, Range):
        return Choices(tuple(frozen(value) for value in domain))
    between = domain.low + (domain.high - domain.low) * 0.3819660112501051  # a fraction that no whole number is
    whole = misfit(plan, name, between) is not None
    return Span(domain.low, domain.high, domain.log, whole)


def frozen(value: Any) -> Any:
    """Return lists, also within lists, as tuples: a choice compares as it was given, wherever it was read from.

    Examples
    --------
    >>> frozen([[5, 3], 10])
    ((5, 3), 10)
    """
    return tuple(frozen(item) for item in value) if isinstance(value, (list, tuple)) else value


def grid_points(domains: Mapping[str, Domain], trials: int) -> dict[str, list[Any]]:
    """Return a grid's values of each setting: all choices, and as many of each range as the trials allow.

    Ranges are given one value after the other, the ones with the fewest first, as long as all combinations together are
    no more than the trials.

    Raises
    ------
    PlanError
        When the choices alone make more combinations.

    Examples
    --------
    >>> grid_points({"a": Span(0.0, 1.0), "b": Span(1.0, 100.0, log=True), "c": Choices(("x", "y"))}, 13)
    {'a': [0.0, 0.5, 1.0], 'b': [3.16228, 31.6228], 'c': ['x', 'y']}
    """
    points = {name: domain.points(1) for name, domain in domains.items()}
    if _combinations(points) > trials:
        raise PlanError(
            f"the choices alone make {_combinations(points)} combinations, more than {trials} trials",
            "raise trials, name fewer choices, or search at random",
        )
    growing = [name for name, domain in domains.items() if isinstance(domain, Span)]
    while growing:
        name = min(growing, key=lambda name: len(points[name]))
        more = domains[name].points(len(points[name]) + 1)
        if len(more) == len(points[name]) or _combinations({**points, name: more}) > trials:
            growing.remove(name)
        else:
            points[name] = more
    return points


def _combinations(points: Mapping[str, Sequence[Any]]) -> int:
    return math.prod(len(values) for values in points.values())


@dataclass(frozen=True)
class Edge:
    """A best value on the edge of its range, and the wider range that would show whether a better one lies beyond."""

    name: str
    value: float
    end: str
    wider: Range

    def __str__(self) -> str:
        ends = f"low = {self.wider.low:g}, high = {self.wider.high:g}" + (", log = true" if self.wider.log else "")
        return (
            f"the best {self.name}, {self.value:g}, lies within {EDGE:.0%} of its {self.end} end: a better one may lie "
            f'beyond; search "{self.name}" = {{ {ends} }}'
        )


def edges(plan: Plan, domains: Mapping[str, Domain], best: Mapping[str, Any]) -> list[Edge]:
    """Return the best values that sit on the edge of their range, where the setting itself goes further.

    Examples
    --------
    >>> domains = {"pretrain.learning_rate": Span(0.01, 1.0, log=True), "network.dropout": Span(0.0, 0.5)}
    >>> for edge in edges(Plan(), domains, {"pretrain.learning_rate": 0.9, "network.dropout": 0.0}): print(edge.wider)
    low=0.01 high=10.0 log=True
    """
    found = []
    for name, value in best.items():
        domain = domains.get(name)
        if not isinstance(domain, Span):
            continue
        place = domain.place(value)
        end = "low" if place < EDGE else "high" if place > 1 - EDGE else ""
        wider = _widened(plan, name, domain, end) if end else None
        if wider is not None:
            found.append(Edge(name, value, end, wider))
    return found


def _widened(plan: Plan, name: str, span: Span, end: str) -> Range | None:
    """Return a wider range, as far as the setting goes; None where it goes no further."""
    for share in (WIDER, WIDER / 2, WIDER / 5):
        beyond = span._at(span.low, span.high, -share if end == "low" else 1 + share)
        beyond = round(beyond) if span.whole else float(f"{beyond:.1g}")
        ends = (beyond, span.high) if end == "low" else (span.low, beyond)
        if beyond in (span.low, span.high) or (span.log and ends[0] <= 0):
            continue
        if misfit(plan, _setting(name), beyond) is None:
            return Range(low=ends[0], high=ends[1], log=span.log)
    return None


def _setting(name: str) -> str:
    """Return the setting that a greedy search's name of one layer is about."""
    return name.partition(": ")[2] or name


def written(value: Any) -> str:
    """Return a choice as text, the way the journal keeps it.

    Examples
    --------
    >>> written((500, 500))
    '[500, 500]'
    """
    return json.dumps(value)
