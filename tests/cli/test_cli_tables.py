"""The command on tables as they come, and the mistakes that go with them: one line, and a hint that cures it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from layerwise.cli.app import run

SMALL = [
    "--budgets", "30,60", "--seeds", "1", "--set", "network.hidden_layer_sizes=[8]", "--set", "pretrain.epochs=1",
    "--set", "finetune.epochs=2", "--set", "compare.tune=false", "--set", 'compare.baselines=["logistic regression"]',
]  # fmt: skip
N = 300


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One table with text, dates and gaps as files of several kinds, and an array with a gap."""
    folder = tmp_path_factory.mktemp("tables")
    draws = np.random.default_rng(0)
    age = draws.normal(40, 10, N)
    table = pd.DataFrame(
        {
            "id": [f"c{number}" for number in range(N)],
            "age": pd.Series(age).mask(draws.random(N) < 0.1).round(1),
            "city": pd.Series(draws.choice(["Ulm", "Bonn"], N)).mask(draws.random(N) < 0.1),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(draws.integers(0, 900, N), unit="D"),
            "visits": draws.poisson(3, N),
            "churn": pd.Series(np.where(age > 40, "yes", "no")).mask(draws.random(N) < 0.5),
        }
    )
    table.to_csv(folder / "churn.csv", index=False)
    table.to_parquet(folder / "churn.parquet")
    table[:99].to_csv(folder / "part-1.csv", index=False)
    table[99:].to_csv(folder / "part-2.csv", index=False)
    table.drop(columns="age").to_csv(folder / "ageless.csv", index=False)
    table.assign(age="old").to_csv(folder / "old.csv", index=False)
    table.assign(fee=1).to_csv(folder / "fee.csv", index=False)
    inputs, label = draws.normal(size=(N, 5)), np.arange(N) % 2
    holed = inputs.copy()
    holed[7, 3] = np.nan
    np.savez(folder / "holed.npz", data=holed, label=label)
    return folder


def test_every_file_of_the_table_gives_the_same_results_and_says_how_it_was_prepared(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    found = []
    for number, name in enumerate(("churn.csv", "churn.parquet", "part-*.csv")):
        out = tmp_path / str(number)
        assert run(["compare", name, "--target", "churn", *SMALL, "--out", str(out)]) == 0
        found.append(json.loads((out / "results.json").read_text()))
        recipe = tomllib.loads((out / "recipe.toml").read_text())
        assert recipe["network"]["initializer"] == "glorot"  # the recipe table's
        error = capsys.readouterr().err
        assert "prepare   4 columns (2 of numbers, 1 of text, 1 of dates) become 7 features: impute median" in error
        assert "scale standard; left out: churn (the target), id (another value in every row)" in error
    assert found[0]["budgets"] == found[1]["budgets"] == found[2]["budgets"]
    assert found[0]["baselines"][0]["errors"] == found[2]["baselines"][0]["errors"]
    again = tmp_path / "again"
    assert run(["compare", "--recipe", str(tmp_path / "2" / "recipe.toml"), "--out", str(again)]) == 0
    assert json.loads((again / "results.json").read_text())["budgets"] == found[2]["budgets"]


def test_the_options_choose_how(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--impute", "mean", "--encode", "ordinal", "--scale", "range", "--set", "data.kinds.visits=none"]
    options += ["--set", 'pretrain.objective={kind="denoising", corruption={kind="swap"}}', "--test", "0.3"]
    arguments = ["compare", str(files / "churn.csv"), "--target", "churn", *options, *SMALL]
    assert run([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert "become 5 features: impute mean, marked; encode ordinal; scale range" in capsys.readouterr().err
    assert 'kind = "swap"' in (tmp_path / "run" / "recipe.toml").read_text()
    assert run(["compare", str(files / "holed.npz"), "--impute", "median", *SMALL, "--out", str(tmp_path / "2")]) == 0
    assert "5 columns (5 of numbers) become 6 features: impute median" in capsys.readouterr().err


CHURN = ["churn.csv", "--target", "churn"]
MISTAKES = {
    "no target named": (["churn.csv"], "no column is named as targets are", "--target churn"),
    "an unknown column in kinds": (
        [*CHURN, "--set", "data.kinds.agee=text"], "kinds names 'agee'", "did you mean 'age'",
    ),
    "a kind that is none": (
        [*CHURN, "--set", "data.kinds.age=float"], "data.kinds.age found 'float', should be", "correct every fault",
    ),
    "a missing column": ([*CHURN, "--test", "ageless.csv"], "ageless.csv lacks the column 'age'", "add it"),
    "a re-typed column": ([*CHURN, "--test", "old.csv"], "old.csv: row 0, column 'age' is 'old'", "correct the cell"),
    "an extra column": ([*CHURN, "--test", "fee.csv"], "fee.csv has a column 'fee'", "leave it out"),
    "gaps that nothing fills": ([*CHURN, "--impute", "none"], "column 'age' is missing", "--impute median"),
    "an unknown way": (
        [*CHURN, "--impute", "medain"], "data.impute found 'medain'", "correct every fault",
    ),
    "a file that is not there": (["chrun.csv", "--target", "churn"], "chrun.csv does not exist", "mean churn.csv?"),
    "a test file that is not there": ([*CHURN, "--test", "odl.csv"], "odl.csv does not exist", "did you mean old.csv?"),
    "a pattern without files": (["parts-*.csv", "--target", "churn"], "no file has a name like parts-*.csv", "pattern"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_an_error_a_hint_and_nothing_else(
    case: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message, hint = MISTAKES[case]
    monkeypatch.chdir(files)
    out = tmp_path / "run"
    assert run(["compare", *arguments, *SMALL, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    lines = error.splitlines()
    assert len(lines) == 2 and "Traceback" not in error, error
    assert lines[0].startswith("error: ") and message in lines[0], error
    assert lines[1].startswith("hint: ") and hint in lines[1], error
    assert not out.exists()


def test_as_a_process_with_the_warnings_on_standard_error(files: Path, tmp_path: Path) -> None:
    arguments = ["compare", *CHURN, "--test", "part-1.csv", *SMALL, "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", "from layerwise.cli import main; main()", *arguments],
        cwd=files, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stdout, done.stderr
    assert "test rows occur among the training rows too" in done.stderr
    assert "left out: id (another value in every row); to keep one" in done.stderr
