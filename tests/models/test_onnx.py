"""ONNX: onnxruntime says the same as the network at any number of rows; what cannot be written says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import layerwise as lw
from layerwise.models import onnx as exporting
from layerwise.models.inputs import Inputs
from layerwise.models.model import Model, Quantity


@pytest.fixture(scope="module")
def written(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared model as a file; writing it has left the model as it was."""
    file = tmp_path_factory.mktemp("onnx") / "model.onnx"
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    found = exporting.export_model(model, file)
    assert found["inputs"] == {"rows": [None, 5]} and found["outputs"] == {"probabilities": [None, 3]}
    assert found["difference"] <= 1e-5 and found["checked_rows"] != exporting.TRACED
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    return file


def test_onnxruntime_says_the_same_at_any_number_of_rows(model: Model, rows: torch.Tensor, written: Path) -> None:
    file = written
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[1] == 5 and isinstance(session.get_inputs()[0].shape[0], str)
    for count in (1, 3, 50):
        (given,) = session.run(None, {"rows": rows[:count].numpy()})
        assert np.abs(given - model.predict_proba(rows[:count])).max() < 1e-5
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert json.loads(metadata["classes"]) == ["a", "b", "c"] and metadata["producer"] == "layerwise"


def test_a_convolution_in_float64_that_predicts_a_quantity(tmp_path: Path) -> None:
    network = nn.Sequential(
        nn.Unflatten(1, (1, 6, 6)), nn.Conv2d(1, 2, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 1)
    ).double()  # fmt: skip
    model = Model(
        network, (), inputs=Inputs(shape=(36,)), quantity=Quantity(mean=50.0, spread=4.0), target="price"
    )  # fmt: skip
    found = exporting.export_model(model, tmp_path / "model.onnx")
    assert found["outputs"] == {"quantity": [None, 1]}
    rows = np.random.default_rng(0).random((9, 36), dtype=np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert np.abs(session.run(None, {"rows": rows})[0][:, 0] - model.predict(rows)).max() < 1e-4
    assert next(network.parameters()).dtype == torch.float64


def test_a_file_that_disagrees_is_not_kept(
    model: Model, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(onnxruntime.InferenceSession):  # type: ignore[misc]
        def run(self, *given: object) -> list[np.ndarray]:
            return [super().run(*given)[0] + np.float32(1e-4)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Wrong)
    monkeypatch.setattr(exporting, "_traced", lambda *given: written.read_bytes())  # tracing again takes seconds
    with pytest.raises(lw.LayerwiseError, match="onnxruntime does not agree"):
        exporting.export_model(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_the_plain_state_dict(model: Model, tmp_path: Path) -> None:
    exporting.export_model(model, tmp_path / "weights.pt")
    exporting.export_model(model, tmp_path / "weights.safetensors")
    for found in (torch.load(tmp_path / "weights.pt", weights_only=True), load_file(tmp_path / "weights.safetensors")):
        for name, value in model.network.state_dict().items():
            assert torch.equal(found[name], value), name


def test_what_cannot_be_written_says_so(
    model: Model, rows: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(lw.LayerwiseError, match=r"ends in .txt, expected .onnx"):
        exporting.export_model(model, tmp_path / "model.txt")
    with pytest.raises(lw.LayerwiseError, match="the shape of a row is not known"):
        exporting.export_model(Model(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), ["a", "b"]), tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(lw.LayerwiseError, match="written and checked by onnxscript, which is not installed") as raised:
        exporting.export_model(model, tmp_path / "model.onnx")
    assert "pip install -c constraints.txt '.[onnx]'" in raised.value.hint
    assert not list(tmp_path.iterdir())
