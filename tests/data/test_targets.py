"""Labels of every type become codes; rows without one are marked; the rest is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from layerwise.data.source import open_source
from layerwise.data.targets import load_targets
from layerwise.errors import DataError


def load(labels, n_rows=None, **options):
    return load_targets(open_source(labels, kind="targets"), len(labels) if n_rows is None else n_rows, **options)


@pytest.mark.parametrize(
    ("labels", "codes", "classes"),
    [
        ([7, 3, 7, -1], [1, 0, 1, -1], [3, 7]),
        (np.array([7, 3, 255], np.uint8), [1, 0, 2], [3, 7, 255]),
        (np.array([[7.0], [3.0], [np.nan], [-1.0]], np.float32), [1, 0, -1, -1], [3, 7]),
        (np.array([2.0, 1.0], np.float16), [1, 0], [1, 2]),
        (torch.tensor([4, 2]), [1, 0], [2, 4]),
        ([-3, 0, -2], [0, 2, 1], [-3, -2, 0]),
        ([True, False], [1, 0], [False, True]),
        (["b", "a", None, "b"], [1, 0, -1, 1], ["a", "b"]),
        (["b", float("nan"), "a", -1], [1, -1, 0, -1], ["a", "b"]),
        ([1, None, 0, float("nan"), -1], [1, -1, 0, -1, -1], [0, 1]),
        (np.array([b"b", "ä".encode()]), [0, 1], ["b", "ä"]),
        (np.array(["b", "a"], object), [1, 0], ["a", "b"]),
        (["b", "-1", "a", " NA ", ""], [1, -1, 0, -1, -1], ["a", "b"]),
        (np.array(["b", "-1", "a", "nan", ""]), [1, -1, 0, -1, -1], ["a", "b"]),
        (np.array([b"b", b"-1", b"?"]), [0, -1, -1], ["b"]),
        (np.array(["b", pd.NA, "a"], object), [1, -1, 0], ["a", "b"]),
        (pd.Series([3, None, 5], dtype="Int64"), [0, -1, 1], [3, 5]),
    ],
)
def test_codes_and_classes(labels, codes, classes):
    found, names = load(labels)
    assert found.dtype == torch.int64
    assert found.tolist() == codes
    assert names.tolist() == classes


def test_text_in_a_file(tmp_path):
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["label"] = ["cat", "ant", "cat"]
        file["fixed"] = np.array([b"cat", b"ant", b"cat"])
    for name in ("label", "fixed"):
        source = open_source(tmp_path / "rows.h5", name=name, kind="targets")
        codes, classes = load_targets(source, 3)
        assert (codes.tolist(), classes.tolist()) == ([1, 0, 1], ["ant", "cat"])


def test_known_classes_number_other_labels_alike():
    codes, classes = load([9.0, 3.0, -1.0], classes=np.array([3, 5, 9]))
    assert codes.tolist() == [2, 0, -1]
    assert classes.tolist() == [3, 5, 9]


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([3, -1, 4], [3, 5], r"targets: row 2 has the label 4, which is none of the known classes: 3, 5"),
        (["cat", "ants"], ["ant", "cat"], r"row 1 has the label 'ants'[^\n]*\nhint: did you mean 'ant'"),
    ],
)
def test_labels_outside_the_known_classes(labels, classes, message):
    with pytest.raises(DataError, match=message):
        load(labels, classes=np.array(classes))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.0, 1.5], r"targets: row 1 has the label 1\.5, expected a whole number"),
        ([0.0, np.inf], "row 1 has the label inf"),
        ([0.0, 2.0**60], "row 1 has the label"),
        ([0, "a"], "row 1 has the label 'a', row 0 has 0: text and numbers are mixed"),
        (np.array([0, {}], object), r"row 1 has the label \{\} \(dict\)"),
        (np.array([b"a", b"\xff"]), "not UTF-8"),
        (np.zeros(2, complex), "complex128, expected whole numbers or text"),
        (np.array([0, 2**64 - 1], np.uint64), "does not fit"),
        ([[1, 0], [0, 1]], r"shape \(2, 2\), expected one label per row[^\n]*\nhint: .*argmax"),
        ([-1, -1], "no row is labelled"),
        ([1, -1, 1], r"the labels are 1 and -1[^\n]*\nhint: .*write it as 0"),
        (np.zeros(0), "has no rows"),
    ],
)
def test_refuses(labels, message):
    with pytest.raises(DataError, match=message):
        load(labels)


def test_names_both_lengths():
    with pytest.raises(DataError, match="targets has 3 labels, the inputs have 5 rows"):
        load([0, 1, 2], n_rows=5)
