"""The rows that have a label, in memory, and those that have none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .features import Features, Streamed
from .source import load_rows, open_source
from .spill import Store
from .targets import load_targets


def labelled_rows(inputs: Any, targets: Any, classes: Any = None) -> tuple[Tensor, Tensor, Any]:
    """Return the rows that have a label, their codes and the classes; no other rows are kept in memory.

    Examples
    --------
    >>> rows, codes, classes = labelled_rows([[0.0], [1.0], [2.0]], ["b", None, "a"])
    >>> rows.flatten().tolist(), codes.tolist(), classes.tolist()
    ([0.0, 2.0], [1, 0], ['a', 'b'])
    """
    source = open_source(inputs)
    codes, classes = load_targets(open_source(targets, kind="targets"), source.shape[0], classes=classes)
    chosen = (codes >= 0).nonzero().squeeze(1)
    some = len(chosen) < len(codes)
    rows = Streamed(source).select(chosen).read(0, len(chosen)) if some else load_rows(source)
    return rows, codes[chosen], classes


def unlabelled_rows(inputs: Any, targets: Any, memory_limit: float, dtype: torch.dtype) -> Features | None:
    """Return the rows that have no label, in memory where they take no more than so many GiB; None: there are none.

    Examples
    --------
    >>> unlabelled_rows([[0.0], [1.0], [2.0]], ["b", None, "a"], 1.0, torch.float32).read(0, 1).tolist()
    [[1.0]]
    """
    source = open_source(inputs)
    codes, _ = load_targets(open_source(targets, kind="targets"), source.shape[0])
    chosen = (codes < 0).nonzero().squeeze(1)
    store = Store(memory_limit)
    return store.settle(store.open(source, dtype).select(chosen)) if len(chosen) else None
