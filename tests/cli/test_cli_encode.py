"""``layerwise encode``: the codes that the stack gives, of a model's folder and of a stack's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import layerwise as lw
from churn_table import SMALL, churn_rows, write_csv
from layerwise.cli.app import run


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_csv(folder / "churn.csv", churn_rows())
    model = ["train", str(folder / "churn.csv"), "--target", "churn", *SMALL]
    assert run([*model, "--out", str(folder / "model")]) == 0
    assert run([*model, "--out", str(folder / "random"), "--set", "pretrain.objective=none"]) == 0
    lw.Model.load(folder / "model").stack.save(folder / "stack")  # type: ignore[union-attr]
    return folder


def test_codes_beside_a_kept_column(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "codes.parquet"
    assert run(["encode", str(files / "model"), str(files / "churn.csv"), "--out", str(out), "--keep", "id"]) == 0
    assert "300 codes of 8" in capsys.readouterr().err
    found = pd.read_parquet(out)
    assert found.columns.tolist() == ["id", *(f"code_{unit}" for unit in range(8))]
    expected = lw.load_model(files / "model").encode(files / "churn.csv")
    assert np.array_equal(found.iloc[:, 1:].to_numpy(), expected)
    assert found["id"].tolist() == [f"c{row}" for row in range(300)]


def test_depth_0_is_what_the_network_is_fed_and_a_stack_takes_it(files: Path, tmp_path: Path) -> None:
    prepared, codes = tmp_path / "rows.npy", tmp_path / "codes.npy"
    assert run(["encode", str(files / "model"), str(files / "churn.csv"), "--out", str(prepared), "--depth", "0"]) == 0
    assert run(["encode", str(files / "stack"), str(prepared), "--out", str(codes)]) == 0
    expected = lw.load_model(files / "model").encode(files / "churn.csv")
    assert np.abs(np.load(codes) - expected).max() < 1e-6 and np.load(prepared).shape[0] == 300


def test_the_stack_of_a_trained_model_is_sampled(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.npy"
    assert run(["sample", str(files / "model"), "--out", str(out), "--n", "4", "--burn-in", "2"]) == 0
    assert np.load(out).shape == (4, np.load(out).shape[1])


BAD = {
    "depth": (["model", "churn.csv", "--out", "c.csv", "--depth", "2"], "depth is 2, the stack has 1 layers"),
    "not pre-trained": (["random", "churn.csv", "--out", "c.csv"], "the model was not pre-trained"),
    "no folder": (["none", "churn.csv", "--out", "c.csv"], "none holds no stack"),
    "another name": (["model", "churn.csv", "--out", "c.png"], "c.png ends in .png"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_an_error_and_a_hint(
    case: str, files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message = BAD[case]
    monkeypatch.chdir(files)
    assert run(["encode", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: ") and message in lines[0] and lines[1].startswith("hint: "), lines
