"""Targets as people give them: every mark of a row without a label, every type of label, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from layerwise.errors import DataError
from layerwise.estimators.labels import classes_of, codes_of, labels_of, quantities_of

GIVEN = {
    "whole": (np.array([2, -1, 0]), [2, 0]),
    "list": ([2, None, 0], [2, 0]),
    "float": (np.array([2.0, np.nan, 0.0]), [2.0, 0.0]),
    "float marked": (np.array([2.0, -1.0, 0.0]), [2.0, 0.0]),
    "text": (["b", None, "a"], ["b", "a"]),
    "text and NaN": (np.array(["b", np.nan, "a"], dtype=object), ["b", "a"]),
    "text and -1": (np.array(["b", -1, "a"], dtype=object), ["b", "a"]),
    "a list of text and NaN": (["b", float("nan"), "a"], ["b", "a"]),
    "a list of text and -1": (["b", -1, "a"], ["b", "a"]),
    "truth": ([True, None, False], [True, False]),
    "tensor": (torch.tensor([2, -1, 0]), [2, 0]),
    "pandas": (pd.Series(["b", None, "a"]), ["b", "a"]),
    "pandas category": (pd.Series(["b", None, "a"], dtype="category"), ["b", "a"]),
    "pandas whole": (pd.Series([2, None, 0], dtype="Int64"), [2, 0]),
    "polars": (pl.Series([2, None, 0]), [2, 0]),
    "polars text": (pl.Series(["b", None, "a"]), ["b", "a"]),
}


@pytest.mark.parametrize("name", GIVEN)
def test_every_mark_and_type(name: str) -> None:
    given, wanted = GIVEN[name]
    labels, labelled = labels_of("it", given, -1)
    assert labels.tolist() == wanted and labelled.tolist() == [True, False, True]
    classes = classes_of(labels, labelled, -1)
    assert classes.tolist() == sorted(wanted)
    codes = codes_of(labels, labelled, classes)
    assert codes.tolist() == [1, -1, 0]


def test_a_mark_of_ones_own_and_none() -> None:
    assert labels_of("it", ["?", "a", "b"], "?")[1].tolist() == [False, True, True]
    assert labels_of("it", [9, 1, -1], 9)[1].tolist() == [False, True, True]
    assert labels_of("it", [-1, 1, 1], None)[1].tolist() == [True] * 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "requires y to be passed, but the target y is None"),
        ([-1, None], "none of 2 rows is labelled"),
        (["a", 3, None], "text and numbers are mixed"),
        (["a", 3], "text and numbers are mixed"),
        (np.array(["b", np.nan, "a"]), r"(?s)row 1 is the text 'nan'.*dtype=object"),
        (np.array(["b", "a", -1]), "row 2 is the text '-1'"),
        ([0.5, 1.25, 2.0], "(?s)continuous.*hint: LayerwiseRegressor"),
        ([1, -1, 1, -1], "(?s)1 and -1.*hint: set unlabeled=None"),
        ([1.0, -1.0], "unlabeled=None"),
        (["a", "a", None], "one class|have the class a"),
    ],
)
def test_refusals(given: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        classes_of(*labels_of("it", given, -1), -1)


def test_marks_among_the_named_classes_are_no_classes() -> None:
    assert classes_of(np.array([1]), np.array([True]), -1, [-1, 0, 1]).tolist() == [0, 1]
    assert classes_of(np.array(["a"]), np.array([True]), -1, ["b", None, "a"]).tolist() == ["a", "b"]
    assert classes_of(np.array([1]), np.array([True]), None, [-1, 1]).tolist() == [-1, 1]
    assert labels_of("it", np.array(["nan", "a"]), "nan")[1].tolist() == [False, True]


def test_a_label_of_no_class_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"(?s)'hamm'.*did you mean 'ham'"):
        codes_of(np.array(["hamm"]), np.array([True]), np.array(["ham", "spam"]))
    with pytest.raises(DataError, match=r"partial_fit\(X, y, classes=...\)"):
        codes_of(np.array([7]), np.array([True]), np.array([0, 1]))


def test_quantities_keep_minus_1_and_say_whether_they_came_in_columns() -> None:
    values, columns = quantities_of("it", pd.Series([1.5, np.nan, -1.0]))
    np.testing.assert_array_equal(values, [[1.5], [np.nan], [-1.0]])
    assert not columns and quantities_of("it", [[1.5, 2.0]])[1]
    with pytest.raises(DataError, match="the target y is None"):
        quantities_of("it", None)
