"""CSV and TSV files: what their columns are, which cells are missing, and what is refused where."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from layerwise.data import delimited
from layerwise.data.source import open_source
from layerwise.data.table import TableSource
from layerwise.data.tables import open_table
from layerwise.errors import DataError


def opened(tmp_path: Path, text: str, name: str = "rows.csv") -> TableSource:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return open_table(tmp_path / name)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "-3e4"], "number"), (["1", "x"], "text"), (["01234", "7"], "text"),
        (["0", "0.5", "-0"], "number"),
        (["true", "FALSE"], "boolean"), (["true", "1"], "text"), (["0", "1"], "number"), (["inf", "1"], "number"),
        (["2024-02-29", "1999-12-31"], "date"), (["2024-02-29 10:00:00", "1999-12-31T01:02:03"], "date"),
        (["2024-02-29T10:00:00Z", "1999-12-31T01:02:03Z"], "date"), (["2024-13-01"], "text"), (["31/12/1999"], "text"),
        (["", "NA"], "number"), (["NaN", "1"], "number"), (["?", "no"], "text"),
    ],
)  # fmt: skip
def test_a_column_is_what_all_of_its_cells_can_be_read_as(tmp_path: Path, cells: list[str], kind: str) -> None:
    table = opened(tmp_path, "\n".join(["a,b", *(f"{cell},x" for cell in cells)]))
    assert table.kinds == {"a": kind, "b": "text"}


def test_a_kind_is_inferred_of_the_last_cells_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first blocks hold whole numbers, the last one text: no block's kind is taken for the column's."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 64)
    table = opened(tmp_path, "a,b\n" + "".join(f"{n},{n}\n" for n in range(500)) + "0.5,once\n")
    assert table.kinds == {"a": "number", "b": "text"} and table.shape == (501, 2)
    assert table.floats("a", 498, 501).tolist() == [498.0, 499.0, 0.5]
    assert table.table.column("a").num_chunks > 10


def test_missing_cells_and_the_space_around_others(tmp_path: Path) -> None:
    table = opened(tmp_path, 'n,t,d\n1, Ulm ,2024-01-01\n NA ,?,\n,"",n/a\nnan,null,1970-01-02\n')
    np.testing.assert_array_equal(table.floats("n", 0, 4), [1, np.nan, np.nan, np.nan])
    assert table.texts("t", 0, 4).to_pylist() == ["Ulm", None, None, None]
    np.testing.assert_array_equal(table.floats("d", 0, 4), [19723, np.nan, np.nan, 1])


@pytest.mark.parametrize("mark", [",", ";", "|", "\t"])
def test_what_separates_cells_is_seen_in_the_first_line(tmp_path: Path, mark: str) -> None:
    table = opened(tmp_path, f'a{mark}"b,;|"{mark}c\n1{mark}x{mark}2\n')
    assert table.columns == ("a", "b,;|", "c") and table.floats("c", 0, 1).tolist() == [2.0]


def test_a_byte_order_mark_and_line_ends_of_windows_and_lines_in_quotes(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n2,z\r\n')
    table = open_table(tmp_path / "rows.csv")
    assert table.columns == ("a", "b") and table.shape == (2, 2)
    assert table.texts("b", 0, 2).to_pylist() == ["x\r\ny", "z"]


@pytest.mark.parametrize("block", [16, 2**20])
def test_line_ends_of_old_macs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    (tmp_path / "rows.csv").write_bytes(b'a;b\r1;x\r2;"y\rz"\r3;\r')
    table = open_table(tmp_path / "rows.csv")
    assert table.columns == ("a", "b") and table.floats("a", 0, 3).tolist() == [1, 2, 3]
    assert table.texts("b", 0, 3).to_pylist() == ["x", "y\rz", None]


def test_a_first_line_that_is_no_line_of_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.csv cannot be read: .*field.*\nhint: check that it is a CSV file"):
        opened(tmp_path, "x" * 200_000 + "\n1\n")


def test_an_empty_line_of_one_column_is_a_missing_cell(tmp_path: Path) -> None:
    assert opened(tmp_path, "y\n1\n\n3\n").shape == (3, 1)
    assert opened(tmp_path, "x,y\n1,2\n\n3,4\n").shape == (2, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5.1,3.5\n4.9,3.0\n", r"first line holds numbers, 5\.1, 3\.5, expected the names"),
        ("a,b,a\n1,2,3\n", "two columns are named 'a'"),
        ("a,b\n1,2\n1,2,3\n", r"rows\.csv: .*Expected 2 columns, got 3"),
        ("\n1,2\n", "first line is empty"),
    ],
)
def test_lines_that_make_no_table_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(tmp_path, text)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"a,b\n1,\xff\xfe\n")
    with pytest.raises(DataError, match=r"rows\.csv: .*UTF"):
        open_table(tmp_path / "rows.csv")


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows"):
        (tmp_path / "rows.csv").write_text("a,b\n")
        open_source(tmp_path / "rows.csv")


def test_text_and_gaps_are_no_inputs_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,\n")
    with pytest.raises(DataError, match=r"rows\.csv: row 1, column 'b' is empty .*\nhint: .*layerwise\.Preparation"):
        open_source(tmp_path / "rows.csv").read(0, 2)
    (tmp_path / "rows.csv").write_text("a,b\n1,x\n")
    with pytest.raises(DataError, match=r"rows\.csv: column 'b' holds text, expected numbers\nhint: .*Preparation"):
        open_source(tmp_path / "rows.csv")


def test_a_cell_that_is_not_what_the_column_should_be_is_named(tmp_path: Path) -> None:
    table = opened(tmp_path, "a,b\n1,x\n?,x\ntwo,x\n")
    with pytest.raises(DataError, match=r"row 2, column 'a' is 'two', expected a number .*\nhint: .*data\.kinds\.a="):
        table.floats("a", 0, 3, "number")


NAIVE, ZONED = "2024-02-29T10:00:00", "2024-02-29T10:00:00+01:00"


@pytest.mark.parametrize("block", [60, 2**20])
@pytest.mark.parametrize("cells", [[NAIVE] * 5 + [ZONED] * 5, [ZONED] * 5 + ["2024-02-29"] + [NAIVE] * 4])
def test_dates_with_and_without_a_time_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, cells: list[str]
) -> None:
    """Whether they stand in one block of the file or not, and whichever rows are read."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    table = opened(tmp_path, "\n".join(["when,b", *(f"{cell},x" for cell in cells)]))
    assert table.kinds["when"] == "date"
    unlike = r"rows\.csv: row 5, column 'when' is '2024-02-29.*with.* a time zone, unlike the dates before it.*\nhint: "
    for start, stop in ((0, 10), (0, 3), (6, 10), (0, 10)):
        with pytest.raises(DataError, match=unlike + r"write all.*or leave it out: --set data\.kinds\.when=none"):
            table.floats("when", start, stop)
    assert table.texts("when", 4, 6).to_pylist() == cells[4:6]


