"""Sparse rows to learn from: in memory, handed out as they are, or dense a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from .sparse import sparse_tensor


class Sparse:
    """Rows in memory, stored sparse (`layerwise.data.features.Features`).

    Parameters
    ----------
    rows : scipy.sparse.csr_array, shape (N, d)
        Not copied.
    device : torch.device or None
        Of the tensors that are handed out.
    item : tuple of int or None
        Shape of one row of the dense tensors that are handed out; None: sparse ones (CSR), of d columns.

    Examples
    --------
    >>> features = Sparse(scipy.sparse.eye_array(3, format="csr"))
    >>> features.read(0, 2).layout, features.dense().read(0, 2).tolist()
    (torch.sparse_csr, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    """

    def __init__(
        self, rows: scipy.sparse.csr_array, device: torch.device | None = None, item: tuple[int, ...] | None = None
    ) -> None:
        self.rows, self.item = rows, item
        self.shape: tuple[int, ...] = (rows.shape[0], *(rows.shape[1:] if item is None else item))
        self.device = device or torch.device("cpu")
        self.dtype = torch.from_numpy(np.empty(0, rows.dtype)).dtype
        self.block = self.window = self.shape[0]

    def read(self, start: int, stop: int) -> Tensor:
        """Return the rows from `start` up to, not including, `stop`."""
        return self._handed(self.rows[start:stop])

    def take(self, rows: Tensor) -> Tensor:
        """Return some rows, by number."""
        return self._handed(self.rows[rows.cpu().numpy()])

    def load(self, spans: Sequence[tuple[int, int]], spare: object = None) -> Sparse:
        """Return these rows, which are in memory: they are one block."""
        assert list(spans) == [(0, self.shape[0])]
        return self

    def select(self, rows: Tensor) -> Sparse:
        """Return some of the rows, by number."""
        return Sparse(self.rows[rows.cpu().numpy()], self.device, self.item)

    def to(self, device: torch.device, dtype: torch.dtype) -> Sparse:
        """Return the same rows, handed out on another device or in another dtype."""
        return Sparse(self.rows.astype(torch.empty(0, dtype=dtype).numpy().dtype, copy=False), device, self.item)

    def reshaped(self, item: tuple[int, ...]) -> Sparse:
        """Return the same rows, each in another shape, and dense where that is not a plain row of d columns."""
        return self if item == self.shape[1:] else Sparse(self.rows, self.device, item)

    def dense(self) -> Sparse:
        """Return the same rows, handed out dense."""
        return Sparse(self.rows, self.device, self.shape[1:])

    @property
    def extent(self) -> tuple[float, float]:
        """Smallest and largest element, zeros included."""
        return float(self.rows.min()), float(self.rows.max())

    @property
    def mean(self) -> Tensor:
        """Mean of each element over rows, float64."""
        return torch.from_numpy(np.asarray(self.rows.mean(axis=0, dtype=np.float64))).reshape(self.shape[1:])

    def _handed(self, rows: scipy.sparse.csr_array) -> Tensor:
        if self.item is None:
            return sparse_tensor(rows).to(self.device)
        return torch.from_numpy(rows.toarray()).reshape(-1, *self.item).to(self.device)


def from_tensor(rows: Tensor) -> Sparse:
    """Return the rows of a tensor in CSR layout as features.

    Examples
    --------
    >>> from_tensor(torch.eye(2).to_sparse_csr()).shape
    (2, 2)
    """
    parts = (part.cpu().numpy() for part in (rows.values(), rows.col_indices(), rows.crow_indices()))
    return Sparse(scipy.sparse.csr_array(tuple(parts), shape=tuple(rows.shape)), rows.device)
