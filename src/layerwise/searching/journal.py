"""The trials of a search in one file that several processes share: who takes which, and what came of it.

Underneath is an Optuna study in a journal file. Every trial that is asked for is put into it beforehand, and a worker
takes the next that waits; there are never more than were asked for, however many workers join. What a worker's death
leaves behind is put right by whoever comes next (`Journal.settle`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import PlanError, install
from ..write import write_bytes
from .domains import Domain, Span, frozen, written
from .methods import Outcome, Slot

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger("layerwise")
State = Literal["waiting", "running", "complete", "pruned", "diverged", "stopped", "died"]
OVER: tuple[State, ...] = ("complete", "pruned", "diverged")
MOST_DEATHS = 1  # of a slot's workers, after which it is still tried again
INSTALL = install(["optuna"], "search")


def load_optuna() -> Any:
    """Import Optuna.

    Raises
    ------
    PlanError
        When it is not installed.
    """
    try:
        import optuna.importance
        import optuna.storages.journal
    except ModuleNotFoundError as error:
        raise PlanError(f"a search needs Optuna: {error}", INSTALL) from error
    return optuna


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's own log to itself inside the block."""
    log = logging.getLogger("optuna")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


@dataclass(frozen=True)
class Trial:
    """One attempt at a slot.

    Attributes
    ----------
    number : int
        In the journal; attempts count.
    slot : Slot
        What was asked for.
    attempt : int
        1, or one more than the deaths before it.
    state : str
        "waiting", "running", "complete", "pruned" (given up early by its own error), "diverged", "stopped" (given back)
        or "died" (its worker was not heard of any more).
    worker : str
        Who took it, empty before that.
    measured : dict
        What the worker found: ``validation_error`` and what it took.
    """

    number: int
    slot: Slot
    attempt: int
    state: State
    worker: str
    measured: dict[str, Any]


class Journal:
    """A search's trials, shared through ``journal.log`` in its run folder.

    Parameters
    ----------
    folder : Path
        The run folder.
    domains : mapping
        By the names that trials have values of.
    sampler, pruner : optional
        Optuna's, for methods that learn while they search.
    """

    def __init__(self, folder: Path, domains: Mapping[str, Domain], sampler: Any = None, pruner: Any = None) -> None:
        self.optuna = load_optuna()
        self.domains = domains
        self._taken: dict[int, optuna.trial.Trial] = {}
        with quiet():
            backend = self.optuna.storages.journal
            # not Optuna's default lock: a symbolic link with a relative target is never found to be stale
            self._queue = backend.JournalFileOpenLock(str(folder / "queue"))
            file = folder / "journal.log"
            with self.locked():
                _cut_half_line(file)
                storage = backend.JournalFileBackend(str(file), backend.JournalFileOpenLock(str(file)))
                self.study: optuna.Study = self.optuna.create_study(
                    storage=self.optuna.storages.JournalStorage(storage),
                    study_name="search",
                    load_if_exists=True,
                    sampler=sampler or self.optuna.samplers.RandomSampler(0),
                    pruner=pruner or self.optuna.pruners.NopPruner(),
                )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other worker plan or take trials inside the block."""
        self._queue.acquire()
        try:
            yield
        finally:
            self._queue.release()

    def trials(self) -> list[Trial]:
        """Return every attempt, in the order in which they were put in."""
        with quiet():
            return [_read(trial) for trial in self.study.get_trials(deepcopy=False)]

    def take(
        self,
        worker: str,
        plan: Callable[[Sequence[Outcome]], Sequence[Slot]],
        dead: Callable[[Collection[str]], Collection[str]],
    ) -> Trial | None:
        """Put the queue in order and take its next trial; None when none waits.

        Parameters
        ----------
        worker : str
            Who takes it.
        plan : callable
            Says which slots are missing (`methods.next_slots`).
        dead : callable
            Says which of the workers of running trials are no more.
        """
        with quiet(), self.locked():
            self.settle(dead)
            self._add([(slot, 1) for slot in plan(outcomes(self.trials()))])
            waiting = next((trial for trial in self.trials() if trial.state == "waiting"), None)
            if waiting is None:
                return None
            taken = self.study.ask()  # the first that waits: nobody else takes one inside the lock
            self._taken[waiting.number] = taken
            taken.set_user_attr("worker", worker)
            values = waiting.slot.values
            names = self.domains if values is None else values
            found = {name: _suggest(taken, name, self.domains[name]) for name in names}
            slot = Slot(waiting.slot.number, found, waiting.slot.phase, waiting.slot.parent)
            if values is None:
                taken.set_user_attr("slot", _slot(slot))
            return Trial(waiting.number, slot, waiting.attempt, "running", worker, {})

    def settle(self, dead: Callable[[Collection[str]], Collection[str]]) -> None:
        """Bury the trials of dead workers, and ask once more for every slot that one death or any stop left open."""
        running = [trial for trial in self.trials() if trial.state == "running"]
        gone = set(dead({trial.worker for trial in running}))
        for trial in running:
            if trial.worker in gone:
                self.study.tell(trial.number, state=self.optuna.trial.TrialState.FAIL)
                again = "it is tried again" if trial.attempt <= MOST_DEATHS else "it is given up"
                logger.warning("trial %d: nothing was heard of its worker any more; %s", trial.slot.number, again)
        self._add([(last.slot, deaths + 1) for last, deaths in by_slot(self.trials()) if open_again(last, deaths)])

    def _add(self, slots: Sequence[tuple[Slot, int]]) -> None:
        for slot, attempt in slots:
            values = {} if slot.values is None else slot.values
            params = {name: _kept(self.domains[name], value) for name, value in values.items()}
            self.study.enqueue_trial(params, {"slot": _slot(slot), "attempt": attempt})

    def report(self, trial: Trial, resource: int, error: float) -> bool:
        """Report an error reached along the way; says whether the trial should be given up."""
        with quiet():
            taken = self._taken[trial.number]
            taken.report(error, resource)
            return bool(taken.should_prune())

    def finish(self, trial: Trial, state: State, measured: Mapping[str, Any]) -> bool:
        """Record how a trial ended; says whether it counts: not when its worker was taken for dead meanwhile."""
        states = self.optuna.trial.TrialState
        with quiet(), self.locked():
            if self.trials()[trial.number].state != "running":
                return False
            self._taken[trial.number].set_user_attr("measured", {**measured, "ended": state})
            if state == "complete":
                self.study.tell(trial.number, measured["validation_error"])
            else:
                self.study.tell(trial.number, state=states.PRUNED if state == "pruned" else states.FAIL)
        return True


def by_slot(trials: Sequence[Trial]) -> list[tuple[Trial, int]]:
    """Return the last attempt at each slot with the number of its attempts that died, in the slots' order."""
    last: dict[int, tuple[Trial, int]] = {}
    for trial in trials:
        deaths = last[trial.slot.number][1] if trial.slot.number in last else 0
        last[trial.slot.number] = trial, deaths + (trial.state == "died")
    return [last[number] for number in sorted(last)]


