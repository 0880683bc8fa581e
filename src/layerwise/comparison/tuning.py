"""The same tuning effort for every arm: one small grid, the same validation rows, epochs read off the curve.

No test row can reach a choice made here: the functions are not given any.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..errors import DivergenceError
from ..finetuning import finetune_network
from ..plan import FinetunePlan
from ..training.loop import Surroundings

logger = logging.getLogger("layerwise")
WINDOW = 11  # epochs over which a validation curve is averaged: of 250 rows it jumps by a point from epoch to epoch


@dataclass(frozen=True)
class Choice:
    """The chosen settings, and one row for ``tuning.json`` per learning rate tried."""

    settings: dict[str, float]
    rows: list[dict[str, Any]]


def tune_arm(
    arm: str,
    build: Callable[[Tensor], nn.Module],
    inputs: Tensor,
    codes: Tensor,
    folds: Sequence[tuple[Tensor, Tensor]],
    plan: FinetunePlan,
    learning_rates: Sequence[float],
    around: Surroundings,
    device: str,
) -> Choice:
    """Choose an arm's learning rate and number of epochs on validation rows of a label budget.

    Parameters
    ----------
    arm : str
        Its name.
    build : callable
        Makes the arm's network anew, given the codes it will be trained on.
    inputs, codes : Tensor, shapes (budget, features) and (budget,)
        The budget's rows and classes, and no other row.
    folds : sequence of (training, validation)
        Positions within the budget; the same for every arm.
    plan : FinetunePlan
        The settings that are not tuned; its epochs are the most that are tried.
    learning_rates : sequence of float
        The grid.
    around : Surroundings
        Where the fits are recorded and watched.
    device : str
        Where to train.

    Returns
    -------
    Choice
        The learning rate and epoch of the smallest validation error, averaged over folds and over a window of epochs;
        of equals the fewest epochs.
    """
    rows = []
    for rate in learning_rates:
        tried = plan.model_copy(update={"learning_rate": rate, "validate_every": None, "summary_every": None})
        rows.append(_try(arm, build, inputs, codes, folds, tried, around, device))
    if all(row["validation_error"] is None for row in rows):
        raise DivergenceError(
            f"{around.name}: training the {arm} arm diverged with every learning rate of {list(learning_rates)}",
            "name lower ones in compare.learning_rates, or scale the inputs",
        )
    finite = [row for row in rows if row["validation_error"] is not None]
    best = min(finite, key=lambda row: (row["validation_error"], row["settings"]["epochs"]))
    best["chosen"] = True
    return Choice(best["settings"], rows)


def _try(
    arm: str,
    build: Callable[[Tensor], nn.Module],
    inputs: Tensor,
    codes: Tensor,
    folds: Sequence[tuple[Tensor, Tensor]],
    plan: FinetunePlan,
    around: Surroundings,
    device: str,
) -> dict[str, Any]:
    """Train with one learning rate on every fold; a rate that diverges has no validation error."""
    began = time.perf_counter()
    curves: list[list[float]] = []
    epochs, error = plan.epochs, None
    try:
        for number, (training, held_out) in enumerate(folds):
            name = f"tune/{arm}/lr-{plan.learning_rate:g}/fold-{number}"
            finetune_network(
                build(codes[training]), inputs[training], codes[training], plan,
                around.child(name, f"tune fold {number}"), device, (inputs[held_out], codes[held_out]),
            )  # fmt: skip
            curves.append(_curve(around, f"{around.name}/{name}", plan.epochs))
        epochs, error = best_epoch(np.average(curves, axis=0, weights=[len(held) for _, held in folds]))
    except DivergenceError as divergence:
        logger.warning("%s; this learning rate is out", divergence.message)
    return {
        "labels": len(codes),
        "arm": arm,
        "settings": {"learning_rate": plan.learning_rate, "epochs": epochs},
        "folds": len(folds),
        "rows_trained": len(folds[0][0]),
        "rows_validated": sum(len(held) for _, held in folds),
        "validation_error": error,
        "chosen": False,
        "seconds": time.perf_counter() - began,
    }


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


def _curve(around: Surroundings, fit: str, epochs: int) -> list[float]:
    history = around.folder.history if around.folder else around.history
    errors = {round(line["epoch"]): line["validation_error"] for line in history.of(fit) if line["update"] > 0}
    return [errors[epoch] for epoch in range(1, epochs + 1)]
