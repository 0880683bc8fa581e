"""The shared journal: no trial more than asked for, none lost, a dead worker's tried again once and only once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from layerwise.searching.domains import Choices, Domain, Span
from layerwise.searching.journal import Journal, Trial, by_slot, outcomes
from layerwise.searching.methods import Outcome, Slot

DOMAINS: dict[str, Domain] = {
    "rate": Span(0.001, 1.0, log=True), "epochs": Span(1, 9, whole=True), "sizes": Choices(((8,), (8, 8))),
}  # fmt: skip
Plan = Callable[[Sequence[Outcome]], Sequence[Slot]]


def plan_of(count: int) -> Plan:
    def plan(past: Sequence[Outcome]) -> list[Slot]:
        every = [Slot(0), *(Slot(n, {"rate": n / 100, "epochs": n, "sizes": (8, 8)}) for n in range(1, count))]
        return every[len(past) :]

    return plan


def nobody(workers: Collection[str]) -> set[str]:
    return set()


def everybody_but(worker: str) -> Callable[[Collection[str]], Collection[str]]:
    return lambda workers: set(workers) - {worker}


def done(journal: Journal, trial: Trial, error: float = 5.0) -> bool:
    return journal.finish(trial, "complete", {"validation_error": error, "epochs": 1, "seconds": 1.0, "rows": 10})


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, DOMAINS)


def test_trials_are_taken_in_turn_until_there_are_none(journal: Journal) -> None:
    found = []
    while trial := journal.take("me", plan_of(4), nobody):
        assert (trial.state, trial.worker, trial.attempt) == ("running", "me", 1)
        found.append(trial.slot)
        assert done(journal, trial, 5.0 + trial.slot.number)
    assert found == plan_of(4)([])
    assert [(one.state, one.measured["validation_error"]) for one in journal.trials()] == [
        ("complete", 5.0), ("complete", 6.0), ("complete", 7.0), ("complete", 8.0),
    ]  # fmt: skip
    assert outcomes(journal.trials()) == [Outcome(slot, 5.0 + slot.number) for slot in found]


def test_two_workers_share_the_trials(tmp_path: Path) -> None:
    journals = {name: Journal(tmp_path, DOMAINS) for name in ("a", "b")}
    taken: dict[str, list[int]] = {"a": [], "b": []}
    running: dict[str, Trial] = {}
    for turn in range(12):
        name = "ab"[turn % 2]
        if name in running:
            done(journals[name], running.pop(name))
        if trial := journals[name].take(name, plan_of(5), nobody):
            taken[name].append(trial.slot.number)
            running[name] = trial
    assert sorted(taken["a"] + taken["b"]) == list(range(5)) and len(taken["a"]) > 1 and len(taken["b"]) > 1
    for journal in journals.values():
        assert [one.state for one in journal.trials()] == ["complete"] * 5


def test_a_search_goes_on_in_another_process_with_the_values_it_had(tmp_path: Path) -> None:
    first = Journal(tmp_path, DOMAINS)
    done(first, taken(first, "a"))
    second = Journal(tmp_path, DOMAINS)
    trial = taken(second, "b")
    assert trial.slot == Slot(1, {"rate": 0.01, "epochs": 1, "sizes": (8, 8)})
    assert isinstance((trial.slot.values or {})["epochs"], int)


def taken(journal: Journal, worker: str, count: int = 3, dead: Any = nobody) -> Trial:
    trial = journal.take(worker, plan_of(count), dead)
    assert trial is not None
    return trial


def test_a_dead_workers_trial_is_tried_again_once_and_only_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a, b, c = (Journal(tmp_path, DOMAINS) for _ in range(3))
    done(a, taken(a, "a", 2))
    lost = taken(a, "a", 2)
    assert b.take("b", plan_of(2), nobody) is None
    again = taken(b, "b", 2, everybody_but("b"))
    assert (again.slot, again.attempt, again.number) == (lost.slot, 2, lost.number + 1)
    assert "trial 1: nothing was heard of its worker any more; it is tried again" in caplog.text
    assert c.take("c", plan_of(2), everybody_but("c")) is None  # b is dead, too
    assert "it is given up" in caplog.text
    assert [one.state for one in c.trials()] == ["complete", "died", "died"]
    assert c.take("c", plan_of(2), everybody_but("c")) is None
    assert outcomes(c.trials())[1] == Outcome(lost.slot, None, over=True)


def test_a_second_attempt_counts_once(tmp_path: Path) -> None:
    a, b = Journal(tmp_path, DOMAINS), Journal(tmp_path, DOMAINS)
    lost = taken(a, "a", 1)
    again = taken(b, "b", 1, everybody_but("b"))
    assert not done(a, lost, 1.0)  # a was only slow, and comes too late
    assert done(b, again, 2.0)
    assert outcomes(b.trials()) == [Outcome(Slot(0), 2.0)] and [one.state for one in a.trials()] == ["died", "complete"]
    assert b.take("b", plan_of(1), nobody) is None


def test_a_trial_given_back_is_no_attempt(journal: Journal) -> None:
    for _ in range(3):
        trial = taken(journal, "me", 1)
        assert trial.attempt == 1
        journal.finish(trial, "stopped", {"seconds": 1.0, "rows": 0})
    assert done(journal, taken(journal, "me", 1))
    (last, deaths) = by_slot(journal.trials())[0]
    assert (last.state, deaths) == ("complete", 0)


def test_what_a_death_left_half_recorded_is_put_right(tmp_path: Path) -> None:
    """One died after its measurement, before its verdict; another after it had buried a third."""
    a, b = Journal(tmp_path, DOMAINS), Journal(tmp_path, DOMAINS)
    trial = taken(a, "a", 2)
    a._taken[trial.number].set_user_attr("measured", {"validation_error": 4.0, "ended": "complete"})
    assert taken(b, "b", 2, everybody_but("b")).slot.number == 1
    assert outcomes(b.trials())[0] == Outcome(Slot(0), 4.0)
    lost = taken(a, "a", 3)
    a.study.tell(lost.number, state=a.optuna.trial.TrialState.FAIL)  # buried, and then the other one died as well
    assert taken(b, "b", 3).slot == lost.slot


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    first = Journal(tmp_path, DOMAINS)
    done(first, taken(first, "a"))
    with open(tmp_path / "journal.log", "a") as file:
        file.write('{"op_code": 6, "worker_')
    second = Journal(tmp_path, DOMAINS)
    done(second, taken(second, "b"))
    assert [one.state for one in Journal(tmp_path, DOMAINS).trials()] == ["complete", "complete", "waiting"]


def test_a_worse_trial_is_given_up_and_a_diverged_one_is_over(tmp_path: Path) -> None:
    import optuna

    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    journal = Journal(tmp_path, DOMAINS, pruner=pruner)
    given_up = []
    for error in (10.0, 20.0, 30.0, 40.0):
        trial = taken(journal, "me", 4)
        given_up.append(journal.report(trial, 1, error))
        journal.finish(trial, "pruned" if given_up[-1] else "diverged", {"reason": "", "seconds": 1.0, "rows": 1})
    assert given_up == [False, True, True, True]
    assert [one.state for one in journal.trials()] == ["diverged", "pruned", "pruned", "pruned"]
    assert all(outcome.over and outcome.error is None for outcome in outcomes(journal.trials()))


def test_a_sampler_chooses_the_values_that_were_left_to_it(tmp_path: Path) -> None:
    import optuna

    journal = Journal(tmp_path, DOMAINS, sampler=optuna.samplers.TPESampler(seed=0))
    trial = journal.take("me", lambda past: [Slot(n, None) for n in range(len(past), 2)], nobody)
    assert trial is not None and trial.slot.values is not None
    assert set(trial.slot.values) == set(DOMAINS) and trial.slot.values["sizes"] in ((8,), (8, 8))
    assert journal.trials()[0].slot == trial.slot


def test_optuna_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path, DOMAINS)
    done(journal, taken(journal, "me"))
    assert capfd.readouterr() == ("", "")
