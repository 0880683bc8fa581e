"""Results of rows as files, block by block, in the formats that rows come in.

A part is one array of the results, by name: a value a row, or several with a name each. ``.csv``, ``.tsv`` and Parquet
have a column for each value, HDF5 and ``.npz`` a data set for each part, ``.npy`` holds one part alone. A file appears
when it is whole. No format keeps more than a block in memory.
"""

from __future__ import annotations

import csv
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import h5py
import numpy as np

from ..data.cells import arrow, is_text
from ..data.hdf5 import split_path
from ..data.paths import paths_of
from ..data.table import TableSource
from ..errors import DataError, PlanError, install
from ..write import replacing

Block = Mapping[str, np.ndarray]
Write = Callable[[Block], None]
STREAM = "-"  # standard output, as CSV
TEXT = (".csv", ".tsv")
ENDINGS = (".csv", ".tsv", ".parquet", ".pq", ".h5", ".hdf5", ".npz", ".npy")


def format_of(out: str | Path, rows: str | Path | None = None) -> str:
    """Return the ending that says how results are written: that of the file, else that of the rows' own file.

    Raises
    ------
    PlanError
        When it is none of ours, or the file is one that the rows are in.

    Examples
    --------
    >>> format_of("a.CSV"), format_of("-"), format_of("answers", "rows.h5::data")
    ('.csv', '.csv', '.h5')
    """
    if str(out) == STREAM:
        return ".csv"
    if rows is not None and Path(out).exists():
        own = [path for path in paths_of(split_path(str(rows))[0]) if Path(path).exists()]
        if any(Path(out).samefile(path) for path in own):
            raise PlanError(f"{out} holds the rows, and would be written over", "give another file for the results")
    ending = Path(out).suffix.lower() or Path(split_path(str(rows or ""))[0]).suffix.lower()
    if ending not in ENDINGS:
        raise PlanError(
            f"{out} ends in {ending or 'nothing'}, expected {', '.join(ENDINGS)}",
            "name the file by what it is to hold, for example predictions.csv; - is CSV on standard output",
        )
    return ending


@contextmanager
def writing(out: str | Path, ending: str, rows: int, names: Mapping[str, Sequence[str]]) -> Iterator[Write]:
    """Open a file for results; the block is handed what writes a block of rows.

    Parameters
    ----------
    out : str or Path
        The file, or "-".
    ending : str
        As `format_of` returns it.
    rows : int
        How many there will be.
    names : mapping of str to sequence of str
        For each part the names of its columns; a part without any has one value a row.

    Raises
    ------
    PlanError, DataError, RunError
        When the format cannot hold the parts, pyarrow is not installed, or the file cannot be written.

    Examples
    --------
    >>> with writing("-", ".csv", 2, {"prediction": [], "probability": ["probability_a", "probability_b"]}) as write:
    ...     write({"prediction": np.array(["a", "b"]), "probability": np.array([[0.75, 0.25], [0.5, 0.5]])})
    prediction,probability_a,probability_b
    a,0.75,0.25
    b,0.5,0.5
    """
    if str(out) == STREAM:
        yield _csv(sys.stdout, names, ",")
        return
    if ending == ".npy" and len(names) > 1:
        raise PlanError(f"{out}: a .npy file holds one array, these are {', '.join(names)}", "write a .npz file")
    with replacing(out) as path, ExitStack() as opened:
        if ending in TEXT:
            file = opened.enter_context(open(path, "w", encoding="utf-8", newline=""))
            yield _csv(file, names, "," if ending == ".csv" else "\t")
        elif ending in (".parquet", ".pq"):
            yield _Parquet(path, names, opened)
        elif ending in (".h5", ".hdf5"):
            yield _hdf5(opened.enter_context(h5py.File(path, "w")), names, rows)
        elif ending == ".npy":
            yield _Npy(path, rows)
        else:
            yield _npz(path, rows, names, opened)


def write_results(out: str | Path, ending: str, rows: int, names: Mapping[str, Sequence[str]], blocks: Any) -> None:
    """Write all blocks of results to a file, as `writing` says."""
    with writing(out, ending, rows, names) as write:
        for block in blocks:
            write(block)


def keeping(table: TableSource, kept: Sequence[str], blocks: Iterable[Block], as_text: bool = False) -> Iterator[Block]:
    """Yield blocks of results with some columns of the table whose rows they are of before them.

    Parameters
    ----------
    table : TableSource
        The rows.
    kept : sequence of str
        Columns by name.
    blocks : iterable of Block
        The results, in the rows' order.
    as_text : bool
        Whether numbers are wanted as the table's file writes them, as for another text file.

    Examples
    --------
    >>> import pyarrow
    >>> table = TableSource(pyarrow.table({"id": ["a", "b"]}), "t")
    >>> list(keeping(table, ["id"], [{"prediction": np.array([1, 0])}]))
    [{'id': array(['a', 'b'], dtype=object), 'prediction': array([1, 0])}]
    """
    types = {column: _kept_as(table, column, as_text) for column in kept}
    start = 0
    for block in blocks:
        stop = start + len(next(iter(block.values())))
        yield {**{column: _cells(table, column, start, stop, kept_as) for column, kept_as in types.items()}, **block}
        start = stop


def check_kept(table: Any, name: str, kept: Sequence[str], names: Mapping[str, Sequence[str]]) -> None:
    """Refuse columns to keep that are not there, or have the name of a result.

    Raises
    ------
    DataError, PlanError
    """
    if not kept:
        return
    if not isinstance(table, TableSource):
        raise DataError(f"{name} has no columns with names, of which {kept[0]!r} could be kept", "leave --keep out")
    taken = {*names, *(column for own in names.values() for column in own)}
    for column in kept:
        table.check_column(column)
        if column in taken:
            raise PlanError(f"a column {column!r} is kept, but the results have one", "name it otherwise in the table")


