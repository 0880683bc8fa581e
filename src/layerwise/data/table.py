"""Tables: columns with names, of any kind, read in blocks of rows.

A table is a `pyarrow.Table`, in memory where it was handed over so and on disk, mapped to memory, where it came of a
file (`spooled`); so none needs more memory than the block that is read.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import DataError, nearest
from .arrays import ArraySource, check_block
from .cells import ColumnKind, arrow, decoded, first_unreadable, floats_of, is_text, natural_kind, texts_of, zoned

SLICE = 65_536  # rows that are looked through at once


class TableSource:
    """A table's rows.

    Parameters
    ----------
    table : pyarrow.Table
        The columns.
    name : str
        What messages call it.
    kinds : mapping of str to str, optional
        What the columns hold, where they are text that is still to be read as that.
    parts : sequence of (int, str), optional
        Where the table is several files: the first row of each and its name.

    Attributes
    ----------
    columns : tuple of str
        Their names.
    parsed : bool
        Whether the cells are text that is read as what a column holds, as those of a CSV file are.
    numbers : numpy.ndarray or None
        Where the rows are some of a table's, their numbers in it.

    Raises
    ------
    DataError
        When two columns have one name, or one holds neither numbers, truth values, dates nor text.

    Examples
    --------
    >>> import pyarrow
    >>> table = TableSource(pyarrow.table({"age": [31, None], "city": ["Ulm", "Bonn"]}), "people")
    >>> table.kinds, table.floats("age", 0, 2).tolist()
    ({'age': 'number', 'city': 'text'}, [31.0, nan])
    """

    sparse = False
    dtype = np.dtype(object)

    def __init__(
        self,
        table: Any,
        name: str,
        kinds: Mapping[str, ColumnKind] | None = None,
        parts: Sequence[tuple[int, str]] = (),
    ) -> None:
        self.table, self.name, self.parts = table, name, tuple(parts)
        self.columns: tuple[str, ...] = tuple(table.column_names)
        self.shape: tuple[int, ...] = (table.num_rows, len(self.columns))
        self.parsed = kinds is not None
        self.numbers: np.ndarray | None = None
        self._of_one_zone: set[str] = set()  # columns of dates that were looked through
        check_names(self.columns, name)
        self.kinds: dict[str, ColumnKind] = {
            column: kinds[column] if kinds is not None else self._kind(column) for column in self.columns
        }

    def _kind(self, column: str) -> ColumnKind:
        kind = self.table.schema.field(column).type
        found = natural_kind(kind)
        if found is None:
            raise DataError(
                f"{self.name}: column {column!r} holds {kind}, expected numbers, truth values, dates or text",
                "leave the column out, or make columns of numbers of it first",
            )
        return found

    def read(self, start: int, stop: int) -> Any:
        """Return the rows from `start` up to, not including, `stop`: a `pyarrow.Table`."""
        check_block(start, stop, self.shape[0], self.name)
        return self.table.slice(start, stop - start)

    def cells(self, column: str, start: int, stop: int) -> Any:
        """Return one column's cells as they are stored."""
        check_block(start, stop, self.shape[0], self.name)
        return self.table.column(column).slice(start, stop - start)

    def floats(self, column: str, start: int, stop: int, kind: ColumnKind | None = None) -> np.ndarray:
        """Return one column's cells as numbers, NaN where one is missing, as `layerwise.data.cells.floats_of` does.

        Raises
        ------
        DataError
            At the first cell that is no such thing, or date whose time zone is not as that of the dates before it.
        """
        kind, cells = kind or self.kinds[column], decoded(self.cells(column, start, stop))
        if kind == "text":
            raise DataError(f"{self.name}: column {column!r} holds text, expected numbers", "see docs/data.md")
        if kind == "date" and is_text(cells.type):
            self._check_zone(column)
        try:
            return floats_of(cells, kind)
        except arrow(self.name).ArrowException as error:
            if not is_text(cells.type):
                raise DataError(
                    f"{self.name}: column {column!r} holds {said(self.kinds[column])} ({cells.type}), which cannot be "
                    f"read as {said(kind)}",
                    f"leave data.kinds.{column} out, or leave the column out: --set data.kinds.{column}=none",
                ) from error
            row, cell = first_unreadable(cells, kind)
            raise DataError(
                f"{self.where(start + row)}, column {column!r} is {cell!r}, expected a {kind} (rows counted from 0)",
                f"correct the cell, leave it empty, or read the column as text: --set data.kinds.{column}=text",
            ) from error

    def _check_zone(self, column: str) -> None:
        """Refuse dates of which some have a time zone and some have none: nothing says which moments the latter are."""
        if column in self._of_one_zone:
            return
        first: bool | None = None
        for start in range(0, self.shape[0], SLICE):
            cells = decoded(self.table.column(column).slice(start, SLICE))
            zones = zoned(cells)
            for zone in zones.unique().drop_null().to_pylist():
                first = zone if first is None else first
                if zone is not first:
                    row = arrow(self.name).compute.index(zones, zone).as_py()
                    found = f"{cells[row].as_py()!r}, {'with' if zone else 'without'} a time zone"
                    raise DataError(
                        f"{self.where(start + row)}, column {column!r} is {found}, unlike the dates before it "
                        "(rows counted from 0)",
                        "write all of the column's dates with a time zone or all without one, or leave it out: "
                        f"--set data.kinds.{column}=none",
                    )
        self._of_one_zone.add(column)

    def texts(self, column: str, start: int, stop: int) -> Any:
        """Return one column's cells as text, null where one is missing."""
        return texts_of(self.cells(column, start, stop))

    def where(self, row: int) -> str:
        """Return how a message names a row, with the file that it is in."""
        row = row if self.numbers is None else int(self.numbers[row])
        started = [(first, name) for first, name in self.parts if first <= row] or [(0, self.name)]
        first, name = started[-1]
        return f"{name}: row {row - first}"

    def check_column(self, column: str) -> str:
        """Return a column's name when there is one of it.

        Raises
        ------
        DataError
            With the nearest name.
        """
        if column not in self.columns:
            near = nearest(column, self.columns)
            raise DataError(
                f"{self.name}: no column named {column!r}; it holds {listing(self.columns)}",
                f"did you mean {near!r}?" if near else "give the name of one of these",
            )
        return column

    def only(self, columns: Iterable[str]) -> TableSource:
        """Return the table with some of its columns, in this order."""
        kept = [self.check_column(column) for column in columns]
        kinds = self.kinds if self.parsed else None
        table = TableSource(self.table.select(kept), self.name, kinds, self.parts)
        table.numbers = self.numbers
        return table

    def without(self, columns: Iterable[str]) -> TableSource:
        """Return the table without some columns; those that it has not are no matter."""
        gone = set(columns)
        return self.only(column for column in self.columns if column not in gone)

    def take(self, rows: np.ndarray) -> TableSource:
        """Return some rows, by number in ascending order, in memory."""
        pa = arrow(self.name)
        chosen = np.zeros(self.shape[0], dtype=bool)
        chosen[rows] = True
        starts = [start for start in range(0, self.shape[0], SLICE) if chosen[start : start + SLICE].any()]
        found = [self.table.slice(start, SLICE).filter(pa.array(chosen[start : start + SLICE])) for start in starts]
        table = pa.concat_tables(found) if found else self.table.slice(0, 0)
        taken = TableSource(table, self.name, self.kinds if self.parsed else None, self.parts)
        taken.numbers = np.flatnonzero(chosen) if self.numbers is None else self.numbers[chosen]
        return taken

    def labels(self, column: str) -> ArraySource:
        """Return a column as one label a row: numbers, truth values or text, None where a cell is empty."""
        self.check_column(column)
        kind, name, rows = self.kinds[column], f"{self.name}::{column}", self.shape[0]
        if kind == "date":
            raise DataError(f"{name} holds dates, expected classes", "give numbers or text as labels")
        if kind == "text":
            return ArraySource(np.array(self.texts(column, 0, rows).to_pylist(), dtype=object), name)
        values = self.floats(column, 0, rows)
        if kind == "number":
            return ArraySource(values, name)
        truths = values.astype(object)
        truths[:] = [None if value != value else bool(value) for value in values.tolist()]
        return ArraySource(truths, name)


