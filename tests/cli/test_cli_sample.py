"""``layerwise sample``: every kind of file, the same rows as in Python, and every kind of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import layerwise as lw
from layerwise.cli.app import run


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stacks of 16 and of 12 inputs, one of whose layers has no chain, and rows to start from."""
    folder = tmp_path_factory.mktemp("models")
    rows = torch.rand(40, 16, generator=torch.Generator().manual_seed(0))
    for name, width, objectives in (
        ("model", 16, [lw.DenoisingAutoencoder(), lw.RBM()]), ("narrow", 12, ["rbm", "autoencoder"]),
    ):  # fmt: skip
        network = nn.Sequential(nn.Linear(width, 8), nn.Sigmoid(), nn.Linear(8, 6), nn.Sigmoid(), nn.Linear(6, 2))
        found = lw.pretrain(network, rows[:, :width], objective=objectives, epochs=1, random_state=0)
        found.stack.save(folder / name)
    np.save(folder / "rows.npy", rows.numpy())
    (folder / "empty").mkdir()
    return folder


def test_each_kind_of_file(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [
        "--n",
        "10",
        "--depth",
        "0",
        "--chains",
        "5",
        "--burn-in",
        "3",
        "--thinning",
        "2",
        "--random-state",
        "4",
    ]
    for ending in ("npy", "h5", "png"):
        out = tmp_path / f"rows.{ending}"
        assert run(["sample", str(files / "model"), "--out", str(out), *settings]) == 0
        assert "10 rows of 16 at depth 0, 5 chains, random state 4" in capsys.readouterr().err
    expected = lw.sample(
        lw.Stack.load(files / "model"), 10, depth=0, chains=5, burn_in=3, thinning=2, random_state=4
    ).inputs
    assert np.array_equal(np.load(tmp_path / "rows.npy"), expected)
    with h5py.File(tmp_path / "rows.h5") as file:
        assert np.array_equal(file["data"][()], expected)
    assert (tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")


def test_starts_outputs_and_json(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rows.npy"
    arguments = ["sample", str(files / "model"), "--out", str(out), "--start", str(files / "rows.npy"), "--json"]
    assert run([*arguments, "--n", "7", "--chains", "7", "--burn-in", "0", "--output", "sample"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(np.unique(np.load(out))) == {0.0, 1.0}
    assert (found["shape"], found["depth"], found["output"], found["out"]) == ([7, 16], 1, "sample", str(out))
    again = tmp_path / "again.npy"  # the seed that was drawn is written down, so that the same rows can be drawn again
    arguments[3] = str(again)
    arguments += ["--n", "7", "--chains", "7", "--burn-in", "0", "--output", "sample"]
    assert run([*arguments, "--random-state", str(found["random_state"])]) == 0
    assert np.array_equal(np.load(out), np.load(again))


BAD = {
    "no folder": (["nothing", "--out", "a.npy"], "nothing holds no stack"),
    "an empty folder": (["empty", "--out", "a.npy"], "empty holds no stack"),
    "no file": (["model"], "--out"),
    "another ending": (["model", "--out", "a.txt"], "a.txt ends in .txt"),
    "no images": (["narrow", "--out", "a.png"], "rows of shape (12,) are no images"),
    "no chain": (["narrow", "--out", "a.npy"], "it was trained as 'autoencoder', which has no chain"),
    "depth": (["model", "--out", "a.npy", "--depth", "2"], "depth is 2"),
    "a step": (["model", "--out", "a.npy", "--step", "0.5"], "step is 0.5, but only a contractive"),
    "n": (["model", "--out", "a.npy", "--n", "0"], "n is 0"),
    "output": (["model", "--out", "a.npy", "--output", "median"], "output is 'median'"),
    "no start": (["model", "--out", "a.npy", "--start", "none.npy"], "none.npy does not exist"),
    "few starts": (["model", "--out", "a.npy", "--start", "rows.npy"], "start has 40 rows for 100 chains"),
    "other starts": (
        ["narrow", "--out", "a.npy", "--start", "rows.npy", "--chains", "9", "--depth", "0"],
        "layer '0' takes rows of 12 features",
    ),
    "unknown option": (["model", "--out", "a.npy", "--deph", "0"], "--deph"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_an_error_a_hint_and_nothing_else(
    case: str, files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message = BAD[case]
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    assert run(["sample", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: ") and message in lines[0], lines
    assert len(lines) == 2 and lines[1].startswith("hint: "), lines
    assert sorted(files.rglob("*")) == before


def test_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", "--help"]) == 0
    assert "--thinning" in capsys.readouterr().out
