"""``layerwise train``: from a table to a model folder; what it says; bad input."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from churn_table import SMALL, churn_rows, write_csv
from layerwise.cli.app import run
from layerwise.models.model import Model


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_csv(folder / "churn.csv", churn_rows())
    write_csv(folder / "unlabelled.csv", [{**row, "churn": ""} for row in churn_rows(40)])
    write_csv(folder / "once.csv", [{**row, "churn": "yes" if n == 0 else "no" if n == 1 else ""}
                                    for n, row in enumerate(churn_rows(40))])  # fmt: skip
    random = np.random.default_rng(0)
    with h5py.File(folder / "rows.h5", "w") as file:
        file["data"], file["label"] = random.random((60, 5)), np.arange(60) % 3
        file["price"] = random.random(60)
    assert run(["train", str(folder / "rows.h5"), "--target", "label", "--out", str(folder / "whole"), *SMALL]) == 0
    return folder


def test_a_table_into_a_model(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model"
    assert run(["train", str(files / "churn.csv"), "--target", "churn", "--out", str(out), *SMALL, "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    model = Model.load(out)
    assert model.classes == ("no", "yes") and found["labelled"] == 60 and found["rows"] == 300
    assert found["validation"]["error"] == model.facts.validation.error  # type: ignore[union-attr]
    for part in (
        "300 rows, 60 of them labelled, 2 classes", "denoising, 2 epochs a layer on 300 rows",
        "learning rate of 0.1, 0.3 and at most 6 epochs, chosen on 60 held-out rows in 5 parts",
        "estimate", "train/pretrain/1: update", "rows/s", "parameter 0.weight (8x", "pre-trained",
        f"error     {model.facts.validation.error:.2f} % on 60 held-out rows",  # type: ignore[union-attr]
        f"layerwise predict {out} {files / 'churn.csv'} --out predictions.csv",
    ):  # fmt: skip
        assert part in printed.err, part
    assert run(["predict", str(out), str(files / "churn.csv"), "--out", str(tmp_path / "p.csv")]) == 0


def test_a_layer_that_learnt_nothing_is_told_of(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One tiny update leaves a wide layer's reconstruction far from the rows; many leave it near."""
    arguments = ["train", str(files / "churn.csv"), "--target", "churn", *SMALL, "--out"]
    short = ["--set", "network.hidden_layer_sizes=[300]", "--set", "network.initializer=he",
             "--set", "pretrain.learning_rate=1e-9"]  # fmt: skip
    assert run([*arguments, str(tmp_path / "short"), *short]) == 0
    assert "note      layer 0 reconstructs rows worse (" in capsys.readouterr().err
    assert "Layer `0` reconstructs rows worse" in (tmp_path / "short" / "README.md").read_text()
    assert run([*arguments, str(tmp_path / "long"), "--set", "pretrain.epochs=30"]) == 0
    assert "reconstructs rows worse" not in capsys.readouterr().err
    assert "reconstructs rows worse" not in (tmp_path / "long" / "README.md").read_text()


def test_a_quantity_by_its_task(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model"
    arguments = ["train", str(files / "rows.h5"), "--target", "price", "--task", "regression", "--out", str(out)]
    assert run([*arguments, *SMALL]) == 0
    assert "of a spread of" in capsys.readouterr().err
    assert Model.load(out).quantity is not None


def test_a_model_is_not_trained_over(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", str(files / "rows.h5"), "--out", str(files / "whole"), *SMALL]
    for given in (arguments, [*arguments, "--resume"]):
        assert run(given) == 2
        assert "holds a model whose training has ended" in capsys.readouterr().err


def test_a_training_that_was_told_to_end_says_how_to_go_on(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 143; no model until then, and only the same work is resumed."""
    out = tmp_path / "model"
    arguments = ["train", str(files / "rows.h5"), "--out", str(out), *SMALL, "--set", "pretrain.epochs=1000000"]

    def end() -> None:
        while not (out / "history.jsonl").exists() or not (out / "history.jsonl").stat().st_size:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)  # run() listens for it while it trains

    threading.Thread(target=end, daemon=True).start()
    assert run(arguments) == 143
    assert "repeat the command with --resume" in capsys.readouterr().err
    assert run(["predict", str(out), str(files / "rows.h5"), "--out", "-"]) == 2
    assert "repeat layerwise train with --resume" in capsys.readouterr().err
    assert run([*arguments, "--resume", "--set", "pretrain.epochs=2"]) == 2
    assert "other settings, data or seed" in capsys.readouterr().err


BAD = {
    "an unknown column": (["churn.csv", "--target", "churned", "--out", "m"], "no column named 'churned'", "'churn'"),
    "no target": (["churn.csv", "--out", "m"], "no column is named as targets are", "--target churn"),
    "no labels": (["unlabelled.csv", "--target", "churn", "--out", "m"], "no row is labelled", "label"),
    "one row a class": (
        ["once.csv", "--target", "churn", "--out", "m"], "has one row of each class", "--set compare.tune=false",
    ),
    "a text as a quantity": (
        ["churn.csv", "--target", "churn", "--task", "regression", "--out", "m"], "expected numbers", "cross_entropy",
    ),
    "an unknown task": (["churn.csv", "--task", "ranking", "--out", "m"], "--task is 'ranking'", "regression"),
    "an unknown setting": (
        ["churn.csv", "--target", "churn", "--out", "m", "--set", "pretrain.epoch=3"], "pretrain.epoch is unknown", "",
    ),
    "a full folder": (["churn.csv", "--target", "churn", "--out", "."], "is not empty", "another folder"),
    "nothing to resume": (["churn.csv", "--target", "churn", "--out", "m", "--resume"], "no run to resume", "resume"),
    "no folder": (["churn.csv", "--target", "churn"], "--out", "--help"),
    "no file": (["churm.csv", "--target", "churn", "--out", "m"], "churm.csv does not exist", "churn.csv"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_an_error_a_hint_and_nothing_else(
    case: str, files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message, hint = BAD[case]
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    assert run(["train", *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "left out: id" not in line]
    assert lines[0].startswith("error: ") and message in lines[0], lines
    assert len(lines) == 2 and lines[1].startswith("hint: ") and hint in lines[1], lines
    assert sorted(files.rglob("*")) == before


def test_a_class_with_one_row_is_trained_without_choosing(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(files / "once.csv"), "--target", "churn", "--out", str(tmp_path / "model"), *SMALL]
    assert run([*arguments, "--set", "compare.tune=false"]) == 0
    assert "error     not measured: no class has a row to hold out" in capsys.readouterr().err
    assert "Not measured: no labelled rows were held out" in (tmp_path / "model" / "README.md").read_text()
