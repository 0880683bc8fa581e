"""The same tuning effort for every arm: one small grid, the same validation rows, epochs read off the curve.

No test row can reach a choice made here: the functions are not given any.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..data.features import Features
from ..errors import DivergenceError
from ..finetuning import finetune_network
from ..plan import FinetunePlan
from ..training.loop import Surroundings
from .arms import Arm, started

logger = logging.getLogger("layerwise")
WINDOW = 11  # epochs over which a validation curve is averaged: of 250 rows it jumps by a point from epoch to epoch
Fold = tuple[Tensor, Tensor]  # positions within the budget: to train on, to validate on


@dataclass(frozen=True)
class Choice:
    """The chosen settings, and one row for ``tuning.json`` per learning rate tried."""

    settings: dict[str, float]
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Labelled:
    """A budget's rows and classes (or quantities), and rows without one for pseudo-labels; all arms have its folds."""

    inputs: Tensor
    codes: Tensor
    folds: Sequence[Fold]
    unlabelled: Features | None = None


def tune_arm(
    arm: Arm, network: nn.Module, rows: Labelled, plan: FinetunePlan, around: Surroundings, device: str
) -> Choice:
    """Choose an arm's learning rate and number of epochs on validation rows of a label budget.

    Parameters
    ----------
    arm : Arm
        Its learning rates are the grid.
    network : nn.Module
        Where the arm starts; copies of it are trained.
    rows : Labelled
        The budget and its folds.
    plan : FinetunePlan
        The settings that are not tuned; its epochs are the most that are tried.
    around : Surroundings
        Where the fits are recorded and watched.
    device : str
        Where to train.

    Returns
    -------
    Choice
        The learning rate and epoch of the smallest validation error (of quantities: loss), averaged over folds and over
        a window of epochs; of equals the fewest epochs.
    """
    found = []
    for rate in arm.learning_rates:
        tried = plan.model_copy(update={"learning_rate": rate, "validate_every": None, "summary_every": None})
        found.append(_try(arm, network, rows, tried, around, device))
    finite = [row for row in found if row["validation_error"] is not None]
    if not finite:
        raise DivergenceError(
            f"{around.name}: training the {arm.name} arm diverged with every learning rate of "
            f"{list(arm.learning_rates)}",
            "name lower ones in compare.learning_rates, or scale the inputs",
        )
    best = min(finite, key=lambda row: (row["validation_error"], row["settings"]["epochs"]))
    best["chosen"] = True
    return Choice(best["settings"], found)


def _try(
    arm: Arm, network: nn.Module, rows: Labelled, plan: FinetunePlan, around: Surroundings, device: str
) -> dict[str, Any]:
    """Train with one learning rate on every fold; a rate that diverges has no validation error."""
    began = time.perf_counter()
    curves: list[list[float]] = []
    epochs, error = plan.epochs, None
    inputs, codes = rows.inputs, rows.codes
    try:
        for number, (training, held_out) in enumerate(rows.folds):
            name = f"tune/{arm.name}/lr-{plan.learning_rate:g}/fold-{number}"
            finetune_network(
                started(network, inputs[training], codes[training]), inputs[training], codes[training], plan,
                around.child(name, f"tune fold {number}"), device, (inputs[held_out], codes[held_out]), rows.unlabelled,
            )  # fmt: skip
            word = "validation_loss" if codes.is_floating_point() else "validation_error"
            curves.append(_curve(around, f"{around.name}/{name}", plan.epochs, word))
        weights = [len(held) for _, held in rows.folds]
        epochs, error = best_epoch(np.average(curves, axis=0, weights=weights))
    except DivergenceError as divergence:
        logger.warning("%s; this learning rate is out", divergence.message)
    return {
        "labels": len(codes),
        "arm": arm.name,
        "settings": {"learning_rate": plan.learning_rate, "epochs": epochs},
        "folds": len(rows.folds),
        "rows_trained": len(rows.folds[0][0]),
        "rows_validated": sum(len(held) for _, held in rows.folds),
        "validation_error": error,
        "chosen": False,
        "seconds": time.perf_counter() - began,
    }


def limited(plan: FinetunePlan, labels: int, others: int, most: int | None) -> FinetunePlan:
    """Return a plan with no more epochs than make so many updates on so many rows; None: as many as it has.

    Examples
    --------
    >>> limited(FinetunePlan(epochs=80, batch_size=50), 1000, 0, 400).epochs
    20
    """
    epochs = plan.epochs if most is None else min(plan.epochs, max(1, most // plan.updates_per_epoch(labels, others)))
    return plan.model_copy(update={"epochs": epochs})


def best_epoch(errors: np.ndarray) -> tuple[int, float]:
    """Return the epoch (from 1) with the smallest error averaged over a window of epochs, and that average.

    Parameters
    ----------
    errors : array, shape (epochs,)
        Validation error in percent after each epoch.

    Examples
    --------
    >>> best_epoch(np.array([9.0, 1.0] + 8 * [9.0] + 20 * [5.0]))
    (14, 5.0)
    """
    half = min(WINDOW // 2, len(errors) // 8)  # a window as wide as the curve would choose the first epoch
    smooth = [float(np.mean(errors[max(0, k - half) : k + half + 1])) for k in range(len(errors))]
    epoch = int(np.argmin(np.round(smooth, 6)))
    return epoch + 1, smooth[epoch]


def _curve(around: Surroundings, fit: str, epochs: int, word: str) -> list[float]:
    history = around.folder.history if around.folder else around.history
    errors = {round(line["epoch"]): line[word] for line in history.of(fit) if line["update"] > 0}
    return [errors[epoch] for epoch in range(1, epochs + 1)]
