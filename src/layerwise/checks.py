"""What would stop the greedy procedure, or fine-tuning, half-way is found before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .data.rowset import RowSet
from .data.spill import Store
from .errors import DataError, PlanError
from .nn.cutting import cut
from .nn.layers import Layer
from .objectives.objective import FeatureFacts, Objective, fed
from .plan import FinetunePlan, PretrainPlan, TrainingPlan
from .stack import encode, prepare, prepare_all


def classes_of(*parts: RowSet | None) -> int:
    """Return the number of classes; the only row of one may be held out."""
    return max(0 if part is None or part.targets is None else int(part.targets.max()) + 1 for part in parts)


def check_pretraining(network: nn.Module, plan: PretrainPlan, rows: RowSet, held_out: RowSet | None) -> None:
    """Find what would stop the greedy procedure half-way before any layer is trained or any file written.

    Every layer's learner is built around what a few rows become, so that each can refuse its layer.
    """
    if plan.objective is None:
        raise PlanError("objective is None, the random arm: there is nothing to pre-train", "leave pretrain out")
    check_precision(network, plan)
    layers = cut(network, plan.layers, plan.activation)
    objectives = one_each(plan.objective, layers, "objectives")
    one_each(plan.learning_rate, layers, "learning rates")
    _check_targets(objectives, plan, rows, held_out)
    _check_noise(objectives, plan)
    classes = classes_of(rows, held_out)
    weight = next(network.parameters())
    every = prepare_all(layers[0], rows.inputs.to(weight.device, weight.dtype), Store(plan.memory_limit))
    first = FeatureFacts.of(fed(objectives[0], every), classes)
    _check_sampling(objectives, plan, first)
    for part in [rows] if held_out is None else [rows, held_out]:
        codes = part.inputs.read(0, min(2, len(part))).to(weight)
        for layer, objective in zip(layers, objectives, strict=True):
            prepared = prepare(layer, codes)
            # inputs out of the decoder's range are refused for all rows; deeper ones have an activation's range
            facts = first if layer is layers[0] else FeatureFacts.of(prepared, classes)
            objective.build(layer, facts, torch.Generator().manual_seed(0))
            codes = encode(layer, codes)


def check_precision(network: nn.Module, plan: TrainingPlan) -> None:
    """Refuse a low precision for a network that isn't in float32, whose weights would not be what is asked for."""
    found = next((weight.dtype for weight in network.parameters()), torch.float32)
    if plan.precision is not None and found != torch.float32:
        raise PlanError(
            f"precision is {plan.precision!r}, which keeps the weights in float32, but the network is in {found}",
            "make the network in float32, or leave precision out",
        )


def check_pseudo_labels(plan: FinetunePlan, unlabelled: int) -> None:
    """Find pseudo-labels that no row is there for, or that never come to count."""
    settings = plan.pseudo_labels
    if settings is None:
        return
    if unlabelled == 0:
        raise DataError(
            "pseudo_labels is set, but every row has a label",
            "add rows whose target is -1, NaN or None, or leave pseudo_labels out",
        )
    updates = plan.epochs * plan.updates_per_epoch(0, unlabelled)
    if updates <= settings.ramp[0]:
        raise PlanError(
            f"pseudo-labels begin to count at update {settings.ramp[0]}, and {updates} updates are planned: "
            f"{unlabelled} unlabelled rows, {settings.batch_size} at a time, make an epoch",
            "set more epochs, or a ramp that begins earlier",
        )


def _check_noise(objectives: Sequence[Objective], plan: PretrainPlan) -> None:
    if plan.corrupt == "layer":
        return
    for objective in objectives:
        if getattr(objective, "corruption", None) is None:
            raise PlanError(
                f"corrupt is 'input', but the objective {objective.kind!r} puts no noise on anything",
                "use the denoising auto-encoder, or leave corrupt at 'layer'",
            )
        if getattr(objective, "emphasis", None) is not None:
            raise PlanError(
                "corrupt is 'input' and emphasis is set, but noise on the network's input chooses no element of a code",
                "leave emphasis out, or leave corrupt at 'layer'",
            )
        if getattr(objective, "walkback", 0):
            raise PlanError(
                "corrupt is 'input' and walkback is set, but noise on the network's input is none on a layer's samples",
                "leave walkback out, or leave corrupt at 'layer'",
            )


def _check_sampling(objectives: Sequence[Objective], plan: PretrainPlan, facts: FeatureFacts) -> None:
    """Refuse sampled reconstruction where rows are dense, or with what would need every weight in every update."""
    sampling = [objective for objective in objectives if getattr(objective, "reconstruction", "full") == "sampled"]
    if not sampling:
        return
    if not facts.sparse:
        raise PlanError(
            "reconstruction is 'sampled', but the first layer is fed dense rows",
            "give a scipy.sparse matrix to a network that begins with an nn.Linear, or leave reconstruction at 'full'",
        )
    if sampling[0] is not objectives[0]:
        return
    wanted = {
        "momentum": plan.momentum, "momentum_schedule": plan.momentum_schedule, "l1": plan.l1,
        "max_norm": plan.max_norm, "clip_norm": plan.clip_norm, "precision": plan.precision,
        "optimizer": plan.optimizer if plan.optimizer != "sgd" else None,
        "fan_in_scaling": plan.fan_in_scaling and plan.l2 and not getattr(sampling[0], "tied", True),
    }  # fmt: skip
    found = [name for name, value in wanted.items() if value]
    if found:
        raise PlanError(
            f"reconstruction is 'sampled', and {' and '.join(found)} would change every weight in every update, not "
            "those of a few columns",
            f"leave {' and '.join(found)} out, or reconstruction at 'full'",
        )


def _check_targets(objectives: Sequence[Objective], plan: PretrainPlan, rows: RowSet, held_out: RowSet | None) -> None:
    needing = next((objective.kind for objective in objectives if objective.needs_targets), None)
    growing = any(getattr(objective, "grow_until", None) is not None for objective in objectives)
    if (plan.needs_validation or growing) and held_out is None:
        what = plan.needs_validation or "grow_until"
        raise PlanError(f"{what} needs rows to validate on", "set validation=0.1, or give held-out rows")
    if needing is None:
        return
    for part, said in ((rows, "targets"), (held_out, "validation")):
        if part is not None and (part.targets is None or not bool((part.targets >= 0).any())):
            raise DataError(
                f"the objective {needing!r} learns from labels, but {said} has none",
                "give one label a row, -1 where there is none: pretrain(network, inputs, targets, ...)"
                if said == "targets" else "give validation=(inputs, targets), or a fraction such as 0.1",
            )  # fmt: skip


def one_each(value: Any, layers: Sequence[Layer], what: str) -> tuple[Any, ...]:
    """Return a setting for each layer, from one for all or a sequence of one each."""
    if not isinstance(value, tuple):
        return (value,) * len(layers)
    if len(value) != len(layers):
        names = ", ".join(repr(layer.name) for layer in layers)
        raise PlanError(
            f"{len(value)} {what} for {len(layers)} layers ({names})", "give one for all, or one for each layer"
        )
    return value
