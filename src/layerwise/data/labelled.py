"""The rows that have a label, in memory, with what each counts; those held out of them; and those that have none."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import PlanError
from ..randomness import Randomness
from .batches import hold_out
from .dataset import open_pair
from .features import Features, Streamed
from .quantities import load_quantities
from .source import Source, load_rows
from .sparse import SparseSource, load_sparse
from .sparse_features import Sparse
from .spill import Store
from .targets import load_targets
from .weights import ClassWeight, class_weights, of_mean_1, row_weights


class Labelled(NamedTuple):
    """Labelled rows, (n, ...), with the class of each, (n,), or its quantities, (n, K), and what each counts, (n,)."""

    rows: Tensor
    targets: Tensor
    weights: Tensor | None = None

    def select(self, chosen: Tensor) -> Labelled:
        """Return some of them, by number."""
        weights = None if self.weights is None else self.weights[chosen]
        return Labelled(self.rows[chosen], self.targets[chosen], weights)

    def to(self, device: torch.device, dtype: torch.dtype) -> Labelled:
        """Return them on a device; what is no class is in the dtype."""
        targets = self.targets.to(dtype) if self.targets.is_floating_point() else self.targets
        weights = None if self.weights is None else self.weights.to(device, dtype)
        return Labelled(self.rows.to(device, dtype), targets.to(device), weights)


def labelled_rows(
    inputs: Any,
    targets: Any,
    classes: np.ndarray | None = None,
    *,
    quantities: bool = False,
    sample_weight: Any = None,
    class_weight: ClassWeight | None = None,
) -> tuple[Labelled, np.ndarray]:
    """Return the rows that have a label, and the classes; no other rows are kept in memory.

    Parameters
    ----------
    inputs, targets : array, tensor, path or Source
        As `open_source` takes them.
    classes : numpy.ndarray, optional
        Classes known already, sorted; a label outside them is then an error.
    quantities : bool
        Whether the targets are numbers, not classes; the classes returned are then none.
    sample_weight, class_weight
        What each row counts, and the rows of each class; those of the labelled rows are scaled to a mean of 1.

    Raises
    ------
    PlanError
        When classes are named, but the targets are quantities.
    DataError
        When rows, targets and weights do not fit one another, or none is labelled.

    Examples
    --------
    >>> labelled, classes = labelled_rows([[0.0], [1.0], [2.0]], ["b", None, "a"])
    >>> labelled.rows.flatten().tolist(), labelled.targets.tolist(), classes.tolist()
    ([0.0, 2.0], [1, 0], ['a', 'b'])
    """
    source, given = open_pair(inputs, targets)
    count = source.shape[0]
    weights = None if sample_weight is None else row_weights(sample_weight, count)
    if quantities:
        if class_weight is not None or (classes is not None and len(classes)):
            raise PlanError("classes are named, but the loss is 'squared': targets are quantities", "leave them out")
        values, has_label = load_quantities(given, count)
        classes, chosen = np.empty(0), has_label.nonzero().squeeze(1)
    else:
        values, classes = load_targets(given, count, classes=classes)
        chosen = (values >= 0).nonzero().squeeze(1)
    values = values[chosen]
    weights = None if weights is None else weights[chosen]
    if class_weight is not None:
        by_class = class_weights(class_weight, values, classes)
        weights = by_class if weights is None else weights * by_class
    return Labelled(_read(source, chosen), values, None if weights is None else of_mean_1(weights)), classes


def _read(source: Source, chosen: Tensor) -> Tensor:
    if len(chosen) == source.shape[0]:
        return load_rows(source)
    if isinstance(source, SparseSource):
        return load_rows(SparseSource(load_sparse(source)[chosen.numpy()], source.name))
    return Streamed(source).select(chosen).read(0, len(chosen))


def split_labelled(
    labelled: Labelled,
    validation: Any,
    classes: np.ndarray,
    randomness: Randomness,
    *,
    quantities: bool = False,
    class_weight: ClassWeight | None = None,
) -> tuple[Labelled, Labelled | None]:
    """Return the rows to train on and those to validate on: a fraction of the same, or given beside them.

    Raises
    ------
    PlanError
        When ``validation`` is neither a fraction nor (inputs, targets) nor (inputs, targets, sample_weight).

    Examples
    --------
    >>> labelled = Labelled(torch.zeros(10, 1), torch.arange(10))
    >>> [len(part.rows) for part in split_labelled(labelled, 0.2, np.arange(10), Randomness(0))]
    [8, 2]
    """
    if validation is None:
        return labelled, None
    if isinstance(validation, float):
        kept, held = hold_out(len(labelled.rows), validation, randomness)
        return labelled.select(kept), labelled.select(held)
    if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
        raise PlanError(
            f"validation is {type(validation).__name__}, expected a fraction or (inputs, targets)",
            "set validation=0.1, or give held-out rows with their labels",
        )
    inputs, targets, *rest = validation
    weighing = {"sample_weight": rest[0] if rest else None, "class_weight": class_weight}
    return labelled, labelled_rows(inputs, targets, classes, quantities=quantities, **weighing)[0]


def unlabelled_rows(
    inputs: Any, targets: Any, memory_limit: float, dtype: torch.dtype, classes: np.ndarray | None = None
) -> Features | None:
    """Return the rows that have no label, in memory where they take no more than so many GiB; None: there are none.

    Examples
    --------
    >>> unlabelled_rows([[0.0], [1.0], [2.0]], ["b", None, "a"], 1.0, torch.float32).read(0, 1).tolist()
    [[1.0]]
    """
    source, given = open_pair(inputs, targets)
    codes, _ = load_targets(given, source.shape[0], classes=classes)
    chosen = (codes < 0).nonzero().squeeze(1)
    if not len(chosen):
        return None
    store = Store(memory_limit)
    rows = store.settle(store.open(source, dtype).select(chosen))
    return rows.dense() if isinstance(rows, Sparse) else rows
