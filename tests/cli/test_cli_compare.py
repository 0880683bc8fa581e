"""The command: a small run end to end, and every kind of bad input."""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.datasets import load_digits

from layerwise.cli.app import run

SMALL = [
    "--budgets", "50,100", "--seeds", "3", "--set", "network.hidden_layer_sizes=[16]", "--set", "pretrain.epochs=2",
    "--set", "finetune.epochs=3", "--set", "compare.tune=false", "--set", 'compare.baselines=["logistic regression"]',
]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits as HDF5 files, good and bad."""
    folder = tmp_path_factory.mktemp("data")
    digits = load_digits()
    inputs, labels = (digits.data / 16).astype(np.float32), digits.target

    def write(name: str, inputs: np.ndarray, labels: np.ndarray) -> None:
        with h5py.File(folder / name, "w") as file:
            file["data"], file["label"] = inputs, labels

    write("digits.h5", inputs, labels)
    write("train.h5", inputs[:1200], labels[:1200])
    write("test.h5", inputs[1200:], labels[1200:])
    write("wide.h5", inputs * 16, labels)
    write("others.h5", 1 - inputs[:300], labels[:300])
    write("narrow.h5", inputs[:, :-1], labels)
    (folder / "arrays.toml").write_text('[data]\ninputs = "arrays"\n')
    holed = inputs.copy()
    holed[7, 3] = np.nan
    write("nan.h5", holed, labels)
    write("short.h5", inputs, labels[:-1])
    write("flat.h5", inputs[:, 0], labels)
    once = labels.copy()
    once[0] = 77
    write("once.h5", inputs, once)
    (folder / "empty.h5").write_bytes(b"")
    (folder / "junk.h5").write_bytes(bytes(range(256)) * 40)
    (folder / "folder.h5").mkdir()
    (folder / "train.txt").write_text("train.h5\n")
    (folder / "faults.toml").write_text("[pretrain]\nepoch = 3\n[compare]\nseeds = 0\nheadlines = 5\n")
    return folder


def test_a_run_from_a_file_leaves_a_whole_run_folder(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(["compare", str(files / "digits.h5"), *SMALL, "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    results = json.loads(printed.out)
    assert results == json.loads((out / "results.json").read_text())
    assert [budget["labels"] for budget in results["budgets"]] == [50, 100]
    assert results["headline"] == 100
    parts = ["estimate", "seed-2/labels-100/random: update", results["verdict"], "Convergence:", "Cost:", "report.html"]
    parts += [
        "pretrained arm: parameter 0.weight (16x64): pre-trained",
        "random arm: parameter 2.bias (10): initialised",
    ]
    for part in parts:
        assert part in printed.err
    names = {"recipe.toml", "environment.json", "history.jsonl", "tuning.json", "results.json", "results.csv"}
    assert names <= {path.name for path in out.iterdir()}
    assert (out / "report.html").stat().st_size < 7e6

    again = tmp_path / "again"  # the recipe in the folder is the whole run
    assert run(["compare", "--recipe", str(out / "recipe.toml"), "--out", str(again)]) == 0
    assert json.loads((again / "results.json").read_text())["budgets"] == results["budgets"]

    capsys.readouterr()
    assert run(["compare", str(files / "digits.h5"), *SMALL, "--out", str(out)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert run(["compare", str(files / "digits.h5"), *SMALL, "--out", str(out), "--resume"]) == 0
    assert run(["compare", str(files / "digits.h5"), *SMALL, "--seeds", "4", "--out", str(out), "--resume"]) == 2
    assert "other settings, data or seed" in capsys.readouterr().err


def test_list_files_and_test_files(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["compare", str(files / "train.txt"), "--test", str(files / "test.h5"), *SMALL, "--seeds", "1"]
    assert run([*arguments, "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["data"]["training_rows"] == 1200 and results["data"]["test_rows"] == 597
    assert results["verdict"] == "NO VERDICT"


def test_other_rows_to_pre_train_on(files: Path, tmp_path: Path) -> None:
    """Only the pre-trained arm changes, and the recipe in the folder is the whole run."""
    small, out = ["compare", str(files / "digits.h5"), *SMALL, "--seeds", "1"], tmp_path / "run"
    assert run([*small, "--pretrain-data", str(files / "others.h5"), "--out", str(out)]) == 0
    assert run([*small, "--out", str(tmp_path / "plain")]) == 0
    assert run(["compare", "--recipe", str(out / "recipe.toml"), "--out", str(tmp_path / "again")]) == 0
    folders = out, tmp_path / "plain", tmp_path / "again"
    found, plain, again = (json.loads((folder / "results.json").read_text()) for folder in folders)
    assert (found["data"]["pretraining_rows"], plain["data"]["pretraining_rows"]) == (300, 1438)
    for budget, other in zip(found["budgets"], plain["budgets"], strict=True):
        assert budget["random_errors"] == other["random_errors"]
    assert found["budgets"] != plain["budgets"]
    assert found["budgets"] == again["budgets"] and found["data"] == again["data"]
    assert (out / "recipe.toml").read_text() == (tmp_path / "again" / "recipe.toml").read_text()


def test_labels_that_pre_train_are_told_of_as_they_run(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ["compare", str(files / "digits.h5"), *SMALL, "--seeds", "1", "--set", "pretrain.objective=supervised"]
    assert run([*arguments, "--out", str(out)]) == 0
    error = capsys.readouterr().err
    assert "seed-0/labels-50/pretrain/1: update" in error and "seed-0/labels-100/pretrain/1: update" in error
    assert "seed-0/pretrain" not in error


BAD = {
    "other rows of another width": (
        ["digits.h5", "--pretrain-data", "narrow.h5"], "pretrain_inputs have 63 features, training rows have 64",
    ),
    "other rows that are not there": (["digits.h5", "--pretrain-data", "nothing.h5"], "nothing.h5 does not exist"),
    "other rows without labels for an objective that needs them": (
        ["digits.h5", "--pretrain-data", "others.h5", "--set", "pretrain.objective=supervised"],
        "pretrain_inputs are rows without labels",
    ),
    "a growing network": (
        ["digits.h5", "--set", 'pretrain.objective={kind="supervised", grow_until=0.1}'], "grow_until is set",
    ),
    "a network made in Python": (["digits.h5", "--set", "network.factory=Mine"], "made in Python, by Mine"),
    "noise where there is none": (
        ["digits.h5", "--set", "pretrain.corrupt=input", "--set", "pretrain.objective=rbm"],
        "puts no noise on anything",
    ),
    "an unknown rival": (["digits.h5", "--set", 'compare.baselines=["adamm"]'], "compare.baselines.0 found 'adamm'"),
    "missing file": (["nothing.h5"], "nothing.h5 does not exist"),
    "wrong data set name": (["digits.h5::dota"], "dota"),
    "wrong target": (["digits.h5", "--target", "labels"], "labels"),
    "NaN": (["nan.h5"], "row 7, column 3"),
    "labels of the wrong length": (["short.h5"], "1796"),
    "one labelled row of a class": (["once.h5"], "class '77' has 1 labelled row"),
    "folder": (["folder.h5"], "folder.h5 is a folder"),
    "empty file": (["empty.h5"], "empty.h5 is empty"),
    "junk file": (["junk.h5"], "junk.h5"),
    "one dimension": (["flat.h5"], "dimension"),
    "unknown recipe": (["digits.h5", "--recipe", "mnits"], "there is no recipe 'mnits'"),
    "unknown key": (["digits.h5", "--set", "pretrain.epoch=3"], "pretrain.epoch is unknown (did you mean 'epochs'?)"),
    "several faults": (
        ["digits.h5", "--recipe", "faults.toml"],
        "has 3 faults: pretrain.epoch is unknown (did you mean 'epochs'?); compare.seeds found 0, should be greater "
        "than or equal to 1; compare.headlines is unknown (did you mean 'headline'?)",
    ),
    "no seeds": (["digits.h5", "--seeds", "0"], "compare.seeds found 0"),
    "negative seeds": (["digits.h5", "--seeds=-2"], "compare.seeds found -2"),
    "budget of 0": (["digits.h5", "--budgets", "0"], "compare.budgets.0 found 0"),
    "budget beyond the rows": (["digits.h5", "--budgets", "9000"], "exceeds the 1438 labelled rows"),
    "budgets that are no numbers": (["digits.h5", "--budgets", "ten"], "--budgets 'ten'"),
    "unknown option": (["digits.h5", "--sed", "3"], "--sed"),
    "test fraction": (["digits.h5", "--test", "1.5"], "data.test"),
    "set without value": (["digits.h5", "--set", "pretrain.epochs"], "is not KEY=VALUE"),
    "an objective for one layer": (
        ["digits.h5", "--set", 'pretrain.objective=["denoising"]'],
        "1 objectives for 2 layers",
    ),
    "one row a class": (["digits.h5", "--budgets", "10"], "a label budget of 10 has one row of each class"),
    "one row a batch": (["digits.h5", "--set", "finetune.batch_size=1"], "batch normalisation cannot train on one row"),
    "an initialiser for one arm": (["digits.h5", "--set", "pretrain.initializer=glorot"], "both arms must start"),
    "a loss the rows forbid": (
        ["wide.h5", "--set", 'pretrain.objective={kind="autoencoder", loss="cross_entropy"}'],
        "inputs run from 0 to 16, expected [0, 1]",
    ),
    "test rows for mnist": (["--test", "0.3"], "which has its own labels and test rows"),
    "a recipe of arrays": (["--recipe", "arrays.toml"], "arrays in Python"),
    "a recipe below a file": (["digits.h5", "--recipe", "faults.toml/x"], "there is no recipe"),
    "freezing what is not there": (["digits.h5", "--set", 'finetune.freeze=["layer1"]'], "freeze names 'layer1'"),
    "early stopping": (["digits.h5", "--set", "finetune.early_stopping.patience=10"], "finetune.early_stopping is set"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_an_error_a_hint_and_nothing_else(
    case: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message = BAD[case]
    monkeypatch.chdir(files)
    out = tmp_path / "run"
    assert run(["compare", *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    lines = error.splitlines()
    assert lines[0].startswith("error: ") and message in lines[0], error
    assert len(lines) == 2 and lines[1].startswith("hint: "), error
    assert "Traceback" not in error
    assert not out.exists()


def test_the_version_and_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert run(["compare", "--help"]) == 0
    assert "--budgets" in capsys.readouterr().out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_command_with_their_status_and_say_how_to_go_on(
    number: int, status: int, files: Path, tmp_path: Path
) -> None:
    long = [
        "--set",
        "pretrain.epochs=100000",
        "--set",
        "network.hidden_layer_sizes=[16]",
        "--out",
        str(tmp_path / "run"),
    ]
    command = [
        sys.executable,
        "-c",
        "from layerwise.cli import main; main()",
        "compare",
        str(files / "digits.h5"),
        *long,
    ]
    # where the tests run in the background, interrupts are ignored, and a child would inherit that
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    history = tmp_path / "run" / "history.jsonl"
    deadline = time.monotonic() + 60
    while not (history.exists() and history.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    try:
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, error
    assert "hint: repeat the command with --resume to go on" in error
    assert "Traceback" not in error
