"""One way to open a table, whatever holds it: a CSV, TSV or Parquet file, several of them, or a frame."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from .cells import arrow, is_text
from .delimited import check_columns, is_delimited, open_delimited
from .parquet import SUFFIXES, columns_of, damaged_parquet, open_parquet
from .paths import check_file, paths_of
from .table import TableSource, check_names, spooled


def is_frame(x: Any) -> bool:
    """Say whether something is a table in memory that Arrow's interface hands over: a frame of pandas or polars.

    Examples
    --------
    >>> import pyarrow
    >>> is_frame(pyarrow.table({"a": [1]})), is_frame([[1]])
    (True, False)
    """
    return hasattr(x, "__arrow_c_stream__") and getattr(x, "columns", None) is not None


def is_table(x: Any) -> bool:
    """Say whether something can be opened as a table: a frame, or the paths of files of columns with names."""
    if isinstance(x, TableSource) or is_frame(x):
        return True
    paths = paths_of(x)
    return bool(paths) and all(is_delimited(path) or path.suffix.lower() in SUFFIXES for path in paths)


def open_table(x: Any) -> TableSource:
    """Open columns with names, of any kind.

    Parameters
    ----------
    x : str, path, sequence of them, or frame
        A CSV, TSV or Parquet file, or several with the same columns, as a list or a pattern such as ``part-*.csv``; a
        frame of pandas or polars, or whatever else has Arrow's PyCapsule interface.

    Returns
    -------
    TableSource
        With ``columns``, ``kinds`` and ``shape``. The cells of a CSV file and several files are kept on disk.

    Raises
    ------
    DataError
        When `x` cannot be opened as a table, two of its columns have one name, or pyarrow is not installed.

    Examples
    --------
    >>> import pyarrow
    >>> open_table(pyarrow.table({"age": [31, 7]})).shape
    (2, 1)
    """
    if isinstance(x, TableSource):
        return x
    if is_frame(x):
        return _frame(x)
    paths = paths_of(x)
    if not is_table(x):
        raise DataError(f"{x!r:.60} is no table", "give a CSV, TSV or Parquet file, or a frame of pandas or polars")
    for path in paths:
        check_file(path)
    name = os.fspath(x) if isinstance(x, (str, os.PathLike)) else f"{paths[0]} and {len(paths) - 1} more"
    if all(is_delimited(path) for path in paths):
        return open_delimited(paths, name)
    if any(is_delimited(path) for path in paths):
        raise DataError(f"{name}: some of the files are CSV, some Parquet", "give files of one format")
    return _parquets(paths, name)


def _frame(x: Any) -> TableSource:
    kind = type(x).__module__.split(".")[0]
    name = f"the {kind} frame" if kind in ("pandas", "polars") else "the table"
    pa = arrow(name)
    check_names([column for column in x.columns if isinstance(column, str)], name)
    try:
        table = pa.RecordBatchReader.from_stream(x).read_all()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"{name} cannot be read: {error}", "give each column values of one type, for example with .astype(str)"
        ) from error
    # pandas' own index, named or not, is none of the frame's columns, and comes along where it is not a plain count
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    table = table.drop_columns([name for name in index if isinstance(name, str)])
    # the layout in which polars hands over text is not one that rows can be picked of
    schema = pa.schema([field.with_type(pa.large_string()) if is_text(field.type) else field for field in table.schema])
    return TableSource(table.cast(schema), name)


def _parquets(paths: Sequence[Path], name: str) -> TableSource:
    pa = arrow(name)
    files = [open_parquet(path) for path in paths]
    schemas = [_schema(file, path) for path, file in zip(paths, files, strict=True)]
    names = schemas[0].names
    parts, rows = [], 0
    for path, file, schema in zip(paths, files, schemas, strict=True):
        check_columns(schema.names, names, str(path))
        parts.append((rows, str(path)))
        rows += file.metadata.num_rows
    try:
        schema = pa.unify_schemas(
            [pa.schema([schema.field(column) for column in names]) for schema in schemas],
            promote_options="permissive",
        )
    except pa.ArrowException as error:
        raise DataError(f"{name}: the files' columns differ in type: {error}", "write them alike") from error

    def read() -> Iterator[Any]:
        for path, file in zip(paths, files, strict=True):
            try:
                for batch in file.iter_batches(use_threads=False):
                    table = pa.Table.from_batches([batch]).select(names).cast(schema)
                    yield from table.combine_chunks().to_batches()
            except (OSError, ValueError) as error:
                raise damaged_parquet(str(path), error) from error

    return TableSource(spooled(read(), schema), name, parts=parts)


def _schema(file: Any, path: Path) -> Any:
    """Return a Parquet file's columns, as its table holds them, once they are known to make one."""
    pa = arrow(str(path))
    kept = columns_of(file.schema_arrow)
    schema = pa.schema([pa.field(field.name, _plain(field.type)) for field in file.schema_arrow if field.name in kept])
    TableSource(schema.empty_table(), str(path))
    return schema


def _plain(kind: Any) -> Any:
    """Return the type of categories' values, as each row group may number them anew; of text the one layout."""
    pa = arrow("a column")
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.large_string() if is_text(kind) else kind
