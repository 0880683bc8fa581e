"""Rows in Parquet files: all columns, which must be numbers, as one matrix."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, install, nearest
from .arrays import ArraySource, check_block
from .cells import natural_kind, texts_of
from .hdf5 import CONVENTIONAL
from .table import PREPARE, listing

logger = logging.getLogger("layerwise")
SUFFIXES = (".parquet", ".pq")


class ParquetSource:
    """The rows of a Parquet file, read by row groups; the one read last is kept, as the next block may begin in it.

    Parameters
    ----------
    path : Path
        The file.
    name : str or None
        The only column to take; None: all.

    Attributes
    ----------
    piece : int
        Rows of the largest row group: a part of one is not read by itself.

    Raises
    ------
    DataError
        When pyarrow is not installed, the file is damaged, or a column is missing or does not hold numbers; reading
        raises it too.
    """

    sparse = False

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path.absolute()
        self.name = f"{path}::{name}" if name else str(path)
        file = self._file = open_parquet(path)
        known = columns_of(file.schema_arrow)
        self.columns = [_known(column, known, path) for column in (known if name is None else [name])]
        fields = [field for field in file.schema_arrow if field.name in self.columns]
        _check(fields, path)
        groups = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
        self.starts = np.cumsum([0, *groups], dtype=np.int64)
        self.piece = max(groups, default=1)
        self.shape: tuple[int, ...] = (int(self.starts[-1]), len(fields))
        self.dtype = np.result_type(*(field.type.to_pandas_dtype() for field in fields)) if fields else np.dtype("f4")
        self._last: tuple[int, np.ndarray] | None = None
        self._lock = threading.Lock()  # rows may be validated on while others of the file are read ahead

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_file", "_last", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _file=open_parquet(state["path"]), _last=None, _lock=threading.Lock())

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` up to, not including, `stop`."""
        check_block(start, stop, self.shape[0], self.name)
        rows = np.empty((stop - start, self.shape[1]), self.dtype)
        at = start
        with self._lock:
            while at < stop:
                number = int(np.searchsorted(self.starts, at, side="right")) - 1
                first, last = int(self.starts[number]), min(stop, int(self.starts[number + 1]))
                rows[at - start : last - start] = self._group(number)[at - first : last - first]
                at = last
        return rows

    def _group(self, number: int) -> np.ndarray:
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        self._last = None  # so that two groups are not in memory at once
        first, last = int(self.starts[number]), int(self.starts[number + 1])
        try:
            table = self._file.read_row_group(number, columns=self.columns, use_threads=False)
        except (OSError, ValueError) as error:  # pyarrow's own errors are of these kinds
            raise damaged_parquet(f"{self.name}, rows {first} to {last - 1}", error) from error
        rows = np.empty((last - first, self.shape[1]), self.dtype)
        for place, column in enumerate(self.columns):
            values = table.column(column)
            if values.null_count:
                empty = first + values.is_null().to_numpy().argmax()
                raise DataError(
                    f"{self.name}: row {empty}, column {column!r} is empty (rows counted from 0)",
                    PREPARE,
                )
            rows[:, place] = values.to_numpy()
        self._last = number, rows
        return rows


def open_labels(path: Path, name: str | None) -> ArraySource:
    """Read the labels of a Parquet file: a column by name, else the one with a usual name, else the only one.

    What stands for a missing value in a table's text is no label, as in a table's own column.
    """
    file = open_parquet(path)
    known = columns_of(file.schema_arrow)
    if name is None:
        usual = [column for column in CONVENTIONAL["targets"] if column in known] or known
        if len(usual) != 1 and usual == known:
            raise DataError(
                f"{path}: several columns could be the targets; it holds {listing(known)}",
                f"name the one to use, for example {path}::{known[-1]}",
            )
        name = usual[0]
    name = _known(name, known, path)
    try:
        column = file.read(columns=[name]).column(name)
    except (OSError, ValueError) as error:
        raise damaged_parquet(f"{path}::{name}", error) from error
    plain = _numeric(column) and not column.null_count  # an empty label becomes None, a mark of no label
    if natural_kind(column.type) == "text":
        column = texts_of(column)
    values = column.to_numpy() if plain else np.array(column.to_pylist(), dtype=object)
    return ArraySource(values, f"{path}::{name}")


def open_parquet(path: Path) -> Any:
    """Return pyarrow's own handle of a Parquet file."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f"{path}: Parquet files are read by pyarrow, which is not installed",
            install(["pyarrow"], "tables"),
        ) from error
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise damaged_parquet(str(path), error) from error


def columns_of(schema: Any) -> list[str]:
    """Return the names of a Parquet file's columns, without the numbers that pandas gave its rows.

    pandas keeps an index without a name as a column of its own, once rows are drawn, filtered or put together; one with
    a name is a column that somebody named.

    Examples
    --------
    >>> import pandas, pyarrow
    >>> columns_of(pyarrow.Schema.from_pandas(pandas.DataFrame({"a": [1, 2, 3]}).loc[[2, 0, 1]]))
    ['a']
    """
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    unnamed = [name for name in index if isinstance(name, str) and re.fullmatch(r"__index_level_\d+__", name)]
    return [name for name in schema.names if name not in unnamed]


def damaged_parquet(where: str, error: Exception) -> DataError:
    """Return the error for a Parquet file that cannot be read."""
    return DataError(f"{where}: this Parquet file cannot be read: {error}", "it may be cut short; copy it again")


def _numeric(field: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(field.type) or types.is_floating(field.type) or types.is_boolean(field.type))


def _check(fields: list[Any], path: Path) -> None:
    for field in fields:
        if not _numeric(field):
            raise DataError(
                f"{path}: column {field.name!r} holds {field.type}, expected numbers",
                PREPARE,
            )
        if field.name in CONVENTIONAL["targets"] and len(fields) > 1:
            logger.warning("%s: column %r is taken as an input like the others; is it the target?", path, field.name)


def _known(name: str, known: list[str], path: Path) -> str:
    if known.count(name) > 1:
        raise DataError(f"{path}: {known.count(name)} columns are named {name!r}", "give each a name of its own")
    if name not in known:
        near = nearest(name, known)
        raise DataError(
            f"{path}: no column named {name!r}; it holds {listing(known)}",
            f"did you mean {near!r}?" if near else "give the name of one of these",
        )
    return name
