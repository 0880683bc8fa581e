"""All rows of a stage, in memory or not, with what belongs to each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .batches import Batch
from .dataset import open_pair
from .features import Features, blocks
from .source import open_source
from .spill import Store
from .targets import load_targets


@dataclass(frozen=True)
class RowSet:
    """All rows of a stage with what belongs to them: what batches are dealt from.

    Attributes
    ----------
    inputs : Features, shape (N, ...)
        What the learner is fed.
    targets : Tensor of int64, shape (N,), or None
        Class of each row, in memory always.
    raw : Features, shape (N, ...), or None
        The same rows as the lowest layer is fed them, where noise is put on those.
    """

    inputs: Features
    targets: Tensor | None = None
    raw: Features | None = None

    def __len__(self) -> int:
        return self.inputs.shape[0]

    def select(self, rows: Tensor) -> RowSet:
        """Return some of the rows, by number in ascending order, with all that belongs to them."""
        targets = None if self.targets is None else self.targets[rows.to(self.targets.device)]
        return RowSet(self.inputs.select(rows), targets, None if self.raw is None else self.raw.select(rows))

    def blocks(self, size: int, most: int | None = None) -> Iterator[Batch]:
        """Yield the first `most` rows (None: all) in their order, `size` or fewer at a time; without ``raw``.

        Examples
        --------
        >>> from layerwise.data.features import as_features
        >>> rows = RowSet(as_features(torch.zeros(5, 1)), torch.arange(5))
        >>> [block.targets.tolist() for block in rows.blocks(2, 3)]
        [[0, 1], [2]]
        """
        start = 0
        for inputs in blocks(self.inputs, size, most):
            yield Batch(inputs, None if self.targets is None else self.targets[start : start + len(inputs)])
            start += len(inputs)

    @property
    def parts(self) -> list[Features | Tensor]:
        """The inputs, and the targets where there are some: what rows are told apart by."""
        return [self.inputs] if self.targets is None else [self.inputs, self.targets]


def open_rows(inputs: Any, targets: Any, store: Store, dtype: torch.dtype, classes: Any = None) -> tuple[RowSet, Any]:
    """Open rows and read their labels; the rows come into memory where the store has room for them.

    Parameters
    ----------
    inputs, targets : array, tensor, path or Source
        As `open_source` takes them; targets may be None.
    store : Store
        Holds the limit.
    dtype : torch.dtype
        Of the rows.
    classes : numpy.ndarray, optional
        Classes known already; a label outside them is then an error.

    Returns
    -------
    RowSet, numpy.ndarray or None
        The rows, and the distinct labels, where there are some.

    Examples
    --------
    >>> rows, classes = open_rows([[0.0], [1.0]], ["b", "a"], Store(1.0), torch.float32)
    >>> len(rows), rows.targets.tolist(), classes.tolist()
    (2, [1, 0], ['a', 'b'])
    """
    if targets is None:
        return RowSet(store.open(open_source(inputs), dtype)), None
    source, given = open_pair(inputs, targets)
    rows = store.open(source, dtype)
    codes, classes = load_targets(given, rows.shape[0], classes=classes)
    return RowSet(rows, codes), classes


def some_rows(rows: RowSet, chosen: Tensor, store: Store) -> RowSet:
    """Return some of the rows; they come into memory where the store has room for these, if not for all."""
    part = rows.select(chosen)
    return replace(part, inputs=store.settle(part.inputs))
