"""How long a comparison will take: the time of an update, measured, times the updates planned."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ..data.batches import Batches
from ..finetuning import Classifier
from ..nn.layers import build_network, cut
from ..objectives.objective import FeatureFacts
from ..plan import TrainingPlan
from ..randomness import Randomness
from ..training.device import exact_float32, pick_device
from ..training.step import AutogradStep
from .budgets import FOLDS, HOLD_OUT, ONE_HOLD_OUT_FROM
from .experiment import ARMS, MODERN, Experiment

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
        return self.pretrain_update[int(parts[2]) - 1] if parts[1] == "pretrain" else self.finetune_update


def estimate(experiment: Experiment, device: str = "auto") -> Estimate:
    """Measure a few updates of each kind on a copy, and multiply by the plan."""
    plan = experiment.plan
    pretrain_update, finetune_update = _measure(experiment, device)
    seeds = plan.compare.seeds
    stages = plan.pretrain.epochs * -(-len(experiment.rows.inputs) // plan.pretrain.batch_size)
    rates = len(plan.compare.learning_rates) if plan.compare.tune else 0
    arms = len(ARMS) + (MODERN in experiment.baselines)
    size = plan.finetune.batch_size
    tuned = final = 0.0
    for labels in experiment.budgets:
        folds, share = (1, 1 - HOLD_OUT) if labels >= ONE_HOLD_OUT_FROM else (FOLDS, 1 - 1 / FOLDS)
        tuned += folds * rates * arms * plan.finetune.epochs * -(-int(labels * share) // size)
        final += seeds * arms * plan.finetune.epochs * -(-labels // size)
    return Estimate(
        pretraining=seeds * stages * sum(pretrain_update),
        tuning=tuned * finetune_update,
        finetuning=final * finetune_update,
        pretrain_update=pretrain_update,
        finetune_update=finetune_update,
    )


def _measure(experiment: Experiment, device: str) -> tuple[tuple[float, ...], float]:
    plan, rows = experiment.plan, experiment.rows
    randomness = Randomness(0, "estimate")
    place = pick_device(device)
    network = build_network(
        rows.inputs.shape[1], outputs=len(rows.classes), randomness=randomness, **dict(plan.network)
    ).to(place)
    features = rows.inputs[: plan.pretrain.batch_size].to(place)
    pretrain = []
    with exact_float32():
        objective = plan.pretrain.objective
        for number, layer in enumerate(cut(network, plan.pretrain.layers)):
            chosen = objective[number] if isinstance(objective, tuple) else objective
            if chosen is not None:
                learner = chosen.build(layer, FeatureFacts.of(features)).to(place)
                pretrain.append(_seconds(learner, Batches(features, None, len(features), randomness), plan.pretrain))
            with torch.no_grad():
                features = layer(features)
        inputs = rows.inputs[: plan.finetune.batch_size].to(place)
        batches = Batches(inputs, torch.zeros(len(inputs), dtype=torch.int64, device=place), len(inputs), randomness)
        finetune = _seconds(Classifier(network), batches, plan.finetune)
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
