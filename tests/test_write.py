"""Files are written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import stat

import numpy as np
import pytest
import torch
from safetensors import safe_open

from layerwise.errors import RunError
from layerwise.write import (
    append_line,
    plain,
    write_arrays,
    write_bytes,
    write_json,
    write_tensors,
    write_text,
)


def test_makes_folders_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    write_text(path, "one")
    write_text(path, "zwölf")
    assert path.read_bytes() == "zwölf".encode()
    assert os.listdir(path.parent) == ["file.txt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "readable to colleagues"


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("place", ["os.fsync", "os.replace"])
def test_an_interruption_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, stop, place):
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def interrupted(*arguments):
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(place, interrupted)
        with pytest.raises(RunError if isinstance(stop, OSError) else type(stop)):
            write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_place_holds_the_old_file_until_the_new_one_is_on_disk(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    seen = []
    real = os.fsync
    monkeypatch.setattr("os.fsync", lambda handle: (seen.append(path.read_bytes()), real(handle)))
    write_bytes(path, b"new")
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"


def test_a_refusal_of_the_system_is_a_run_error_with_a_hint(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "below", tmp_path / "folder"):
        with pytest.raises(RunError, match="could not be written") as caught:
            write_text(path, "x")
        assert str(path) in caught.value.message
        assert caught.value.hint
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_json_is_valid_whatever_the_numbers(tmp_path):
    value = {
        "nan": math.nan, "inf": [math.inf, -math.inf], 3: (1, 2), "numpy": np.float32("nan"), "flag": np.bool_(True),
        "array": np.array([[1.0, np.nan]]), "tensor": torch.tensor([1, 2]), "none": None, "text": "é",
        "count": np.int64(4), "scalar": torch.tensor(0.5),
    }  # fmt: skip
    write_json(tmp_path / "x.json", value)

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    read = json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse)
    assert read == {
        "nan": None, "inf": [None, None], "3": [1, 2], "numpy": None, "flag": True, "array": [[1.0, None]],
        "tensor": [1, 2], "none": None, "text": "é", "count": 4, "scalar": 0.5,
    }  # fmt: skip
    assert plain(value) == read


def test_a_value_json_cannot_say_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "x.json", {"old": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"new": {1, 2}})
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}


def test_arrays(tmp_path):
    arrays = {"filters": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": np.zeros((0, 4))}
    write_arrays(tmp_path / "arrays.npz", arrays)
    with np.load(tmp_path / "arrays.npz", allow_pickle=False) as read:
        assert set(read.files) == set(arrays)
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype
            assert np.array_equal(read[name], array)


def test_tensors(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    tensors = {"transposed": whole.T, "row": whole[1], "same": whole, "gradient": torch.ones(2, requires_grad=True)}
    write_tensors(tmp_path / "x.safetensors", tensors, {"seed": "3"})
    with safe_open(str(tmp_path / "x.safetensors"), framework="pt") as file:
        assert file.metadata() == {"seed": "3"}
        for name, tensor in tensors.items():
            assert torch.equal(file.get_tensor(name), tensor)


def test_lines_are_appended(tmp_path):
    path = tmp_path / "x.jsonl"
    append_line(path, {"loss": math.nan, "update": np.int64(3)})
    append_line(path, {"text": "two\nlines"})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"loss": None, "update": 3},
        {"text": "two\nlines"},
    ]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_line_on_a_full_disk_is_a_run_error():
    with pytest.raises(RunError, match="/dev/full could not be written: No space left"):
        append_line("/dev/full", {"update": 0})
