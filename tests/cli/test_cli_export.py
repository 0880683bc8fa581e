"""``layerwise export``: what is written, what is said, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.torch import load_file
from torch import nn

from layerwise.cli.app import run
from layerwise.models.model import Model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    Model(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), classes=["no", "yes"]).save(folder)
    return folder


def test_onnx(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.onnx"
    assert run(["export", str(folder), "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    assert "rows (any, 3), probabilities (any, 2); onnxruntime differs by at most" in printed.err
    assert json.loads(printed.out)["inputs"] == {"rows": [None, 3]}
    rows = np.random.default_rng(0).random((5, 3), dtype=np.float32)
    (found,) = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"]).run(None, {"rows": rows})
    assert np.abs(found - Model.load(folder).predict_proba(rows)).max() < 1e-5


def test_weights(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", str(folder), "--out", str(tmp_path / "weights.safetensors")]) == 0
    assert set(load_file(tmp_path / "weights.safetensors")) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert "0.weight, 0.bias" in capsys.readouterr().err


def test_bad_input(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", str(folder), "--out", str(tmp_path / "model.tflite")]) == 2
    assert "ends in .tflite, expected .onnx" in capsys.readouterr().err
    assert run(["export", str(tmp_path), "--out", str(tmp_path / "model.onnx")]) == 2
    assert "holds no model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
