"""The experiment behind a comparison: every seed, budget and arm, measured once and kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import check_pretraining
from ..errors import NetworkError, PlanError
from ..finetuning import check_finetuning
from ..origins import log_origins, origins
from ..plan import FinetunePlan, Plan
from ..pretraining import PretrainResult
from ..randomness import Randomness
from ..runs.folder import RunFolder
from ..training.loop import Callback, Surroundings
from ..training.stage import Stage
from .arms import (
    ARMS,
    RIVALS,
    Arm,
    Budget,
    Factory,
    Judge,
    Outcome,
    arms_of,
    draw_network,
    pretrain_arm,
    pretraining_rows,
    run_arm,
    unlabelled_rows,
)
from .baselines import run_baseline
from .budgets import auto_budgets, check_budgets, class_counts, nested_budgets, validation_folds
from .by_layer import measure_layers
from .convergence import Curve
from .pictures import keep_pictures
from .rows import Rows
from .tuning import Labelled, limited, tune_arm

MODERN = "modern network"
ALL_BASELINES = ("logistic regression", "gradient boosting", MODERN)
MONITORED = 2000  # rows that give the curves
FEWEST_MONITORED = 500
TEST_ROWS = "test rows"


@dataclass
class Measured:
    """Everything that was measured, by (seed, labels, arm) where it has one.

    A pre-training that serves all budgets of a seed stands under each of them.
    """

    budgets: tuple[int, ...]
    headline: int
    outcomes: dict[tuple[int, int, str], Outcome] = field(default_factory=dict)
    settings: dict[tuple[int, str], dict[str, float]] = field(default_factory=dict)
    tuning: list[dict[str, Any]] = field(default_factory=list)
    stages: dict[tuple[int, int, str], list[Stage]] = field(default_factory=dict)
    parameters: dict[str, dict[str, str]] = field(default_factory=dict)
    by_layer: dict[str, dict[str, Any]] = field(default_factory=dict)  # by arm: the first seed, the headline budget
    monitored: int = 0
    monitored_on: str = ""

    def pretraining_seconds(self, seed: int, labels: int) -> float:
        """Return what pre-training cost before one budget could be fine-tuned."""
        return sum(stage.seconds for stage in self.stages.get((seed, labels, "pretrained"), ()))


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
    factory : callable, optional
        Makes the arms' network in place of the plan's table.
    arms : sequence of Arm, optional
        In place of the plan's two arms and the rivals among its baselines.

    Raises
    ------
    DataError, PlanError
        When the budgets do not fit the rows.
    """

    def __init__(
        self,
        plan: Plan,
        rows: Rows,
        device: str = "auto",
        factory: Factory | None = None,
        arms: Sequence[Arm] | None = None,
    ) -> None:
        self.plan, self.rows, self.device, self.factory = plan, rows, device, factory
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
        self.baselines = self._baselines()
        rivals = [name for name in self.baselines if name in RIVALS]
        self.simple = [name for name in self.baselines if name not in RIVALS]
        self.arms = arms_of(plan, rivals) if arms is None else tuple(arms)
        _refuse(plan, self.baselines)
        self._check_plan()

    def _baselines(self) -> tuple[str, ...]:
        asked = self.plan.compare.baselines
        if self.factory is None:
            return ALL_BASELINES if asked == "auto" else asked
        if asked != "auto" and MODERN in asked:
            raise PlanError(
                "the modern network is built from the table [network], but your network is made in Python",
                "leave it out of baselines, or give it as a comparison of its own",
            )
        return ALL_BASELINES[:-1] if asked == "auto" else asked

    def _check_plan(self) -> None:
        """Find settings that do not fit the networks before anything is trained."""
        rows, randomness = self.rows, Randomness(self.plan.compare.random_state).child("seed-0")
        drawn = nested_budgets(rows.codes, self.budgets, randomness)
        fewest = drawn[self.budgets[0]]
        for arm in self.arms:
            network = draw_network(arm, rows, randomness.child("network"), self.factory)
            if arm.pretrain is not None:
                check_pretraining(network, arm.pretrain, pretraining_rows(arm, rows, fewest), None)
                if arm.needs_targets and rows.pretrain_inputs is not None:
                    raise PlanError(
                        "pretrain_inputs are rows without labels, but the objective learns from labels",
                        "leave pretrain_inputs out, or take another objective",
                    )
            others = unlabelled_rows(arm.finetune, rows, drawn[self.budgets[-1]])
            check_finetuning(network, rows.inputs[fewest], rows.codes[fewest], arm.finetune, None, others)
            if self.factory is not None and next(network.parameters()).dtype != torch.float32:
                raise NetworkError("your network is not in float32", "make it in float32")
        if self.plan.compare.tune or self.simple:
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
        networks = self._networks(around)
        results: dict[str, PretrainResult] = {}
        for arm in self.arms:
            if arm.pretrain is not None and not arm.needs_targets:
                before = copy.deepcopy(networks[arm.name]) if seed == 0 else None
                results[arm.name] = pretrain_arm(arm, networks[arm.name], self.rows, around, self.device)
                if before is not None and arm.name in ARMS:
                    keep_pictures(self.plan.pretrain, before, results[arm.name].stack, self.rows, around)
        drawn = nested_budgets(self.rows.codes, self.budgets, around.randomness)
        monitor, where = self._monitor(drawn[self.budgets[-1]], around.randomness)
        measured.monitored, measured.monitored_on = len(monitor[0]), where
        for labels, chosen in drawn.items():
            own = around.child(f"labels-{labels}")
            ready, found = dict(networks), dict(results)
            for arm in self.arms:
                if arm.needs_targets:
                    ready[arm.name] = copy.deepcopy(networks[arm.name])
                    found[arm.name] = pretrain_arm(arm, ready[arm.name], self.rows, own, self.device, chosen)
            if seed == 0 and labels == self.budgets[0]:
                measured.parameters = _parameters(self.arms, ready, found)
            for name, result in found.items():
                measured.stages[seed, labels, name] = result.history
            test = self.rows.test_inputs, self.rows.test_codes
            others = unlabelled_rows(self.plan.finetune, self.rows, chosen)
            budget = Budget(self.rows.inputs[chosen], self.rows.codes[chosen], monitor, test, others)
            self._budget(seed, ready, budget, own, measured)

    def _networks(self, around: Surroundings) -> dict[str, nn.Module]:
        """Draw the initial weights of every arm; arms of one start are copies of one network."""
        starts: dict[str, nn.Module] = {}
        for arm in self.arms:
            if arm.start not in starts:
                randomness = around.randomness.child("network")
                starts[arm.start] = draw_network(arm, self.rows, randomness, self.factory)
        return {arm.name: copy.deepcopy(starts[arm.start]) for arm in self.arms}

    def _budget(
        self, seed: int, networks: dict[str, nn.Module], budget: Budget, around: Surroundings, measured: Measured
    ) -> None:
        """Tune (first seed), fine-tune and test every arm and baseline on one budget."""
        labels = len(budget.codes)
        if seed == 0:
            for arm in self.arms:
                choice = self._choose(arm, networks[arm.name], budget, around)
                measured.settings[labels, arm.name] = choice["settings"]
                measured.tuning += choice["rows"]
        for arm in self.arms:
            plan = arm.finetune.model_copy(update=measured.settings[labels, arm.name])
            judge = self._judge(arm, budget, around, measured) if seed == 0 and labels == self.headline else None
            outcome = run_arm(arm, networks[arm.name], budget, plan, around, self.device, judge)
            measured.outcomes[seed, labels, arm.name] = outcome
        for name in self.simple:
            self._baseline(name, seed, budget, around, measured)

    def _judge(self, arm: Arm, budget: Budget, around: Surroundings, measured: Measured) -> Judge | None:
        """Return what measures one of the two arms layer by layer, before and after fine-tuning."""
        if arm.name not in ARMS:
            return None
        own = measured.monitored_on != TEST_ROWS

        def judge(before: nn.Module, after: nn.Module) -> None:
            measured.by_layer[arm.name] = _once(
                around,
                f"layers-{arm.name}",
                lambda: measure_layers(before, after, budget, self.plan.pretrain, own, around.randomness.seed("noise")),
            )

        return judge

    def finetune_plan(self, arm: Arm, labels: int) -> FinetunePlan:
        """Return how an arm is fine-tuned at a budget, before tuning: never for more updates than the plan allows."""
        others = len(self.rows.inputs) - labels
        return limited(arm.finetune, labels, others, self.plan.compare.max_updates)

    def _choose(self, arm: Arm, network: nn.Module, budget: Budget, around: Surroundings) -> dict[str, Any]:
        plan = self.finetune_plan(arm, len(budget.codes))
        if not self.plan.compare.tune:
            planned = arm.finetune == self.plan.finetune  # a rival's rate is none of the plan's
            rate = plan.learning_rate if planned else arm.learning_rates[1]
            return {"settings": {"learning_rate": rate, "epochs": plan.epochs}, "rows": []}

        def tune() -> dict[str, Any]:
            rows = Labelled(
                budget.inputs, budget.codes, validation_folds(budget.codes, around.randomness), budget.unlabelled
            )
            choice = tune_arm(arm, network, rows, plan, replace(around, saved=False), self.device)
            return {"settings": choice.settings, "rows": choice.rows}

        return _once(around, f"tune-{arm.name}", tune)

    def _baseline(self, name: str, seed: int, budget: Budget, around: Surroundings, measured: Measured) -> None:
        inputs, codes, labels = budget.inputs, budget.codes, len(budget.codes)

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
            return (self.rows.test_inputs, self.rows.test_codes), TEST_ROWS
        left = left[torch.randperm(len(left), generator=randomness.generator("monitor"))[:MONITORED]]
        return (self.rows.inputs[left], self.rows.codes[left]), "labelled rows outside every budget"


