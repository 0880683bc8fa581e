"""The experiment behind a comparison: every seed, budget and arm, measured once and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import PlanError
from ..finetuning import check_finetuning
from ..nn.layers import build_network
from ..plan import Plan
from ..pretraining import Stage, check_pretraining
from ..randomness import Randomness
from ..runs.folder import RunFolder
from ..stack import Stack
from ..training.loop import Callback, Surroundings
from ..write import write_arrays
from .arms import MODERN_LEARNING_RATES, Outcome, Starts, finetune_plan, run_arm, starts
from .baselines import run_baseline
from .budgets import auto_budgets, check_budgets, class_counts, nested_budgets, validation_folds
from .convergence import Curve
from .rows import Rows
from .tuning import tune_arm

ARMS = ("pretrained", "random")
MODERN = "modern network"
ALL_BASELINES = ("logistic regression", "gradient boosting", MODERN)
MONITORED = 2000  # rows that give the curves
FEWEST_MONITORED = 500
SHOWN_FILTERS, SHOWN_ROWS = 100, 10


@dataclass
class Measured:
    """Everything that was measured, by (seed, labels, arm) where it has one."""

    budgets: tuple[int, ...]
    headline: int
    outcomes: dict[tuple[int, int, str], Outcome] = field(default_factory=dict)
    settings: dict[tuple[int, str], dict[str, float]] = field(default_factory=dict)
    tuning: list[dict[str, Any]] = field(default_factory=list)
    stages: list[list[Stage]] = field(default_factory=list)
    pretraining_seconds: list[float] = field(default_factory=list)
    parameters: dict[str, dict[str, str]] = field(default_factory=dict)
    monitored: int = 0
    monitored_on: str = ""


class Experiment:
    """A plan and its rows, checked; `run` makes the measurements.

    Parameters
    ----------
    plan : Plan
        All settings.
    rows : Rows
        Training and test rows.
    device : str
        Where to train.

    Raises
    ------
    DataError, PlanError
        When the budgets do not fit the rows.
    """

    def __init__(self, plan: Plan, rows: Rows, device: str = "auto") -> None:
        self.plan, self.rows, self.device = plan, rows, device
        labelled = int(class_counts(rows.codes).sum())
        asked = plan.compare.budgets
        budgets = auto_budgets(labelled, len(rows.classes)) if asked == "auto" else asked
        self.budgets = check_budgets(budgets, rows.codes, rows.classes)
        self.headline = plan.compare.headline or self.budgets[-1]
        if self.headline not in self.budgets:
            raise PlanError(
                f"headline is {self.headline}, which is not one of the label budgets {list(self.budgets)}",
                "name one of the budgets: the verdict is about it",
            )
        asked_baselines = plan.compare.baselines
        self.baselines = ALL_BASELINES if asked_baselines == "auto" else asked_baselines
        _refuse(plan, self.baselines)
        self._check_plan()

    def _check_plan(self) -> None:
        """Find settings that do not fit the network before anything is trained."""
        plan, rows = self.plan, self.rows
        network = build_network(
            rows.inputs.shape[1], outputs=len(rows.classes), randomness=Randomness(0), **dict(plan.network)
        )
        labelled = (rows.codes >= 0).nonzero().flatten()[:1]
        if plan.pretrain.objective is not None:
            check_pretraining(network, plan.pretrain, rows.inputs, None)
        check_finetuning(network, rows.inputs[labelled], rows.codes[labelled], plan.finetune, None)
        if plan.compare.tune or set(self.baselines) - {MODERN}:
            randomness = Randomness(plan.compare.random_state).child("seed-0")
            fewest = nested_budgets(rows.codes, self.budgets, randomness)[self.budgets[0]]
            validation_folds(rows.codes[fewest], randomness)

    def run(self, folder: RunFolder, callbacks: Sequence[Callback] = ()) -> Measured:
        """Measure every seed, budget and arm; what a resumed folder holds is not repeated."""
        measured = Measured(self.budgets, self.headline)
        root = Randomness(self.plan.compare.random_state)
        for seed in range(self.plan.compare.seeds):
            name = f"seed-{seed}"
            self._seed(seed, Surroundings(name, root.child(name), folder, callbacks), measured)
        return measured

    def _seed(self, seed: int, around: Surroundings, measured: Measured) -> None:
        start = starts(self.plan, self.rows, around, self.device)
        if seed == 0:
            measured.parameters = start.parameters()
        if start.pretraining is not None:
            measured.stages.append(start.pretraining.history)
            if seed == 0:
                self._keep_pictures(start, around)
        seconds = sum(stage.seconds for stage in measured.stages[-1]) if start.pretraining else 0.0
        measured.pretraining_seconds.append(seconds)
        drawn = nested_budgets(self.rows.codes, self.budgets, around.randomness)
        monitor, where = self._monitor(drawn[self.budgets[-1]], around.randomness)
        measured.monitored, measured.monitored_on = len(monitor[0]), where
        for labels, chosen in drawn.items():
            inputs, codes = self.rows.inputs[chosen], self.rows.codes[chosen]
            self._budget(seed, labels, start, inputs, codes, monitor, around.child(f"labels-{labels}"), measured)

    def _budget(
        self,
        seed: int,
        labels: int,
        start: Starts,
        inputs: Tensor,
        codes: Tensor,
        monitor: tuple[Tensor, Tensor],
        around: Surroundings,
        measured: Measured,
    ) -> None:
        """Tune (first seed), fine-tune and test every arm and baseline on one budget."""
        test = self.rows.test_inputs, self.rows.test_codes
        arms = [*ARMS, *(["modern"] if MODERN in self.baselines else [])]
        if seed == 0:
            for arm in arms:
                choice = self._choose(arm, start, inputs, codes, around)
                measured.settings[labels, arm] = choice["settings"]
                measured.tuning += choice["rows"]
        for arm in arms:
            plan = finetune_plan(self.plan.finetune, arm).model_copy(update=measured.settings[labels, arm])
            outcome = run_arm(arm, start, inputs, codes, plan, around, self.device, monitor, test)
            measured.outcomes[seed, labels, arm] = outcome
        for name in self.baselines:
            if name != MODERN:
                self._baseline(name, seed, labels, inputs, codes, around, measured)

    def _choose(self, arm: str, start: Starts, inputs: Tensor, codes: Tensor, around: Surroundings) -> dict[str, Any]:
        plan = finetune_plan(self.plan.finetune, arm)
        if not self.plan.compare.tune:
            rate = MODERN_LEARNING_RATES[1] if arm == "modern" else plan.learning_rate
            return {"settings": {"learning_rate": rate, "epochs": plan.epochs}, "rows": []}

        def tune() -> dict[str, Any]:
            rates = MODERN_LEARNING_RATES if arm == "modern" else self.plan.compare.learning_rates
            folds = validation_folds(codes, around.randomness)
            choice = tune_arm(
                arm, lambda seen: start.network(arm, seen), inputs, codes, folds, plan, rates,
                replace(around, saved=False), self.device,
            )  # fmt: skip
            return {"settings": choice.settings, "rows": choice.rows}

        return _once(around, f"tune-{arm}", tune)

    def _baseline(
        self, name: str, seed: int, labels: int, inputs: Tensor, codes: Tensor, around: Surroundings, measured: Measured
    ) -> None:
        def run() -> dict[str, Any]:
            settings = measured.settings.get((labels, name))
            folds = validation_folds(codes, around.randomness) if settings is None else []
            found = run_baseline(
                name, inputs, codes, folds, self.rows.test_inputs, around.randomness.seed(name), settings
            )
            wrong = np.flatnonzero(found.predictions != self.rows.test_codes.numpy())
            return {
                "settings": found.settings, "rows": found.tuning, "seconds": found.seconds, "wrong": wrong.tolist()
            }  # fmt: skip

        kept = _once(around, name.replace(" ", "-"), run)
        wrong = np.zeros(len(self.rows.test_codes), dtype=bool)
        wrong[kept["wrong"]] = True
        measured.settings[labels, name] = kept["settings"]
        measured.tuning += kept["rows"]
        measured.outcomes[seed, labels, name] = Outcome(wrong, Curve([], [], []), kept["seconds"])

    def _monitor(self, used: Tensor, randomness: Randomness) -> tuple[tuple[Tensor, Tensor], str]:
        """Return the rows that give the curves: no arm trains on them and they choose nothing."""
        outside = self.rows.codes >= 0
        outside[used] = False
        left = outside.nonzero().flatten()
        if len(left) < FEWEST_MONITORED:
            return (self.rows.test_inputs, self.rows.test_codes), "test rows"
        left = left[torch.randperm(len(left), generator=randomness.generator("monitor"))[:MONITORED]]
        return (self.rows.inputs[left], self.rows.codes[left]), "labelled rows outside every budget"

    def _keep_pictures(self, start: Starts, around: Surroundings) -> None:
        """Save filters and reconstructions as arrays, so that the report needs no model."""
        assert start.pretraining is not None and around.folder is not None
        stack: Stack = start.pretraining.stack
        before = next(module for module in start.random if isinstance(module, torch.nn.Linear))
        clean = self.rows.test_inputs[:SHOWN_ROWS]
        objective = self.plan.pretrain.objective
        first = objective[0] if isinstance(objective, tuple) else objective
        corruption = getattr(first, "corruption", None)
        noisy = corruption(clean, around.randomness.generator("pictures")) if corruption else clean
        write_arrays(
            around.folder.path / "arrays.npz",
            {
                "filters": stack.layers[0].linear.weight[:SHOWN_FILTERS].detach().cpu().numpy(),
                "filters_random": before.weight[:SHOWN_FILTERS].detach().cpu().numpy(),
                "reconstruction_input": clean.numpy(),
                "reconstruction_noisy": noisy.numpy(),
                "reconstruction_output": stack.reconstruct(noisy, 1).cpu().numpy(),
            },
        )


def _refuse(plan: Plan, baselines: Sequence[str]) -> None:
    """Refuse settings that are sound in `pretrain` or `finetune` and would make a comparison unfair or fail."""
    for name, table in (("pretrain", plan.pretrain), ("finetune", plan.finetune)):
        if table.early_stopping:
            raise PlanError(
                f"{name}.early_stopping is set, but a comparison reads epochs off a curve on validation rows",
                "leave early_stopping out; finetune.epochs is the most that is tried",
            )
    if plan.pretrain.initializer:
        raise PlanError(
            "pretrain.initializer is set, but both arms must start from the same weights",
            "set network.initializer, which draws the weights of both",
        )
    if plan.finetune.batch_size == 1 and (plan.network.batch_norm or MODERN in baselines):
        raise PlanError(
            "finetune.batch_size is 1, and batch normalisation cannot train on one row",
            "set it to 2 or more, or leave the modern network out of compare.baselines",
        )


def _once(around: Surroundings, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do a piece of work, or take its outcome from the run folder when it was done before."""
    assert around.folder is not None
    full = f"{around.name}/{name}"
    kept = around.folder.finished(full)
    if kept is None:
        kept = work()
        around.folder.finish(full, kept)
        kept = around.folder.finished(full)  # as a resumed run will read it: JSON has no tuples
        assert kept is not None
    return kept
