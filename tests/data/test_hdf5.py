"""Which data set of an HDF5 file is meant."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from layerwise.data.hdf5 import CONVENTIONAL, split_path
from layerwise.data.source import open_source
from layerwise.errors import DataError

INPUTS = np.arange(12.0).reshape(4, 3)
LABELS = np.array([0, 1, 1, 0])


@pytest.fixture
def write(tmp_path):
    def make(**datasets):
        with h5py.File(tmp_path / "rows.h5", "w") as file:
            for name, value in datasets.items():
                file[name.replace("__", "/")] = value
        return tmp_path / "rows.h5"

    return make


@pytest.mark.parametrize("name", CONVENTIONAL["inputs"])
def test_finds_inputs_by_convention(write, name):
    path = write(**{name: INPUTS, "other": INPUTS + 1, "label": LABELS})
    np.testing.assert_array_equal(open_source(path).read(0, 4), INPUTS)


@pytest.mark.parametrize("name", CONVENTIONAL["targets"])
def test_finds_targets_by_convention(write, name):
    path = write(**{name: LABELS, "weight": LABELS + 1, "rows": INPUTS})
    np.testing.assert_array_equal(open_source(path, kind="targets").read(0, 4), LABELS)


def test_finds_the_only_one_that_fits(write):
    path = write(pixels=INPUTS, digit=LABELS.reshape(-1, 1).astype("S1"))
    assert open_source(path).shape == (4, 3)
    assert open_source(path, name="digit", kind="targets").shape == (4, 1)


def test_finds_within_a_group(write):
    path = write(train__data=INPUTS, train__label=LABELS, test__data=INPUTS[:1], test__label=LABELS[:1])
    assert open_source(f"{path}::test").shape == (1, 3)
    assert open_source(path, name="train", kind="targets").shape == (4,)
    assert open_source(f"{path}::train/data").name == f"{path}::train/data"


def test_a_name_wins_over_the_path(write):
    path = write(data=INPUTS, label=LABELS, digit=LABELS)
    assert open_source(f"{path}::data", name="digit", kind="targets").shape == (4,)


def test_says_what_the_file_holds_when_several_fit(write):
    path = write(train__data=INPUTS, test__data=INPUTS)
    with pytest.raises(DataError, match=r"several data sets could be the inputs; it holds test/data \(4, 3\) float64"):
        open_source(path)


def test_says_what_the_file_holds_when_none_fits(write):
    with pytest.raises(DataError, match=r"no data set could be the targets; it holds data \(4, 3\) float64"):
        open_source(write(data=INPUTS), kind="targets")
    with pytest.raises(DataError, match="it holds no data sets"):
        open_source(write())


@pytest.mark.parametrize("wrong", ["dat", "trian/data", "train/dta"])
def test_hints_at_the_nearest_name(write, wrong):
    path = write(train__data=INPUTS, label=LABELS)
    with pytest.raises(DataError, match=rf"no data set named '{wrong}'[^\n]*\nhint: did you mean 'train/data'"):
        open_source(path, name=wrong)


def test_refuses_a_data_set_of_the_wrong_shape(write):
    path = write(label=LABELS, one=3.0)
    with pytest.raises(DataError, match=r"rows\.h5::label has one dimension"):
        open_source(path, name="label")
    with pytest.raises(DataError, match=r"rows\.h5::one is a single value"):
        open_source(path, name="one", kind="targets")


def test_a_later_change_of_folder_does_not_lose_the_file(write, tmp_path, monkeypatch):
    write(data=INPUTS)
    monkeypatch.chdir(tmp_path)
    source = open_source("rows.h5")
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(source.read(1, 3), INPUTS[1:3])


def test_the_file_may_be_written_between_reads(write):
    path = write(data=INPUTS)
    source = open_source(path)
    source.read(0, 1)
    with h5py.File(path, "r+") as file:
        file["data"][0] = 9.0
    assert source.read(0, 1).tolist() == [[9.0, 9.0, 9.0]]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.h5", ("a.h5", None)),
        ("a.h5::x", ("a.h5", "x")),
        ("a.h5::", ("a.h5", None)),
        ("::x", ("::x", None)),
    ],
)
def test_split_path(text, parts):
    assert split_path(text) == parts
