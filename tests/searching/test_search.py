"""A whole search: several processes, a kill, a resumed and an extended one; the winner carries the search's cost."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_search import RATE, small_search

import layerwise as lw
from layerwise.comparison.compare import open_run, run_comparison
from layerwise.comparison.experiment import Experiment
from layerwise.comparison.rows import Rows
from layerwise.errors import PlanError, RunError
from layerwise.plan import Plan
from layerwise.recipe import check
from layerwise.searching.journal import Journal, Trial, by_slot
from layerwise.searching.search import Search, open_search, run_search
from layerwise.searching.searcher import Searcher
from layerwise.searching.winner import texts

DOMAINS: dict[str, Any] = {"pretrain.learning_rate": RATE, "finetune.learning_rate": {"low": 0.01, "high": 0.3}}


def run(plan: Plan, rows: Rows, folder: Path, resume: bool = False) -> Search:
    searcher = Searcher(plan, rows)
    return run_search(searcher, open_search(searcher, folder, resume))


def made(plan: Plan, rows: Rows, folder: Path, resume: bool = False) -> list[Trial]:
    """Make the trials of a search, and neither its results nor its page."""
    searcher = Searcher(plan, rows)
    return searcher.run(open_search(searcher, folder, resume))


def of(trials: list[Trial]) -> list[tuple[int, Any, float | None]]:
    return [(last.slot.number, texts(last.slot.values or {}), last.measured.get("validation_error"))
            for last, _ in by_slot(trials)]  # fmt: skip


def tried(found: Search) -> list[tuple[int, Any, float | None]]:
    return [(one["slot"], one["values"], one["validation_error"]) for one in found.results["tried"]]


@pytest.fixture(scope="module")
def found(digits: Rows, tmp_path_factory: pytest.TempPathFactory) -> Search:
    return run(small_search({"trials": 6, **DOMAINS}), digits, tmp_path_factory.mktemp("search") / "run")


def test_the_folder_holds_all_of_it(found: Search) -> None:
    names = {path.name for path in found.run_dir.iterdir()}
    assert names >= {"recipe.toml", "environment.json", "journal.log", "results.json", "best.toml", "report.html"}
    results = json.loads((found.run_dir / "results.json").read_text())
    errors = {one["slot"]: one["validation_error"] for one in results["tried"]}
    assert set(errors) == set(range(7)) and results["best"]["validation_error"] == min(errors.values())
    assert results["recipe_error"] == errors[0] and results["labels"] == results["validation_rows"] == 100
    assert results["cost"]["trials"] == 7 and results["cost"]["workers"] == 1
    assert results["cost"]["seconds"] == pytest.approx(sum(one["seconds"] for one in results["tried"]))
    # 5 folds of 80 rows for 5 epochs, and one epoch of all rows
    assert all(one["rows"] == 5 * 80 * 5 + results["data"]["training_rows"] for one in results["tried"])


def test_the_same_seed_makes_the_same_trials_and_another_others(found: Search, digits: Rows, tmp_path: Path) -> None:
    again = made(small_search({"trials": 6, **DOMAINS}), digits, tmp_path / "again")
    assert of(again) == tried(found)
    other = made(small_search({"trials": 1, **DOMAINS}, compare={"random_state": 1}), digits, tmp_path / "other")
    assert of(other)[1][1] != tried(found)[1][1]


def test_a_search_may_go_on_with_more_trials(found: Search, digits: Rows, tmp_path: Path) -> None:
    made(small_search({"trials": 2, **DOMAINS}), digits, tmp_path / "run")
    more = made(small_search({"trials": 6, **DOMAINS}), digits, tmp_path / "run", resume=True)
    assert of(more) == tried(found)
    assert made(small_search({"trials": 6, **DOMAINS}), digits, tmp_path / "run", resume=True) == more


def test_other_settings_are_no_continuation(digits: Rows, tmp_path: Path) -> None:
    plan = small_search({"trials": 1, "pretrain.learning_rate": [0.1, 0.2]})
    made(plan, digits, tmp_path / "run")
    with pytest.raises(RunError, match="is not empty"):
        open_search(Searcher(plan, digits), tmp_path / "run")
    for other in ({"trials": 1, "pretrain.learning_rate": [0.1, 0.3]}, {"trials": 1, "method": "tpe", **DOMAINS}):
        with pytest.raises(RunError, match="belongs to work with other settings"):
            open_search(Searcher(small_search(other), digits), tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="no run to resume"):
        open_search(Searcher(plan, digits), tmp_path / "nothing", resume=True)


def test_no_test_row_reaches_the_search(found: Search, digits: Rows, tmp_path: Path) -> None:
    others = replace(digits, test_inputs=digits.test_inputs.flip(1), test_codes=digits.test_codes.flip(0))
    assert of(made(small_search({"trials": 2, **DOMAINS}), others, tmp_path / "run")) == tried(found)[:3]


@pytest.mark.parametrize("method, trials", [("halving", 8), ("greedy", 7), ("grid", 4), ("tpe", 3)])
def test_every_method_makes_the_trials_asked_for(method: str, trials: int, digits: Rows, tmp_path: Path) -> None:
    plan = small_search({"method": method, "trials": trials, "keep": 2, **DOMAINS}, finetune={"epochs": 9})
    ended = made(plan, digits, tmp_path / "run")
    states = Counter(one.state for one in ended)
    assert len(ended) == trials + 1 and set(states) <= {"complete", "pruned"}
    assert (states["pruned"] > 0) == (method == "halving")
    if method == "greedy":
        assert [one.slot.phase for one in ended][1:] == [1, 1, 1, 1, 2, 2, 2]
        assert list((tmp_path / "run" / "pretrained").glob("*.safetensors"))
    if method == "halving":
        early = [one.measured for one in ended if one.state == "pruned"]
        whole = [one.measured for one in ended if one.state == "complete"]
        assert max(one["rows"] for one in early) < min(one["rows"] for one in whole)
        assert all("epochs" in one["reason"] for one in early)


def test_a_trial_that_diverges_is_over_and_no_winner(digits: Rows, tmp_path: Path) -> None:
    plan = small_search({"trials": 2, "method": "grid", "finetune.learning_rate": [0.05, 1e37]})
    ended = run(plan, digits, tmp_path / "run")
    states = {one["values"].get("finetune.learning_rate"): one["state"] for one in ended.results["tried"]}
    assert states == {None: "complete", 0.05: "complete", 1e37: "diverged"}
    assert ended.best.get("finetune.learning_rate") != 1e37


def test_a_wrong_combination_is_found_before_anything_is_made(digits: Rows) -> None:
    mixed = {"pretrain.objective": ["rbm", "denoising"], "pretrain.objective.corruption.rate": [0.1, 0.2]}
    with pytest.raises(PlanError, match=r"that do not go together: .*corruption.rate is unknown"):
        Searcher(small_search({"method": "grid", **mixed}), digits)
    layers = {"pretrain.objective": [["denoising", "rbm"]]}
    with pytest.raises(PlanError, match="2 objectives for 1 layers"):
        Searcher(small_search(layers), digits)
    with pytest.raises(PlanError, match="there is no pre-training to search for"):
        Searcher(small_search(DOMAINS, pretrain={"objective": "none"}), digits)


def test_the_winner_is_a_recipe_and_comparing_it_counts_the_search(found: Search, digits: Rows, tmp_path: Path) -> None:
    plan = check(Plan, tomllib.loads(found.recipe.read_text()), "the winner")
    assert plan.search is None and plan.compare.budgets == (100,) and plan.compare.headline == 100
    for name, value in found.best.items():
        table, key = name.split(".")
        assert getattr(getattr(plan, table), key) == value
    assert plan.finetune.learning_rate in plan.compare.learning_rates
    assert set(plan.compare.learning_rates) >= {0.03, 0.1, 0.3}
    assert plan.searched is not None and plan.searched.trials == 7
    compared = _compare(plan, digits, tmp_path / "compared")
    cost, search = compared["cost"], compared["search"]
    assert cost["search_seconds"] == plan.searched.seconds and search["same_rows"]
    parts = sum(cost["pretraining_seconds"]) + sum(map(sum, cost["finetuning_seconds"].values()))
    tuning = sum(cost["tuning_seconds"].values()) + cost["baseline_seconds"]
    assert cost["total_seconds"] == pytest.approx(parts + tuning + plan.searched.seconds)
    assert (
        "a search of 7 trials on 100 labels" in search["statement"] and "none of these test rows" in search["statement"]
    )
    assert "a search of 7 trials on 100 labels" in (tmp_path / "compared" / "report.html").read_text()
    # the search's best error is the one that tuning finds on the first seed, bit for bit
    rows = json.loads((tmp_path / "compared" / "tuning.json").read_text())
    own = next(
        r for r in rows if r["arm"] == "pretrained" and r["settings"]["learning_rate"] == plan.finetune.learning_rate
    )
    assert own["validation_error"] == found.results["best"]["validation_error"]


def _compare(plan: Plan, rows: Rows, folder: Path) -> dict[str, Any]:
    experiment = Experiment(plan, rows)
    return run_comparison(experiment, open_run(experiment, folder)).results


def test_other_training_rows_may_hold_the_searchs_in_their_test_rows(
    found: Search, digits: Rows, tmp_path: Path
) -> None:
    plan = check(Plan, tomllib.loads(found.recipe.read_text()), "the winner")
    swapped = replace(digits, inputs=digits.test_inputs, codes=digits.test_codes,
                      test_inputs=digits.inputs, test_codes=digits.codes)  # fmt: skip
    search = _compare(plan, swapped, tmp_path / "run")["search"]
    assert not search["same_rows"] and "may have been given some of these test rows" in search["statement"]


def test_a_search_from_a_winner_adds_up_what_both_cost(found: Search, digits: Rows, tmp_path: Path) -> None:
    plan = check(Plan, tomllib.loads(found.recipe.read_text()), "the winner")
    again = plan.model_copy(update={"search": small_search({"trials": 1, **DOMAINS}).search})
    ended = run(again, digits, tmp_path / "run")
    carried = check(Plan, tomllib.loads(ended.recipe.read_text()), "the winner").searched
    assert carried is not None and plan.searched is not None and carried.trials == 7 + 2
    assert carried.seconds == pytest.approx(plan.searched.seconds + ended.results["cost"]["seconds"], abs=0.1)


def test_the_door_in_python_takes_the_words_of_compare(digits: Rows, tmp_path: Path, capfd: Any) -> None:
    ended = lw.search(
        digits.inputs, digits.codes, network=(12,), budget=60, trials=1, domains={"finetune.l2": [0.0, 0.01]},
        settings={"pretrain": {"epochs": 1}, "finetune": {"epochs": 2}}, run_dir=tmp_path / "run", random_state=3,
    )  # fmt: skip
    assert ended.results["labels"] == 60 and ended.run_dir == tmp_path / "run"
    assert "random_state = 3" in ended.recipe.read_text()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(PlanError, match=r"settings name pretrain\.objective, which are taken as keywords"):
        lw.search(digits.inputs, digits.codes, settings={"pretrain": {"objective": "rbm"}})


def test_an_interrupted_trial_is_given_back_and_not_counted(found: Search, digits: Rows, tmp_path: Path) -> None:
    plan = small_search({"trials": 6, **DOMAINS})
    searcher = Searcher(plan, digits)
    folder = open_search(searcher, tmp_path / "run")

    def interrupt(told: Any) -> None:
        if told.fit.startswith("trial-2/labels"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searcher.run(folder, [interrupt])
    trials = Journal(tmp_path / "run", searcher.domains).trials()
    assert [trial.state for trial in trials[:3]] == ["complete", "complete", "stopped"]
    assert not list((tmp_path / "run" / "workers").iterdir())
    ended = made(plan, digits, tmp_path / "run", resume=True)
    assert of(ended) == tried(found) and all(one.attempt == 1 for one in ended)


# Several processes, one of them killed in the midst of a trial.

LEASE = 4.0
WORKER = """
import sys, time
sys.path[:0] = [{tests!r}, {own!r}]
from sklearn.datasets import load_digits
from layerwise.comparison.rows import gather
from layerwise.searching.search import open_search, run_search
from layerwise.searching.searcher import Searcher
from small_search import small_search
digits = load_digits()
rows = gather(digits.data / 16, digits.target, name="digits", scale="auto", test=0.4, random_state=0)
searcher = Searcher(small_search({search!r}), rows, lease={lease})
def hang(told):
    if {hangs} and told.fit.startswith("trial-1/labels"):
        time.sleep(600)
