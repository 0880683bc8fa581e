"""What each row counts in fine-tuning: its own weight times that of its class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..data.weights import class_weights, of_mean_1, row_weights
from .training import has_target


def weights_of(
    sample_weight: Any, count: int, targets: np.ndarray, class_weight: Any = None, classes: np.ndarray | None = None
) -> np.ndarray | None:
    """Return one weight for each of all rows, of which the first ``count`` came with a target; None where all are 1.

    Examples
    --------
    >>> weights_of([1, 2], 2, np.array([0, 1, -1]), {"b": 3}, np.array(["a", "b"])).tolist()
    [1.0, 6.0, 1.0]
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(len(targets))
    if sample_weight is not None:
        weights[:count] = row_weights(sample_weight, count).numpy()
    if class_weight is not None and classes is not None:
        labelled = targets >= 0
        weights[labelled] *= class_weights(class_weight, torch.from_numpy(targets[labelled]), classes).numpy()
    of_mean_1(torch.from_numpy(weights[has_target(targets)]))  # refused before anything is trained
    return weights