def _parameters(
    arms: Sequence[Arm], networks: Mapping[str, nn.Module], results: Mapping[str, PretrainResult]
) -> dict[str, dict[str, str]]:
    """Return and log, for each parameter of both arms, whether it is pre-trained or initialised."""
    found = {}
    for arm in arms:
        if arm.name in ARMS:
            result = results.get(arm.name)
            found[arm.name] = result.parameters if result else origins(networks[arm.name])
            log_origins(networks[arm.name], found[arm.name], f"{arm.name} arm")
    return found


def _refuse(plan: Plan, baselines: Sequence[str]) -> None:
    """Refuse settings that are sound in `pretrain` or `finetune` and would make a comparison unfair or fail."""
    for name, table in (("pretrain", plan.pretrain), ("finetune", plan.finetune)):
        if table.needs_validation:
            raise PlanError(
                f"{name}.{table.needs_validation} is set, but a comparison reads epochs off a curve on validation rows",
                f"leave {table.needs_validation} out; finetune.epochs is the most that is tried",
            )
    given = plan.pretrain.objective
    if any(getattr(one, "grow_until", None) is not None for one in (given if isinstance(given, tuple) else (given,))):
        raise PlanError(
            "grow_until is set, but both arms must be the same network", "leave it out, or grow a network with pretrain"
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
