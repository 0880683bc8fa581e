"""The folder of a model: the same model comes back, no code is run, and what is broken is told from what is whole."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import layerwise as lw
from layerwise.models.model import Model, Quantity


def test_the_same_model_comes_back(model: Model, rows: torch.Tensor, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    found = lw.load_model(tmp_path / "model")
    assert found.classes == ("a", "b", "c") and found.inputs == model.inputs
    assert np.array_equal(found.predict_proba(rows), model.predict_proba(rows))
    assert np.array_equal(found.encode(rows), model.encode(rows))
    for name, value in model.network.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], value), name
    assert set(os.listdir(tmp_path / "model")) == {
        "model.json", "network.safetensors", "stack.json", "stack.safetensors", "README.md",
    }  # fmt: skip


def test_a_table_s_model_comes_back_with_its_preparation(churn: Path, table: Path, tmp_path: Path) -> None:
    found = Model.load(churn)
    found.save(tmp_path / "again")
    again = Model.load(tmp_path / "again")
    assert np.array_equal(found.predict_proba(table), again.predict_proba(table))
    assert again.facts == found.facts and again.target == "churn"
    assert found.preparation is not None and "city=Ulm" in found.preparation.features


@pytest.mark.parametrize("classes", [(0, 1), (False, True), ("0", "1"), (10, 20)])
def test_labels_keep_their_type(classes: tuple[Any, ...], tmp_path: Path) -> None:
    Model(nn.Sequential(nn.Linear(3, 2)), classes).save(tmp_path / "model")
    found = Model.load(tmp_path / "model")
    assert found.classes == classes and [type(one) for one in found.classes] == [type(one) for one in classes]
    assert found.predict(np.zeros((2, 3))).dtype == np.array(classes).dtype


def test_other_kinds_come_back(tmp_path: Path) -> None:
    network = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1)
    ).double()  # fmt: skip
    model = Model(network, classes=(), quantity=Quantity(mean=3.0, spread=2.0), probabilities=False)
    model.save(tmp_path / "model")
    found = Model.load(tmp_path / "model")
    rows = np.random.default_rng(0).random((4, 16))
    assert np.array_equal(found.predict(rows), model.predict(rows))
    assert next(found.network.parameters()).dtype == torch.float64
    assert found.quantity == model.quantity and found.stack is None and not found.probabilities


def test_the_stack_of_the_folder_is_one_of_its_own(model: Model, rows: torch.Tensor, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    assert torch.equal(lw.Stack.load(tmp_path / "model").encode(rows), torch.from_numpy(model.encode(rows)))
    assert lw.sample(lw.Stack.load(tmp_path / "model"), 3, burn_in=2, chains=3, random_state=0).inputs.shape == (3, 5)


def test_nothing_is_unpickled(churn: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **named: Any) -> None:
        raise AssertionError("a model was unpickled")

    for place, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(place, name, refuse)
    assert len(Model.load(churn).predict(table)) == 300


def changed(folder: Path, **values: Any) -> None:
    file = folder / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def spoiled(folder: Path, spoil: Any) -> None:
    """Spoil the preparation that a model's description holds."""
    schema = json.loads((folder / "model.json").read_text())["preparation"]
    spoil(schema)
    changed(folder, preparation=schema)


DOES_NOT_FIT = "model.json is damaged: preparation does not fit preparation.skops"
BROKEN: dict[str, tuple[Any, str]] = {
    "truncated weights": (lambda at: cut_short(at / "network.safetensors"), "network.safetensors is not the file"),
    "one bit of the weights": (lambda at: flipped(at / "network.safetensors"), "network.safetensors is not the file"),
    "one bit of the stack": (lambda at: flipped(at / "stack.safetensors"), "stack.safetensors is not the file"),
    "truncated preparation": (lambda at: cut_short(at / "preparation.skops"), "preparation.skops is not the file"),
    "no weights": (lambda at: (at / "network.safetensors").unlink(), "network.safetensors cannot be read: No such"),
    "truncated description": (lambda at: cut_short(at / "model.json"), "model.json cannot be read"),
    "too new": (lambda at: changed(at, format=2), "has format 2, this version of layerwise reads formats up to 1"),
    "no version": (lambda at: changed(at, format="x"), "has format 'x'"),
    "foreign": (lambda at: (at / "model.json").write_text('{"model": 1}'), "is of another program"),
    "a key too many": (lambda at: changed(at, pickle="x"), "model.json is damaged: pickle"),
    "a preparation without columns": (lambda at: spoiled(at, lambda schema: schema.pop("columns")), DOES_NOT_FIT),
    "one of no columns": (lambda at: spoiled(at, lambda schema: schema["columns"].clear()), DOES_NOT_FIT),
    "one of other levels": (lambda at: spoiled(at, lambda schema: schema["columns"][0].update(levels=3)), DOES_NOT_FIT),
    "one of another choice": (lambda at: spoiled(at, lambda schema: schema["choices"].update(more=1)), DOES_NOT_FIT),
    "an unknown module": (lambda at: changed(at, network=[{"module": "Evil"}]), "names the unknown module 'Evil'"),
    "another network": (
        lambda at: changed(at, network=[{"module": "Linear", "in_features": 2, "out_features": 2, "bias": True}]),
        "does not fit the network",
    ),
    "not whole": (lambda at: (at / "model.json").unlink(), "holds no model: there is no model.json"),
    "not there": (shutil.rmtree, "is not there"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_named_with_its_cure(case: str, churn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(churn, folder)
    spoil, message = BROKEN[case]
    spoil(folder)
    with pytest.raises(lw.LayerwiseError) as raised:
        Model.load(folder)
    assert message in raised.value.message and str(folder) in raised.value.message
    assert raised.value.hint


def test_a_stack_alone_is_no_model(model: Model, tmp_path: Path) -> None:
    assert model.stack is not None
    model.stack.save(tmp_path)
    with pytest.raises(lw.LayerwiseError, match="holds no model") as raised:
        Model.load(tmp_path)
    assert "predict needs a trained model" in raised.value.hint


def test_nothing_is_written_over_and_nothing_that_cannot_be_loaded(model: Model, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    for place in ("full", "full/thesis.txt"):
        with pytest.raises(lw.LayerwiseError, match="never written over"):
            model.save(tmp_path / place)

    class Own(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows

    for network in (nn.Sequential(Own()), nn.Sequential(nn.Sequential(nn.Linear(2, 2))), Own()):
        with pytest.raises(lw.LayerwiseError):
            Model(network, ["a", "b"]).save(tmp_path / "own")  # type: ignore[arg-type]
    assert not (tmp_path / "own").exists()


def test_a_stop_while_writing_leaves_no_model(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it comes, the folder is told from a whole one."""
    from layerwise.models import folder

    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        model.save(tmp_path / "model")
    with pytest.raises(lw.LayerwiseError, match=r"there is no model\.json"):
        Model.load(tmp_path / "model")


def test_the_weights_are_plain(model: Model, tmp_path: Path) -> None:
    """Whoever has safetensors can use them without this package."""
    model.save(tmp_path / "model")
    assert set(load_file(tmp_path / "model" / "network.safetensors")) == set(model.network.state_dict())
    for file in (tmp_path / "model").iterdir():
        assert b"torch._utils" not in io.BytesIO(file.read_bytes()).read()