def open_again(last: Trial, deaths: int) -> bool:
    """Say whether a slot whose last attempt this was is to be tried again."""
    return last.state == "stopped" or (last.state == "died" and deaths <= MOST_DEATHS)


def outcomes(trials: Sequence[Trial]) -> list[Outcome]:
    """Return what has come of each slot so far."""
    return [
        Outcome(
            last.slot,
            last.measured.get("validation_error") if last.state == "complete" else None,
            last.state in OVER or (last.state == "died" and not open_again(last, deaths)),
        )
        for last, deaths in by_slot(trials)
    ]


def _read(trial: optuna.trial.FrozenTrial) -> Trial:
    given, measured = trial.user_attrs, trial.user_attrs.get("measured", {})
    names: dict[str, State] = {"WAITING": "waiting", "RUNNING": "running", "COMPLETE": "complete", "PRUNED": "pruned"}
    state = names.get(trial.state.name) or measured.get("ended", "died")
    slot = given["slot"]
    values = None if slot["values"] is None else {name: frozen(value) for name, value in slot["values"].items()}
    found = Slot(slot["number"], values, slot["phase"], slot["parent"])
    return Trial(trial.number, found, given["attempt"], state, given.get("worker", ""), measured)


def _slot(slot: Slot) -> dict[str, Any]:
    return {"number": slot.number, "values": slot.values, "phase": slot.phase, "parent": slot.parent}


def _suggest(trial: optuna.trial.Trial, name: str, domain: Domain) -> Any:
    """Return a trial's value of a domain: the one that was put in, or what the sampler says."""
    if not isinstance(domain, Span):
        chosen = trial.suggest_categorical(name, [written(value) for value in domain.values])
        return next(value for value in domain.values if written(value) == chosen)
    if domain.whole:
        return trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def _kept(domain: Domain, value: Any) -> Any:
    return value if isinstance(domain, Span) else written(value)


def _cut_half_line(file: Path) -> None:
    """Leave out a last line that a loss of power cut short: what is appended to it could not be read."""
    if file.exists():
        text = file.read_bytes()
        if text and not text.endswith(b"\n"):
            write_bytes(file, text[: text.rfind(b"\n") + 1])
