"""The embedded MNIST is whole, licensed, small, and what its script builds."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
from pathlib import Path

import h5py
import pytest
import torch

from layerwise.data import mnist
from layerwise.data.mnist import FILE, checksums, load_mnist
from layerwise.data.source import open_source
from layerwise.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
IDX = Path(os.environ.get("LAYERWISE_MNIST_IDX", ROOT / ".." / "shared" / "data" / "mnist"))


@pytest.fixture(scope="module")
def digits():
    return load_mnist()


def test_checksum_and_size():
    data = FILE.read_bytes()
    assert hashlib.sha256(data).hexdigest() == checksums()["mnist.h5"]
    assert len(data) <= 12_000_000
    assert len(checksums()) == 5


def test_licence_stands_beside_the_file_and_in_it():
    text = FILE.with_name("MNIST_LICENSE.txt").read_text()
    for words in ("Yann LeCun", "Corinna Cortes", "CC BY-SA 3.0", "creativecommons.org/licenses/by-sa/3.0"):
        assert words in text
    with h5py.File(FILE, "r") as file:
        assert file.attrs["license"].startswith(b"CC BY-SA 3.0")


def test_shapes_and_types(digits):
    assert digits.inputs.shape == (60000, 784)
    assert digits.test_inputs.shape == (10000, 784)
    assert digits.targets.shape == (60000,)
    assert digits.test_targets.shape == (10000,)
    assert digits.inputs.dtype == digits.test_inputs.dtype == torch.float32
    assert digits.targets.dtype == digits.test_targets.dtype == torch.int64


def test_class_counts(digits):
    """The counts of the published data set."""
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert digits.targets.bincount().tolist() == train
    assert digits.test_targets.bincount().tolist() == test


def test_pixels(digits):
    """The mean and deviation of the training pixels that are commonly quoted, .1307 and .3081."""
    assert float(digits.inputs.min()) == 0
    assert float(digits.inputs.max()) == 1
    assert float(digits.inputs.double().mean()) == pytest.approx(0.1307, abs=5e-5)
    assert float(digits.inputs.double().std()) == pytest.approx(0.3081, abs=5e-5)


def test_scale_divides_the_pixels(digits):
    scaled = load_mnist(scale=256.0)
    assert torch.equal((scaled.test_inputs * 256).round(), (digits.test_inputs * 255).round())
    assert float(scaled.inputs.max()) == 255 / 256


def test_opens_as_any_other_file():
    assert open_source(f"{FILE}::train").shape == (60000, 28, 28)
    assert open_source(f"{FILE}::test", kind="targets").shape == (10000,)
    with pytest.raises(DataError, match=r"several data sets.*\n.*mnist\.h5::"):
        open_source(FILE)


def test_damage_is_found(tmp_path, monkeypatch):
    data = bytearray(FILE.read_bytes())
    data[5_000_000] ^= 1
    (tmp_path / "mnist.h5").write_bytes(data)
    monkeypatch.setattr(mnist, "FILE", tmp_path / "mnist.h5")
    with pytest.raises(DataError, match=r"is damaged[^\n]*\nhint: install layerwise again"):
        load_mnist()
    (tmp_path / "mnist.h5").unlink()
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_mnist()


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("build_mnist", ROOT / "scripts" / "build_mnist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not IDX.is_dir(), reason="the IDX files of MNIST are not here (set LAYERWISE_MNIST_IDX)")
def test_the_script_rebuilds_the_file_byte_for_byte(script, capsys):
    code = script.main([str(IDX), "--check"])
    said = capsys.readouterr().out
    if code == 3:
        pytest.skip(said)  # same contents; another zlib packs them differently
    assert code == 0, said
    assert "byte for byte" in said


def test_the_script_tells_other_packing_from_other_contents(script, tmp_path):
    def repack(change):
        held = script.contents(FILE.read_bytes())
        held["test/label"][0] += change
        with h5py.File(tmp_path / "other.h5", "w") as file:
            for name, value in held.items():
                file[name] = value
        return (tmp_path / "other.h5").read_bytes()

    assert script.check(FILE.read_bytes(), FILE.read_bytes()) == 0
    assert script.check(repack(0), FILE.read_bytes()) == 3
    assert script.check(repack(1), FILE.read_bytes()) == 1


def test_the_script_refuses_files_that_are_not_mnist(script, tmp_path):
    with pytest.raises(SystemExit, match="cannot be read"):
        script.main([str(tmp_path), "--check"])
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\0"))
    with pytest.raises(SystemExit, match="expected ba891046"):
        script.main([str(tmp_path), "--check"])