run_search(searcher, open_search(searcher, {folder!r}, resume=not {hangs}), [hang])
"""


def start(folder: Path, search: dict[str, Any], hangs: bool) -> subprocess.Popen[bytes]:
    own = Path(__file__).parent
    code = WORKER.format(
        tests=str(own.parent), own=str(own), search=search, folder=str(folder), hangs=hangs, lease=LEASE
    )  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen([sys.executable, "-W", "error", "-c", code], env=environment)


def until(condition: Callable[[], Any], seconds: float = 200.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def test_a_second_process_joins_and_takes_over_what_a_killed_one_left(
    found: Search, digits: Rows, tmp_path: Path
) -> None:
    folder, search = tmp_path / "run", {"trials": 6, **DOMAINS}
    domains = Searcher(small_search(search), digits).domains

    def states() -> list[str]:
        there = (folder / "journal.log").exists()
        return [trial.state for trial in Journal(folder, domains).trials()] if there else []

    first, second = start(folder, search, hangs=True), None
    try:
        until(lambda: states()[:2] == ["complete", "running"])  # it hangs in trial 1 from here on
        second = start(folder, search, hangs=False)
        until(lambda: states() == ["complete", "running", *["complete"] * 5])
        time.sleep(1.5 * LEASE)
        assert states()[1] == "running" and second.poll() is None  # slow, and not taken for dead
        before = Journal(folder, domains).trials()
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert second.wait(timeout=200) == 0
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.wait()
    after = Journal(folder, domains).trials()
    assert [one for one in before if one.state == "complete"] == [one for one in after[:7] if one.state == "complete"]
    assert [(one.slot.number, one.state, one.attempt) for one in after if one.slot.number == 1] == [
        (1, "died", 1), (1, "complete", 2),
    ]  # fmt: skip
    assert len(after) == 8 and len({one.worker for one in after}) == 2
    assert of(after) == tried(found)  # as many as were asked for, not as many per process; and whoever made them
    results = json.loads((folder / "results.json").read_text())
    assert results["cost"]["died"] == 1 and results["cost"]["workers"] == 2


def test_a_trial_is_told_of_as_it_ends(digits: Rows, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "layerwise"):
        made(small_search({"trials": 1, **DOMAINS}), digits, tmp_path / "run")
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("the recipe as it is: validation error ")
    assert said[1].startswith("trial 1 of 1: validation error ")
