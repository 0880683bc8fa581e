"""Tables of every kind hold the same columns; several files are one; what differs is refused by name."""

from __future__ import annotations

import datetime
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from pyarrow import parquet as parquet_file

from layerwise.data.files import target_column
from layerwise.data.paths import paths_of
from layerwise.data.source import open_source
from layerwise.data.table import TableSource
from layerwise.data.tables import is_table, open_table
from layerwise.data.targets import load_targets, load_values
from layerwise.errors import DataError

DAYS = [datetime.date(2024, 1, day) for day in (1, 2, 3, 4)]
MIXED = pl.DataFrame(
    {
        "n": [1, None, 3, 4],
        "x": [0.5, 1.5, None, 2.5],
        "t": ["a", "b", None, "a"],
        "b": [True, None, False, True],
        "d": DAYS,
    }
)


def csv(folder: Path) -> Any:
    MIXED.write_csv(folder / "rows.csv")
    return folder / "rows.csv"


def parquet(folder: Path) -> Any:
    MIXED.write_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


def several(folder: Path) -> Any:
    MIXED[:1].write_csv(folder / "part-1.csv")
    MIXED[1:].select(MIXED.columns[::-1]).write_csv(folder / "part-2.csv")
    return str(folder / "part-*.csv")


def several_parquet(folder: Path) -> Any:
    MIXED[:1].write_parquet(folder / "1.parquet")
    MIXED[1:].select(MIXED.columns[::-1]).with_columns(pl.col("n").cast(pl.Float32)).write_parquet(folder / "2.parquet")
    return [folder / "1.parquet", str(folder / "2.parquet")]


def categories(_: Path) -> Any:
    return MIXED.to_pandas().astype({"t": "category"})


EVERY = [csv, parquet, several, several_parquet, categories, lambda _: MIXED, lambda _: MIXED.to_arrow()]


@pytest.mark.parametrize("make", EVERY)
def test_every_table_holds_the_same(make: Any, tmp_path: Path) -> None:
    given = make(tmp_path)
    assert is_table(given)
    table = open_table(given)
    table = pickle.loads(pickle.dumps(table))
    assert table.kinds == {"n": "number", "x": "number", "t": "text", "b": "boolean", "d": "date"}
    np.testing.assert_array_equal(table.floats("n", 0, 4), [1, np.nan, 3, 4])
    np.testing.assert_array_equal(table.floats("x", 1, 4), [1.5, np.nan, 2.5])
    np.testing.assert_array_equal(table.floats("b", 0, 4), [1, np.nan, 0, 1])
    np.testing.assert_array_equal(table.floats("d", 0, 4), [19723, 19724, 19725, 19726])
    assert table.texts("t", 0, 4).to_pylist() == ["a", "b", None, "a"]
    assert table.texts("n", 0, 4).to_pylist() == ["1", None, "3", "4"]
    taken = table.take(np.array([0, 3])).without(["x"])
    assert taken.shape == (2, 4) and taken.floats("n", 0, 2).tolist() == [1, 4]


@pytest.mark.parametrize("make", EVERY)
def test_labels_of_every_kind(make: Any, tmp_path: Path) -> None:
    table = open_table(make(tmp_path))

    def labels(column: str) -> tuple[list[int], list[Any]]:
        codes, classes = load_targets(table.labels(column), 4)
        return codes.tolist(), classes.tolist()

    assert labels("t") == ([0, 1, -1, 0], ["a", "b"])
    assert labels("n") == ([0, -1, 1, 2], [1, 3, 4])
    assert labels("b") == ([1, -1, 0, 1], [False, True])
    np.testing.assert_array_equal(load_values(table.labels("x"), 4), [0.5, 1.5, np.nan, 2.5])
    with pytest.raises(DataError, match="holds dates, expected classes"):
        table.labels("d")
    with pytest.raises(DataError, match=r"no column named 'tt'; it holds n, x, t, b, d"):
        table.labels("tt")


