"""The twelve likeliest mistakes: each is told in one line with a hint, and what the hint says cures it."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import layerwise as lw
from churn_table import churn_rows, write_csv
from layerwise.cli.app import run
from layerwise.errors import LayerwiseError

N = 240
SMALL = [
    "--budgets", "30", "--seeds", "1", "--set", "network.hidden_layer_sizes=[8]", "--set", "pretrain.epochs=1",
    "--set", "finetune.epochs=2", "--set", "compare.tune=false", "--set", "compare.baselines=[]",
]  # fmt: skip
CHURN = ["churn.csv", "--target", "churn"]
CROSS_ENTROPY = ["--set", 'pretrain.objective={kind="autoencoder", loss="cross_entropy"}']
TOO_FAST = ["--set", 'network.activation="relu"', "--set", "pretrain.learning_rate=1e30"]
draws = np.random.default_rng(0)
ROWS = draws.random((N, 5))
LABELS = np.where(np.arange(N) < 60, ROWS[:, 0] > 0.5, -1)


class Told(NamedTuple):
    """A mistake on the command line, what is said of it, and the arguments that the hint asks for."""

    wrong: list[str]
    message: str
    hint: str
    right: list[str]


COMMANDS = {
    "an unknown column": Told(
        ["churn.csv", "--target", "chrun"], "churn.csv: no column named 'chrun'; it holds id, age",
        "did you mean 'churn'?", CHURN,
    ),
    "missing values in an array": Told(
        ["holed.npz"], "holed.npz::data: row 7, column 3 is NaN", "--impute median",
        ["holed.npz", "--impute", "median"],
    ),
    "text in an array": Told(
        ["text.npz"], "text.npz::data holds text (<U32), at row 2, column 4 'Ulm'", "a CSV or Parquet file",
        ["text.csv", "--target", "label"],
    ),
    "another number of features": Told(
        ["rows.npz", "--test", "narrow.npz"], "test rows have 4 features, training rows have 5",
        "the same columns", ["rows.npz", "--test", "other.npz"],
    ),
    "inputs out of the decoder's range": Told(
        ["wide.npz", *CROSS_ENTROPY], "expected [0, 1]", "--scale range",
        ["wide.npz", *CROSS_ENTROPY, "--scale", "range"],
    ),
    "an unknown option": Told(
        [*CHURN, "--impue", "mean"], "No such option: --impue", "did you mean --impute?", [*CHURN, "--impute", "mean"],
    ),
    "an unknown setting": Told(
        [*CHURN, "--set", "pretrain.epoch=2"], "pretrain.epoch is unknown (did you mean 'epochs'?)", "correct",
        [*CHURN, "--set", "pretrain.epochs=2"],
    ),
    "no trainable layers": Told(
        [*CHURN, "--set", "network.hidden_layer_sizes=[]"], "should have a hidden layer", "correct",
        [*CHURN, "--set", "network.hidden_layer_sizes=[9]"],
    ),
    "divergence": Told(
        ["rows.npz", *TOO_FAST], "the loss is", "lower the learning rate",
        ["rows.npz", *TOO_FAST, "--set", "pretrain.learning_rate=0.1"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    write_csv(folder / "churn.csv", churn_rows(N, 120))
    label = np.arange(N) % 2
    holed, words = ROWS.copy(), ROWS.astype("U32")
    holed[7, 3], words[2, 4] = np.nan, "Ulm"
    arrays: Mapping[str, Any] = {
        "rows": ROWS, "wide": 9 * ROWS, "holed": holed, "text": words, "narrow": ROWS[:, :4],
        "other": draws.random((N, 5)),
    }  # fmt: skip
    for name, array in arrays.items():
        np.savez(folder / f"{name}.npz", data=array, label=label)
    lines = ["a,b,c,d,e,label", *(",".join([*row, str(code)]) for row, code in zip(words, label, strict=True))]
    (folder / "text.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("mistake", COMMANDS)
def test_the_command_says_it_in_a_line_with_the_cure(
    mistake: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = COMMANDS[mistake]
    monkeypatch.chdir(files)
    assert run(["compare", *SMALL, *told.wrong, "--out", str(tmp_path / "wrong")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines[-2:]] == ["error", "hint"], lines
    assert not any("Traceback" in line for line in lines)
    assert told.message in lines[-2] and told.hint in lines[-1], lines
    assert run(["compare", *SMALL, *told.right, "--out", str(tmp_path / "right")]) == 0


def test_test_rows_that_also_occur_in_training_are_told_of(
    files: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    for test, out in (("rows.npz", tmp_path / "wrong"), ("other.npz", tmp_path / "right")):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="layerwise"):
            assert run(["compare", "rows.npz", "--test", test, *SMALL, "--out", str(out)]) == 0
        repeated = N if out.name == "wrong" else 0
        assert json.loads((out / "results.json").read_text())["data"]["repeated_test_rows"] == repeated
        assert (f"{N} of the {N} test rows occur among the training rows too" in caplog.text) == bool(repeated)


def classifier(**settings: Any) -> lw.LayerwiseClassifier:
    settings = {"hidden_layer_sizes": (8,), "pretrain_epochs": 1, "epochs": 2, "random_state": 0, **settings}
    return lw.LayerwiseClassifier(**settings)


def with_element(value: Any) -> np.ndarray:
    rows = ROWS.astype(object)
    rows[7, 3] = value
    return rows if isinstance(value, str) else rows.astype(float)


def pretrained(*modules: nn.Module, rows: Any = ROWS, **settings: Any) -> Any:
    torch.manual_seed(0)
    return lw.pretrain(nn.Sequential(*modules), rows, epochs=1, random_state=0, **settings)


REFUSED: dict[str, tuple[Callable[[], Any], str, str, Callable[[], Any]]] = {
    "missing values in an array": (
        lambda: classifier().fit(with_element(np.nan), LABELS), "contains NaN: row 7, column 3", "SimpleImputer",
        lambda: classifier().fit(np.nan_to_num(with_element(np.nan)), LABELS),
    ),
    "text in an array": (
        lambda: classifier().fit(with_element("Ulm"), LABELS), "'Ulm': row 7, column 3", "OneHotEncoder",
        lambda: classifier().fit(ROWS, LABELS),
    ),
    "another number of features": (
        lambda: classifier().fit(ROWS, LABELS).predict(ROWS[:, :4]), "4 features, .*expecting 5", "as many columns",
        lambda: classifier().fit(ROWS, LABELS).predict(ROWS),
    ),
    "inputs out of the decoder's range": (
        lambda: classifier(objective=lw.DenoisingAutoencoder(decoder="sigmoid")).fit(9 * ROWS, LABELS),
        r"\[0, 1\]", "scale|decoder",
        lambda: classifier(objective=lw.DenoisingAutoencoder(decoder="sigmoid")).fit(ROWS, LABELS),
    ),
    "an unknown name": (
        lambda: classifier(objective="denoisin").fit(ROWS, LABELS), "did you mean 'denoising'", "correct",
        lambda: classifier(objective="denoising").fit(ROWS, LABELS),
    ),
    "no trainable layers": (
        lambda: pretrained(nn.ReLU()), "has no layer to pre-train", "add a hidden layer",
        lambda: pretrained(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2)),
    ),
    "a device that isn't there": (
        lambda: classifier(device="cuda:9").fit(ROWS, LABELS), "device 'cuda:9' isn't there", 'device="auto"',
        lambda: classifier(device="auto").fit(ROWS, LABELS),
    ),
    "divergence": (
        lambda: pretrained(nn.Linear(5, 8), nn.ReLU(), rows=100 * ROWS, learning_rate=1e6),
        "the loss is (inf|nan) at update", "lower the learning rate",
        lambda: pretrained(nn.Linear(5, 8), nn.ReLU(), rows=ROWS, learning_rate=0.01),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", REFUSED)
def test_python_says_it_in_a_line_with_the_cure(mistake: str) -> None:
    wrong, message, hint, right = REFUSED[mistake]
    with pytest.raises(LayerwiseError, match=message) as caught:
        wrong()
    assert "\n" not in caught.value.message
    assert any(word in caught.value.hint for word in hint.split("|")), caught.value.hint
    right()


WARNED = {
    "a class with one labelled row": (
        np.where((np.cumsum(LABELS == 1) == 1) | (LABELS != 1), LABELS, -1),
        "label more",
    ),
    "no unlabelled rows": (ROWS[:, 0] > 0.5, "X_unlabeled"),
}


@pytest.mark.parametrize("mistake", WARNED)
def test_the_estimators_warn_and_train(mistake: str) -> None:
    labels, hint = WARNED[mistake]
    with pytest.warns(UserWarning, match=hint):
        assert classifier().fit(ROWS, labels).classes_.size == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier().fit(ROWS, LABELS)


NOTED = {
    "a class with one labelled row": "class yes has one labelled row only",
    "no unlabelled rows": "there are no unlabelled rows, so pre-training sees the labelled ones alone",
}


@pytest.mark.parametrize("mistake", NOTED)
def test_train_notes_it_and_trains(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = churn_rows(N, 120)
    if mistake == "no unlabelled rows":
        rows = [row for row in rows if row["churn"]]
    else:
        for row in [row for row in rows if row["churn"] == "yes"][1:]:
            row["churn"] = "no"
    write_csv(tmp_path / "rows.csv", rows)
    assert run(["train", "rows.csv", "--target", "churn", *SMALL[4:], "--out", "model"]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note ")]
    assert len(notes) == 1 and NOTED[mistake] in notes[0], notes
