"""``layerwise report``: the page of a comparison and of a search again, from the files alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from layerwise.cli.app import run

SMALL = [
    "--set", "network.hidden_layer_sizes=[4]", "--set", "pretrain.epochs=1", "--set", "finetune.epochs=1",
    "--set", "compare.baselines=[]", "--set", "compare.tune=false",
]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    np.save(folder / "rows.npy", random.random((60, 5)))
    np.save(folder / "labels.npy", np.arange(60) % 2)
    data = [str(folder / "rows.npy"), "--set", f'data.targets="{folder / "labels.npy"}"']
    assert run(["compare", *data, *SMALL, "--budgets", "20", "--seeds", "1", "--out", str(folder / "compared")]) == 0
    searched = ["search", *data, *SMALL, "--trials", "1", "--set", "search.pretrain.epochs=[1, 2]"]
    assert run([*searched, "--out", str(folder / "searched")]) == 0
    return folder


@pytest.mark.parametrize("name", ["compared", "searched"])
def test_the_same_page_again(name: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = files / name / "report.html"
    before = page.read_bytes()
    page.unlink()
    capsys.readouterr()
    assert run(["report", str(files / name)]) == 0
    assert page.read_bytes() == before
    assert capsys.readouterr().err.strip() == str(page)


def test_what_is_no_run(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun, broken = tmp_path / "begun", tmp_path / "broken"
    for folder in (begun, broken):
        folder.mkdir()
    (begun / "history.jsonl").write_text("")
    (broken / "results.json").write_text("{")
    for place, message in (
        (tmp_path / "none", "is not there"), (files / "rows.npy", "is a file"), (tmp_path, "holds no results"),
        (begun, "the run has not ended"), (broken, "line 1 is not JSON"),
    ):  # fmt: skip
        assert run(["report", str(place)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert message in lines[0] and lines[1].startswith("hint: "), lines
