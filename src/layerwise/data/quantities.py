"""Targets that are quantities: one or several real numbers a row, for regression."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import DataError
from .arrays import check_no_dates, is_missing
from .source import Source


def load_quantities(source: Source, n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Read one or several numbers per row, and say which rows have them.

    Parameters
    ----------
    source : Source, shape (N,) or (N, K)
        As ``open_source(x, kind="targets")`` returns it.
    n_rows : int
        Rows of the inputs, which the targets must match.

    Returns
    -------
    quantities : torch.Tensor, shape (N, K), float64
        NaN in rows without a label.
    labelled : torch.Tensor of bool, shape (N,)
        A row whose numbers are all NaN or None has no label; -1 is a number like any other.

    Raises
    ------
    DataError
        When length, shape or type is wrong, a number is infinite, a row has some of its numbers only, or none has any.

    Examples
    --------
    >>> from layerwise.data.source import open_source
    >>> quantities, labelled = load_quantities(open_source([0.5, None, -1], kind="targets"), 3)
    >>> quantities.tolist(), labelled.tolist()
    ([[0.5], [nan], [-1.0]], [True, False, True])
    """
    name, shape = source.name, tuple(source.shape)
    if len(shape) > 2 or shape[-1] == 0:
        raise DataError(
            f"{name} has shape {shape}, expected (rows,) or (rows, outputs)", "give one or several numbers per row"
        )
    if shape[0] != n_rows:
        raise DataError(f"{name} has {shape[0]} targets, the inputs have {n_rows} rows", "give one target per row")
    raw = source.read(0, n_rows)
    check_no_dates(raw, name)
    try:
        if raw.dtype.kind == "O":
            raw = np.array([np.nan if is_missing(item) else item for item in raw.ravel().tolist()])
        values = np.array(raw, dtype=np.float64).reshape(n_rows, -1)  # None becomes NaN
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{name} holds {raw.dtype}, expected numbers: {error}", 'text is classes: set loss to "cross_entropy"'
        ) from error
    absent: np.ndarray = np.isnan(values)
    none = np.logical_and.reduce(absent, axis=1)
    for wrong, found in ((np.isinf(values), "an infinite target"), (absent & ~none[:, None], "a gap")):
        if wrong.any():
            row, column = (int(place) for place in np.argwhere(wrong)[0])
            raise DataError(
                f"{name}: row {row} has {found} (output {column})", "give all of a row's outputs, or NaN for all"
            )
    labelled = ~none
    if not labelled.any():
        raise DataError(f"{name}: no row is labelled", "NaN and None mark rows without a label; label at least one")
    return torch.from_numpy(values), torch.from_numpy(labelled)
