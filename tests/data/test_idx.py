"""IDX files that are damaged or no IDX files, and MNIST's own types."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from layerwise.data.idx import TYPES, is_idx
from layerwise.data.source import open_source
from layerwise.data.targets import load_targets
from layerwise.errors import DataError


def idx(rows: np.ndarray, code: int) -> bytes:
    return bytes([0, 0, code, rows.ndim]) + np.array(rows.shape, ">u4").tobytes() + rows.tobytes()


@pytest.mark.parametrize("code", TYPES)
def test_every_type(tmp_path: Path, code: int) -> None:
    rows = np.arange(12).reshape(4, 3).astype(TYPES[code])
    (tmp_path / "rows").write_bytes(idx(rows, code))
    source = open_source(tmp_path / "rows")
    assert source.dtype == np.dtype(TYPES[code])
    np.testing.assert_array_equal(source.read(1, 4), rows[1:4])


def test_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.gz").write_bytes(gzip.compress(idx(np.array([7, 2, 7], np.uint8), 8)))
    codes, classes = load_targets(open_source(tmp_path / "labels.gz", kind="targets"), 3)
    assert codes.tolist() == [1, 0, 1] and classes.tolist() == [2, 7]


@pytest.mark.parametrize("change", [lambda held: held[:-1], lambda held: held + b"0", lambda held: held[:9]])
@pytest.mark.parametrize("packed", [False, True])
def test_a_length_that_is_not_that_of_the_head_is_refused(tmp_path: Path, change: object, packed: bool) -> None:
    held = change(idx(np.ones((4, 3), np.uint8), 8))  # type: ignore[operator]
    (tmp_path / "rows").write_bytes(gzip.compress(held) if packed else held)
    with pytest.raises(DataError, match=rf"rows has {len(held)} bytes, its head says .*\nhint: it may be cut short"):
        open_source(tmp_path / "rows")


def test_a_gzip_file_that_is_cut_short(tmp_path: Path) -> None:
    whole = gzip.compress(idx(np.random.default_rng(0).integers(0, 255, (40, 30), np.uint8), 8))
    (tmp_path / "rows.gz").write_bytes(whole[: len(whole) // 2])
    assert is_idx(tmp_path / "rows.gz")
    with pytest.raises(DataError, match="this gzip file cannot be read"):
        open_source(tmp_path / "rows.gz")


@pytest.mark.parametrize(
    "held", [b"\0\0\x08", b"\0\0\x07\x01rest", b"\0\x01\x08\x01rest", b"\0\0\x08\x09rest", b"\x1f\x8b"]
)
def test_other_files_are_no_idx_files(tmp_path: Path, held: bytes) -> None:
    (tmp_path / "rows").write_bytes(held)
    assert not is_idx(tmp_path / "rows")
