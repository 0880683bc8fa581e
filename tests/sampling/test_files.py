"""Rows as files: what is read back is what was written."""

from __future__ import annotations

import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from layerwise.errors import DataError, PlanError
from layerwise.sampling.files import ENLARGED, write_rows

ROWS = np.random.default_rng(0).uniform(size=(5, 9)).astype(np.float32)


def test_arrays(tmp_path: Path) -> None:
    write_rows(tmp_path / "new" / "rows.npy", ROWS)
    assert np.array_equal(np.load(tmp_path / "new" / "rows.npy"), ROWS)
    assert np.load(tmp_path / "new" / "rows.npy").dtype == np.float32


@pytest.mark.parametrize("name", ["rows.h5", "rows.HDF5"])
def test_data_sets(tmp_path: Path, name: str) -> None:
    write_rows(tmp_path / name, ROWS.reshape(5, 1, 3, 3))
    with h5py.File(tmp_path / name) as file:
        assert list(file) == ["data"] and np.array_equal(file["data"][()], ROWS.reshape(5, 1, 3, 3))


@pytest.mark.parametrize("shape", [(9,), (3, 3), (1, 3, 3)])
def test_pictures(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """A grid of three columns; each pixel is drawn as 2 x 2, black to white."""
    write_rows(tmp_path / "rows.png", ROWS.reshape(5, *shape))
    data = (tmp_path / "rows.png").read_bytes()
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (ENLARGED * (3 * 3 + 2 * 2), ENLARGED * (2 * 3 + 2))
    start = data.index(b"IDAT")
    lines = zlib.decompress(data[start + 4 : start + 4 + int.from_bytes(data[start - 4 : start], "big")])
    pixels = np.frombuffer(lines, np.uint8).reshape(height, -1)[:, 1:].reshape(height, width, 3)[::2, ::2]
    assert np.array_equal(pixels[5:8, 5:8, 0], np.rint(255 * ROWS[4].reshape(3, 3)))


@pytest.mark.parametrize("name", ["rows.txt", "rows", "rows.jpg"])
def test_other_endings(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlanError, match=r"expected \.npy, \.h5, \.hdf5, \.png"):
        write_rows(tmp_path / name, ROWS)
    assert not list(tmp_path.iterdir())


def test_rows_that_are_no_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="are no images"):
        write_rows(tmp_path / "rows.png", ROWS[:, :8])
    assert not list(tmp_path.iterdir())
