"""What the cells of a table's column are: numbers, truth values, dates or text, and how each becomes a number.

A column is a `pyarrow.ChunkedArray`; this module is where its types are known. Cells of a text file are text until they
are read: what they hold is inferred from all of them, not from the first ones.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import numpy as np

from ..errors import DataError, install

ColumnKind = Literal["number", "boolean", "date", "text"]
# Cells of a text file that are no value, once the space around them is gone.
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "?")
DAY = 86_400e6  # microseconds
# Of dates as ISO 8601 has them, those with a time zone and those without.
ZONED, NAIVE = r"^\d{4}-\d\d-\d\d[T ].*[Z+-]", r"^\d{4}-\d\d-\d\d([T ][\d:.]*)?$"
FIRST = 32  # cells that are tried before all: Arrow goes on to the end after the first that it cannot read


def arrow(what: str) -> Any:
    """Return the module pyarrow.

    Raises
    ------
    DataError
        When it is not installed, with the line that installs it.
    """
    try:
        import pyarrow
        import pyarrow.compute
    except ImportError as error:
        raise DataError(
            f"{what} is read by pyarrow, which is not installed",
            install(["pyarrow"], "tables"),
        ) from error
    return pyarrow


def has_arrow() -> bool:
    """Say whether pyarrow is installed."""
    try:
        arrow("")
    except DataError:
        return False
    return True


def natural_kind(kind: Any) -> ColumnKind | None:
    """Return what a column of an Arrow type holds; None where it is nothing that a table's column should be.

    Examples
    --------
    >>> import pyarrow as pa
    >>> [natural_kind(t) for t in (pa.int8(), pa.date32(), pa.dictionary(pa.int8(), pa.string()), pa.list_(pa.int8()))]
    ['number', 'date', 'text', None]
    """
    from pyarrow import types

    if types.is_dictionary(kind):
        return natural_kind(kind.value_type)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind):
        return "number"
    if types.is_boolean(kind):
        return "boolean"
    if types.is_date(kind) or types.is_timestamp(kind):
        return "date"
    return "text" if is_text(kind) else None


def is_text(kind: Any) -> bool:
    """Say whether an Arrow type is text, in any of its layouts."""
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_empty(kind: Any) -> bool:
    """Say whether an Arrow type is that of a column without any value."""
    from pyarrow import types

    return bool(types.is_null(kind))


def cleaned(cells: Any) -> Any:
    """Return cells of text without the space around them, and missing ones as null."""
    pa = arrow("text")
    trimmed = pa.compute.utf8_trim_whitespace(cells)
    return pa.compute.if_else(pa.compute.is_in(trimmed, value_set=_missing()), None, trimmed)


@functools.cache
def _missing() -> Any:
    pa = arrow("text")
    return pa.array(MISSING, pa.large_string())


def possible_kinds(cells: Any, among: tuple[ColumnKind, ...]) -> tuple[ColumnKind, ...]:
    """Return those of some kinds that all cells of text can be read as; cells without a value can be any.

    Examples
    --------
    >>> import pyarrow as pa
    >>> possible_kinds(pa.array(["1", None, "2.5"]), ("boolean", "number", "date"))
    ('number',)
    """
    return tuple(kind for kind in among if _parses(cells, kind))


def _parses(cells: Any, kind: ColumnKind) -> bool:
    pa = arrow("text")
    # 01234 is the name of something, as a post code is; as a number it would lose its zero
    if kind == "number" and pa.compute.any(pa.compute.match_substring_regex(cells, r"^[+-]?0\d")).as_py():
        return False
    try:
        for some in (cells.slice(0, FIRST), cells):
            for part in _by_zone(some) if kind == "date" else (some,):
                floats_of(part, kind)
    except pa.ArrowInvalid:
        return False
    return True


def _by_zone(dates: Any) -> tuple[Any, Any]:
    """Return the dates with a time zone, and all else: a block cannot tell whether those of others have one."""
    pa = arrow("text")
    zone = pa.compute.fill_null(zoned(dates), False)
    return dates.filter(zone), dates.filter(pa.compute.invert(zone))


def zoned(cells: Any) -> Any:
    """Say which cells of text are dates with a time zone, and which without one; null is what is no date.

    Examples
    --------
    >>> import pyarrow as pa
    >>> zoned(pa.array(["2024-02-29", "2024-02-29T10:00Z", "soon"])).to_pylist()
    [False, True, None]
    """
    pa = arrow("text")
    with_zone, without = (pa.compute.match_substring_regex(cells, pattern) for pattern in (ZONED, NAIVE))
    return pa.compute.if_else(pa.compute.or_(with_zone, without), with_zone, None)


def decoded(cells: Any) -> Any:
    """Return cells as their values where they are categories."""
    return cells.cast(cells.type.value_type) if arrow("a column").types.is_dictionary(cells.type) else cells


def floats_of(cells: Any, kind: ColumnKind) -> np.ndarray:
    """Return cells as float64 numbers, NaN where one is missing: truth values as 0 and 1, dates as days since 1970.

    Parameters
    ----------
    cells : pyarrow.Array or ChunkedArray
        Of any type; text is parsed, dates as ISO 8601 has them.
    kind : {"number", "boolean", "date"}
        What the cells should be.

    Raises
    ------
    pyarrow.ArrowException
        When the cells cannot be read as that; ArrowInvalid where they are text.

    Examples
    --------
    >>> import pyarrow as pa
    >>> floats_of(pa.array(["1970-01-03", None]), "date").tolist()
    [2.0, nan]
    """
    pa = arrow("a column")
    cells = decoded(cells)
    if is_text(cells.type) and not pa.types.is_string(cells.type):
        cells = cells.cast(pa.string())
    if kind == "date":
        moments = _moments(cells, pa).cast(pa.int64())
        return _plain(moments.cast(pa.float64(), safe=False)) / DAY
    if kind == "boolean":
        cells = cells.cast(pa.bool_()) if not pa.types.is_string(cells.type) else _truths(cells, pa)
    elif pa.types.is_boolean(cells.type):
        cells = cells.cast(pa.uint8())
    return _plain(cells.cast(pa.float64(), safe=False))


def _plain(cells: Any) -> np.ndarray:
    chunked = hasattr(cells, "chunks")
    return np.asarray(cells.to_numpy() if chunked else cells.to_numpy(zero_copy_only=False), dtype=np.float64)


def _moments(cells: Any, pa: Any) -> Any:
    if pa.types.is_integer(cells.type):  # which Arrow would take as microseconds
        raise pa.ArrowInvalid("whole numbers are no dates")
    if not pa.types.is_string(cells.type):
        return cells.cast(pa.timestamp("us", getattr(cells.type, "tz", None)), safe=False)
    try:
        return cells.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:  # with a zone, which all must have then
        return cells.cast(pa.timestamp("us", "UTC"))


def _truths(cells: Any, pa: Any) -> Any:
    small = pa.compute.utf8_lower(cells)
    known = pa.compute.or_kleene(pa.compute.equal(small, "true"), pa.compute.equal(small, "false"))
    if not pa.compute.all(known).as_py():
        raise pa.ArrowInvalid("neither true nor false")
    return pa.compute.equal(small, "true")


def texts_of(cells: Any) -> Any:
    """Return cells as text: whole numbers without a decimal point, so that a gap, which makes floats, changes none.

    Text is trimmed, and what stands for a missing value in a text file is missing here too: a file that somebody's CSV
    reader turned into Parquet means the same.

    Examples
    --------
    >>> import pyarrow as pa
    >>> texts_of(pa.array([3.0, None, 2.5])).to_pylist(), texts_of(pa.array([" Ulm", "", "NA"])).to_pylist()
    (['3', None, '2.5'], ['Ulm', None, None])
    """
    pa = arrow("a column")
    cells = decoded(cells)
    if pa.types.is_floating(cells.type):
        values = [None if item is None or math.isnan(item) else f"{item:.17g}" for item in cells.to_pylist()]
        return pa.array(values, pa.large_string())
    texts = cells.cast(pa.large_string())
    return cleaned(texts) if is_text(cells.type) else texts


def first_unreadable(cells: Any, kind: ColumnKind) -> tuple[int, str]:
    """Return the row and the cell of the first that cannot be read as this kind."""
    pa = arrow("a column")
    for row, cell in enumerate(cells.to_pylist()):
        try:
            floats_of(pa.array([cell], pa.string()), kind)
        except pa.ArrowInvalid:
            return row, cell
    raise AssertionError("every cell can be read")
