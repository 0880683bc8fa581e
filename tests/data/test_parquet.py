"""Parquet files: what becomes of their columns, and what is refused with which cure."""

from __future__ import annotations

import datetime
import logging
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet

from layerwise.data.source import load_rows, open_source
from layerwise.data.spill import Store
from layerwise.data.targets import load_targets
from layerwise.errors import DataError


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def make(rows: int = 3, **columns: Any) -> Path:
        parquet.write_table(pyarrow.table(columns), tmp_path / "rows.parquet", row_group_size=rows)
        return tmp_path / "rows.parquet"

    return make


def test_all_columns_are_one_matrix(write: Any) -> None:
    path = write(a=[1, 2, 3, 4], b=pyarrow.array([0.5, 1.5, 2.5, 3.5], pyarrow.float32()), c=[True, False, True, True])
    source = open_source(path)
    assert source.shape == (4, 3) and source.dtype == np.float64
    np.testing.assert_array_equal(source.read(0, 4), [[1, 0.5, 1], [2, 1.5, 0], [3, 2.5, 1], [4, 3.5, 1]])
    np.testing.assert_array_equal(open_source(f"{path}::b").read(2, 4), [[2.5], [3.5]])


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_any_block_across_row_groups(write: Any, rows: int) -> None:
    expected = np.random.default_rng(0).random((23, 5))
    source = open_source(write(rows, **{str(number): expected[:, number] for number in range(5)}))
    for start, stop in [(0, 23), (3, 4), (3, 9), (22, 23), (7, 7), (0, 1)]:
        np.testing.assert_array_equal(source.read(start, stop), expected[start:stop])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).read(4, 6), expected[4:6])


@pytest.mark.parametrize(
    "values, what",
    [(["x", "y"], "string"), ([datetime.date(2026, 1, 1)] * 2, "date32"), ([[1.0], [2.0]], "list"),
     ([datetime.datetime(2026, 1, 1)] * 2, "timestamp")],
)  # fmt: skip
def test_a_column_that_is_no_number_is_refused_by_name(write: Any, values: list[Any], what: str) -> None:
    with pytest.raises(DataError, match=rf"column 'when' holds {what}.*expected numbers\nhint: leave the column out"):
        open_source(write(a=[1, 2], when=values))


def test_an_empty_cell_is_refused_with_its_row_and_column(write: Any) -> None:
    for values in ([1, 2, 3, 4, None], [1.0, 2.0, 3.0, 4.0, None], [True, True, False, True, None]):
        with pytest.raises(DataError, match=r"row 4, column 'b' is empty"):
            load_rows(open_source(write(a=[1, 2, 3, 4, 5], b=values)))
    with pytest.raises(DataError, match="row 4, column 1 is NaN"):
        load_rows(open_source(write(a=[1, 2, 3, 4, 5], b=[1.0, 2.0, 3.0, 4.0, float("nan")])))


def test_labels(write: Any) -> None:
    """By name, by a usual name, or the only column; an empty one is no label."""

    def labels(path: Any, rows: int) -> tuple[list[int], list[Any]]:
        codes, classes = load_targets(open_source(path, kind="targets"), rows)
        return codes.tolist(), classes.tolist()

    path = write(a=[0.5, 0.5, 0.5, 0.5], label=[3, None, 5, 3], kind=["x", "y", None, "x"])
    assert labels(path, 4) == ([0, -1, 1, 0], [3, 5])
    assert labels(f"{path}::kind", 4) == ([0, 1, -1, 0], ["x", "y"])
    for gaps in (["x", "", " y", "NA"], pyarrow.array(["x", "", " y", "NA"]).dictionary_encode()):
        assert labels(write(only=gaps), 4) == ([0, -1, 1, -1], ["x", "y"])
    assert labels(write(only=[2, 1]), 2) == ([1, 0], [1, 2])
    with pytest.raises(DataError, match=r"several columns could be the targets; it holds a, b\nhint: name the one"):
        open_source(write(a=[1, 2], b=[1, 2]), kind="targets")


def test_a_target_among_the_inputs_is_warned_of(write: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="layerwise"):
        open_source(write(a=[1, 2], target=[0, 1]))
    assert "column 'target' is taken as an input" in caplog.text


def test_a_misspelt_column(write: Any) -> None:
    with pytest.raises(DataError, match=r"no column named 'wiidth'; it holds width, height\nhint: .* you mean 'width'"):
        open_source(write(width=[1], height=[2]), name="wiidth")


def test_damaged(write: Any, tmp_path: Path) -> None:
    whole = write(3, a=np.random.default_rng(0).random(3000)).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.parquet: this Parquet file cannot be read"):
        open_source(tmp_path / "cut.parquet")
    (tmp_path / "bad.parquet").write_bytes(whole[:4] + bytes(20_000) + whole[20_004:])
    source = open_source(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"bad\.parquet, rows 0 to 2: this Parquet file cannot be read"):
        source.read(0, 5)


def test_without_pyarrow_the_message_says_how_to_install_it(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(a=[1])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pyarrow, which is not installed\nhint: install it: pip install .*\[tables\]"):
        open_source(path)


def test_row_groups_too_large_to_stream_are_refused(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from layerwise.data import features, spill

    monkeypatch.setattr(features, "BLOCK_BYTES", 80)
    monkeypatch.setattr(spill, "BLOCK_BYTES", 80)
    monkeypatch.setattr(spill, "WINDOW_BYTES", 800)
    source = open_source(write(1000, a=np.arange(1000.0), b=np.arange(1000.0)))
    with pytest.raises(DataError, match=r"keeps 1000 rows in one piece.*\nhint: write it anew with 10 rows a chunk"):
        Store(1e-6).open(source, torch.float32)
    assert Store(1.0).open(source, torch.float32).shape == (1000, 2)
