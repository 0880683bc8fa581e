"""What a table's columns are, as the training rows have them, and which are of no use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..data.cells import ColumnKind, arrow
from ..data.table import TableSource, listing
from ..errors import DataError, nearest

# A level that fewer of the rows have is pooled with the other rare ones, and so is what comes after so many levels.
RARE = 0.001
RARE_ROWS = 2
MOST_LEVELS = 100
# Below so many rows it is no wonder that all values differ.
FEWEST_ROWS = 20

KindName = ColumnKind | Literal["none"]


@dataclass(frozen=True)
class Column:
    """One column that rows are made of.

    Attributes
    ----------
    name : str
        Its name; of an array, its number.
    place : int
        Its position in the table that was fitted on, the target and what was left out counted too.
    kind, stored : str
        What it is read as, and what it is as it comes: they differ where `kinds` says so.
    levels : tuple of str
        Of text: the levels that are told apart, sorted; the others are pooled.
    gaps : bool
        Whether a value was missing.
    """

    name: str
    place: int
    kind: ColumnKind = "number"
    stored: ColumnKind = "number"
    levels: tuple[str, ...] = ()
    gaps: bool = False

    @property
    def is_in_arrays(self) -> bool:
        """Whether rows of numbers without names can have it: as it comes, or as text that numbers are written as."""
        if self.kind == self.stored:
            return self.stored in ("number", "boolean")
        return self.kind == "text" and self.stored == "number"


def survey(table: TableSource, kinds: Mapping[str, KindName]) -> tuple[tuple[Column, ...], dict[str, str]]:
    """Say what the columns of a table are, and why some are left out.

    A column is left out where all its cells are missing, where all are the same, and where it names the rows: whole
    numbers of which no two rows have the same, or text without a level that enough rows have. One that `kinds` names is
    not left out for that.

    Parameters
    ----------
    table : TableSource
        The training rows.
    kinds : mapping of str to str
        Columns by name, and what they are to be read as; "none" leaves one out.

    Returns
    -------
    columns : tuple of Column
        In the table's order.
    left_out : dict of str to str
        The other columns' names, and the reasons.

    Raises
    ------
    DataError
        When `kinds` names a column that is not there.

    Examples
    --------
    >>> import pyarrow
    >>> table = pyarrow.table({"a": [1, 1, 1], "b": ["y", "x", "y"]})
    >>> found, left_out = survey(TableSource(table, "t"), {})
    >>> [column.name for column in found], found[0].levels, left_out
    (['b'], ('y',), {'a': 'constant'})
    """
    for name in kinds:
        if name not in table.columns:
            near = nearest(name, table.columns)
            raise DataError(
                f"{table.name}: kinds names {name!r}, which is no column; there are {listing(table.columns)}",
                f"did you mean {near!r}?" if near else "give the name of one of these",
            )
    columns: list[Column] = []
    left_out: dict[str, str] = {}
    for place, name in enumerate(table.columns):
        asked = kinds.get(name)
        found = "not wanted" if asked == "none" else _column(table, name, place, asked)
        if isinstance(found, Column):
            columns.append(found)
        else:
            left_out[name] = found
    return tuple(columns), left_out


def _column(table: TableSource, name: str, place: int, asked: KindName | None) -> Column | str:
    """Return a column, or the reason why it is of no use."""
    stored = table.kinds[name]
    kind: ColumnKind = stored if asked is None or asked == "none" else asked
    if kind == "text":
        return _text(table, name, place, asked is not None)
    values = table.floats(name, 0, table.shape[0], kind)
    known = values[~np.isnan(values)]
    if not len(known):
        return "all missing"
    gaps = len(known) < len(values)
    if not gaps and known.min() == known.max():
        return "constant"
    whole = kind == "number" and bool((known == np.floor(known)).all())
    if asked is None and whole and len(known) >= FEWEST_ROWS and len(np.unique(known)) == len(values):
        return "another value in every row"
    return Column(name, place, kind, stored, gaps=gaps)


def _text(table: TableSource, name: str, place: int, asked: bool) -> Column | str:
    rows = table.shape[0]
    counts: dict[str, int] = {
        item["values"]: item["counts"]
        for item in arrow(name).compute.value_counts(table.texts(name, 0, rows)).to_pylist()
    }
    missing = counts.pop(None, 0)  # type: ignore[call-overload]
    if not counts:
        return "all missing"
    if len(counts) == 1 and not missing:
        return "constant"
    enough = max(RARE_ROWS, RARE * rows)
    common = sorted((level for level, count in counts.items() if count >= enough), key=lambda item: -counts[item])
    if not asked and not common:
        return "another value in every row" if len(counts) == rows else "hardly a value that rows share"
    return Column(name, place, "text", table.kinds[name], tuple(sorted(common[:MOST_LEVELS])), bool(missing))


def codes(cells: Any, levels: tuple[str, ...]) -> np.ndarray:
    """Return the numbers of text's levels, that after the last for any other text, NaN where it is missing.

    Examples
    --------
    >>> import pyarrow as pa
    >>> codes(pa.array(["b", "?!", None], pa.large_string()), ("a", "b")).tolist()
    [1.0, 2.0, nan]
    """
    pa = arrow("text")
    found = pa.compute.index_in(cells, value_set=pa.array(levels, pa.large_string()))
    filled = pa.compute.fill_null(found, len(levels))
    return np.where(np.asarray(cells.is_null()), np.nan, np.asarray(filled, dtype=np.float64))
