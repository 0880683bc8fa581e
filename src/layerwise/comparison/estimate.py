"""How long a comparison will take: the time of an update, measured, times the updates planned."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ..data.batches import Batches
from ..nn.cutting import cut
from ..objectives.classification import Classifier
from ..objectives.objective import FeatureFacts
from ..plan import TrainingPlan
from ..randomness import Randomness
from ..stack import encode, prepare
from ..training.device import exact_float32, pick_device
from ..training.step import AutogradStep
from .arms import Arm, draw_network
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
        """Seconds of all training; loading, validation and the simple baselines come on top."""
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
        whole = rows.inputs if rows.pretrain_inputs is None else rows.pretrain_inputs
        sizes = experiment.budgets if trained.needs_targets else (len(whole),)
        stages = plan.pretrain.epochs * sum(-(-size // plan.pretrain.batch_size) for size in sizes)
    rates = len(plan.compare.learning_rates) if plan.compare.tune else 0
    arms = len(experiment.arms)
    size = plan.finetune.batch_size
    tuned = final = 0.0
    for labels in experiment.budgets:
        folds, share = (1, 1 - HOLD_OUT) if labels >= ONE_HOLD_OUT_FROM else (FOLDS, 1 - 1 / FOLDS)
        epochs = experiment.finetune_plan(experiment.arms[0], labels).epochs
        tuned += folds * rates * arms * epochs * -(-int(labels * share) // size)
        final += seeds * arms * epochs * -(-labels // size)
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
    features = rows.inputs[: plan.pretrain.batch_size].to(place)
    raw = features if plan.pretrain.corrupt == "input" else None
    pretrain = []
    with exact_float32():
        layers = cut(network, plan.pretrain.layers, plan.pretrain.activation) if arm is not None else []
        for number, layer in enumerate(layers):
            objective = plan.pretrain.objective
            chosen = objective[number] if isinstance(objective, tuple) else objective
            assert chosen is not None
            inputs, classes = prepare(layer, features), len(rows.classes)
            learner = chosen.build(layer, FeatureFacts.of(inputs, classes), torch.Generator().manual_seed(0)).to(place)
            targets = torch.zeros(len(inputs), dtype=torch.int64, device=place)
            batches = Batches(inputs, targets, len(inputs), randomness, raw)
            pretrain.append(_seconds(learner, batches, plan.pretrain))
            features = encode(layer, features)
        inputs = rows.inputs[: plan.finetune.batch_size].to(place)
        targets = torch.zeros(len(inputs), dtype=torch.int64, device=place)
        finetune = _seconds(
            Classifier(network, plan.finetune.loss), Batches(inputs, targets, len(inputs), randomness), plan.finetune
        )
    return tuple(pretrain), finetune


def _seconds(learner: torch.nn.Module, batches: Batches, plan: TrainingPlan) -> float:
    """Return the seconds of the fastest of some updates of size zero; what else the machine does only adds to it."""
    step = AutogradStep(learner, plan)
    step.set_learning_rate(0.0)
    generator = torch.Generator(device=next(learner.parameters()).device).manual_seed(0)
    taken = []
    with torch.random.fork_rng(devices=[]):
        for number in range(WARM + TIMED):
            batch = next(batches.epoch(number))
            began = time.perf_counter()
            float(step(batch, generator))
            taken.append(time.perf_counter() - began)
    return min(taken[WARM:])