def test_files_of_a_pattern_come_by_name_and_those_of_a_list_as_listed(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.csv").write_text(f"x\n{ord(name)}\n")
    assert open_source(str(tmp_path / "*.csv")).read(0, 3).ravel().tolist() == [97, 98, 99]
    listed = [tmp_path / "c.csv", tmp_path / "a.csv"]
    assert open_source(listed).read(0, 2).ravel().tolist() == [99, 97]
    assert paths_of([[1.0]]) == [] and not is_table([["a.csv"]])


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_files_whose_columns_differ_are_refused_by_name(tmp_path: Path, format_: str) -> None:
    for number, frame in enumerate((MIXED, MIXED.drop("t"), MIXED.with_columns(more=1))):
        getattr(frame, f"write_{format_}")(tmp_path / f"{number}.{format_}")
    with pytest.raises(DataError, match=rf"1\.{format_} lacks the column 't', compared with"):
        open_table([tmp_path / f"{number}.{format_}" for number in (0, 1)])
    with pytest.raises(DataError, match=rf"2\.{format_} has a column 'more' more"):
        open_table([tmp_path / f"{number}.{format_}" for number in (0, 2)])


def test_an_error_in_one_of_several_files_names_it_and_its_row(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "2.csv").write_text("a,b\n5,6\n7,\n")
    with pytest.raises(DataError, match=r"2\.csv: row 1, column 'b' is empty"):
        open_source(str(tmp_path / "?.csv")).read(0, 4)


def test_other_files_than_tables_as_several(tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", np.ones((2, 3)))
    np.save(tmp_path / "2.npy", np.ones((2, 4)))
    with pytest.raises(DataError, match=r"2\.npy has rows of shape \(4,\), the files before it \(3,\)"):
        open_source(str(tmp_path / "*.npy"))
    with pytest.raises(DataError, match=r"no file has a name like .*part-\*"):
        open_source(str(tmp_path / "part-*.npy"))
    with pytest.raises(DataError, match=r"3\.npy does not exist\nhint: did you mean"):
        open_source([tmp_path / "1.npy", tmp_path / "3.npy"])


def test_columns_that_are_no_values_and_names_that_are_not_unique_are_refused() -> None:
    with pytest.raises(DataError, match=r"column 'a' holds large_list<.*expected numbers, truth values, dates or text"):
        open_table(pl.DataFrame({"a": [[1], [2]]}))
    with pytest.raises(DataError, match="two columns are named 'a'"):
        TableSource(pa.table([[1], [2]], names=["a", "a"]), "t")
    with pytest.raises(DataError, match=r"the pandas frame cannot be read: .*\nhint: give each column values of one"):
        open_table(pd.DataFrame({"a": [1, "x"]}, dtype=object))
    with pytest.raises(DataError, match="is no table"):
        open_table(np.ones((2, 2)))


def test_two_columns_of_one_name_are_refused_in_files_and_frames(tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    parquet_file.write_table(pa.table([[1], [2]], names=["a", "a"]), path)
    with pytest.raises(DataError, match=r"twice\.parquet: two columns are named 'a'\nhint: give each a name"):
        open_table(path)
    with pytest.raises(DataError, match=r"the pandas frame: two columns are named 'a'\nhint: give each a name"):
        open_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_column_that_cannot_be_read_as_what_was_asked_for_is_named(tmp_path: Path) -> None:
    frame = pl.DataFrame({"when": DAYS, "x": [0.5] * 4, "year": [2024] * 4})
    frame.write_parquet(tmp_path / "rows.parquet")
    for given in (tmp_path / "rows.parquet", frame, frame.to_pandas()):
        table = open_table(given)
        for column, kind, words in (
            ("when", "number", r"holds dates \(.*\), which cannot be read as numbers"),
            ("when", "boolean", r"holds dates \(.*\), which cannot be read as truth values"),
            ("x", "date", r"holds numbers \(double\), which cannot be read as dates"),
            ("year", "date", r"holds numbers \(int64\), which cannot be read as dates"),
        ):
            with pytest.raises(DataError, match=rf"column '{column}' {words}\nhint: leave data\.kinds\.{column} out"):
                table.floats(column, 0, 4, kind)


def test_rows_that_were_taken_are_named_by_their_numbers_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,x\n2,x\n")
    (tmp_path / "2.csv").write_text("a,b\n3,x\n4,x\nfive,x\n")
    taken = open_table(str(tmp_path / "?.csv")).take(np.array([1, 2, 4]))
    for table in (taken, taken.only(["a"]), taken.take(np.array([2]))):
        with pytest.raises(DataError, match=r"2\.csv: row 2, column 'a' is 'five'"):
            table.floats("a", 0, table.shape[0], "number")


def test_categories_that_differ_between_files_and_row_groups(tmp_path: Path) -> None:
    """Each row group, and each file, numbers its categories anew."""
    first = pa.chunked_array([pa.array(["a", None]).dictionary_encode(), pa.array(["b", "a"]).dictionary_encode()])
    parquet_file.write_table(pa.table({"t": first}), tmp_path / "1.parquet", row_group_size=2)
    pd.DataFrame({"t": pd.Categorical(["c", "a"])}).to_parquet(tmp_path / "2.parquet")
    pd.DataFrame({"t": ["d", None]}).to_parquet(tmp_path / "3.parquet")
    table = open_table(str(tmp_path / "*.parquet"))
    assert table.kinds == {"t": "text"}
    assert table.texts("t", 0, 8).to_pylist() == ["a", None, "b", "a", "c", "a", "d", None]
    numbers = pa.chunked_array([pa.array([5, 6]).dictionary_encode(), pa.array([7, 5]).dictionary_encode()])
    parquet_file.write_table(pa.table({"n": numbers}), tmp_path / "n.parquet", row_group_size=2)
    assert open_table(tmp_path / "n.parquet").floats("n", 0, 4).tolist() == [5, 6, 7, 5]


def test_the_numbers_that_pandas_gave_its_rows_are_no_column(tmp_path: Path) -> None:
    path, frame = tmp_path / "rows.parquet", pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]})
    frame.loc[[2, 0, 1]].to_parquet(path)
    assert open_table(path).columns == ("a", "b") and open_source(path).read(0, 3).tolist() == [[3, 6], [1, 4], [2, 5]]
    assert open_table(frame.loc[[2, 0, 1]]).columns == ("a", "b")
    frame[["b"]].loc[[2, 0, 1]].to_parquet(path)
    assert open_source(path, kind="targets").read(0, 3).tolist() == [6, 4, 5]
    frame.set_index("a").to_parquet(path)
    assert open_table(path).columns == ("b", "a"), "an index with a name is a column of the file"
    assert open_table(frame.set_index("a")).columns == ("b",), "and none of the frame"


