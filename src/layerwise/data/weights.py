"""What each labelled row counts in the loss: weights of rows, times those of their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, PlanError, nearest

ClassWeight = Literal["balanced"] | Mapping[Any, float]


def row_weights(sample_weight: Any, rows: int) -> Tensor:
    """Read one weight a row: numbers of 0 or more, not all 0.

    Raises
    ------
    DataError
        When there are more or fewer, or one is below 0 or not finite.

    Examples
    --------
    >>> row_weights([1, 3], 2)
    tensor([1., 3.], dtype=torch.float64)
    """
    weights = np.array(sample_weight, dtype=np.float64)
    if weights.shape != (rows,):
        raise DataError(
            f"sample_weight has shape {weights.shape}, the inputs have {rows} rows", "give one weight per row"
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        row = int(np.flatnonzero(~(weights >= 0) | np.isinf(weights))[0])
        raise DataError(f"sample_weight: row {row} has {weights[row]}, expected 0 or more", "give finite weights")
    return torch.from_numpy(weights)


def class_weights(class_weight: ClassWeight, codes: Tensor, classes: np.ndarray) -> Tensor:
    r"""Return the weight of each row's class.

    .. math:: w_c = n / (K n_c) \quad\text{where "balanced"}

    for the K classes that have a row, :math:`n_c` of the n each; in a mapping, a class that is not named counts 1.

    Raises
    ------
    PlanError
        When a class is named that isn't there, or the value is neither of the two.

    Examples
    --------
    >>> class_weights("balanced", torch.tensor([0, 0, 0, 1]), np.array(["a", "b"]))
    tensor([0.6667, 0.6667, 0.6667, 2.0000], dtype=torch.float64)
    """
    if isinstance(class_weight, Mapping):
        known = classes.tolist()
        for name in class_weight:
            if name not in known:
                near = nearest(str(name), [str(value) for value in known])
                raise PlanError(
                    f"class_weight names {name!r}, the classes are {', '.join(map(repr, known[:12]))}",
                    f"did you mean {near}?" if near else "name classes that the targets have",
                )
        each = torch.tensor([float(class_weight.get(value, 1.0)) for value in known], dtype=torch.float64)
        if not bool((each >= 0).all()) or not bool(torch.isfinite(each).all()):
            raise PlanError(f"class_weight is {dict(class_weight)}, expected 0 or more", "give finite weights")
        return each[codes]
    if class_weight != "balanced":
        raise PlanError(
            f"class_weight is {class_weight!r}, expected 'balanced', a weight per class, or None",
            'set class_weight="balanced", or give a mapping such as {"spam": 2.0}',
        )
    counts = torch.bincount(codes).double()
    return (len(codes) / (counts > 0).sum() / counts)[codes]


def of_mean_1(weights: Tensor) -> Tensor:
    """Return weights scaled to a mean of 1, so that the learning rate means what it does without them.

    Raises
    ------
    DataError
        When all are 0.

    Examples
    --------
    >>> of_mean_1(torch.tensor([1.0, 3.0]))
    tensor([0.5000, 1.5000])
    """
    if not bool((weights > 0).any()):
        raise DataError("the weights of all labelled rows are zero", "give some of them a weight above 0")
    return weights / weights.mean()


def weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over rows of what each loses, times its weight where there are some.

    Examples
    --------
    >>> weighted_mean(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 1.5]))
    tensor(1.7500)
    """
    return losses.mean() if weights is None else (losses * weights).mean()
