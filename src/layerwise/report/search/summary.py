"""Reads a search's run folder into one frozen value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from ...errors import RunError
from ..results import DataFacts, Record
from ..summary import read_json, read_records, read_text

Value = int | float | str


class Tried(Record):
    """One trial as it ended."""

    slot: int
    phase: int = 1
    parent: int | None = None
    attempt: int = 1
    state: str
    values: dict[str, Value] = Field(default_factory=dict)
    validation_error: float | None = None
    epochs: int | None = None
    seconds: float | None = None
    rows: int | None = None
    reason: str = ""


class Searched(Record):
    """A setting's domain: choices, or a range."""

    name: str
    choices: tuple[str, ...] | None = None
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False

    def place(self, value: Value) -> float:
        """Return where a value is drawn: 0 at the low end, 1 at the high.

        Examples
        --------
        >>> Searched(name="rate", low=0.01, high=1.0, log=True).place(0.1)
        0.5
        """
        if self.choices is not None:
            places = self.choices
            return places.index(str(value)) / max(1, len(places) - 1) if str(value) in places else 0.0
        low, high, x = (math.log(v) if self.log else v for v in (self.low, self.high, float(value)))
        return (x - low) / (high - low)


class Best(Record):
    """The winner."""

    slot: int
    validation_error: float
    standard_error: float
    epochs: int
    values: dict[str, Value] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)


class EdgeWarning(Record):
    """A best value on the edge of its range."""

    name: str
    text: str


class Importance(Record):
    """The share of the variance that a setting explains, with the range over resamples."""

    name: str
    importance: float
    low: float
    high: float


class SearchCost(Record):
    """What all attempts took together."""

    trials: int
    seconds: float
    rows: int
    workers: int
    died: int = 0


class SearchResults(Record):
    """The whole of a search's ``results.json``."""

    kind: Literal["search"]
    method: str
    trials_asked: int
    labels: int
    validation_rows: int
    folds: int
    recipe_error: float | None = None
    best: Best
    edges: tuple[EdgeWarning, ...] = ()
    edge_share: float
    domains: tuple[Searched, ...]
    importances: tuple[Importance, ...] = ()
    importances_sure: bool = False
    grid: dict[str, tuple[Value, ...]] = Field(default_factory=dict)
    expected_best: tuple[tuple[int, float, float, float], ...] = ()
    tried: tuple[Tried, ...] = Field(min_length=1)
    cost: SearchCost
    data: DataFacts


@dataclass(frozen=True)
class SearchSummary:
    """Everything a search's run folder says, read once."""

    results: SearchResults
    best_text: str
    environment: Mapping[str, Any]

    @property
    def complete(self) -> tuple[Tried, ...]:
        """The trials asked for that have a result, the recipe as it is left out."""
        return tuple(one for one in self.results.tried if one.slot > 0 and one.validation_error is not None)

    def domain(self, name: str) -> Searched:
        """Return a domain by name."""
        return next(one for one in self.results.domains if one.name == name)


def read_search(run_dir: str | Path) -> SearchSummary:
    """Read the run folder of a search that has ended.

    Raises
    ------
    RunError
        When the folder or one of its files is missing or does not hold what it should.
    """
    folder = Path(run_dir)
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder", "give the folder that layerwise search wrote")
    return SearchSummary(
        results=read_records(folder / "results.json", TypeAdapter(SearchResults)),
        best_text=read_text(folder / "best.toml"),
        environment=MappingProxyType(dict(read_json(folder / "environment.json"))),
    )
