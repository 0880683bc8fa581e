"""Sparse rows: compressed sparse rows (CSR) in memory, in a ``.npz`` of SciPy, or in an HDF5 group."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse
import torch

from ..errors import DataError
from .arrays import check_block
from .hdf5 import CONVENTIONAL, damaged

PARTS = ("data", "indices", "indptr")
BLOCK_ROWS = 4096
DENSE_ELEMENTS = 2**24  # of a part of sparse rows that is made dense: 64 MiB in float32


class SparseSource:
    """The rows of a sparse matrix.

    Blocks come as `scipy.sparse.csr_array`, columns in ascending order, duplicates summed (in float64), zeros dropped.

    Parameters
    ----------
    x : sparse matrix or array of SciPy, shape (N, d), or Hdf5Rows
        Formats other than CSR are converted; what was handed in is never changed.
    name : str
        What messages call it.

    Raises
    ------
    DataError
        When there are not two dimensions; reading raises it where columns lie outside the matrix.

    Examples
    --------
    >>> source = SparseSource(scipy.sparse.coo_array(([1.0, 2.0], ([0, 2], [5, 5])), shape=(3, 9)), "inputs")
    >>> source.shape, source.read(1, 3).toarray()[:, 5].tolist()
    ((3, 9), [0.0, 2.0])
    """

    sparse = True

    def __init__(self, x: Any, name: str) -> None:
        self.name = name
        if len(x.shape) != 2:
            raise DataError(
                f"{name} is sparse and has shape {tuple(x.shape)}, expected two dimensions", "give rows of features"
            )
        self._held = x if isinstance(x, Hdf5Rows) else scipy.sparse.csr_array(x)
        self.shape: tuple[int, ...] = (int(x.shape[0]), int(x.shape[1]))
        self.dtype = np.dtype(x.dtype)

    def read(self, start: int, stop: int) -> scipy.sparse.csr_array:
        """Return the rows from `start` up to, not including, `stop`."""
        check_block(start, stop, self.shape[0], self.name)
        block = self._held[start:stop]  # a copy
        try:
            block.check_format(full_check=True)
        except ValueError as error:
            raise DataError(
                f"{self.name}: rows {start} to {stop} are no compressed sparse rows: {error}", "write the matrix again"
            ) from error
        block.sort_indices()
        if not block.has_canonical_format:
            block = block.astype(np.float64)  # counts of one byte would overflow
            block.sum_duplicates()
        block.eliminate_zeros()
        return block


class Hdf5Rows:
    """The CSR group of an HDF5 file, opened for each read; only ``indptr``, a number a row, stays in memory.

    Parameters
    ----------
    path : Path
        The file.
    group : str
        Full name of the group within it, as `find_group` returns it.
    """

    def __init__(self, path: Path, group: str) -> None:
        self.path, self.group = path.absolute(), group or "/"
        self.name = f"{path}::{group}"
        try:
            with h5py.File(self.path, "r") as file:
                found = file[self.group]
                self.shape = self._shape(found)
                self.dtype = found["data"].dtype
                self.indptr = np.asarray(found["indptr"][:]).astype(np.int64)
                stored = min(found["data"].shape[0], found["indices"].shape[0])
        except OSError as error:
            raise damaged(path, error) from error
        ends = (self.indptr[:1].tolist(), self.indptr[-1:].tolist())
        if len(self.indptr) != self.shape[0] + 1 or ends != ([0], [stored]) or (np.diff(self.indptr) < 0).any():
            raise DataError(
                f"{self.name}: indptr does not rise from 0 to {stored} in {self.shape[0] + 1} numbers, "
                f"as the rows of a matrix of shape {self.shape} need",
                "write the group again: data, indices and indptr of a scipy.sparse.csr_array, and its shape",
            )

    def _shape(self, group: h5py.Group) -> tuple[int, int]:
        kind = group.attrs.get("encoding-type", "csr_matrix")
        if "csr" not in str(kind):
            raise DataError(f"{self.name} is a {kind}, expected rows (CSR)", "write it as csr: matrix.tocsr()")
        found = group["shape"][:] if "shape" in group else group.attrs.get("shape", group.attrs.get("h5sparse_shape"))
        if found is None or len(found) != 2:
            raise DataError(
                f"{self.name} does not say its shape", "add it: group['shape'] = [rows, columns], or an attribute"
            )
        return int(found[0]), int(found[1])

    def __getitem__(self, rows: slice) -> scipy.sparse.csr_array:
        """Return some rows."""
        first, last = int(self.indptr[rows.start]), int(self.indptr[rows.stop])
        try:
            with h5py.File(self.path, "r") as file:
                values, columns = (np.asarray(file[self.group][part][first:last]) for part in ("data", "indices"))
        except OSError as error:
            raise damaged(self.path, error) from error
        pointers = self.indptr[rows.start : rows.stop + 1] - first
        return scipy.sparse.csr_array((values, columns, pointers), shape=(rows.stop - rows.start, self.shape[1]))


def find_group(path: Path, name: str | None) -> str | None:
    """Return the full name of the CSR group of an HDF5 file, None where its rows are dense.

    A group with ``data``, ``indices`` and ``indptr`` is one. Without a name: the file itself, a group with a
    conventional name, or the only one of a file that has no data set with such a name.
    """
    try:
        with h5py.File(path, "r") as file:
            groups = [""] if _is_csr(file) else []

            def keep(full: str, item: object) -> None:
                if _is_csr(item):
                    groups.append(full)

            file.visititems(keep)
            if name is not None:
                return name.strip("/") if name.strip("/") in groups else None
            for usual in ("", *CONVENTIONAL["inputs"]):
                if usual in groups:
                    return usual
                if isinstance(file.get(usual or "/"), h5py.Dataset):
                    return None
            return groups[0] if len(groups) == 1 else None
    except OSError as error:
        raise damaged(path, error) from error


def _is_csr(item: object) -> bool:
    return isinstance(item, h5py.Group) and all(isinstance(item.get(part), h5py.Dataset) for part in PARTS)


def open_npz(path: Path) -> SparseSource:
    """Open a matrix that `scipy.sparse.save_npz` wrote; it is read into memory.

    Raises
    ------
    DataError
        When the file holds no sparse matrix.
    """
    try:
        return SparseSource(scipy.sparse.load_npz(path), os.fspath(path))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} holds no sparse matrix: {error}",
            "write it with scipy.sparse.save_npz; pass dense arrays in Python: numpy.load(path)['name']",
        ) from error


def load_sparse(source: SparseSource, *, dtype: torch.dtype = torch.float32) -> scipy.sparse.csr_array:
    """Read all rows of a sparse source into memory, still sparse.

    Parameters
    ----------
    source : SparseSource
        As `layerwise.data.source.open_source` returns it.
    dtype : torch.dtype
        float32 or float64.

    Raises
    ------
    DataError
        At the first value that is not a finite number in `dtype`; it names source, row and column.

    Examples
    --------
    >>> load_sparse(SparseSource(scipy.sparse.eye_array(3, format="csr"), "inputs")).dtype
    dtype('float32')
    """
    parts = []
    for start in range(0, source.shape[0], BLOCK_ROWS):
        block = source.read(start, min(start + BLOCK_ROWS, source.shape[0]))
        with np.errstate(over="ignore"):  # a value that overflows is reported with its place
            part = block.astype(np.float64 if dtype is torch.float64 else np.float32)
        _check_finite(part, block, start, source.name)
        parts.append(part)
    rows = scipy.sparse.vstack(parts, format="csr")
    return rows if isinstance(rows, scipy.sparse.csr_array) else scipy.sparse.csr_array(rows)


def _check_finite(part: scipy.sparse.csr_array, block: scipy.sparse.csr_array, start: int, name: str) -> None:
    """Refuse values that are not finite numbers, naming the first one's row and column."""
    wrong = np.flatnonzero(~np.isfinite(part.data))
    if not len(wrong):
        return
    row = int(np.searchsorted(part.indptr, wrong[0], side="right")) - 1
    value, where = block.data[wrong[0]], f"{name}: row {start + row}, column {part.indices[wrong[0]]}"
    if np.isfinite(value):
        raise DataError(f"{where} is {value}, too large for {part.dtype}", "rescale the rows first")
    found = "NaN" if np.isnan(value) else str(value)
    raise DataError(f"{where} is {found} (both counted from 0)", "remove such rows, or give such elements a number")


