"""`layerwise search`: what it prints and leaves, what it refuses, and how it ends when it is stopped."""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest
from sklearn.datasets import load_digits

from layerwise.cli.app import run

RECIPE = """
name = "small"
[network]
hidden_layer_sizes = [12]
[pretrain]
epochs = 1
[finetune]
epochs = 3
[search]
budget = 100
"pretrain.learning_rate" = { low = 0.01, high = 1.0, log = true }
network.hidden_layer_sizes = [[8], [12]]
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    digits = load_digits()
    with h5py.File(folder / "digits.h5", "w") as file:
        file["data"], file["label"] = digits.data / 16, digits.target
    (folder / "small.toml").write_text(RECIPE)
    (folder / "faults.toml").write_text(
        '[pretrain]\nepoch = 3\n[search]\ntrails = 9\n"pretrain.learnin_rate" = [0.1]\n'
        '"pretrain.epochs" = { low = 0, high = 9 }\n"network.dropout" = { low = 0.5, high = 0.1 }\n'
    )
    return folder


def test_a_search_and_the_comparison_of_its_winner(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["search", str(files / "digits.h5"), "--recipe", str(files / "small.toml"), "--trials", "2"]
    assert run([*command, "--json"]) == 0
    told = capsys.readouterr()
    results = json.loads(told.out)
    assert (results["trials_asked"], results["method"], results["labels"]) == (2, "random", 100)
    for text in (
        "1,438 training rows; test rows stay untouched", "100, of which 100 validate, in 5 folds",
        "random, 2 trials and the recipe as it is", "0.01 to 1, logarithmic", "[8], [12]",
        "trial 2 of 2: validation error", "Validation error in percent, the best trials", "expect more on other rows",
        "Cost: ", "best.toml tests it, this cost counted", "runs/small-search",
    ):  # fmt: skip
        assert text in told.err, text
    assert "optuna" not in told.err.lower()
    folder = tmp_path / "runs" / "small-search"
    assert run(["search", "--recipe", str(folder / "recipe.toml"), "--resume", "--out", str(folder)]) == 0
    assert run(["compare", "--recipe", str(folder / "best.toml"), "--seeds", "1", "--set", "compare.baselines=[]"]) == 0
    assert "Note: the settings come from a search of 3 trials" in capsys.readouterr().err


BAD = {
    "several faults": (
        ["digits.h5", "--recipe", "faults.toml"],
        "has 5 faults: pretrain.epoch is unknown (did you mean 'epochs'?); search.network.dropout found {'low': 0.5, "
        "'high': 0.1}, low 0.5 should be below high 0.1; search.pretrain.epochs has an end that cannot be: found 0.0, "
        "should be greater than or equal to 1; search.pretrain.learnin_rate is unknown (did you mean "
        "'learning_rate'?); search.trails is no setting of network, pretrain or finetune (did you mean 'trials'?)",
    ),
    "unknown method": (["digits.h5", "--method", "randon"], "search.method found 'randon'"),
    "no trials": (["digits.h5", "--trials", "0"], "search.trials found 0"),
    "a budget beyond the rows": (["digits.h5", "--budget", "9000"], "exceeds the 1438 labelled rows"),
    "too small a grid": (["digits.h5", "--method", "grid", "--trials", "5"], "the choices alone make 9 combinations"),
    "too few trials to be greedy": (["digits.h5", "--method", "greedy", "--trials", "8"], "8 trials in 4 phases"),
    "another folder": (["digits.h5", "--resume"], "there is no run to resume"),
    "a fixed rate of an unknown setting": (
        ["digits.h5", "--set", "search.finetune.momentm=[0.1]"],
        "search.finetune.momentm is unknown (did you mean 'momentum'?)",
    ),
    "a misspelt option": (["digits.h5", "--trails", "3"], "--trails"),
    "a missing file": (["nothing.h5"], "nothing.h5 does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_an_error_a_hint_and_nothing_else(
    case: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message = BAD[case]
    monkeypatch.chdir(files)
    assert run(["search", *arguments, "--out", str(tmp_path / "run")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: ") and message in lines[0], lines
    assert len(lines) == 2 and lines[1].startswith("hint: "), lines
    assert not (tmp_path / "run").exists()


def test_without_optuna_the_hint_is_the_install_line(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "optuna"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    arguments = [
        "search",
        str(files / "digits.h5"),
        "--recipe",
        str(files / "small.toml"),
        "--out",
        str(tmp_path / "r"),
    ]
    assert run(arguments) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: a search needs Optuna") and "pip install optuna " in hint
    assert not (tmp_path / "r").exists()


def test_a_recipe_with_domains_is_compared_as_it_is(files: Path, tmp_path: Path) -> None:
    small = ["--budgets", "50", "--seeds", "1", "--set", "compare.baselines=[]", "--set", "compare.tune=false"]
    command = ["compare", str(files / "digits.h5"), "--recipe", str(files / "small.toml"), *small]
    assert run([*command, "--out", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "results.json").read_text())["search"] is None


def test_optuna_is_imported_by_nothing_but_a_search() -> None:
    code = "import sys, layerwise as lw; lw.search; from layerwise.cli import app; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_with_their_status_and_it_can_be_resumed(
    number: int, status: int, files: Path, tmp_path: Path
) -> None:
    arguments = [str(files / "digits.h5"), "--recipe", str(files / "small.toml"), "--out", str(tmp_path / "run"),
                 "--trials", "1", "--set", "finetune.epochs=100000"]  # fmt: skip
    command = [sys.executable, "-c", "from layerwise.cli import main; main()", "search", *arguments]
    # where the tests run in the background, interrupts are ignored, and a child would inherit that
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    journal, deadline = tmp_path / "run" / "journal.log", time.monotonic() + 120
    while not (journal.exists() and '"worker"' in journal.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(number)
    try:
        _, error = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == status, error
    assert "hint: repeat the command with --resume to go on" in error and "Traceback" not in error
    assert '"ended":"stopped"' in journal.read_text()
