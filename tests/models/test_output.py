"""Results as files: each format read back by another reader, block by block, whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

import layerwise as lw
from layerwise.data.table import TableSource
from layerwise.models.output import check_kept, format_of, keeping, write_results

NAMES: dict[str, list[str]] = {"prediction": [], "probability": ["probability_a", "probability_é,"]}


def blocks(rows: int = 10, size: int = 4) -> Iterator[dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    for start in range(0, rows, size):
        count = min(size, rows - start)
        numbers = random.random((count, 2)).astype(np.float32)
        yield {"prediction": np.array(["a", "é,"])[numbers.argmax(1)], "probability": numbers}


def whole() -> tuple[list[str], np.ndarray]:
    parts = list(blocks())
    return [*np.concatenate([part["prediction"] for part in parts])], np.concatenate([p["probability"] for p in parts])


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".h5", ".npz"])
def test_what_is_read_back_is_what_was_written(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"out{ending}"
    write_results(file, ending, 10, NAMES, blocks())
    labels, numbers = whole()
    if ending in (".h5", ".npz"):
        if ending == ".h5":
            with h5py.File(file) as held:
                found = held["prediction"].asstr()[:].tolist(), held["probability"][:]
                assert held["probability"].attrs["columns"].tolist() == NAMES["probability"]
        else:
            with np.load(file) as archive:
                found = archive["prediction"].tolist(), archive["probability"]
        assert found[0] == labels and np.array_equal(found[1], numbers) and found[1].dtype == np.float32
    else:
        frame = pd.read_parquet(file) if ending == ".parquet" else pd.read_csv(file, sep=",\t"[ending == ".tsv"])
        assert frame.columns.tolist() == ["prediction", *NAMES["probability"]]
        assert frame["prediction"].tolist() == labels
        # every float32 is written with the digits that name it
        assert np.array_equal(frame[NAMES["probability"]].to_numpy(np.float32), numbers)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_one_array_alone_is_a_npy_file(tmp_path: Path) -> None:
    values = [{"codes": np.full((3, 2, 2), number, np.float32)} for number in range(2)]
    names = {"codes": [f"code_{number}" for number in range(4)]}
    write_results(tmp_path / "codes.npy", ".npy", 6, names, values)
    assert np.load(tmp_path / "codes.npy")[:, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]
    write_results(tmp_path / "codes.csv", ".csv", 6, names, values)
    assert pd.read_csv(tmp_path / "codes.csv").shape == (6, 4)
    with pytest.raises(lw.LayerwiseError, match=r"a .npy file holds one array"):
        write_results(tmp_path / "out.npy", ".npy", 10, NAMES, blocks())


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".h5", ".npz"])
def test_a_stop_half_way_leaves_the_old_file_and_nothing_else(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"out{ending}"
    file.write_bytes(b"old")

    def stopped() -> Iterator[dict[str, np.ndarray]]:
        yield next(blocks())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_results(file, ending, 10, NAMES, stopped())
    assert file.read_bytes() == b"old" and [path.name for path in tmp_path.iterdir()] == [file.name]


def test_kept_columns_stand_beside_their_own_rows(tmp_path: Path) -> None:
    table = TableSource(
        pyarrow.table({"id": [f"r{n}" for n in range(10)], "n": range(10), "gap": [None, *range(9)]}), "t"
    )  # fmt: skip
    names: dict[str, list[str]] = {"id": [], "n": [], "gap": [], **NAMES}
    for ending in (".csv", ".parquet"):
        file = tmp_path / f"out{ending}"
        kept = keeping(table, ["id", "n", "gap"], blocks(), ending == ".csv")
        write_results(file, ending, 10, names, kept)
        frame = pd.read_csv(file) if ending == ".csv" else pd.read_parquet(file)
        assert frame["id"].tolist() == [f"r{n}" for n in range(10)] and frame["n"].tolist() == list(range(10))
        assert np.isnan(frame["gap"][0]) and frame["gap"][1:].tolist() == list(range(9))
        assert frame["prediction"].tolist() == whole()[0]


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("parsed", [False, True])
def test_large_whole_numbers_are_kept_as_they_are(parsed: bool, gap: bool, tmp_path: Path) -> None:
    numbers = [2**53 + 1, 2**53 + 3, *range(8)]
    cells: Any = [None, *numbers[1:]] if gap else numbers
    column = pyarrow.array([None if cell is None else str(cell) for cell in cells]) if parsed else pyarrow.array(cells)
    table = TableSource(pyarrow.table({"id": column}), "t", {"id": "number"} if parsed else None)
    names: dict[str, list[str]] = {"id": [], **NAMES}
    write_results(tmp_path / "out.parquet", ".parquet", 10, names, keeping(table, ["id"], blocks(), False))
    found = pyarrow.parquet.read_table(tmp_path / "out.parquet")["id"].to_pylist()
    assert found == ([None if cell is None else str(cell) for cell in cells] if gap else cells)


def test_columns_that_cannot_be_kept() -> None:
    table: Any = TableSource(pyarrow.table({"id": ["a"], "prediction": ["b"]}), "t")
    with pytest.raises(lw.LayerwiseError, match="no column named 'ids'") as raised:
        check_kept(table, "t", ["ids"], NAMES)
    assert "'id'" in raised.value.hint
    with pytest.raises(lw.LayerwiseError, match="the results have one"):
        check_kept(table, "t", ["prediction"], NAMES)
    part: Any = TableSource(pyarrow.table({"probability": ["a"]}), "t")
    with pytest.raises(lw.LayerwiseError, match="the results have one"):
        check_kept(part, "t", ["probability"], {"probability": ["p(a)", "p(b)"]})
    with pytest.raises(lw.LayerwiseError, match="has no columns with names"):
        check_kept(lw.open_source(np.zeros((2, 2))), "rows.npy", ["id"], NAMES)


def test_the_format_is_that_of_the_file_or_of_the_rows() -> None:
    assert [format_of("p.PARQUET"), format_of("p", "rows.csv"), format_of("p", "a.h5::x"), format_of("-", "a.h5")] == [
        ".parquet", ".csv", ".h5", ".csv",
    ]  # fmt: skip
    with pytest.raises(lw.LayerwiseError, match=r"ends in .xlsx, expected .csv"):
        format_of("p.xlsx")


def test_the_rows_are_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("part-1.csv", "part-2.csv"):
        (tmp_path / name).write_text("a\n1\n")
    for rows in ("part-2.csv", str(tmp_path / "part-2.csv"), "part-*.csv"):
        with pytest.raises(lw.LayerwiseError, match=r"part-2.csv holds the rows, and would be written over"):
            format_of("part-2.csv", rows)
    assert format_of("part-2.csv", "part-1.csv") == ".csv"


def test_without_pyarrow_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(lw.LayerwiseError, match="pyarrow, which is not installed"):
        write_results(tmp_path / "out.parquet", ".parquet", 10, NAMES, blocks())
    assert not list(tmp_path.iterdir())
