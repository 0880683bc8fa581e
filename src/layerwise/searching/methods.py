"""What is tried: at random, on a grid, layer by layer. Pure functions: the same past leads to the same next trials.

A slot is one trial that was asked for, whoever runs it and however often. All random values are a function of the seed,
the slot's number and the setting's name, so that which process takes a trial changes nothing, a search that is extended
goes on where it was, and another setting to be searched shifts no other's values.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import PlanError
from ..plan import Plan, SearchPlan
from ..randomness import Randomness
from .domains import SIZES, Choices, Domain, Values, grid_points

UNITS = "units"  # of one layer, in a greedy search
BY_LAYER = ("pretrain.learning_rate", "pretrain.objective")  # what a recipe can have for each layer


@dataclass(frozen=True)
class Slot:
    """A trial that is asked for.

    Attributes
    ----------
    number : int
        0 is the recipe as it is; the trials asked for follow.
    values : dict or None
        By name; None leaves the choice to a sampler that learns.
    phase : int
        Of a greedy search: the number of layers, one more for the settings of fine-tuning. 1 elsewhere.
    parent : int or None
        The slot that this one extends.
    """

    number: int
    values: Values | None = field(default_factory=dict)
    phase: int = 1
    parent: int | None = None


@dataclass(frozen=True)
class Outcome:
    """A slot, and its validation error once it has one; ``over`` says that nothing more will come."""

    slot: Slot
    error: float | None
    over: bool = True


def drawn(domains: Mapping[str, Domain], randomness: Randomness, *path: str | int) -> Values:
    """Draw one value of each domain.

    Examples
    --------
    >>> drawn({"a": Choices((1, 2))}, Randomness(0), 7) == drawn({"a": Choices((1, 2))}, Randomness(0), 7)
    True
    """
    return {name: domain.draw(randomness.numpy(*path, name).uniform()) for name, domain in domains.items()}


def next_slots(
    plan: Plan, domains: Mapping[str, Domain], randomness: Randomness, past: Sequence[Outcome]
) -> list[Slot]:
    """Return the slots to add to those there are: all that are missing, or a greedy search's next phase.

    Raises
    ------
    PlanError
        When the trials are too few for the method.
    """
    search = plan.search or SearchPlan()
    own = [] if past else [Slot(0)]
    if search.method == "greedy":
        return own + _greedy(Layers.of(plan, domains), search, randomness, past)
    numbers = range(max(1, len(past)), search.trials + 1)
    if search.method == "grid":
        grid = grid_values(domains, search.trials, randomness)
        return own + [Slot(number, grid[number - 1]) for number in numbers if number <= len(grid)]
    if search.method == "tpe":
        return own + [Slot(number, None) for number in numbers]
    return own + [Slot(number, drawn(domains, randomness, "trial", number)) for number in numbers]


def grid_values(domains: Mapping[str, Domain], trials: int, randomness: Randomness) -> list[Values]:
    """Return all combinations of a grid's values, shuffled: a search that is stopped has then seen all of it thinly.

    Examples
    --------
    >>> len(grid_values({"a": Choices((1, 2)), "b": Choices((3, 4, 5))}, 6, Randomness(0)))
    6
    """
    points = grid_points(domains, trials)
    values = [dict(zip(points, one, strict=True)) for one in itertools.product(*points.values())]
    randomness.numpy("grid").shuffle(values)
    return values


@dataclass(frozen=True)
class Layers:
    """The domains of a greedy search by when they are chosen: with each layer, with the first, after the last."""

    each: dict[str, Domain]
    first: dict[str, Domain]
    last: dict[str, Domain]
    units: tuple[Domain, ...]

    @classmethod
    def of(cls, plan: Plan, domains: Mapping[str, Domain]) -> Layers:
        """Sort a plan's domains.

        The choices of hidden layer sizes say how many units a layer may have, and the longest how many layers there
        are; without such a domain every layer has the recipe's own.
        """
        sizes = domains.get(SIZES)
        if isinstance(sizes, Choices):
            widths = Choices(tuple(sorted({width for choice in sizes.values for width in choice})))
            units: tuple[Domain, ...] = (widths,) * max(len(choice) for choice in sizes.values)
        else:
            units = tuple(Choices((width,)) for width in plan.network.hidden_layer_sizes)
        others = {name: domain for name, domain in domains.items() if name != SIZES}
        each = {name: domain for name, domain in others.items() if name.startswith(BY_LAYER)}
        last = {name: domain for name, domain in others.items() if name.startswith("finetune.")}
        first = {name: domain for name, domain in others.items() if name not in each and name not in last}
        return cls(each, first, last, units)

    @property
    def phases(self) -> int:
        """One for each layer, and one for the settings of fine-tuning."""
        return len(self.units) + bool(self.last)

    def domains(self, phase: int) -> dict[str, Domain]:
        """Return what is chosen in a phase, by name."""
        if phase > len(self.units):
            return self.last
        own = {UNITS: self.units[phase - 1], **self.each}
        named = {f"layer {phase}: {name}": domain for name, domain in own.items()}
        return {**named, **(self.first if phase == 1 else {})}


def phase_sizes(trials: int, phases: int, keep: int) -> list[int]:
    """Share the trials among the phases of a greedy search; what is left over goes to the first.

    Examples
    --------
    >>> phase_sizes(20, 3, keep=2)
    [8, 6, 6]
    """
    share = trials // phases
    if share < keep:
        raise PlanError(
            f"{trials} trials in {phases} phases are {share} a phase, fewer than the {keep} that are kept of each",
            f"give at least {phases * keep} trials, or keep fewer",
        )
    return [share + trials % phases] + [share] * (phases - 1)


def _greedy(layers: Layers, search: SearchPlan, randomness: Randomness, past: Sequence[Outcome]) -> list[Slot]:
    """Return what is missing of the first phase that is not complete, once all before it are over.

    Bengio (2012), Practical recommendations for gradient-based training of deep architectures, algorithm 1.
    """
    trials = [outcome for outcome in past if outcome.slot.number > 0]
    start = 1
    for phase, size in enumerate(phase_sizes(search.trials, layers.phases, search.keep), 1):
        below = [outcome for outcome in trials if outcome.slot.phase < phase]
        if not all(outcome.over for outcome in below):
            return []
        there = sum(outcome.slot.phase == phase for outcome in trials)
        if there < size:
            return _phase(layers, phase, range(start, start + size), randomness, search.keep, below)[there:]
        start += size
    return []


def _phase(
    layers: Layers, phase: int, numbers: range, randomness: Randomness, keep: int, below: Sequence[Outcome]
) -> list[Slot]:
    """Return a phase's slots: every new setting on top of each of the best stacks of one layer less.

    The settings of fine-tuning go to the best stacks of any depth.
    """
    parents = [Slot(0)]
    if phase > 1:
        parents = kept(below, keep, None if phase > len(layers.units) else phase - 1)
    domains = layers.domains(phase)
    # setting by setting: where the trials do not suffice for all, the last settings are tried on the best stacks alone
    pairs = itertools.product(range(len(numbers)), parents)
    return [
        Slot(
            number,
            {**(parent.values or {}), **drawn(domains, randomness, "phase", phase, setting)},
            phase,
            parent.number if phase > 1 else None,
        )
        for number, (setting, parent) in zip(numbers, pairs, strict=False)
    ]


def kept(outcomes: Sequence[Outcome], keep: int, phase: int | None) -> list[Slot]:
    """Return the best slots of one phase (None: of all), best first; of equals the earlier.

    Raises
    ------
    PlanError
        When none of them has a result.

    Examples
    --------
    >>> kept([Outcome(Slot(1), 3.0), Outcome(Slot(2), None), Outcome(Slot(3), 2.0)], 1, 1)[0].number
    3
    """
    ranked = sorted(
        (outcome.error, outcome.slot.number, position)
        for position, outcome in enumerate(outcomes)
        if outcome.error is not None and phase in (None, outcome.slot.phase)
    )
    if not ranked:
        raise PlanError(
            f"every trial of phase {phase} failed: there is nothing to put the next layer on",
            "lower the rates that are searched, or scale the inputs",
        )
    return [outcomes[position].slot for _, _, position in ranked[:keep]]


def settings_of(plan: Plan, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a trial's values come to, by dotted name: those of single layers put together.

    Examples
    --------
    >>> settings_of(Plan(), {"layer 1: units": 9, "layer 1: pretrain.learning_rate": 0.5, "pretrain.epochs": 2})
    {'pretrain.epochs': 2, 'network.hidden_layer_sizes': [9], 'pretrain.learning_rate': [0.5]}
    """
    found = {name: value for name, value in values.items() if not name.startswith("layer ")}
    by_layer = [name.partition(": ") for name in values if name.startswith("layer ")]
    if not by_layer:
        return found
    layers = list(dict.fromkeys(layer for layer, _, _ in by_layer))
    found[SIZES] = [values[f"{layer}: {UNITS}"] for layer in layers]
    names = {name for _, _, name in by_layer}
    base = plan.model_dump(mode="json")["pretrain"]
    rate, objective = BY_LAYER
    if rate in names:
        found[rate] = [values[f"{layer}: {rate}"] for layer in layers]
    elif isinstance(base["learning_rate"], list):
        found[rate] = _one_each(base["learning_rate"], len(layers))
    below = sorted(name for name in names if name.startswith(objective))
    if below or isinstance(base["objective"], list):
        found[objective] = _one_each(base["objective"], len(layers))
    for position, layer in enumerate(layers):
        for name in below:
            found[name.replace(objective, f"{objective}.{position}", 1)] = values[f"{layer}: {name}"]
    return found


