"""What is tried: the same seed the same trials, a greedy search the best stacks of each depth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from layerwise.errors import PlanError
from layerwise.plan import Plan
from layerwise.randomness import Randomness
from layerwise.recipe import check, with_settings
from layerwise.searching.domains import Choices, Span, domains_of
from layerwise.searching.methods import (
    Layers,
    Outcome,
    Slot,
    check_method,
    kept,
    named_domains,
    next_slots,
    phase_sizes,
    settings_of,
)

RATE, CORRUPTION = "pretrain.learning_rate", "pretrain.objective.corruption.rate"
SIZES = "network.hidden_layer_sizes"
SEARCH: dict[str, Any] = {
    RATE: {"low": 0.001, "high": 1.0, "log": True},
    CORRUPTION: {"low": 0.0, "high": 0.6},
    SIZES: [[8], [16], [8, 8, 8]],
    "pretrain.epochs": {"low": 1, "high": 9},
    "finetune.l2": {"low": 1e-6, "high": 1e-2, "log": True},
}


def plan_of(**search: Any) -> Plan:
    return check(Plan, {"search": {**SEARCH, **search}}, "the plan")


def slots_of(plan: Plan, past: list[Outcome] | None = None, seed: int = 0) -> list[Slot]:
    return next_slots(plan, domains_of(plan), Randomness(seed), past or [])


def finished(plan: Plan, error: Callable[[Slot], float | None], seed: int = 0) -> list[Outcome]:
    """Run a search on an objective that is made up."""
    past: list[Outcome] = []
    while more := slots_of(plan, past, seed):
        past += [Outcome(slot, error(slot)) for slot in more]
    return past


def test_the_same_seed_tries_the_same_and_another_others() -> None:
    assert slots_of(plan_of()) == slots_of(plan_of())
    assert slots_of(plan_of(), seed=1)[1:] != slots_of(plan_of())[1:]


def test_the_recipe_as_it_is_comes_on_top() -> None:
    found = slots_of(plan_of(trials=7))
    assert [slot.number for slot in found] == list(range(8)) and found[0] == Slot(0)
    assert all(set(slot.values or {}) == set(SEARCH) for slot in found[1:])


@pytest.mark.parametrize("there", [0, 1, 5, 8])
def test_a_search_that_is_extended_or_was_stopped_while_it_was_planned_goes_on_where_it_was(there: int) -> None:
    whole = slots_of(plan_of(trials=12))
    past = [Outcome(slot, 1.0) for slot in whole[:there]]
    assert slots_of(plan_of(trials=12), past) == whole[there:]
    assert slots_of(plan_of(trials=7), [Outcome(slot, 1.0) for slot in whole]) == []


def test_a_further_setting_shifts_no_others_values() -> None:
    more = plan_of(**{"finetune.learning_rate": {"low": 0.01, "high": 1.0}})
    for ours, theirs in zip(slots_of(plan_of()), slots_of(more), strict=True):
        assert {key: value for key, value in (theirs.values or {}).items() if key in SEARCH} == ours.values


def test_a_grid_tries_each_of_its_combinations_once() -> None:
    plan = plan_of(method="grid", trials=60)
    found = [tuple((slot.values or {}).items()) for slot in slots_of(plan)[1:]]
    assert len(found) == len(set(found)) == 3 * 2**4
    assert {dict(one)[SIZES] for one in found} == {(8,), (16,), (8, 8, 8)}


def test_a_sampler_that_learns_is_left_the_choice() -> None:
    assert [slot.values for slot in slots_of(plan_of(method="tpe", trials=3))] == [{}, None, None, None]


# greedy: units, rates and corruption of each layer; the error is made up of layers, so that brute force is easy


def layered_error(slot: Slot) -> float | None:
    values: Mapping[str, Any] = slot.values or {}
    total = 50.0
    for layer in (1, 2, 3):
        if f"layer {layer}: units" in values:
            total -= 4 * values[f"layer {layer}: units"] / 16 - values[f"layer {layer}: {CORRUPTION}"]
    return total - values.get("finetune.l2", 0.0)


GREEDY = {"method": "greedy", "trials": 50, "keep": 3}


def test_a_greedy_search_extends_the_best_of_each_depth() -> None:
    past = finished(plan_of(**GREEDY), layered_error)
    by_phase = {phase: [o for o in past[1:] if o.slot.phase == phase] for phase in (1, 2, 3, 4)}
    assert [len(found) for found in by_phase.values()] == [14, 12, 12, 12]
    for phase in (2, 3, 4):
        lower = (
            by_phase[phase - 1] if phase < 4 else [o for found in by_phase.values() for o in found if o.slot.phase < 4]
        )
        best = sorted(lower, key=lambda o: (o.error, o.slot.number))[:3]
        assert {o.slot.parent for o in by_phase[phase]} == {o.slot.number for o in best}
        parents = {o.slot.number: o.slot.values or {} for o in past}
        for one in by_phase[phase]:
            assert (one.slot.values or {}).items() >= parents[one.slot.parent or 0].items()


def test_a_greedy_search_tries_the_same_settings_on_every_stack_it_kept() -> None:
    past = finished(plan_of(**GREEDY), layered_error)
    second = [o.slot for o in past if o.slot.phase == 2]
    own = [tuple(v for k, v in (slot.values or {}).items() if k.startswith("layer 2")) for slot in second]
    assert len(set(own)) == 4  # 12 trials, 3 stacks
    assert {(slot.parent, mine) for slot, mine in zip(second, own, strict=True)} == set(
        itertools.product({slot.parent for slot in second}, own)
    )


def test_a_greedy_search_keeps_what_brute_force_over_all_pairs_would() -> None:
    """Rerun on the draws it made: rank all first layers, put every second layer on the best two, take the best."""
    keep = 2
    plan = plan_of(method="greedy", trials=16, keep=keep, **{SIZES: [[8, 16], [16, 24]]})
    past = [o for o in finished(plan, layered_error) if o.slot.number]
    first, second, last = ([o.slot for o in past if o.slot.phase == phase] for phase in (1, 2, 3))
    assert [len(first), len(second), len(last)] == [6, 5, 5]
    survivors = sorted(first, key=lambda slot: layered_error(slot) or 0.0)[:keep]
    settings = list({str(own): own for slot in second if (own := _of(slot, "layer 2"))}.values())
    pairs = [{**(slot.values or {}), **own} for own in settings for slot in survivors][: len(second)]
    assert [slot.values for slot in second] == pairs
    best = sorted([*first, *second], key=lambda slot: layered_error(slot) or 0.0)[:keep]
    tuned = [{**(slot.values or {}), **own} for own in map(lambda s: _of(s, "finetune"), last[::keep]) for slot in best]
    assert [slot.values for slot in last] == tuned[: len(last)]
    everything = [Slot(0, values).values for values in [*(s.values for s in first), *pairs, *tuned[: len(last)]]]
    assert min(o.error for o in past if o.error is not None) == min(
        layered_error(Slot(0, v)) or 0.0 for v in everything
    )


def _of(slot: Slot, prefix: str) -> dict[str, Any]:
    return {name: value for name, value in (slot.values or {}).items() if name.startswith(prefix)}


def test_a_greedy_search_waits_for_a_whole_phase() -> None:
    plan = plan_of(**GREEDY)
    first = slots_of(plan)
    assert {slot.phase for slot in first} == {1}
    past = [Outcome(slot, 1.0) for slot in first]
    unfinished = [*past[:-1], Outcome(first[-1], None, over=False)]
    assert slots_of(plan, unfinished) == []
    assert {slot.phase for slot in slots_of(plan, past)} == {2}
    some = slots_of(plan, past)[:5]  # stopped while the second phase was planned
    rest = slots_of(plan, [*past, *(Outcome(slot, None, over=False) for slot in some)])
    assert [*some, *rest] == slots_of(plan, past)


def test_trials_without_a_result_are_not_extended() -> None:
    past = finished(plan_of(**GREEDY), lambda slot: None if slot.number in (1, 2, 3) else layered_error(slot))
    assert not {1, 2, 3} & {o.slot.parent for o in past}
    with pytest.raises(PlanError, match="every trial of phase 1 failed"):
        finished(plan_of(**GREEDY), lambda slot: None)


def test_the_kept_are_the_best_and_of_equals_the_earlier() -> None:
    past = [Outcome(Slot(number, phase=1 + number % 2), float(error)) for number, error in enumerate([5, 3, 4, 3, 1])]
    assert [slot.number for slot in kept(past, 2, 2)] == [1, 3]
    assert [slot.number for slot in kept(past, 3, None)] == [4, 1, 3]


def test_the_domains_of_a_greedy_search_are_sorted_by_when_they_are_chosen() -> None:
    layers = Layers.of(plan_of(**GREEDY), domains_of(plan_of(**GREEDY)))
    assert set(layers.each) == {RATE, CORRUPTION} and set(layers.first) == {"pretrain.epochs"}
    assert set(layers.last) == {"finetune.l2"} and layers.units == (Choices((8, 16)),) * 3 and layers.phases == 4
    without = plan_of(**GREEDY)
    domains = {name: domain for name, domain in domains_of(without).items() if name != SIZES}
    assert Layers.of(without, domains).units == (Choices((1000,)), Choices((1000,)))
    assert set(named_domains(without, domains_of(without))) == {
        *(f"layer {n}: {name}" for n in (1, 2, 3) for name in ("units", RATE, CORRUPTION)),
        "pretrain.epochs", "finetune.l2",
    }  # fmt: skip


def test_the_values_of_layers_become_a_recipe() -> None:
    values = {
        "layer 1: units": 16, f"layer 1: {RATE}": 0.1, f"layer 1: {CORRUPTION}": 0.2, "pretrain.epochs": 3,
        "layer 2: units": 8, f"layer 2: {RATE}": 0.5, f"layer 2: {CORRUPTION}": 0.4,
    }  # fmt: skip
    found = with_settings(plan_of(), settings_of(plan_of(), values))
    assert found.network.hidden_layer_sizes == (16, 8) and found.pretrain.learning_rate == (0.1, 0.5)
    assert [one.corruption.rate for one in found.pretrain.objective] == [0.2, 0.4]  # type: ignore[union-attr]
    assert found.pretrain.epochs == 3 and found.search is None


def test_layers_beyond_those_of_the_recipe_have_its_last_settings() -> None:
    plan = Plan(pretrain={"objective": ("contractive", "denoising"), "learning_rate": (0.2, 0.1)})
    for sizes, kinds, rates in (
        ((9,), ["contractive"], (0.2,)),
        ((9, 9, 9), ["contractive", "denoising", "denoising"], (0.2, 0.1, 0.1)),
    ):
        values = {f"layer {number}: units": units for number, units in enumerate(sizes, 1)}
        found = with_settings(plan, settings_of(plan, values)).pretrain
        assert [one.kind for one in found.objective] == kinds and found.learning_rate == rates  # type: ignore[union-attr]


def test_what_a_method_cannot_do_is_refused() -> None:
    with pytest.raises(PlanError, match="nothing to search"):
        check_method(plan_of(), {})
    with pytest.raises(PlanError, match="10 trials in 4 phases are 2 a phase, fewer than the 3"):
        check_method(plan_of(method="greedy", trials=10), domains_of(plan_of()))
    convolutional = Plan(network={"convolutions": ({"channels": 4},)}, search={"method": "greedy"})
    with pytest.raises(PlanError, match="stacks dense layers"):
        check_method(convolutional, {"finetune.l2": Span(0.0, 1.0)})
    assert phase_sizes(20, 3, keep=6) == [8, 6, 6]
