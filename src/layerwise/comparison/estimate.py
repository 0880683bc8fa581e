"""How long a comparison will take: the time of an update, measured, times the updates planned."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from ..data.batches import Batches
from ..data.rowset import RowSet
from ..finetuning import learning
from ..nn.cutting import cut
from ..objectives.objective import FeatureFacts
from ..plan import FinetunePlan, PretrainPlan, TrainingPlan
from ..pretraining import reach
from ..randomness import Randomness
from ..stack import encode, prepare
from ..training.analytic import step_for
from ..training.device import arithmetic, exact_float32, pick_device
from ..training.loop import Dealt
from .arms import Arm, draw_network, pretraining_rows, unlabelled_rows
from .budgets import FOLDS, HOLD_OUT, ONE_HOLD_OUT_FROM
from .experiment import Experiment

WARM, TIMED = 3, 12


@dataclass(frozen=True)
class Estimate:
    """Seconds of training by part, and the seconds of one update by kind of fit."""

    pretraining: float
    tuning: float
    finetuning: float
    pretrain_update: tuple[float, ...]
    finetune_update: float

    @property
    def total(self) -> float:
        """Seconds of all training; loading, validation, the simple baselines and `by_layer` come on top."""
        return self.pretraining + self.tuning + self.finetuning

    def update_seconds(self, fit: str) -> float:
        """Return the seconds of one update of a fit, by its name in the history."""
        parts = fit.split("/")
        return self.pretrain_update[int(parts[-1]) - 1] if "pretrain" in parts else self.finetune_update


def estimate(experiment: Experiment, device: str = "auto") -> Estimate:
    """Measure a few updates of each kind on a copy, and multiply by the plan."""
    plan, rows = experiment.plan, experiment.rows
    trained = next((arm for arm in experiment.arms if arm.pretrain is not None), None)
    pretrain_update, finetune_update = _measure(experiment, trained, device)
    seeds = plan.compare.seeds
    stages = 0
    if trained is not None:
        whole = pretraining_rows(trained, rows, torch.arange(0))
        sizes = experiment.budgets if trained.needs_targets else (len(whole),)
        stages = plan.pretrain.epochs * sum(-(-size // plan.pretrain.batch_size) for size in sizes)
    rates = sum(len(arm.learning_rates) for arm in experiment.arms) if plan.compare.tune else 0
    arms = len(experiment.arms)
    tuned = final = 0.0
    for labels in experiment.budgets:
        folds, share = (1, 1 - HOLD_OUT) if labels >= ONE_HOLD_OUT_FROM else (FOLDS, 1 - 1 / FOLDS)
        epochs = experiment.finetune_plan(experiment.arms[0], labels).epochs
        others = len(rows.inputs) - labels
        tuned += folds * rates * epochs * plan.finetune.updates_per_epoch(int(labels * share), others)
        final += seeds * arms * epochs * plan.finetune.updates_per_epoch(labels, others)
    return Estimate(
        pretraining=seeds * stages * sum(pretrain_update),
        tuning=tuned * finetune_update,
        finetuning=final * finetune_update,
        pretrain_update=pretrain_update,
        finetune_update=finetune_update,
    )


def _measure(experiment: Experiment, arm: Arm | None, device: str) -> tuple[tuple[float, ...], float]:
    plan, rows = experiment.plan, experiment.rows
    randomness = Randomness(0, "estimate")
    place = pick_device(device)
    network = draw_network(experiment.arms[0], rows, randomness, experiment.factory).to(place)
    with exact_float32():
        pretrain: tuple[float, ...] = ()
        if arm is not None:
            given = pretraining_rows(arm, rows, torch.arange(0))
            pretrain = layer_seconds(network, given, plan.pretrain, len(rows.classes), randomness)
        inputs = rows.inputs[: plan.finetune.batch_size].to(place)
        targets = torch.zeros(len(inputs), dtype=torch.int64, device=place)
        fully = at_full_weight(plan.finetune)
        others = unlabelled_rows(fully, rows, torch.arange(len(inputs)))
        finetune = update_seconds(*learning(network, inputs, targets, fully, randomness, others), fully)
    return pretrain, finetune


def at_full_weight(plan: FinetunePlan) -> FinetunePlan:
    """Return a plan whose pseudo-labels count from the first update on, as they do for most of a fit."""
    if plan.pseudo_labels is None:
        return plan
    return plan.model_copy(update={"pseudo_labels": replace(plan.pseudo_labels, ramp=(0, 0))})


def layer_seconds(
    network: torch.nn.Module, rows: RowSet, plan: PretrainPlan, classes: int, randomness: Randomness
) -> tuple[float, ...]:
    """Return the seconds of an update of each layer's pre-training, measured on the first rows."""
    place = next(network.parameters()).device
    features = next(rows.blocks(plan.batch_size)).inputs.to(place)
    raw = features if plan.corrupt == "input" else None
    layers = cut(network, plan.layers, plan.activation)
    found = []
    for number, layer in enumerate(layers):
        objective: Any = plan.objective[number] if isinstance(plan.objective, tuple) else plan.objective
        inputs = prepare(layer, features)
        facts = FeatureFacts.of(inputs, classes)
        learner = objective.build(layer, facts, torch.Generator().manual_seed(0)).to(place)
        if raw is not None:
            learner.below = partial(reach, layers[:number], layer)
        targets = torch.zeros(len(inputs), dtype=torch.int64, device=place)
        found.append(update_seconds(learner, Batches(inputs, targets, len(inputs), randomness, raw), plan))
        features = encode(layer, features)
    return tuple(found)


def update_seconds(learner: torch.nn.Module, batches: Dealt, plan: TrainingPlan) -> float:
    """Return the seconds of the fastest of some updates of size zero; what else the machine does only adds to it."""
    step = step_for(learner, plan, batches.inputs.shape[1:])
    step.set_learning_rate(0.0)
    device = next(learner.parameters()).device
    generator = torch.Generator(device=device).manual_seed(0)
    taken = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for number in range(WARM + TIMED):
            batch = next(batches.epoch(number))
            began = time.perf_counter()
            with arithmetic(plan.precision, device):
                float(step(batch, generator))
            taken.append(time.perf_counter() - began)
    return min(taken[WARM:])