def _one_each(value: Any, count: int) -> list[Any]:
    """Return a setting for each layer; layers beyond those of the recipe have its last."""
    given = value if isinstance(value, list) else [value]
    return [copy.deepcopy(given[min(position, len(given) - 1)]) for position in range(count)]


def named_domains(plan: Plan, domains: Mapping[str, Domain]) -> dict[str, Domain]:
    """Return the domains by the names that trials have values of: in a greedy search, layer by layer."""
    if (plan.search or SearchPlan()).method != "greedy":
        return dict(domains)
    layers = Layers.of(plan, domains)
    return {name: domain for phase in range(layers.phases) for name, domain in layers.domains(phase + 1).items()}


def check_method(plan: Plan, domains: Mapping[str, Domain]) -> None:
    """Find what a method cannot do before anything is tried.

    Raises
    ------
    PlanError
        When there are too few trials, nothing to search, or layers that a greedy search cannot stack.
    """
    search = plan.search or SearchPlan()
    if not domains:
        raise PlanError("there is nothing to search", 'name a domain, for example "finetune.l2" = [0.0, 0.001]')
    if search.method == "grid":
        grid_points(domains, search.trials)
    if search.method == "greedy":
        phase_sizes(search.trials, Layers.of(plan, domains).phases, search.keep)
        if plan.network.convolutions or plan.pretrain.layers != "auto":
            raise PlanError(
                "a greedy search stacks dense layers, but the recipe has convolutions or names its layers",
                "search at random",
            )
