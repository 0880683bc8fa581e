"""``layerwise predict``: every format in its own, more rows than a block, kept columns, and every kind of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from churn_table import SMALL, churn_rows, write_csv
from layerwise.cli.app import run
from layerwise.models.model import ROWS, Model

MANY = 2 * ROWS + 300


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of a table and of arrays, and rows for them: three blocks of the table's."""
    folder = tmp_path_factory.mktemp("files")
    write_csv(folder / "churn.csv", churn_rows())
    write_csv(folder / "many.csv", churn_rows(MANY, 0, seed=1))
    write_csv(folder / "few.csv", churn_rows(9), ["id", "age", "city", "joined"])
    random = np.random.default_rng(0)
    rows = random.random((60, 5)) * (random.random((60, 5)) < 0.7)
    with h5py.File(folder / "rows.h5", "w") as file:
        file["data"], file["label"] = rows, np.arange(60) % 3
    np.save(folder / "rows.npy", rows)
    np.save(folder / "narrow.npy", rows[:, :4])
    scipy.sparse.save_npz(folder / "rows.npz", scipy.sparse.csr_array(rows))
    assert run(["train", str(folder / "churn.csv"), "--target", "churn", "--out", str(folder / "churn"), *SMALL]) == 0
    assert run(["train", str(folder / "rows.h5"), "--target", "label", "--out", str(folder / "rows"), *SMALL]) == 0
    return folder


def test_more_rows_than_a_block_in_their_order(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "predictions.csv"
    arguments = ["predict", str(files / "churn"), str(files / "many.csv"), "--out", str(out), "--keep", "id", "--json"]
    assert run(arguments) == 0
    printed = capsys.readouterr()
    columns = ["id", "prediction", "probability_no", "probability_yes"]
    assert json.loads(printed.out) == {"out": str(out), "rows": MANY, "columns": columns}
    assert f"{MANY:,} predictions" in printed.err and "rows/s" in printed.err
    found = pd.read_csv(out)
    assert found.columns.tolist() == columns and found["id"].tolist() == [f"c{row}" for row in range(MANY)]
    expected = Model.load(files / "churn").predict_proba(files / "many.csv")
    assert np.abs(found[columns[2:]].to_numpy() - expected).max() < 1e-6
    assert (found["prediction"] == np.where(expected[:, 1] > expected[:, 0], "yes", "no")).all()


@pytest.mark.parametrize(
    ("data", "out"), [("rows.h5", "p.h5"), ("rows.npy", "p.npz"), ("rows.npz", "p.npz"), ("rows.h5", "p"),
                      ("rows.npy", "p.parquet"), ("rows.npz", "p.csv")],
)  # fmt: skip
def test_each_format(data: str, out: str, files: Path, tmp_path: Path) -> None:
    """Without an ending the format is that of the rows; predictions are those of every other format."""
    path = tmp_path / out
    assert run(["predict", str(files / "rows"), str(files / data), "--out", str(path)]) == 0
    expected = Model.load(files / "rows").predict_proba(files / "rows.npy")
    if out in ("p.h5", "p"):
        with h5py.File(path) as file:
            found, labels = file["probability"][:], file["prediction"][:]
    elif out == "p.npz":
        with np.load(path) as archive:
            found, labels = archive["probability"], archive["prediction"]
    else:
        frame = pd.read_csv(path) if out == "p.csv" else pd.read_parquet(path)
        found, labels = frame.iloc[:, 1:].to_numpy(), frame["prediction"].to_numpy()
    assert np.abs(found - expected).max() < 1e-6
    assert labels.dtype.kind == "i" and labels.tolist() == expected.argmax(1).tolist()


def test_standard_output(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", str(files / "rows"), str(files / "rows.h5"), "--out", "-"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prediction,probability_0,probability_1,probability_2" and len(lines) == 61


BAD = {
    "no model": (["churn.csv", "many.csv", "--out", "p.csv"], "is a file, expected a model folder"),
    "no folder": (["none", "many.csv", "--out", "p.csv"], "none is not there"),
    "no rows": (["churn", "none.csv", "--out", "p.csv"], "none.csv does not exist"),
    "another format": (["churn", "many.csv", "--out", "p.xlsx"], "p.xlsx ends in .xlsx"),
    "a column is missing": (["churn", "few.csv", "--out", "p.csv"], "few.csv lacks the column 'income'"),
    "arrays for a table": (["churn", "rows.npy", "--out", "p.csv"], "rows.npy has no names, and column 'city'"),
    "too few columns": (["rows", "narrow.npy", "--out", "p.csv"], "narrow.npy has 4 features a row, the model takes 5"),
    "text for an array": (["rows", "churn.csv", "--out", "p.csv"], "churn.csv"),
    "an unknown kept column": (["churn", "many.csv", "--out", "p.csv", "--keep", "ids"], "no column named 'ids'"),
    "a kept column of an array": (["rows", "rows.npy", "--out", "p.csv", "--keep", "id"], "no columns with names"),
    "text beside arrays": (["churn", "many.csv", "--out", "p.npz", "--keep", "id"], "holds no column like 'id'"),
    "no out": (["churn", "many.csv"], "--out"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_an_error_a_hint_and_nothing_else(
    case: str, files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message = BAD[case]
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    assert run(["predict", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: ") and message in lines[0], lines
    assert len(lines) == 2 and lines[1].startswith("hint: "), lines
    assert sorted(files.rglob("*")) == before
