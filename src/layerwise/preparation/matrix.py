"""Rows as the estimator takes them: a matrix with a column for each of the table's, text as codes of its levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data.cells import arrow, texts_of
from ..data.source import Source, blocks
from ..data.table import TableSource
from ..errors import DataError
from .choices import Choices
from .columns import Column, codes

FIT_BYTES = 2**28  # of such a matrix; of more training rows a random part is fitted on


class Part:
    """Some rows of an array's source, in memory."""

    sparse = False

    def __init__(self, source: Source, rows: np.ndarray) -> None:
        self.name, self.dtype = source.name, source.dtype
        parts = []
        for start, stop in blocks(source):
            first, last = np.searchsorted(rows, (start, stop))
            if first < last:
                block = source.read(start, stop)[rows[first:last] - start]
                parts.append(np.asarray(block.toarray() if source.sparse else block))
        self.rows: np.ndarray = np.concatenate(parts)
        self.shape: tuple[int, ...] = self.rows.shape

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` up to, not including, `stop`."""
        return self.rows[start:stop]


def chosen_rows(shape: tuple[int, ...], rows: np.ndarray | None) -> np.ndarray:
    """Return the numbers of the rows to learn from: all that are given, or a part of too many."""
    rows = np.arange(shape[0]) if rows is None else np.asarray(rows)
    if not len(rows):
        raise DataError("there are no training rows to prepare the others by", "give at least one row")
    most = max(1000, FIT_BYTES // (8 * max(1, shape[1])))
    return rows if len(rows) <= most else np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def read_matrix(source: Source, columns: Sequence[Column], start: int = 0, stop: int | None = None) -> np.ndarray:
    """Return rows as a matrix with a column of float64 for each of a table's: numbers, or codes of text."""
    stop = source.shape[0] if stop is None else stop
    if not isinstance(source, TableSource):
        numbers = flat_rows(source, start, stop)[:, [column.place for column in columns]]
        for at, column in enumerate(columns):
            if column.kind == "text":
                numbers[:, at] = codes(texts_of(arrow("text").array(numbers[:, at])), column.levels)
        return numbers
    matrix = np.empty((stop - start, len(columns)))
    for at, column in enumerate(columns):
        if column.kind == "text":
            matrix[:, at] = codes(source.texts(column.name, start, stop), column.levels)
        else:
            matrix[:, at] = source.floats(column.name, start, stop, column.kind)
    return matrix


def in_unit_range(matrix: np.ndarray, columns: Sequence[Column]) -> bool:
    """Say whether all numbers and dates are in [0, 1]."""
    own = matrix[:, [column.kind in ("number", "date") for column in columns]]
    known = own[~np.isnan(own)]
    return not len(known) or bool(known.min() >= 0 and known.max() <= 1)


def finish(matrix: np.ndarray, source: Source, columns: Sequence[Column], choices: Choices, start: int = 0) -> None:
    """Check a matrix and divide its numbers, in place, where a number was chosen as the scale."""
    _check(matrix, source, columns, choices, start)
    if not isinstance(choices.scale, str):
        matrix[:, [column.kind == "number" for column in columns]] /= choices.scale


def _check(matrix: np.ndarray, source: Source, columns: Sequence[Column], choices: Choices, start: int) -> None:
    """Refuse infinite values, and missing ones that nothing is put for, naming the first."""
    wrong = np.isinf(matrix)
    filled = choices.impute != "none"
    if not filled:
        levels = [column.kind == "text" and choices.encode == "onehot" for column in columns]
        wrong |= np.isnan(matrix) & ~np.array(levels)
    if not wrong.any():
        return
    row, at = (int(place) for place in np.argwhere(wrong)[0])
    where = source.where(start + row) if isinstance(source, TableSource) else f"{source.name}: row {start + row}"
    name = columns[at].name
    column = repr(name) if isinstance(source, TableSource) else name
    found, cure = ("infinite", "correct it") if np.isinf(matrix[row, at]) else ("missing", "choose what stands there")
    raise DataError(
        f"{where}, column {column} is {found} (rows counted from 0)",
        f"{cure}: --impute median, or impute='median'" if found == "missing" else cure,
    )


def _raw(source: Source, start: int, stop: int) -> np.ndarray:
    raw = source.read(start, stop)
    return np.asarray(raw.toarray() if source.sparse else raw)


def flat_rows(source: Source, start: int, stop: int) -> np.ndarray:
    """Return rows of numbers of any shape as a matrix of float64, a copy."""
    return np.asarray(_raw(source, start, stop), dtype=np.float64).reshape(stop - start, -1).copy()
