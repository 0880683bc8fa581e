"""The rows that have a label, in memory, with what each of them counts; and those that have none."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import PlanError
from .features import Features, Streamed
from .quantities import load_quantities
from .source import Source, load_rows, open_source
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


def labelled_rows(
    inputs: Any,
    targets: Any,
    squared: bool = False,
    classes: np.ndarray | None = None,
    sample_weight: Any = None,
    class_weight: ClassWeight | None = None,
) -> tuple[Labelled, np.ndarray]:
    """Return the rows that have a label, and the classes; no other rows are kept in memory.

    Examples
    --------
    >>> labelled, classes = labelled_rows([[0.0], [1.0], [2.0]], ["b", None, "a"])
    >>> labelled.rows.flatten().tolist(), labelled.targets.tolist(), classes.tolist()
    ([0.0, 2.0], [1, 0], ['a', 'b'])
    """
    source, given = open_source(inputs), open_source(targets, kind="targets")
    count = source.shape[0]
    weights = None if sample_weight is None else row_weights(sample_weight, count)
    if squared:
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
    return Labelled(_rows(source, chosen), values, None if weights is None else of_mean_1(weights)), classes


def unlabelled_rows(inputs: Any, targets: Any, memory_limit: float, dtype: torch.dtype) -> Features | None:
    """Return the rows that have no class, in memory where they take no more than so many GiB; None: there are none.

    Examples
    --------
    >>> unlabelled_rows([[0.0], [1.0], [2.0]], ["b", None, "a"], 1.0, torch.float32).read(0, 1).tolist()
    [[1.0]]
    """
    source = open_source(inputs)
    codes, _ = load_targets(open_source(targets, kind="targets"), source.shape[0])
    chosen = (codes < 0).nonzero().squeeze(1)
    if not len(chosen):
        return None
    store = Store(memory_limit)
    rows = store.settle(store.open(source, dtype).select(chosen))
    return rows.dense() if isinstance(rows, Sparse) else rows


def _rows(source: Source, chosen: Tensor) -> Tensor:
    if len(chosen) == source.shape[0]:
        return load_rows(source)
    if isinstance(source, SparseSource):
        return load_rows(SparseSource(load_sparse(source)[chosen.numpy()], source.name))
    return Streamed(source).select(chosen).read(0, len(chosen))
