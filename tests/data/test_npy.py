"""NumPy's own files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from layerwise.data.source import open_source
from layerwise.data.targets import load_targets
from layerwise.errors import DataError

ROWS = np.random.default_rng(0).random((7, 2, 3))


@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_blocks_of_any_layout(tmp_path: Path, order: str) -> None:
    np.save(tmp_path / "rows.npy", np.asarray(ROWS, order=order))
    source = pickle.loads(pickle.dumps(open_source(tmp_path / "rows.npy")))
    assert source.shape == (7, 2, 3) and source.dtype == np.float64
    np.testing.assert_array_equal(source.read(2, 5), ROWS[2:5])


def test_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.array(["b", "a", "b"]))
    assert load_targets(open_source(tmp_path / "labels.npy", kind="targets"), 3)[0].tolist() == [1, 0, 1]


def test_refusals(tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", ROWS)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:200])
    np.save(tmp_path / "objects.npy", np.array([[None, 1]]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("1,2\n")
    for name in ("cut", "objects", "text"):
        with pytest.raises(DataError, match=rf"{name}\.npy: this NumPy file cannot be read"):
            open_source(tmp_path / f"{name}.npy")
    with pytest.raises(DataError, match=r"'data' chooses a data set, but a \.npy file has one only"):
        open_source(f"{tmp_path / 'whole.npy'}::data")