def test_the_file_of_which_the_dates_have_a_time_zone_unlike_those_before_is_named(tmp_path: Path) -> None:
    for name, cell in (("1.csv", NAIVE), ("2.csv", ZONED)):
        (tmp_path / name).write_text(f"when,b\n,x\n{cell},x\n")
    with pytest.raises(DataError, match=r"2\.csv: row 1, column 'when' is .*with a time zone, unlike"):
        open_table(str(tmp_path / "?.csv")).floats("when", 0, 2)


def test_dates_of_one_time_zone_each_and_cells_that_are_no_dates(tmp_path: Path) -> None:
    table = opened(tmp_path, f"when,b\n{ZONED},x\n,x\n2024-02-29 10:00Z,x\n")
    np.testing.assert_array_equal(table.floats("when", 0, 3), [19782.375, np.nan, 19782 + 10 / 24])
    table = opened(tmp_path, f"when,b\n{ZONED},x\n{NAIVE},x\nsoon,x\n")
    assert table.kinds["when"] == "text"
    table = opened(tmp_path, f"when,b\n{ZONED},x\nsoon,x\n")
    with pytest.raises(DataError, match="row 1, column 'when' is 'soon', expected a date"):
        table.floats("when", 0, 2, "date")


def test_without_pyarrow_the_message_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"rows\.csv is read by pyarrow.*\nhint: install it: pip install .*\[tables\]"):
        open_source(tmp_path / "rows.csv")
