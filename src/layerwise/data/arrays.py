"""Rows that are in memory already."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..errors import DataError


class ArraySource:
    """The rows of a NumPy array, a torch tensor, a list, or anything else that NumPy can read.

    Parameters
    ----------
    x : array-like, shape (N, ...)
        The rows; an array is not copied.
    name : str
        What messages call it.

    Raises
    ------
    DataError
        When `x` is sparse, masked, ragged or not an array at all.

    Examples
    --------
    >>> source = ArraySource([[0.0, 1.0], [2.0, 3.0]], "inputs")
    >>> source.shape, source.read(1, 2).tolist()
    ((2, 2), [[2.0, 3.0]])
    """

    sparse = False

    def __init__(self, x: Any, name: str) -> None:
        self.name = name
        self.rows = as_array(x, name)
        self.shape: tuple[int, ...] = self.rows.shape
        self.dtype = self.rows.dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` up to, not including, `stop`."""
        check_block(start, stop, self.shape[0], self.name)
        return self.rows[start:stop]


def as_array(x: Any, name: str) -> np.ndarray:
    """Return what was handed in as a NumPy array, without a copy where that is possible."""
    if isinstance(x, torch.Tensor):
        if x.layout is not torch.strided:
            raise DataError(f"{name}: found a sparse tensor, expected dense rows", "convert it with .to_dense()")
        x = x.detach().cpu()
        # NumPy has no bfloat16; float32 holds each of its values exactly.
        return np.asarray((x.float() if x.dtype is torch.bfloat16 else x).numpy())
    if hasattr(x, "toarray") and hasattr(x, "nnz"):
        raise DataError(f"{name}: found a sparse matrix, expected a dense array", "convert it with .toarray()")
    if np.ma.is_masked(x):
        raise DataError(f"{name}: found a masked array with masked entries", "fill them first, with x.filled(value)")
    try:
        array = np.asarray(x)
        if array.dtype.kind == "U" and isinstance(x, (list, tuple)):
            # NumPy turns a NaN or -1 among text into text; as objects they stay what they are.
            array = np.asarray(x, dtype=object)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{name}: {type(x).__name__} cannot be read as an array: {error}",
            "give every row the same length",
        ) from error
    if array.ndim == 0:
        raise DataError(
            f"{name}: found {_short(x)}, expected an array, a tensor or the path of an HDF5 file",
            "give rows, for example a NumPy array of shape (rows, features)",
        )
    return array


def is_missing(item: Any) -> bool:
    """Say whether an element of an array of objects is no value: None, or pandas' NA or NaT, which is not imported.

    Examples
    --------
    >>> import pandas
    >>> [is_missing(item) for item in (None, pandas.NA, pandas.NaT, "", 0)]
    [True, True, True, False, False]
    """
    return item is None or type(item).__name__ in ("NAType", "NaTType")


def check_no_dates(raw: np.ndarray, name: str) -> None:
    """Refuse targets that are dates or durations: as numbers they are nanoseconds, and a missing one is -9.2e18.

    Raises
    ------
    DataError
        With what makes numbers of them.
    """
    if raw.dtype.kind in "Mm":
        what, since = ("dates", " since a date") if raw.dtype.kind == "M" else ("durations", "")
        raise DataError(
            f"{name} holds {what} ({raw.dtype}), expected numbers",
            f"turn them into numbers first, for example days{since}, NaN where there is none",
        )


def check_block(start: int, stop: int, rows: int, name: str) -> None:
    """Refuse a block that is not within the rows; slicing would shorten it without a word.

    Raises
    ------
    IndexError
        A fault of the calling code, never of the user's data.
    """
    if not 0 <= start <= stop <= rows:
        raise IndexError(f"{name}: rows {start} to {stop} were asked for, it has {rows}")


def _short(x: Any) -> str:
    text = repr(x)
    return f"{type(x).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
