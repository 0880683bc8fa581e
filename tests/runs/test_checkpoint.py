"""Checkpoints: all or nothing, and only of the same work."""

from __future__ import annotations

import pytest
import torch

from layerwise.errors import RunError
from layerwise.runs.checkpoint import Checkpoint

TENSORS = {
    "learner/weight": torch.randn(3, 2, generator=torch.Generator().manual_seed(0)),
    "learner/deep/count": torch.tensor(7),
    "step/weight/exp_avg": torch.tensor([1e-42, -0.0, 3.0], dtype=torch.float64),
}


def test_round_trip_keeps_every_bit(tmp_path):
    checkpoint = Checkpoint(tmp_path / "deep" / "seed-0" / "stage.safetensors", "me")
    assert checkpoint.load() is None, "nothing was saved yet"
    checkpoint.save(TENSORS, {"update": 3, "seconds": 0.1, "best": None, "done": False})
    saved = checkpoint.load()
    assert saved.values == {"update": 3, "seconds": 0.1, "best": None, "done": False}
    assert saved.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert saved.tensors[name].dtype == tensor.dtype
        assert saved.tensors[name].numpy().tobytes() == tensor.numpy().tobytes()
    assert saved.part("learner").keys() == {"weight", "deep/count"}
    assert saved.part("step").keys() == {"weight/exp_avg"}
    assert saved.part("lear") == {}


def test_each_save_replaces_the_one_before(tmp_path):
    checkpoint = Checkpoint(tmp_path / "stage.safetensors")
    checkpoint.save(TENSORS, {"update": 1})
    checkpoint.save({"other": torch.zeros(1)}, {"update": 2})
    assert checkpoint.load().values == {"update": 2}
    assert list(checkpoint.load().tensors) == ["other"]
    assert [file.name for file in tmp_path.iterdir()] == ["stage.safetensors"]
    checkpoint.delete()
    checkpoint.delete()
    assert checkpoint.load() is None


def test_two_names_of_one_tensor(tmp_path):
    """A network that uses one module twice has two names for its weight."""
    weight = torch.arange(6.0).reshape(2, 3)
    checkpoint = Checkpoint(tmp_path / "stage.safetensors")
    checkpoint.save({"a": weight, "b": weight, "part": weight[0]}, {})
    saved = checkpoint.load().tensors
    assert torch.equal(saved["a"], weight)
    assert torch.equal(saved["b"], weight)
    assert torch.equal(saved["part"], weight[0])


def test_other_work_is_refused(tmp_path):
    Checkpoint(tmp_path / "stage.safetensors", "one").save(TENSORS, {"update": 1})
    with pytest.raises(RunError, match=r"stage.safetensors belongs to work with other settings, data or seed"):
        Checkpoint(tmp_path / "stage.safetensors", "two").load()


@pytest.mark.parametrize("damage", ["cut", "junk", "empty", "foreign"])
def test_a_damaged_file_is_an_error_and_no_fresh_start(tmp_path, damage):
    from safetensors.torch import save_file

    path = tmp_path / "stage.safetensors"
    Checkpoint(path).save(TENSORS, {"update": 1})
    if damage == "foreign":
        save_file({"x": torch.zeros(1)}, path)
    else:
        path.write_bytes({"cut": path.read_bytes()[:-5], "junk": b"rubbish" * 9, "empty": b""}[damage])
    with pytest.raises(RunError, match=r"checkpoint .*stage.safetensors cannot be read") as caught:
        Checkpoint(path).load()
    assert "delete this file" in caught.value.hint


def test_a_pickle_is_not_opened(tmp_path):
    """Weights are safetensors: a file that torch.load would run code from is refused."""
    path = tmp_path / "stage.safetensors"
    torch.save({"x": torch.zeros(1)}, path)
    with pytest.raises(RunError, match="cannot be read"):
        Checkpoint(path).load()


def test_a_save_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "stage.safetensors")
    checkpoint.save(TENSORS, {"update": 1})

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="could not be written: No space left"):
        checkpoint.save({}, {"update": 2})
    assert checkpoint.load().values == {"update": 1}
