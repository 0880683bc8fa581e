"""The work of a search: take a trial, measure it, record it, until there is none left; any number of workers do so."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..comparison.budgets import auto_budgets, check_budgets, class_counts
from ..comparison.rows import Rows
from ..errors import DivergenceError, PlanError
from ..plan import Plan, SearchPlan
from ..randomness import Randomness
from ..recipe import with_settings
from ..runs.folder import RunFolder
from ..training.loop import Callback
from .domains import Values, domains_of
from .journal import Journal, Trial, load_optuna, outcomes
from .methods import Outcome, Slot, check_method, drawn, named_domains, next_slots, settings_of
from .shared import SharedLayers
from .trial import GivenUp, Measurement, RowCount
from .workers import BEATS, LEASE, Watcher, alive, new_worker

logger = logging.getLogger("layerwise")
POLL = 0.5  # seconds between two looks, while other workers still have trials
FACTOR = 3  # of successive halving: one trial of three goes on
RUNGS = 2  # at which it is decided, before the last epoch


@dataclass
class Standing:
    """How far a search is, for whoever shows it."""

    asked: int
    done: int = 0
    best: float | None = None


class Searcher:
    """A plan and its rows, checked; `run` makes the trials.

    Parameters
    ----------
    plan : Plan
        With the table ``[search]``, or without it for its defaults.
    rows : Rows
        Of a comparison; the test rows stay untouched.
    device : str
        Where to train.
    lease : float
        Seconds without a sign of life after which another worker is taken for dead.

    Raises
    ------
    PlanError, DataError, NetworkError
        When Optuna is not there, the domains do not fit, or any trial that is known beforehand would fail.
    """

    def __init__(self, plan: Plan, rows: Rows, device: str = "auto", lease: float = LEASE) -> None:
        load_optuna()
        if plan.pretrain.objective is None:
            raise PlanError("pretrain.objective is none: there is no pre-training to search for", "name an objective")
        self.search = plan.search or SearchPlan()
        self.plan, self.rows, self.lease = plan.model_copy(update={"search": self.search}), rows, lease
        self.labels = _labels(self.plan, rows)
        self.randomness = Randomness(plan.compare.random_state).child("search")
        self.chosen = domains_of(self.plan)
        check_method(self.plan, self.chosen)
        self.domains = named_domains(self.plan, self.chosen)
        self.measurement = Measurement(self.plan, rows, self.labels, device)
        self.standing = Standing(self.search.trials + 1)
        self._check()

    def plan_of(self, values: Values | None) -> Plan:
        """Return the recipe of one trial."""
        return with_settings(self.plan, settings_of(self.plan, values or {}))

    def _check(self) -> None:
        """Find trials that would fail before any is made: each one's settings, and each kind of network and layers."""
        slots = self.next_slots([])
        known = [slot.values for slot in slots if slot.values is not None]
        if self.search.method in ("greedy", "tpe"):  # what is chosen later: some of it, and the deepest stack
            known += [drawn(self.domains, self.randomness, "check", number) for number in range(20)]
        faults: dict[str, None] = {}
        kinds: dict[str, Plan] = {}
        for values in known:
            try:
                plan = self.plan_of(values)
                kinds.setdefault(_kind(plan), plan)
            except PlanError as error:
                faults[error.message] = None
        if faults:
            raise PlanError(f"the search has settings that do not go together: {'; '.join(faults)}", "narrow a domain")
        for plan in kinds.values():
            self.measurement.check(plan)

    def next_slots(self, past: Sequence[Outcome]) -> list[Slot]:
        """Return the slots that are to be added to those there are."""
        return next_slots(self.plan, self.chosen, self.randomness, past)

    def run(self, folder: RunFolder, callbacks: Sequence[Callback] = ()) -> list[Trial]:
        """Make trials until none is left for any worker, and return all attempts there were."""
        worker = new_worker()
        journal = self._journal(folder.path)
        watcher = Watcher(folder.path, worker, self.lease)
        shared = SharedLayers(folder.path, folder.identity, self.search.method == "greedy")
        shared.expect(self.plan_of(slot.values) for slot in self.next_slots([]) if slot.values is not None)
        told = False
        with alive(folder.path, worker, self.lease / BEATS):
            while True:
                trial = journal.take(worker, self.next_slots, watcher.dead)
                self._look(journal)
                if trial is not None:
                    self._make(trial, journal, shared, callbacks)
                elif others := sum(one.state == "running" for one in journal.trials()):
                    if not told:
                        logger.info("waiting for %d trial%s of other workers", others, "s" if others > 1 else "")
                    told = True
                    time.sleep(POLL)
                else:
                    return journal.trials()

    def _journal(self, folder: Path) -> Journal:
        optuna: Any = load_optuna()
        sampler = pruner = None
        if self.search.method == "tpe":
            done = len(Journal(folder, self.domains).trials())
            seed = self.randomness.seed("tpe", done) % 2**32  # a resumed search does not propose the same again
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna 4 calls constant_liar experimental
                sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        if self.search.method == "halving":
            pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=self.rungs[0], reduction_factor=FACTOR)
        return Journal(folder, self.domains, sampler, pruner)

    @property
    def rungs(self) -> list[int]:
        """The epochs of fine-tuning at which successive halving decides."""
        domain = self.chosen.get("finetune.epochs")
        epochs = self.plan.finetune.epochs if domain is None else int(min(domain.points(3)))
        first = max(1, epochs // FACTOR**RUNGS)
        return [first * FACTOR**rung for rung in range(RUNGS) if first * FACTOR**rung < epochs] or [epochs]

    def _make(self, trial: Trial, journal: Journal, shared: SharedLayers, callbacks: Sequence[Callback]) -> None:
        """Make one trial and record how it ended; one that is interrupted is given back."""
        count, began = RowCount(), time.perf_counter()

        def halve(epoch: int, error: float) -> None:
            if epoch in self.rungs and journal.report(trial, epoch, error) and trial.slot.number > 0:
                raise GivenUp(f"{error:.2f} % after {epoch} epochs")

        def end(state: Any, **found: Any) -> None:
            taken = {"seconds": time.perf_counter() - began, "rows": count.rows}
            if not journal.finish(trial, state, {**found, **taken}):
                logger.warning("trial %d was taken for dead and is not counted", trial.slot.number)
            elif state != "stopped":
                self._say(trial, state, found, taken["seconds"])

        plan = self.plan_of(trial.slot.values)
        try:
            error, epochs = self.measurement.run(
                plan, f"trial-{trial.slot.number}", [count, *callbacks],
                halve if self.search.method == "halving" else None, shared.places(plan),
            )  # fmt: skip
        except GivenUp as given_up:
            end("pruned", reason=str(given_up))
        except DivergenceError as divergence:
            end("diverged", reason=divergence.message)
        except BaseException:
            end("stopped")
            raise
        else:
            end("complete", validation_error=error, epochs=epochs)

    def _look(self, journal: Journal) -> None:
        """Note how far all workers together are."""
        past, standing = outcomes(journal.trials()), self.standing
        standing.done = sum(outcome.over for outcome in past)
        standing.best = min((outcome.error for outcome in past if outcome.error is not None), default=None)

    def _say(self, trial: Trial, state: str, found: dict[str, Any], seconds: float) -> None:
        name = f"trial {trial.slot.number} of {self.search.trials}" if trial.slot.number else "the recipe as it is"
        if state == "complete":
            said = f"validation error {found['validation_error']:.2f} %"
            if self.standing.best is not None and found["validation_error"] < self.standing.best:
                said += ", the best so far"
        else:
            said = f"{'given up' if state == 'pruned' else state}: {found['reason']}"
        logger.info("%s: %s, %.1f s", name, said, seconds)


def _labels(plan: Plan, rows: Rows) -> int:
    """Return the label budget of a search: as given, the comparison's headline, or its largest."""
    asked = plan.search.budget if plan.search else None
    budgets = plan.compare.budgets
    if budgets == "auto":
        budgets = auto_budgets(int(class_counts(rows.codes).sum()), len(rows.classes))
    (labels,) = check_budgets([asked or plan.compare.headline or max(budgets)], rows.codes, rows.classes)
    return labels


def _kind(plan: Plan) -> str:
    """Return what decides whether a network can be built and trained: all but the numbers of the objective."""
    given = plan.pretrain.objective
    objectives = given if isinstance(given, tuple) else (given,)
    kinds = [one.kind for one in objectives if one is not None]
    network = plan.network.model_copy(update={"dropout": 0.0, "input_dropout": 0.0})
    return f"{network!r} {kinds} {plan.pretrain.layers} {plan.pretrain.corrupt}"
