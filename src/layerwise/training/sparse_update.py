"""Updates of a weight by products with sparse rows: only the columns that the rows touch are read or written."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from scipy.sparse._sparsetools import coo_matmat_dense  # what SciPy's own product calls: it adds to an array in place
from torch import Tensor, nn


@contextmanager
def columns_together(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Keep each column of dense weights in one piece of memory inside the block, each row after it; shapes stay.

    Examples
    --------
    >>> weight = nn.Parameter(torch.zeros(2, 3))
    >>> with columns_together([weight]): print(weight.shape, weight.stride())
    torch.Size([2, 3]) (1, 2)
    """
    for weight in weights:
        columns = weight.data.t().contiguous()
        if columns.device.type == "cpu":
            # NumPy asks for large pages of memory, in which columns far apart are found sooner
            columns = torch.from_numpy(columns.numpy().copy())
        weight.data = columns.t()
    try:
        yield
    finally:
        for weight in weights:
            weight.data = weight.data.contiguous()


@torch.no_grad()
def subtract_products(parameter: Tensor, pairs: Sequence[Any], alpha: float) -> None:
    r"""Subtract products of which one factor is sparse, in place.

    .. math:: W \leftarrow W - \alpha \sum A^\top S, \qquad c \leftarrow c - \alpha \sum S^\top 1

    Parameters
    ----------
    parameter : Tensor, shape (H, d) or (d,)
        W or c; fast where W's columns are together (`columns_together`), right otherwise.
    pairs : sequence of (Tensor, Tensor or None)
        (A, S) with shapes (B, H) and (B, d) for W, (S, None) for c; S in CSR layout.
    alpha : float
        Factor of all.

    Examples
    --------
    >>> weight, rows = torch.zeros(2, 3), torch.tensor([[0.0, 5.0, 0.0]]).to_sparse_csr()
    >>> subtract_products(weight, [(torch.tensor([[1.0, 2.0]]), rows)], alpha=0.1)
    >>> weight.tolist()
    [[0.0, -0.5, 0.0], [0.0, -1.0, 0.0]]
    """
    if parameter.ndim == 1:
        for sparse, _ in pairs:
            parameter.index_add_(0, sparse.col_indices(), sparse.values(), alpha=-alpha)
        return
    columns = torch.cat([sparse.col_indices() for _, sparse in pairs])
    values = torch.cat([sparse.values() for _, sparse in pairs]).mul_(-alpha)
    starts = np.cumsum([0, *(len(table) for table, _ in pairs[:-1])]).tolist()
    rows = torch.cat([rows_of(sparse) + start for (_, sparse), start in zip(pairs, starts, strict=True)])
    table = torch.cat([dense for dense, _ in pairs])
    if parameter.t().is_contiguous() and parameter.device.type == "cpu" and len(columns):
        _add_columns(parameter.t().numpy(), columns.numpy(), rows.numpy(), values.numpy(), table.numpy())
    else:
        parameter.index_add_(1, columns, (table.index_select(0, rows) * values[:, None]).t())


def rows_of(sparse: Tensor) -> Tensor:
    """Return the row of each stored element of a tensor in CSR layout."""
    return torch.repeat_interleave(sparse.crow_indices().diff())


def _add_columns(
    weight: np.ndarray, columns: np.ndarray, rows: np.ndarray, values: np.ndarray, table: np.ndarray
) -> None:
    """Add ``values[n] * table[rows[n]]`` to ``weight[columns[n]]`` for each n, in an order that no thread changes."""
    count, units = len(columns), table.shape[1]
    # by column, so that each is brought into the cache once; one sort of one number that also says where it stood
    bits = count.bit_length()
    keys = (columns << bits) + np.arange(count)
    keys.sort()
    order = keys & ((1 << bits) - 1)
    columns, rows, values = (keys >> bits), rows[order], values[order]
    flat, source = weight.reshape(-1), table.reshape(-1)

    def add(first: int, last: int) -> None:
        part = slice(first, last)
        coo_matmat_dense(last - first, units, columns[part], rows[part], values[part], source, flat)

    # a column belongs to one thread
    threads = torch.get_num_threads()
    cuts = [int(np.searchsorted(columns, columns[count * thread // threads])) for thread in range(1, threads)]
    bounds = [0, *cuts, count]
    others = [threading.Thread(target=add, args=bounds[thread : thread + 2]) for thread in range(1, threads)]
    for thread in others:
        thread.start()
    add(*bounds[:2])
    for thread in others:
        thread.join()
