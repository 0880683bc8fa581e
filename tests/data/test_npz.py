"""Arrays in .npz files: found as HDF5 data sets are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from layerwise.data.source import open_source
from layerwise.errors import DataError

A, B = np.arange(6.0).reshape(3, 2), np.arange(9.0).reshape(3, 3)


def test_by_name_by_a_usual_name_or_the_only_one_that_fits(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, inputs=A, other=B, y=np.arange(3))
    assert open_source(path).shape == (3, 2) and open_source(f"{path}::other").shape == (3, 3)
    assert open_source(path, name="other").name == f"{path}::other"
    assert open_source(path, kind="targets").read(0, 3).tolist() == [0, 1, 2]
    np.savez(path, mine=B, more=np.arange(3))
    assert open_source(path).shape == (3, 3) and open_source(path, kind="targets").shape == (3,)


@pytest.mark.parametrize(
    ("arrays", "name", "message"),
    [
        ({"a": A, "b": B}, None, r"several arrays could be the inputs; it holds a \(3, 2\), b \(3, 3\)\nhint: name"),
        ({"a": np.arange(3)}, None, "no array could be the inputs"),
        ({"pixels": A}, "pixel", r"no array named 'pixel'; it holds pixels\nhint: did you mean 'pixels'"),
        ({"a": np.array([None, "x"])}, None, "this NumPy file cannot be read"),
    ],
)
def test_what_cannot_be_found_is_refused_with_what_there_is(
    tmp_path: Path, arrays: dict[str, np.ndarray], name: str | None, message: str
) -> None:
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / "rows.npz", name=name)


def test_damaged(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", data=np.ones((50, 9)))
    held = (tmp_path / "rows.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(held[: len(held) // 2])
    with pytest.raises(DataError, match=r"cut\.npz: this NumPy file cannot be read"):
        open_source(tmp_path / "cut.npz")
