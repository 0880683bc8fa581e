"""The training loop. There is only this one: the greedy stages and fine-tuning both run here.

Everything random about update t is a function of the fit's randomness and t alone, so a fit that continues from a
checkpoint draws what it would have drawn without the stop, and ends in the same weights bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batches import Batches
from ..data.mixed import MixedBatches
from ..errors import DivergenceError, PlanError
from ..nn.modes import buffers_kept
from ..plan import TrainingPlan
from ..randomness import Randomness
from ..runs.checkpoint import Place, Saved
from ..runs.folder import RunFolder
from ..runs.history import History
from .analytic import step_for
from .device import arithmetic
from .schedules import Scheduled
from .step import Step
from .stopping import Patience

CHECKPOINT_SECONDS = 30.0  # a checkpoint of the default network takes about 0.05 s: well under 1 % of the time
PROGRESS_SECONDS = 0.25
FIRST_ROWS = 1000  # rows over which the loss before any update is measured


@dataclass(frozen=True)
class Progress:
    """What a callback is told: at every record, and about four times a second between.

    Attributes
    ----------
    fit : str
        Name of the fit, as in the history.
    update, updates : int
        Updates made and planned.
    rows : int
        Training rows seen since the fit (or its continuation) began.
    seconds : float
        Training time of this fit.
    record : dict or None
        The history record just written.
    rows_per_second : float
        Since the fit (or its continuation) began, by the clock: waiting for rows and validation count.
    seconds_left : float or None
        At that pace; None before the first update.
    """

    fit: str
    update: int
    updates: int
    rows: int
    seconds: float
    record: dict[str, Any] | None = None
    rows_per_second: float = 0.0
    seconds_left: float | None = None


Callback = Callable[[Progress], None]
Validate = Callable[[], dict[str, float]]
Dealt = Batches | MixedBatches


@dataclass(frozen=True)
class Fitting:
    """What surrounds a fit: where it is recorded, saved and watched."""

    name: str
    randomness: Randomness
    history: History = field(default_factory=History)
    checkpoint: Place | None = None
    callbacks: Sequence[Callback] = ()
    validate: Validate | None = None


@dataclass(frozen=True)
class Surroundings:
    """What surrounds several fits of one piece of work; each gets its part by name.

    Fits that are not ``saved`` are recorded all the same, and repeated when a run is resumed in the midst of them.
    ``shared`` says, for a fit's name and history, where its state is kept instead, so that other work that has the fit
    in common finds it finished.
    """

    name: str
    randomness: Randomness
    folder: RunFolder | None = None
    callbacks: Sequence[Callback] = ()
    history: History = field(default_factory=History)
    saved: bool = True
    shared: Callable[[str, History], Place | None] | None = None

    def child(self, name: str, randomness: str | None = None) -> Surroundings:
        """Return the surroundings of a part of the work; parts given one ``randomness`` name draw alike."""
        return replace(self, name=f"{self.name}/{name}", randomness=self.randomness.child(randomness or name))

    def fitting(self, name: str, validate: Validate | None = None) -> Fitting:
        """Return what surrounds one fit."""
        full = f"{self.name}/{name}" if name else self.name
        history = self.folder.history if self.folder else self.history
        checkpoint: Place | None = self.folder.checkpoint(full) if self.folder and self.saved else None
        if self.shared is not None:
            checkpoint = self.shared(full, history)
        randomness = self.randomness.child(name) if name else self.randomness
        return Fitting(full, randomness, history, checkpoint, self.callbacks, validate)


@dataclass(frozen=True)
class Fitted:
    """How a fit ended."""

    updates: int
    seconds: float
    records: list[dict[str, Any]]
    best_update: int | None = None


def fit(learner: nn.Module, batches: Dealt, plan: TrainingPlan, learning_rate: float, fitting: Fitting) -> Fitted:
    """Train a learner, in place.

    Parameters
    ----------
    learner : nn.Module
        A `layerwise.objectives.objective.Learner`.
    batches : Batches or MixedBatches
        The training rows.
    plan : TrainingPlan
        Epochs, optimiser, schedule, stopping, and what is done every so many updates.
    learning_rate : float
        The initial rate.
    fitting : Fitting
        Name, randomness, and where the fit is recorded, saved and watched. A checkpoint that exists is continued from;
        a finished one is loaded and nothing is repeated.

    Raises
    ------
    PlanError
        When the plan needs rows to validate on and there are none.
    DivergenceError
        When a loss is not finite, naming the fit and the update.
    """
    return _Run(learner, batches, plan, learning_rate, fitting).run()


class _Run:
    """The state of one call of `fit`."""

    def __init__(
        self, learner: nn.Module, batches: Dealt, plan: TrainingPlan, learning_rate: float, fitting: Fitting
    ) -> None:
        self.learner, self.batches, self.plan, self.fitting = learner, batches, plan, fitting
        if plan.needs_validation and fitting.validate is None:
            raise PlanError(f"{plan.needs_validation} needs rows to validate on", "leave it out, or hold rows out")
        self.total = plan.epochs * batches.per_epoch
        self.rate = Scheduled(plan.schedule, learning_rate, self.total)
        self.momentum = Scheduled(plan.momentum_schedule, plan.momentum, self.total)
        self.step: Step = step_for(learner, plan, batches.inputs.shape[1:])
        self.device = next(learner.parameters()).device
        self.generator = torch.Generator(device=self.device)
        self.seed = fitting.randomness.seed("updates")
        self.patience = Patience(plan.early_stopping, batches.per_epoch) if plan.early_stopping else None
        self.best: dict[str, Tensor] = {}
        self.update = 0
        self.seconds = 0.0
        self.loss_sum, self.loss_rows, self.rows_seen = 0.0, 0, 0
        self.began = self.last_saved = self.last_told = time.perf_counter()
        self.first_update = 0

    def run(self) -> Fitted:
        saved = self.fitting.checkpoint.load() if self.fitting.checkpoint else None
        if saved is not None:
            self._restore(saved)
        if saved is None or not saved.values["done"]:
            # the caller may hold records of an attempt that was stopped, or that diverged
            self.fitting.history.rewind(self.fitting.name, self.update if saved else -1)
            with _own_global_generator(self.device):
                self._train(fresh=saved is None)
            self.step.settle()
            self._finish()
        self.learner.eval()
        best = self.patience.best_update if self.patience and math.isfinite(self.patience.best) else None
        return Fitted(self.update, self.seconds, self.fitting.history.of(self.fitting.name), best)

    def _train(self, fresh: bool) -> None:
        self.learner.train()
        if fresh:
            self._record(training_loss=self._first_loss())
        while self.update < self.total and not (self.patience and self.patience.exhausted(self.update)):
            epoch, start = divmod(self.update, self.batches.per_epoch)
            with closing(self.batches.epoch(epoch, start)) as batches:  # whatever ends it, no thread goes on reading
                for batch in batches:
                    self._one_update(batch)
                    if self.patience and self.patience.exhausted(self.update):
                        break

    def _one_update(self, batch: Any) -> None:
        began = time.perf_counter()
        self._reseed(self.update)
        self.step.set_learning_rate(self.rate.at(self.update))
        if self.momentum.schedule:
            self.step.set_momentum(self.momentum.at(self.update))
        with arithmetic(self.plan.precision, self.device):
            loss = float(self.step(batch, self.generator))
        self.update += 1
        rows = len(batch.inputs)
        self.loss_sum += loss * rows
        self.loss_rows += rows
        self.rows_seen += rows
        now = time.perf_counter()
        self.seconds += now - began
        if not math.isfinite(loss):
            raise DivergenceError(
                f"{self.fitting.name}: the loss is {loss} at update {self.update}, learning rate {self.rate.value:g}",
                "lower the learning rate, or scale the inputs",
            )
        if self._due(self.plan.summary_every) or self._due(self._validate_every()) or self.update == self.total:
            self._record()
        elif now - self.last_told > PROGRESS_SECONDS:
            self._tell(None)
        self._maybe_save()

    def _due(self, every: int | None) -> bool:
        return self.update % (every or self.batches.per_epoch) == 0

    def _validate_every(self) -> int:
        if self.patience:
            return self.patience.validate_every
        return self.plan.validate_every or self.batches.per_epoch

    def _reseed(self, update: int) -> None:
        """Point both generators at this update: ours for corruption, torch's own for dropout modules."""
        seed = (self.seed + update) % 2**63
        self.generator.manual_seed(seed)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed does this for every backend, at 0.3 ms an update
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _first_loss(self) -> float:
        """Return the loss before any update, over the first rows of the first epoch."""
        total, rows = 0.0, 0
        with torch.no_grad(), buffers_kept(self.learner):
            for batch in self.batches.epoch(0):
                self._reseed(rows)
                total += float(self.learner.loss(batch, self.generator)) * len(batch.inputs)  # type: ignore[operator]
                rows += len(batch.inputs)
                if rows >= FIRST_ROWS:
                    break
        return total / rows

    def _record(self, training_loss: float | None = None) -> None:
        """Write one history record: the loss since the last one, and the validation when it is due."""
        if training_loss is None:
            training_loss = self.loss_sum / self.loss_rows
        record: dict[str, Any] = {
            "update": self.update,
            "epoch": round(self.update / self.batches.per_epoch, 4),
            "training_loss": training_loss,
            "learning_rate": 0.0,
            "seconds": round(self.seconds, 4),
        }
        self.loss_sum, self.loss_rows = 0.0, 0
        if self.fitting.validate and (self._due(self._validate_every()) or self.update == self.total):
            self.step.settle()
            self.learner.eval()
            with torch.no_grad():
                record.update(self.fitting.validate())
            self.learner.train()
            self._judge(record)
        record["learning_rate"] = self.rate.at(self.update)
        if self.momentum.schedule:
            record["momentum"] = self.momentum.at(self.update)
        self.fitting.history.append(self.fitting.name, record)
        self._tell(record)

    def _judge(self, record: dict[str, Any]) -> None:
        result = record.get("validation_error", record["validation_loss"])
        self.rate.seen(result)
        self.momentum.seen(result)
        if self.patience and self.patience.seen(self.update, result):
            self.best = {name: value.clone() for name, value in self.learner.state_dict().items()}

    def _tell(self, record: dict[str, Any] | None) -> None:
        self.last_told = time.perf_counter()
        made, spent = self.update - self.first_update, self.last_told - self.began
        pace = (self.rows_seen / spent, spent / made * (self.total - self.update)) if made else (0.0, None)
        progress = Progress(self.fitting.name, self.update, self.total, self.rows_seen, self.seconds, record, *pace)
        for callback in self.fitting.callbacks:
            callback(progress)

    def _maybe_save(self) -> None:
        if self.fitting.checkpoint is None or self.update == self.total:
            return
        every = self.plan.checkpoint_every
        due = self._due(every) if every else time.perf_counter() - self.last_saved > CHECKPOINT_SECONDS
        if due:
            self._save(done=False)

    def _save(self, done: bool) -> None:
        assert self.fitting.checkpoint is not None
        tensors = {f"learner/{k}": v for k, v in self.learner.state_dict().items()}
        if not done:
            tensors |= {f"step/{k}": v for k, v in self.step.state_dict().items()}
            tensors |= {f"best/{k}": v for k, v in self.best.items()}
        values: dict[str, Any] = {
            "done": done, "update": self.update, "seconds": self.seconds,
            "loss_sum": self.loss_sum, "loss_rows": self.loss_rows,
            "rate": self.rate.state(), "momentum": self.momentum.state(),
        }  # fmt: skip
        if self.patience:
            values |= {"limit": self.patience.limit, "best_update": self.patience.best_update}
            values["best"] = self.patience.best if math.isfinite(self.patience.best) else None
        self.fitting.checkpoint.save(tensors, values)
        self.last_saved = time.perf_counter()

    def _restore(self, saved: Saved) -> None:
        values = saved.values
        self.learner.load_state_dict(saved.part("learner"))
        self.step.load_state_dict(saved.part("step"))
        self.best = {name: value.to(self.device) for name, value in saved.part("best").items()}
        self.update, self.seconds = values["update"], values["seconds"]
        self.first_update = self.update
        self.loss_sum, self.loss_rows = values["loss_sum"], values["loss_rows"]
        self.rate.load_state(values["rate"])
        self.momentum.load_state(values["momentum"])
        if self.patience:
            self.patience.limit, self.patience.best_update = values["limit"], values["best_update"]
            self.patience.best = math.inf if values["best"] is None else values["best"]

    def _finish(self) -> None:
        if self.best:
            self.learner.load_state_dict(self.best)
        if self.fitting.checkpoint is not None:
            self._save(done=True)


@contextmanager
def _own_global_generator(device: torch.device) -> Iterator[None]:
    """Let modules that draw from torch's global generator (dropout) do so; put its state back after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