class NumbersSource:
    """A table whose columns are all numbers or truth values, as rows of one matrix.

    Parameters
    ----------
    table : TableSource
        The columns.

    Raises
    ------
    DataError
        When a column holds something else; reading raises it where a cell is missing.

    Examples
    --------
    >>> import pyarrow
    >>> NumbersSource(TableSource(pyarrow.table({"a": [1, 2], "b": [True, False]}), "t")).read(0, 2).tolist()
    [[1.0, 1.0], [2.0, 0.0]]
    """

    sparse = False
    dtype = np.dtype(np.float64)

    def __init__(self, table: TableSource) -> None:
        self.table, self.name, self.shape = table, table.name, table.shape
        for column, kind in table.kinds.items():
            if kind not in ("number", "boolean"):
                raise DataError(f"{self.name}: column {column!r} holds {said(kind)}, expected numbers", PREPARE)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` up to, not including, `stop`."""
        check_block(start, stop, self.shape[0], self.name)
        rows = np.empty((stop - start, self.shape[1]))
        for place, column in enumerate(self.table.columns):
            rows[:, place] = self.table.floats(column, start, stop)
            gaps = np.flatnonzero(np.isnan(rows[:, place]))
            if len(gaps):
                raise DataError(
                    f"{self.table.where(start + int(gaps[0]))}, column {column!r} is empty (rows counted from 0)",
                    PREPARE,
                )
        return rows


PREPARE = (
    "leave the column out, or prepare the table: layerwise.Preparation.fit(table).transform(table) fills gaps and "
    "makes numbers of text and dates, as layerwise compare does by itself"
)


def check_names(columns: Sequence[str], name: str) -> None:
    """Refuse columns of which two have one name.

    Raises
    ------
    DataError
        With the first such name.
    """
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError(f"{name}: two columns are named {twice[0]!r}", "give each a name of its own")


def said(kind: ColumnKind) -> str:
    """Return a kind in the plural.

    Examples
    --------
    >>> said("date"), said("text")
    ('dates', 'text')
    """
    return {"number": "numbers", "boolean": "truth values", "date": "dates", "text": "text"}[kind]


def listing(names: Sequence[str], most: int = 12) -> str:
    """Return names for a message, the first ones of many.

    Examples
    --------
    >>> listing(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def spooled(batches: Iterable[Any], schema: Any) -> Any:
    """Write record batches to a file without a name, and return it as a table that is mapped to memory.

    Memory holds one batch while it is written, and of what is read later as much as the system has room for.

    Raises
    ------
    DataError
        When the temporary folder has no room for it.
    """
    pa = arrow("a table")
    try:
        with tempfile.TemporaryFile() as file:
            with pa.ipc.new_file(pa.PythonFile(file, "w"), schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            file.flush()
            held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        if isinstance(error, pa.ArrowException):  # of what is read
            raise
        raise DataError(
            f"a table could not be kept in {tempfile.gettempdir()}: {error.strerror or error}",
            "free disk there, or set TMPDIR to a folder with more room",
        ) from error
    return pa.ipc.open_file(pa.py_buffer(held)).read_all()