def sparse_tensor(rows: scipy.sparse.csr_array) -> torch.Tensor:
    """Return sparse rows as a tensor in CSR layout, values shared.

    Examples
    --------
    >>> sparse_tensor(scipy.sparse.eye_array(2, format="csr", dtype="float32")).layout
    torch.sparse_csr
    """
    pointers, columns = (torch.from_numpy(part.astype(np.int64)) for part in (rows.indptr, rows.indices))
    return csr_tensor(pointers, columns, torch.from_numpy(rows.data), rows.shape)


def csr_tensor(
    pointers: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: tuple[int, ...]
) -> torch.Tensor:
    """Return a tensor in CSR layout from its parts, which are known to fit together."""
    with warnings.catch_warnings():
        # said once a process: that the layout is in beta state
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support", category=UserWarning)
        return torch.sparse_csr_tensor(pointers, columns, values, shape, check_invariants=False)


def dense(rows: torch.Tensor) -> torch.Tensor:
    """Return rows of any layout as dense ones."""
    return rows if rows.layout is torch.strided else rows.to_dense()


def dense_parts(rows: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield dense rows as they are, and sparse ones made dense, a part of bounded size at a time.

    Examples
    --------
    >>> eye = sparse_tensor(scipy.sparse.eye_array(3, format="csr"))
    >>> [part.tolist() for part in dense_parts(eye)]
    [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
    """
    if rows.layout is torch.strided:
        yield rows
        return
    pointers, columns, values = rows.crow_indices(), rows.col_indices(), rows.values()
    count = max(1, DENSE_ELEMENTS // rows.shape[1])
    for start in range(0, len(rows), count):
        part = pointers[start : start + count + 1]
        first, last = int(part[0]), int(part[-1])
        shape = (len(part) - 1, rows.shape[1])
        yield csr_tensor(part - first, columns[first:last], values[first:last], shape).to_dense()
