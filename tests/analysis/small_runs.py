"""Runs of both arms small enough for a test, and runs made up for those that need no training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from layerwise.analysis import ManyRuns, Run

ROWS = torch.rand(90, 12, generator=torch.Generator().manual_seed(0))
CODES = (ROWS[:, :6].sum(1) > ROWS[:, 6:].sum(1)).long()


def rows() -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Return labelled rows and test rows."""
    return ROWS[:60], CODES[:60], (ROWS[60:], CODES[60:])


def small_plan(**changes: Any) -> ManyRuns:
    settings: dict[str, Any] = {
        "network": {"hidden_layer_sizes": (6, 5)},
        "pretrain": {"epochs": 2, "batch_size": 20},
        "finetune": {"epochs": 3, "batch_size": 20, "learning_rate": 0.5},
        "checkpoints": 5,
        "watched": 10,
    }
    return ManyRuns.model_validate(settings | changes)


def made_up(arm: str, seed: int, errors: Sequence[float], outputs: np.ndarray | None = None) -> Run:
    """Return a run of these test errors; its losses fall alike, its outputs are given or none."""
    count = len(errors)
    training = np.geomspace(2.0, 0.01, count)
    return Run(
        arm=arm, seed=seed, updates=np.arange(count) * 10, epochs=np.arange(count) / 2, training_loss=training,
        test_loss=training + (0.1 if arm == "pretrained" else 0.2) + 0.001 * seed, test_error=np.array(errors),
        outputs=np.empty((count, 0, 2)) if outputs is None else outputs,
    )  # fmt: skip
