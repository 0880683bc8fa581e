"""CSV and TSV files: parsed once, in blocks, and kept as text cells on disk; their kinds are inferred of all cells."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from .cells import ColumnKind, arrow, cleaned, possible_kinds
from .table import TableSource, check_names, listing, spooled

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
# Between a truth value and a number, a number and text: the first that all cells can be read as.
ORDER: tuple[ColumnKind, ...] = ("boolean", "number", "date")
BLOCK_BYTES = 4 * 2**20  # of the file that are parsed at once


def is_delimited(path: Path) -> bool:
    """Say whether a file's name ends as that of a CSV or TSV file does."""
    return path.name.lower().endswith(SUFFIXES)


def open_delimited(paths: Sequence[Path], name: str) -> TableSource:
    """Open one or more CSV or TSV files as one table.

    The first line names the columns. They are separated by what the first line has most of: comma, semicolon, tab or
    ``|``. Cells that are empty, or one of `layerwise.data.cells.MISSING`, are missing values. A column holds truth
    values, numbers or dates where all of its cells can be read so, else text.

    Parameters
    ----------
    paths : sequence of Path
        The files, in the order of the rows; the same columns in each, in any order.
    name : str
        What messages call the table.

    Raises
    ------
    DataError
        Without pyarrow; when a file is damaged, its lines differ in length, or its columns differ from the first's.
    """
    pa = arrow(name)
    columns = _header(paths[0])
    kinds: dict[str, tuple[ColumnKind, ...]] = dict.fromkeys(columns, ORDER)
    parts: list[tuple[int, str]] = []
    rows = 0

    def read() -> Iterator[Any]:
        nonlocal rows
        for path in paths:
            parts.append((rows, str(path)))
            for batch in _batches(path, columns):
                for column, cells in zip(columns, batch.columns, strict=True):
                    kinds[column] = possible_kinds(cells, kinds[column])
                rows += batch.num_rows
                yield batch

    table = spooled(read(), pa.schema([(column, pa.string()) for column in columns]))
    found = {column: (possible[0] if possible else "text") for column, possible in kinds.items()}
    for column, kind in found.items():
        if kind == "boolean" and table.column(column).null_count == rows:
            found[column] = "number"  # nothing in it; as of an Arrow column of nulls
    return TableSource(table, name, found, parts)


def _header(path: Path) -> tuple[str, ...]:
    """Return the columns' names."""
    try:
        first = _first_line(path)
        names = [name.strip() for name in next(csv.reader([first], delimiter=_delimiter(path, first)), [])]
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}", "check that it is a CSV file, and whole") from error
    if not names:
        raise DataError(f"{path}: the first line is empty", "write the columns' names in the first line")
    if all(_is_number(name) for name in names):
        raise DataError(
            f"{path}: the first line holds numbers, {listing(names, 4)}, expected the names of the columns",
            "write a line of names above the rows",
        )
    check_names(names, str(path))
    return tuple(names)


def _first_line(path: Path) -> str:
    """Return the first line, whichever line ends the file has: those of old Macs are a carriage return alone."""
    with arrow(str(path)).input_stream(path, compression="detect") as file:
        start: str = file.read(2**20).decode("utf-8-sig", errors="ignore")
    return re.split(r"\r\n?|\n", start, maxsplit=1)[0]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _delimiter(path: Path, first: str) -> str:
    if ".tsv" in path.suffixes:
        return "\t"
    bare = "".join(first.split('"')[::2])  # what stands outside of quotes
    return max(",;\t|", key=bare.count)


def _batches(path: Path, columns: tuple[str, ...]) -> Iterator[Any]:
    """Yield a file's cells as text, block by block, the columns in this order."""
    pa = arrow(str(path))
    from pyarrow import csv as arrow_csv

    own, delimiter = _header(path), _delimiter(path, _first_line(path))
    check_columns(own, columns, str(path))
    try:
        with pa.input_stream(path, compression="detect") as file:
            reader = arrow_csv.open_csv(
                file,
                read_options=arrow_csv.ReadOptions(
                    block_size=BLOCK_BYTES, column_names=own, skip_rows=1, use_threads=False
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=len(own) > 1,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types={name: pa.string() for name in own}, strings_can_be_null=False
                ),
            )
            for batch in reader:
                yield pa.record_batch([cleaned(batch.column(own.index(name))) for name in columns], names=list(columns))
    except (pa.ArrowInvalid, OSError) as error:
        told = str(error).splitlines()[0]
        if "Empty CSV file" in told:  # a line of names alone
            return
        raise DataError(f"{path}: {told}", "correct the file there: UTF-8 text, as many cells in each line") from error


def check_columns(found: Sequence[str], expected: Sequence[str], name: str) -> None:
    """Refuse a file whose columns are not those of the files before it, in whatever order.

    Raises
    ------
    DataError
        Naming the file and the column.
    """
    missing = [column for column in expected if column not in found]
    extra = [column for column in found if column not in expected]
    if missing or extra:
        what = f"lacks the column {missing[0]!r}" if missing else f"has a column {extra[0]!r} more"
        raise DataError(
            f"{name} {what}, compared with the files before it, which hold {listing(expected)}",
            "give files of the same columns, in any order",
        )