def _kept_as(table: TableSource, column: str, as_text: bool) -> type:
    """Return what all cells of a column are kept as: int and float where that changes none of them, else str."""
    if as_text or table.kinds[column] != "number":
        return str
    pa, cells = arrow("a column"), table.table.column(column)
    if is_text(cells.type):
        try:
            cells = cells.cast(pa.int64())
        except pa.ArrowInvalid:
            return float
    if not pa.types.is_integer(cells.type):
        return float
    if not cells.null_count:
        return int
    known = pa.compute.min_max(cells).as_py()
    return float if max(abs(end or 0) for end in known.values()) <= 2**53 else str


def _cells(table: TableSource, column: str, start: int, stop: int, kept_as: type) -> np.ndarray:
    """Return a column's cells: numbers, or text and None; every block's are of one type."""
    if kept_as is float:
        return table.floats(column, start, stop)
    cells = table.cells(column, start, stop)
    if kept_as is int:
        whole: np.ndarray = (cells.cast(arrow("a column").int64()) if is_text(cells.type) else cells).to_numpy()
        return whole
    return np.array([None if cell is None else str(cell) for cell in cells.to_pylist()], dtype=object)


def columns(block: Block, names: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    """Return a block's values as columns of one value a row, in the order of the parts."""
    found: dict[str, np.ndarray] = {}
    for part, own in names.items():
        values = block[part]
        if own:
            flat = values.reshape(len(values), -1)
            found |= {name: flat[:, place] for place, name in enumerate(own)}
        else:
            found[part] = values
    return found


def _csv(file: TextIO, names: Mapping[str, Sequence[str]], delimiter: str) -> Write:
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    begun = False

    def write(block: Block) -> None:
        nonlocal begun
        if not begun:  # not before there is a row, so that an error leaves no line on standard output
            writer.writerow([name for part, own in names.items() for name in (own or [part])])
            begun = True
        texts = [_texts(values) for values in columns(block, names).values()]
        writer.writerows(zip(*texts, strict=True))

    return write


def _texts(values: np.ndarray) -> list[Any]:
    if values.dtype.kind == "f":  # as few digits as name the number in its own precision
        texts: list[Any] = values.astype("U").tolist()
        return texts
    return ["" if value is None else value for value in values.tolist()]


class _Parquet:
    """Writes a row group for each block; the first one settles the columns' types."""

    def __init__(self, path: Path, names: Mapping[str, Sequence[str]], opened: ExitStack) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise DataError(
                "Parquet files are written by pyarrow, which is not installed",
                install(["pyarrow"], "tables"),
            ) from error
        self.path, self.names, self.opened = path, names, opened
        self.arrow, self.parquet = pyarrow, parquet
        self.writer: Any = None

    def __call__(self, block: Block) -> None:
        found = {name: self._column(values) for name, values in columns(block, self.names).items()}
        schema = None if self.writer is None else self.writer.schema
        table = self.arrow.table(found, schema=schema)
        if self.writer is None:
            self.writer = self.opened.enter_context(self.parquet.ParquetWriter(str(self.path), table.schema))
        self.writer.write_table(table)

    def _column(self, values: np.ndarray) -> Any:
        if values.dtype.kind == "O":
            return self.arrow.array([None if value is None else str(value) for value in values], self.arrow.string())
        return self.arrow.array(values.tolist() if values.dtype.kind == "U" else np.ascontiguousarray(values))


def _hdf5(file: h5py.File, names: Mapping[str, Sequence[str]], rows: int) -> Write:
    text = h5py.string_dtype()
    at = 0

    def write(block: Block) -> None:
        nonlocal at
        for part, own in names.items():
            values = block[part]
            written = values.dtype.kind in "OU"
            if part not in file:
                kind = text if written else values.dtype
                made = file.create_dataset(part, (rows, *values.shape[1:]), kind, chunks=None)
                if own:
                    made.attrs.create("columns", list(own), dtype=text)
            stop = at + len(values)
            file[part][at:stop] = ["" if one is None else str(one) for one in values] if written else values
        at = stop

    return write


class _Npy:
    """Writes one array through a memory map of the whole."""

    def __init__(self, path: Path, rows: int) -> None:
        self.path, self.rows, self.at = path, rows, 0
        self.map: np.ndarray | None = None

    def __call__(self, block: Block) -> None:
        (values,) = block.values()
        if self.map is None:
            shape = (self.rows, *values.shape[1:])
            self.map = np.lib.format.open_memmap(self.path, "w+", values.dtype, shape)
        self.map[self.at : self.at + len(values)] = values
        self.at += len(values)


def _npz(path: Path, rows: int, names: Mapping[str, Sequence[str]], opened: ExitStack) -> Write:
    """Write each part to a file of its own, and all into one when they are whole."""
    parts = {part: Path(f"{path}.{place}") for place, part in enumerate(names)}
    writers = {part: _Npy(file, rows) for part, file in parts.items()}

    def join() -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for part, file in parts.items():
                if file.exists():
                    archive.write(file, f"{part}.npy")

    for file in parts.values():
        opened.callback(file.unlink, missing_ok=True)
    opened.push(lambda kind, error, trace: None if kind else join())

    def write(block: Block) -> None:
        for part, writer in writers.items():
            if block[part].dtype.kind == "O":
                raise PlanError(f"a .npz file holds no column like {part!r}", "write .csv, .parquet or .h5")
            writer({part: block[part]})

    return write
