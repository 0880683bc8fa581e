"""One way to open rows, whatever holds them, and to bring them into memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse
import torch

from ..errors import DataError
from .arrays import ArraySource
from .cells import has_arrow
from .files import open_files, open_path
from .hdf5 import Kind
from .sparse import SparseSource
from .table import NumbersSource, TableSource
from .tables import is_frame, open_table, paths_of

# Large blocks, because a compressed HDF5 chunk that straddles two of them is unpacked twice.
BLOCK_BYTES = 64 * 2**20
# Sparse rows that take no more than this as dense ones are turned into them where only dense rows can be used.
DENSE_BYTES = 2**30


@runtime_checkable
class Source(Protocol):
    """Rows that are read in contiguous blocks.

    Attributes
    ----------
    name : str
        What messages call it: a file and data set, or the argument.
    shape : tuple of int
        Rows first.
    dtype : numpy.dtype
        Of the rows as stored.
    sparse : bool
        Whether `read` returns sparse rows.
    piece : int, optional
        Rows that are stored in one piece (a compressed chunk, a row group), where reading a part costs the whole.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    sparse: bool

    def read(self, start: int, stop: int) -> Any:
        """Return the rows from `start` up to, not including, `stop`: an array, or a `scipy.sparse.csr_array`.

        IndexError outside the rows.
        """
        ...


def open_source(x: Any, *, name: str | None = None, kind: Kind = "inputs") -> Source:
    """Open rows, without reading them yet.

    Parameters
    ----------
    x : array-like, torch.Tensor, sparse matrix, frame, Dataset, DataLoader, Source, str, path or sequence of paths
        Rows in memory or mapped to it, shape (N, ...), sparse ones of SciPy among them; a frame of pandas or polars; a
        ``Dataset`` or ``DataLoader`` of PyTorch, gone through once; a source (returned as it is); the path of an HDF5
        file (a group with ``data``, ``indices``, ``indptr`` and ``shape`` is sparse rows), of a ``.npy``, ``.npz``,
        CSV, TSV, Parquet or IDX file, or of a list file with one HDF5 path per line; of inputs also several such files
        as a list, or by a pattern such as ``part-*.csv``. A path may end in ``::data-set``, ``::group``, ``::array`` or
        ``::column``. A table's columns are numbers here; others are what `layerwise.Preparation` is for.
    name : str, optional
        Data set or column within the file (wins over ``::``). Without one, ``data``, ``inputs``, ``x``, ``images`` ...
        are tried for inputs, ``label``, ``labels``, ``targets``, ``y`` ... for targets, then the only data
        set that fits.
    kind : {"inputs", "targets"}
        Inputs have two dimensions or more, all real numbers; targets have one value a row.

    Returns
    -------
    Source
        With ``shape``, ``dtype``, ``name`` and ``read(start, stop)``.

    Raises
    ------
    DataError
        When `x` cannot be opened or does not have the shape and type of its kind.

    Examples
    --------
    >>> import numpy as np
    >>> source = open_source(np.arange(6.0).reshape(3, 2))
    >>> source.shape, source.read(1, 3).tolist()
    ((3, 2), [[2.0, 3.0], [4.0, 5.0]])
    """
    if isinstance(x, (str, os.PathLike)):
        source = open_path(os.fspath(x), name, kind)
    elif kind == "inputs" and paths_of(x):
        source = open_files(x, name)
    else:
        source = x if isinstance(x, Source) else _in_memory(x, kind)
        if name is not None:
            raise DataError(f"{kind}: name={name!r} chooses a data set of a file, but rows were given", "leave it out")
    if isinstance(source, TableSource):
        source = NumbersSource(source)
    _check(source, kind)
    return source


def _in_memory(x: Any, kind: Kind) -> Source:
    if kind == "inputs" and scipy.sparse.issparse(x):
        return SparseSource(x, kind)
    if kind == "inputs" and is_frame(x) and has_arrow():
        return open_table(x)
    from .dataset import is_dataset, open_dataset  # which keeps its rows by what is below

    return open_dataset(x, kind) if is_dataset(x) else ArraySource(x, kind)


def _check(source: Source, kind: Kind) -> None:
    shape, dtype, name = tuple(source.shape), source.dtype, source.name
    if not shape:
        raise DataError(f"{name} is a single value, expected rows", "give an array of shape (rows, features)")
    if shape[0] == 0:
        raise DataError(f"{name} has no rows (shape {shape})", "give at least one row")
    if kind == "targets":
        return
    if len(shape) == 1:
        raise DataError(
            f"{name} has one dimension (shape {shape}), expected rows of features",
            "use .reshape(-1, 1) for rows of one feature, .reshape(1, -1) for a single row",
        )
    if math.prod(shape[1:]) == 0:
        raise DataError(f"{name} has no columns (shape {shape})", "give at least one feature per row")
    if dtype.kind == "c":
        raise DataError(
            f"{name} holds complex numbers ({dtype}), expected real ones",
            "give the real and imaginary parts as columns",
        )
    if dtype.kind not in "buif":
        what, cure = {
            "U": ("text", ENCODE),
            "S": ("text", ENCODE),
            "O": ("Python objects or text", "where all are numbers use .astype(float), else " + ENCODE),
            "V": ("records", "give an array with one column per field"),
        }.get(dtype.kind, ("dates or times", "turn them into numbers first, for example days since a date"))
        where = _first_that_is_no_number(source) if dtype.kind in "USO" else ""
        raise DataError(f"{name} holds {what} ({dtype}){where}, expected numbers", cure)


