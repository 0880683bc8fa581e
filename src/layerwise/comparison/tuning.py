"""The same tuning effort for every arm: one small grid, the same validation rows, epochs read off the curve.

No test row can reach a choice made here: the functions are not given any.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..finetuning import finetune_network
from ..plan import FinetunePlan
from ..training.loop import Surroundings

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
    rows: list[dict[str, Any]] = []
    for rate in learning_rates:
        began = time.perf_counter()
        curves = []
        for number, (training, held_out) in enumerate(folds):
            name = f"tune/{arm}/lr-{rate:g}/fold-{number}"
            network = build(codes[training])
            tried = plan.model_copy(update={"learning_rate": rate, "early_stopping": None, "validate_every": None})
            finetune_network(
                network, inputs[training], codes[training], tried, around.child(name, f"tune fold {number}"), device,
                (inputs[held_out], codes[held_out]),
            )  # fmt: skip
            curves.append(_curve(around, f"{around.name}/{name}", plan.epochs))
        epochs, error = best_epoch(np.average(curves, axis=0, weights=[len(held) for _, held in folds]))
        rows.append(
            {"labels": len(codes), "arm": arm, "settings": {"learning_rate": rate, "epochs": epochs}}
            | {"folds": len(folds), "rows_trained": len(folds[0][0])}
            | {"rows_validated": sum(len(held) for _, held in folds)}
            | {"validation_error": error, "chosen": False}
            | {"seconds": time.perf_counter() - began}
        )
    best = min(rows, key=lambda row: (row["validation_error"], row["settings"]["epochs"]))
    best["chosen"] = True
    return Choice(best["settings"], rows)


def best_epoch(errors: np.ndarray) -> tuple[int, float]:
    """Return the epoch (from 1) with the smallest error averaged over a window of epochs, and that average.

    Parameters
    ----------
    errors : array, shape (epochs,)
        Validation error in percent after each epoch.

    Examples
    --------
    >>> best_epoch(np.array([9.0, 1.0] + 8 * [9.0] + 20 * [5.0]))
    (16, 5.0)
    """
    half = WINDOW // 2
    smooth = [float(np.mean(errors[max(0, k - half) : k + half + 1])) for k in range(len(errors))]
    epoch = int(np.argmin(np.round(smooth, 6)))
    return epoch + 1, smooth[epoch]


def _curve(around: Surroundings, fit: str, epochs: int) -> list[float]:
    history = around.folder.history if around.folder else around.history
    errors = {round(line["epoch"]): line["validation_error"] for line in history.of(fit) if line["update"] > 0}
    return [errors[epoch] for epoch in range(1, epochs + 1)]