def test_the_column_of_labels_where_none_is_named() -> None:
    assert target_column(open_table(pl.DataFrame({"x": [1], "target": [2], "y": [3]}))) == "target"
    with pytest.raises(DataError, match=r"no column is named as targets are; it holds a, b\nhint: .*--target b"):
        target_column(open_table(pl.DataFrame({"a": [1], "b": [2]})))


def test_quantities_to_predict() -> None:
    assert load_values(open_source([[1], [-1]], kind="targets"), 2).tolist() == [1.0, -1.0]
    for values, message in ((["a", "b"], "holds what is no number"), ([1.0, np.inf], "row 1 is infinite")):
        with pytest.raises(DataError, match=message):
            load_values(open_source(values, kind="targets"), 2)
    np.testing.assert_array_equal(load_values(open_source([0.5, pd.NA], kind="targets"), 2), [0.5, np.nan])
    with pytest.raises(DataError, match=r"holds dates .*expected numbers"):
        load_values(open_source(np.array(["2024-02-29", "NaT"], "M8[ns]"), kind="targets"), 2)
    with pytest.raises(DataError, match="has 2 labels, the inputs have 3 rows"):
        load_values(open_source([1.0, 2.0], kind="targets"), 3)


def test_several_files_of_sparse_rows_are_one_and_stay_sparse(tmp_path: Path) -> None:
    rows = scipy.sparse.random_array((9, 30), density=0.2, format="csr", rng=np.random.default_rng(0))
    for number, part in enumerate((rows[:4], rows[4:])):
        scipy.sparse.save_npz(tmp_path / f"{number}.npz", part)
    source = open_source(str(tmp_path / "*.npz"))
    assert source.sparse and source.shape == (9, 30)
    np.testing.assert_array_equal(source.read(2, 7).toarray(), rows[2:7].toarray())
    scipy.sparse.save_npz(tmp_path / "2.npz", rows[:, :29])
    with pytest.raises(DataError, match=r"2\.npz has 29 columns, .*0\.npz 30"):
        open_source(str(tmp_path / "*.npz"))
    np.savez(tmp_path / "2.npz", data=np.ones((2, 30)))
    with pytest.raises(DataError, match="some of the files hold sparse rows, some dense ones"):
        open_source(str(tmp_path / "*.npz"))


def test_a_frame_of_numbers_is_opened_without_pyarrow_as_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    assert open_source(frame).read(1, 2).tolist() == [[2.0, 4.0]]
    with pytest.raises(DataError, match=r"the pandas frame is read by pyarrow, which is not installed\nhint: install"):
        open_table(frame)


def test_text_that_a_file_of_text_would_call_missing_is_missing_in_every_table() -> None:
    table = open_table(pa.table({"city": ["Ulm", "", " NA ", None], "churn": ["", "yes", "no", "?"]}))
    assert table.texts("city", 0, 4).to_pylist() == ["Ulm", None, None, None]
    assert table.labels("churn").read(0, 4).tolist() == [None, "yes", "no", None]