ENCODE = "give a frame, a CSV or Parquet file, whose text columns layerwise.Preparation and layerwise compare encode"


def _first_that_is_no_number(source: Source) -> str:
    """Return where the first such element is, for a message."""
    for start, stop in blocks(source):
        for row, items in enumerate(source.read(start, stop).reshape(stop - start, -1).tolist(), start):
            for column, item in enumerate(items):
                try:
                    float(item)
                except (ValueError, TypeError):
                    return f", at row {row}, column {column} {item!r} (both counted from 0)"
    return ", though all of it can be read as numbers"


def load_rows(source: Source, *, dtype: torch.dtype = torch.float32, scale: float | None = None) -> torch.Tensor:
    """Read all rows of a source into one tensor, block by block.

    Parameters
    ----------
    source : Source
        As `open_source` returns it.
    dtype : torch.dtype
        Of the tensor, a floating type.
    scale : float, optional
        Divisor of every value, for example 255 for pixels.

    Returns
    -------
    torch.Tensor, shape ``source.shape``
        Freshly allocated; no more than one block beside it is in memory at a time. Sparse rows come dense.

    Raises
    ------
    DataError
        At the first value, in row order, that is not a finite number in `dtype`; it names source, row and
        column. When sparse rows are too wide to be dense.

    Examples
    --------
    >>> load_rows(open_source([[0, 255], [51, 102]]), scale=255).tolist()
    [[0.0, 1.0], [0.20000000298023224, 0.4000000059604645]]
    """
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise DataError(f"scale is {scale!r}, expected a number above 0", "leave it out to keep the values as they are")
    _check_dense_size(source)
    rows = torch.empty(source.shape, dtype=dtype)
    for start, stop in blocks(source):
        raw = source.read(start, stop)
        if source.sparse:
            raw = raw.toarray()
        part = rows[start:stop]
        part.copy_(as_tensor(raw, dtype))
        if scale is not None:
            part.div_(scale)
        check_finite(part, raw, start, source.name)
    return rows


def as_tensor(raw: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """Return rows as they were read as a tensor, without a copy where the dtype is the same and may be written to.

    Examples
    --------
    >>> as_tensor(np.array([[1, 2]], dtype=np.uint8), torch.float32)
    tensor([[1., 2.]])
    """
    return torch.from_numpy(as_floats(raw, dtype)).to(dtype)


def as_floats(raw: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """Return rows as they were read in the NumPy type on the way to a tensor's, which may be written to."""
    # NumPy has neither bfloat16 nor a quick float16; those go by way of float32.
    between = np.float64 if dtype is torch.float64 else np.float32
    with np.errstate(over="ignore"):  # a value that overflows is reported by check_finite, with its place
        return np.require(raw, between, ["C", "W"])


def blocks(source: Source, size: int = BLOCK_BYTES) -> Iterator[tuple[int, int]]:
    """Yield the (start, stop) of contiguous blocks of about `size` bytes that cover a source once."""
    row_bytes = max(1, math.prod(source.shape[1:]) * source.dtype.itemsize)
    count = max(1, size // row_bytes)
    for start in range(0, source.shape[0], count):
        yield start, min(start + count, source.shape[0])


def _check_dense_size(source: Source) -> None:
    size = 4 * math.prod(source.shape)
    if source.sparse and size > DENSE_BYTES:
        raise DataError(
            f"{source.name}: sparse rows of shape {source.shape} take {size / 2**30:.1f} GiB as dense ones, "
            f"and only dense rows of at most {DENSE_BYTES / 2**30:.0f} GiB can be used here",
            "layerwise.pretrain takes sparse rows as they are; elsewhere give fewer rows or columns",
        )


def check_finite(part: torch.Tensor, raw: np.ndarray, start: int, name: str) -> None:
    """Refuse rows that hold anything but finite numbers, once they are in the dtype that is computed in.

    Parameters
    ----------
    part, raw : torch.Tensor and numpy.ndarray, shape (n, ...)
        The rows as they are used, and as they were read.
    start : int
        Number of the first of them.
    name : str
        What messages call their source.

    Raises
    ------
    DataError
        At the first other value, with its row and column.
    """
    if raw.dtype.kind != "f" and part.dtype is not torch.float16:
        return
    finite = torch.isfinite(part)
    if finite.all():
        return
    row = int((~finite.flatten(1).all(dim=1)).nonzero()[0])
    column = int((~finite[row].flatten()).nonzero()[0])
    value = raw[row].reshape(-1)[column]
    if np.isfinite(value):
        raise DataError(
            f"{name}: row {start + row}, column {column} is {value}, too large for {part.dtype}",
            "rescale the rows first",
        )
    found = "NaN" if np.isnan(value) else str(value)
    raise DataError(
        f"{name}: row {start + row}, column {column} is {found} (both counted from 0)",
        "remove such rows, or fill the gaps: with --impute median, layerwise.Preparation.fit(rows, impute='median'), or "
        "sklearn.impute.SimpleImputer",
    )
