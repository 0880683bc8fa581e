"""The same columns in another table: by name, in any order."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..data.cells import is_empty
from ..data.table import TableSource, listing, said
from ..errors import DataError, nearest
from .columns import Column


def check_match(table: TableSource, columns: Sequence[Column], left_out: Collection[str]) -> None:
    """Refuse a table that lacks a column, has one more, or one of another type.

    Parameters
    ----------
    table : TableSource
        The other table.
    columns : sequence of Column
        Those that rows are made of.
    left_out : collection of str
        Columns that may be there or not: the target, and those of no use.

    Raises
    ------
    DataError
        Naming the first such column, with the nearest name.
    """
    names = [column.name for column in columns]
    extra = [name for name in table.columns if name not in names and name not in left_out]
    for column in columns:
        if column.name not in table.columns:
            small = {name.lower(): name for name in extra}
            near = nearest(column.name, extra) or small.get(nearest(column.name.lower(), small) or "")
            raise DataError(
                f"{table.name} lacks the column {column.name!r} of the training rows; it has {listing(table.columns)}",
                f"is it the column {near!r}? Name it {column.name!r}"
                if near
                else "add it, with empty cells if need be",
            )
    if extra:
        raise DataError(
            f"{table.name} has a column {extra[0]!r} that the training rows have not",
            f"leave it out: the columns are {listing(names)}",
        )
    for column in columns:
        found = table.kinds[column.name]
        if not table.parsed and found != column.stored and not is_empty(table.table.schema.field(column.name).type):
            raise DataError(
                f"{table.name}: column {column.name!r} holds {said(found)}, those of the training rows hold "
                f"{said(column.stored)}",
                "write it as it was in the training rows",
            )
