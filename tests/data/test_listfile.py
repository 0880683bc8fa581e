"""List files: where paths are looked up, and which line is at fault."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from layerwise.data.source import open_source
from layerwise.errors import DataError

INPUTS = np.arange(12.0).reshape(4, 3)


@pytest.fixture
def folder(tmp_path):
    def write(name, **datasets):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with h5py.File(tmp_path / name, "w") as file:
            for key, value in datasets.items():
                file[key] = value

    write("lists/a.h5", data=INPUTS, label=np.zeros((4, 1)))
    write("b.h5", data=INPUTS + 100, label=np.ones((4, 1)))
    write("wide.h5", data=np.zeros((2, 5)))
    write("single.h5", data=INPUTS.astype(np.float32))
    (tmp_path / "broken.h5").write_text("junk")
    return tmp_path


def write_list(folder, text):
    (folder / "lists" / "train.txt").write_text(text)
    return folder / "lists" / "train.txt"


def test_looks_beside_the_list_first_then_in_the_working_directory(folder, monkeypatch):
    with h5py.File(folder / "a.h5", "w") as file:
        file["data"] = INPUTS - 100  # of the same name as one beside the list, which must win
    monkeypatch.chdir(folder)
    source = open_source(write_list(folder, "a.h5\n  b.h5  \n"))
    np.testing.assert_array_equal(source.read(0, 8), np.concatenate([INPUTS, INPUTS + 100]))


def test_reads_targets_of_every_file(folder):
    source = open_source(write_list(folder, f"a.h5\n{folder / 'b.h5'}"), kind="targets")
    assert source.read(2, 6).reshape(-1).tolist() == [0, 0, 1, 1]


def test_takes_a_data_set_per_line_and_a_name_for_all(folder):
    path = write_list(folder, "a.h5::data\n../b.h5::data\n")
    assert open_source(path).shape == (8, 3)
    assert open_source(path, name="label", kind="targets").shape == (8, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.h5\n\n# more\nc.h5\n", r"train\.txt, line 4: c\.h5 does not exist\nhint: .*looked up from"),
        ("a.h5\n../broken.h5\n", r"line 2: \.\./broken\.h5 is not an HDF5 file"),
        ("a.h5\n../wide.h5\n", r"line 2: .*rows of shape \(5,\), the files before it \(3,\)"),
        ("a.h5\n../single.h5\n", r"line 2: .*dtype float32, the files before it float64"),
        ("a.h5\n../b.h5::dta\n", r"line 2: .*no data set named 'dta'[^\n]*\nhint: did you mean 'data'"),
        ("# nothing yet\n", "lists no files"),
        ("\n \n", "lists no files"),
    ],
)
def test_names_the_line_at_fault(folder, text, message):
    with pytest.raises(DataError, match=message):
        open_source(write_list(folder, text))
