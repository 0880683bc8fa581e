"""Sparse rows in memory and in files are the same rows, tidied; what cannot be used is refused with its place."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse
import torch

from layerwise.data import source as source_module
from layerwise.data import sparse as sparse_module
from layerwise.data.source import Source, load_rows, open_source
from layerwise.data.sparse import SparseSource, dense_parts, load_sparse, sparse_tensor
from layerwise.errors import DataError

ROWS = np.random.default_rng(0).random((23, 40)) * (np.random.default_rng(1).random((23, 40)) < 0.15)
CSR = scipy.sparse.csr_array(ROWS)


def write_group(path: Path, name: str, matrix: scipy.sparse.csr_array, **attributes: object) -> Path:
    with h5py.File(path, "a") as file:
        group = file.require_group(name)
        for part in ("data", "indices", "indptr"):
            group[part] = getattr(matrix, part)
        group["shape"] = matrix.shape
        group.attrs.update(attributes)
    return path


def make_csr(_: Path) -> Source:
    return open_source(CSR)


def make_old_class(_: Path) -> Source:
    return open_source(scipy.sparse.csc_matrix(CSR))


def make_npz(folder: Path) -> Source:
    scipy.sparse.save_npz(folder / "rows.npz", scipy.sparse.coo_array(CSR))
    return open_source(folder / "rows.npz")


def make_hdf5(folder: Path) -> Source:
    return open_source(write_group(folder / "rows.h5", "/", CSR))


def make_named_group(folder: Path) -> Source:
    write_group(folder / "rows.h5", "other", CSR[:2])
    write_group(folder / "rows.h5", "some/rows", CSR)
    return open_source(f"{folder / 'rows.h5'}::some/rows")


def make_anndata(folder: Path) -> Source:
    """As AnnData writes its X: the shape is an attribute, and other data sets are there."""
    path = folder / "cells.h5ad"
    write_group(path, "X", CSR, **{"encoding-type": "csr_matrix"})
    with h5py.File(path, "a") as file:
        del file["X/shape"]
        file["X"].attrs["shape"] = CSR.shape
        file["obs/label"] = np.zeros(23)
    return open_source(path)


MAKERS = [make_csr, make_old_class, make_npz, make_hdf5, make_named_group, make_anndata]


@pytest.mark.parametrize("make", MAKERS)
class TestEverySparseSource:
    def test_is_a_source_of_csr_blocks(self, make, tmp_path):
        source = make(tmp_path)
        assert isinstance(source, Source)
        assert source.sparse and source.shape == ROWS.shape and source.dtype == np.float64
        for start, stop in [(0, 23), (0, 0), (3, 8), (22, 23), (23, 23)]:
            block = source.read(start, stop)
            assert isinstance(block, scipy.sparse.csr_array) and block.has_sorted_indices
            np.testing.assert_array_equal(block.toarray(), ROWS[start:stop])

    def test_refuses_rows_it_has_not(self, make, tmp_path):
        with pytest.raises(IndexError, match="it has 23"):
            make(tmp_path).read(3, 24)

    def test_survives_pickling(self, make, tmp_path):
        copy = pickle.loads(pickle.dumps(make(tmp_path)))
        np.testing.assert_array_equal(copy.read(1, 4).toarray(), ROWS[1:4])

    def test_loads_sparse_and_dense_alike(self, make, tmp_path, monkeypatch):
        monkeypatch.setattr(sparse_module, "BLOCK_ROWS", 5)
        source = make(tmp_path)
        np.testing.assert_array_equal(load_sparse(source, dtype=torch.float64).toarray(), ROWS)
        np.testing.assert_array_equal(load_rows(source, dtype=torch.float64).numpy(), ROWS)
        assert load_sparse(source).dtype == np.float32


def untidy() -> scipy.sparse.csr_array:
    """Row 0 has column 2 twice (200 + 100, beyond a byte) before column 1; row 1 a zero that is stored."""
    parts = np.array([200, 100, 7, 0], np.uint8), np.array([2, 2, 1, 0]), np.array([0, 3, 4])
    return scipy.sparse.csr_array(parts, shape=(2, 3))


def test_duplicates_are_summed_zeros_dropped_and_the_users_matrix_left_alone():
    mine = untidy()
    block = open_source(mine).read(0, 2)
    assert block.toarray().tolist() == [[0, 7, 300], [0, 0, 0]]
    assert block.nnz == 2 and block.indices.tolist() == [1, 2]
    assert mine.data.tolist() == [200, 100, 7, 0] and mine.indices.tolist() == [2, 2, 1, 0]


@pytest.mark.parametrize(
    ("bad", "said"), [(np.nan, "NaN"), (-np.inf, "-inf"), (1e300, r"1e\+300, too large for float32")]
)
def test_a_value_that_is_no_number_is_refused_with_its_place(bad, said, monkeypatch):
    monkeypatch.setattr(sparse_module, "BLOCK_ROWS", 2)
    rows = ROWS.copy()
    rows[3, 17] = bad
    with pytest.raises(DataError, match=f"inputs: row 3, column 17 is {said}"):
        load_sparse(open_source(scipy.sparse.csr_array(rows)))


def test_a_column_outside_the_matrix_is_refused(tmp_path):
    broken = CSR.copy()
    broken.indices[3] = 99
    with pytest.raises(DataError, match="no compressed sparse rows"):
        open_source(write_group(tmp_path / "rows.h5", "/", broken)).read(0, 5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda group: group.__delitem__("shape"), "does not say its shape"),
        (lambda group: group.attrs.update({"encoding-type": "csc_matrix"}), "expected rows"),
        (lambda group: group["indptr"].write_direct(np.flip(CSR.indptr).copy()), "indptr does not rise"),
        (lambda group: group["shape"].write_direct(np.array([24, 40])), "indptr does not rise"),
    ],
)
def test_a_group_that_is_no_csr_is_refused(tmp_path, change, said):
    path = write_group(tmp_path / "rows.h5", "rows", CSR)
    with h5py.File(path, "a") as file:
        change(file["rows"])
    with pytest.raises(DataError, match=said):
        open_source(path)


def test_a_dense_data_set_goes_before_a_group_with_no_usual_name(tmp_path):
    path = write_group(tmp_path / "rows.h5", "graph", CSR)
    with h5py.File(path, "a") as file:
        file["data"] = ROWS
    assert not open_source(path).sparse
    assert open_source(path, name="graph").sparse


def test_a_damaged_npz_of_a_sparse_matrix_is_refused(tmp_path):
    np.savez(tmp_path / "rows.npz", format=np.array("csr"), data=ROWS)
    with pytest.raises(DataError, match=r"no sparse matrix.*\nhint: .*save_npz"):
        open_source(tmp_path / "rows.npz")


def test_one_dimension_is_refused():
    with pytest.raises(DataError, match="two dimensions"):
        SparseSource(scipy.sparse.coo_array(np.array([1.0, 0.0])), "inputs")


def test_sparse_targets_are_refused():
    with pytest.raises(DataError, match=r"sparse matrix, expected a dense array\nhint: .*toarray"):
        open_source(CSR, kind="targets")


def test_rows_that_are_too_wide_to_be_dense_are_refused_where_dense_ones_are_needed(monkeypatch):
    monkeypatch.setattr(source_module, "DENSE_BYTES", 4 * 23 * 40 - 1)
    with pytest.raises(DataError, match=r"sparse rows of shape \(23, 40\).*\nhint: .*pretrain"):
        load_rows(open_source(CSR))


def test_dense_parts_cover_the_rows(monkeypatch):
    monkeypatch.setattr(sparse_module, "DENSE_ELEMENTS", 5 * 40 + 3)
    parts = list(dense_parts(sparse_tensor(CSR)))
    assert [len(part) for part in parts] == [5, 5, 5, 5, 3]
    np.testing.assert_array_equal(torch.cat(parts).numpy(), ROWS)
