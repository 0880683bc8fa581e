"""Every kind of source answers the same questions the same way; everything else is refused with a cure."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from layerwise import Preparation
from layerwise.data import source as source_module
from layerwise.data.dataset import spool
from layerwise.data.source import Source, blocks, load_rows, open_source
from layerwise.errors import DataError

ROWS = np.random.default_rng(0).random((23, 28 * 28)).astype(np.float32)


def write(path: Path, **datasets: object) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name.replace("__", "/")] = value
    return path


def make_array(_: Path) -> tuple[Source, np.ndarray]:
    return open_source(ROWS), ROWS


def make_list(_: Path) -> tuple[Source, np.ndarray]:
    return open_source(ROWS[:5].tolist()), ROWS[:5].astype(np.float64)


def make_tensor(_: Path) -> tuple[Source, np.ndarray]:
    return open_source(torch.from_numpy(ROWS).requires_grad_()), ROWS


def make_hdf5(folder: Path) -> tuple[Source, np.ndarray]:
    with h5py.File(folder / "rows.h5", "w") as file:
        file.create_dataset("data", data=ROWS, chunks=(7, 100), compression="gzip")
    return open_source(folder / "rows.h5"), ROWS


def make_images(folder: Path) -> tuple[Source, np.ndarray]:
    images = ROWS.reshape(-1, 1, 28, 28)
    return open_source(str(write(folder / "images.h5", data=images))), images


def make_list_file(folder: Path) -> tuple[Source, np.ndarray]:
    for part, rows in enumerate(np.split(ROWS, [4, 11])):
        write(folder / f"{part}.h5", data=rows, label=np.zeros(len(rows)))
    (folder / "train.txt").write_text("# three files\n0.h5\n\n1.h5\n2.h5\n")
    return open_source(folder / "train.txt"), ROWS


def make_npy(folder: Path) -> tuple[Source, np.ndarray]:
    np.save(folder / "rows.npy", ROWS)
    return open_source(folder / "rows.npy"), ROWS


def make_npz(folder: Path) -> tuple[Source, np.ndarray]:
    np.savez_compressed(folder / "rows.npz", label=np.zeros(23), data=ROWS)
    return open_source(folder / "rows.npz"), ROWS


def write_idx(path: Path, rows: np.ndarray, code: int) -> Path:
    head = bytes([0, 0, code, rows.ndim]) + np.array(rows.shape, ">u4").tobytes()
    body = head + rows.tobytes()
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
    return path


def make_idx(folder: Path) -> tuple[Source, np.ndarray]:
    pixels = np.rint(ROWS.reshape(-1, 28, 28) * 255).astype(np.uint8)
    return open_source(write_idx(folder / "rows-idx3-ubyte", pixels, 8)), pixels


def make_packed_idx(folder: Path) -> tuple[Source, np.ndarray]:
    return open_source(write_idx(folder / "rows.idx.gz", ROWS.astype(">f4"), 13)), ROWS.astype(">f4")


FEW = ROWS[:, :12].astype(np.float64)
NAMED = {f"c{number}": column for number, column in enumerate(FEW.T)}


def make_csv(folder: Path) -> tuple[Source, np.ndarray]:
    pl.DataFrame(NAMED).write_csv(folder / "rows.csv")
    return open_source(folder / "rows.csv"), FEW


def make_tsv(folder: Path) -> tuple[Source, np.ndarray]:
    text = pl.DataFrame(NAMED).write_csv(separator="\t")
    (folder / "rows.tsv.gz").write_bytes(gzip.compress(text.encode()))
    return open_source(folder / "rows.tsv.gz"), FEW


def make_parquet(folder: Path) -> tuple[Source, np.ndarray]:
    pd.DataFrame(NAMED).to_parquet(folder / "rows.parquet", row_group_size=5)
    return open_source(folder / "rows.parquet"), FEW


def make_pandas(_: Path) -> tuple[Source, np.ndarray]:
    # an index of its own is no column
    return open_source(pd.DataFrame(NAMED, index=[f"row {n}" for n in range(23)])), FEW


def make_polars(_: Path) -> tuple[Source, np.ndarray]:
    return open_source(pl.DataFrame(NAMED)), FEW


def make_several_csv(folder: Path) -> tuple[Source, np.ndarray]:
    frame = pl.DataFrame(NAMED)
    frame[:9].write_csv(folder / "part-1.csv")
    frame[9:].select(frame.columns[::-1]).write_csv(folder / "part-2.csv")  # in another order
    return open_source(f"{folder}/part-*.csv"), FEW


def make_several_npy(folder: Path) -> tuple[Source, np.ndarray]:
    for part, rows in enumerate(np.split(ROWS, [4, 11])):
        np.save(folder / f"{part}.npy", rows)
    return open_source([folder / f"{part}.npy" for part in range(3)]), ROWS


def make_dataset(_: Path) -> tuple[Source, np.ndarray]:
    return open_source(TensorDataset(torch.from_numpy(ROWS), torch.arange(23))), ROWS


def make_loader(_: Path) -> tuple[Source, np.ndarray]:
    """Beyond what is kept in memory."""
    loader = DataLoader(TensorDataset(torch.from_numpy(ROWS)), batch_size=5)
    return spool(loader, limit=6 * ROWS[0].nbytes)[0], ROWS


def make_prepared(_: Path) -> tuple[Source, np.ndarray]:
    return Preparation.fit(ROWS, impute="median").transform(ROWS), ROWS


MAKERS = [
    make_array, make_list, make_tensor, make_hdf5, make_images, make_list_file, make_npy, make_npz, make_idx,
    make_packed_idx, make_csv, make_tsv, make_parquet, make_pandas, make_polars, make_several_csv, make_several_npy,
    make_dataset, make_loader, make_prepared,
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
class TestEverySource:
    def test_shape_and_dtype(self, make, tmp_path):
        source, expected = make(tmp_path)
        assert isinstance(source, Source)
        assert source.shape == expected.shape
        assert source.dtype == expected.dtype
        assert source.sparse is False

    def test_reads_all_rows(self, make, tmp_path):
        source, expected = make(tmp_path)
        np.testing.assert_array_equal(source.read(0, len(expected)), expected)

    @pytest.mark.parametrize("size", [1, 3, 5])
    def test_reads_blocks(self, make, tmp_path, size):
        source, expected = make(tmp_path)
        starts = range(0, len(expected), size)
        read = [source.read(start, min(start + size, len(expected))) for start in starts]
        np.testing.assert_array_equal(np.concatenate(read), expected)

    def test_reads_an_empty_block_at_each_end(self, make, tmp_path):
        source, expected = make(tmp_path)
        for at in (0, len(expected)):
            assert source.read(at, at).shape == (0, *expected.shape[1:])

    @pytest.mark.parametrize(("start", "beyond"), [(-1, 0), (0, 1), (3, -99)])
    def test_refuses_rows_it_has_not(self, make, tmp_path, start, beyond):
        source, expected = make(tmp_path)
        with pytest.raises(IndexError, match=f"it has {len(expected)}"):
            source.read(start, len(expected) + beyond)

    def test_survives_pickling(self, make, tmp_path):
        source, expected = make(tmp_path)
        copy = pickle.loads(pickle.dumps(source))
        np.testing.assert_array_equal(copy.read(1, 4), expected[1:4])

    def test_loads_scaled_in_blocks(self, make, tmp_path, monkeypatch):
        source, expected = make(tmp_path)
        monkeypatch.setattr(source_module.blocks, "__defaults__", (2 * expected[0].nbytes,))
        assert len(list(blocks(source))) == -(-len(expected) // 2)
        rows = load_rows(source, scale=4.0)
        assert rows.dtype == torch.float32
        np.testing.assert_array_equal(rows.numpy(), expected.astype(np.float32) / 4)

    def test_is_returned_as_it_is(self, make, tmp_path):
        source, _ = make(tmp_path)
        assert open_source(source) is source


def test_load_rows_leaves_the_users_array_alone():
    mine = ROWS.copy()
    load_rows(open_source(mine), scale=2.0)
    np.testing.assert_array_equal(mine, ROWS)


def test_load_rows_takes_read_only_reversed_and_big_endian_arrays():
    awkward = ROWS[::-1].astype(">f4")
    awkward.setflags(write=False)
    np.testing.assert_array_equal(load_rows(open_source(awkward)).numpy(), ROWS[::-1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_load_rows_in_other_dtypes(dtype):
    assert torch.equal(load_rows(open_source(ROWS), dtype=dtype), torch.from_numpy(ROWS).to(dtype))


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_names_the_first_value_that_is_not_finite(value, word, monkeypatch):
    monkeypatch.setattr(source_module.blocks, "__defaults__", (4 * ROWS[0].nbytes,))
    bad = ROWS.copy()
    bad[17, 5] = bad[17, 600] = bad[20, 0] = value
    with pytest.raises(DataError, match=rf"inputs: row 17, column 5 is {word} .*\n.*SimpleImputer"):
        load_rows(open_source(bad))


def test_names_a_value_too_large_for_the_dtype():
    with pytest.raises(DataError, match=r"row 1, column 0 is 1e\+300, too large for torch.float32"):
        load_rows(open_source([[1.0], [1e300]]))


@pytest.mark.parametrize("scale", [0, -1.0, float("nan")])
def test_refuses_a_scale_that_is_not_positive(scale):
    with pytest.raises(DataError, match="expected a number above 0"):
        load_rows(open_source(ROWS), scale=scale)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((0, 3)), r"has no rows \(shape \(0, 3\)\)"),
        (np.zeros((3, 0)), "has no columns"),
        (np.zeros(3), r"one dimension \(shape \(3,\)\)[^\n]*\nhint: use .reshape\(-1, 1\)"),
        (np.zeros((2, 2), complex), "complex numbers"),
        (np.array([["1", "b"]]), r"holds text \(<U1\), at row 0, column 1 'b' .*expected numbers\nhint: give a frame"),
        (np.array([["1", "2"]]), "holds text .*though all of it can be read as numbers"),
        (np.array([[1, 2], [3, None]], object), r"row 1, column 1 None[^\n]*\nhint: [^\n]*astype\(float\)"),
        (np.zeros((2, 2), "M8[D]"), "dates or times"),
        ([[1, 2], [3]], "cannot be read as an array"),
        (7, "int 7, expected an array"),
        (None, "NoneType None, expected an array"),
        (torch.eye(3).to_sparse(), "sparse tensor"),
        (np.ma.masked_equal([[1, 2]], 2), "masked"),
    ],
)
def test_refuses_rows_it_cannot_use(rows, message):
    with pytest.raises(DataError, match=message):
        open_source(rows)


def test_refuses_a_data_set_name_for_an_array():
    with pytest.raises(DataError, match="name='data' chooses a data set of a file"):
        open_source(ROWS, name="data")


def test_takes_bfloat16_tensors():
    tensor = torch.from_numpy(ROWS).bfloat16()
    assert torch.equal(load_rows(open_source(tensor)), tensor.float())


class TestFiles:
    def test_missing_file_with_a_near_name(self, tmp_path):
        write(tmp_path / "digits.h5", data=ROWS)
        with pytest.raises(DataError, match=r"digit\.h5 does not exist\nhint: did you mean .*digits\.h5"):
            open_source(tmp_path / "digit.h5")

    def test_missing_folder(self, tmp_path):
        with pytest.raises(DataError, match="there is no folder"):
            open_source(tmp_path / "nowhere" / "digits.h5")

    def test_folder(self, tmp_path):
        write(tmp_path / "digits.h5", data=ROWS)
        with pytest.raises(DataError, match=r"is a folder[^\n]*\nhint: .*digits\.h5"):
            open_source(tmp_path)

    def test_empty_file(self, tmp_path):
        (tmp_path / "digits.h5").touch()
        with pytest.raises(DataError, match=r"digits\.h5 is empty"):
            open_source(tmp_path / "digits.h5")

    @pytest.mark.parametrize(
        "junk", [b"\x00\x01\x02 junk", b"\xff\xfe\xfa", b"hello, world", b"x" * 9000, b"1,2\n3,4\n"]
    )
    def test_junk(self, tmp_path, junk):
        (tmp_path / "junk.bin").write_bytes(junk)
        with pytest.raises(DataError, match="neither an HDF5 file nor a list"):
            open_source(tmp_path / "junk.bin")

    def test_text_that_is_no_path(self):
        with pytest.raises(DataError, match="does not exist"):
            open_source("1,2,3\n" * 1000)

    @pytest.mark.parametrize("kept", [64, 600])
    def test_hdf5_file_cut_short(self, tmp_path, kept):
        whole = write(tmp_path / "whole.h5", data=ROWS)
        (tmp_path / "cut.h5").write_bytes(whole.read_bytes()[:kept])
        with pytest.raises(DataError, match="HDF5 file cannot be read"):
            open_source(tmp_path / "cut.h5")

    def test_rows_damaged_later(self, tmp_path):
        with h5py.File(tmp_path / "rows.h5", "w") as file:
            file.create_dataset("data", data=ROWS, chunks=True, compression="gzip")
        source = open_source(tmp_path / "rows.h5")
        held = (tmp_path / "rows.h5").read_bytes()
        (tmp_path / "rows.h5").write_bytes(held[: len(held) // 2] + bytes(len(held) - len(held) // 2))
        with pytest.raises(DataError, match="HDF5 file cannot be read"):
            load_rows(source)

    @pytest.mark.parametrize("suffix", [".xlsx", ".feather"])
    def test_formats_that_are_not_read(self, tmp_path, suffix):
        (tmp_path / f"rows{suffix}").write_text("1,2\n")
        with pytest.raises(DataError, match=rf"\{suffix} files cannot be read, only HDF5.*\nhint: write a CSV or"):
            open_source(tmp_path / f"rows{suffix}")
