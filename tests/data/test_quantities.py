"""Targets that are quantities: what is read, what has no label, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from layerwise.data.quantities import load_quantities
from layerwise.data.source import open_source
from layerwise.errors import DataError


def read(targets: Any) -> tuple[list[Any], list[bool]]:
    values, labelled = load_quantities(open_source(targets, kind="targets"), len(targets))
    assert values.dtype == torch.float64
    return values.tolist(), labelled.tolist()


@pytest.mark.parametrize(
    "given", [[1, -1, 2], [1.0, -1.0, 2.0], torch.tensor([1, -1, 2]), np.array([[1], [-1], [2]], dtype=np.int8)]
)
def test_numbers_of_any_type(given: Any) -> None:
    assert read(given) == ([[1.0], [-1.0], [2.0]], [True] * 3)


def test_gaps_are_rows_without_a_label() -> None:
    assert read([None, 3, 4.5])[1] == read(np.array([np.nan, 3, 4.5]))[1] == [False, True, True]
    assert read(pd.Series([None, 3, 4], dtype="Int64"))[1] == [False, True, True]
    assert read(np.array([pd.NaT, 3, pd.NA], dtype=object))[1] == [False, True, False]
    assert read([[np.nan, np.nan], [0.0, 1.0]])[1] == [False, True]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((2, 2, 2)), "shape"),
        (["a", "b"], "expected numbers"),
        ([1.0, np.inf], r"row 1 has an infinite target \(output 0\)"),
        ([[1.0, 2.0], [3.0, np.nan]], r"row 1 has a gap \(output 1\)"),
        ([np.nan, np.nan], "no row is labelled"),
        (np.array(["2024-02-29", "NaT"], "M8[ns]"), r"holds dates \(.*expected numbers\nhint: .*days since a date"),
        (np.array([1, 2], "m8[s]"), r"holds durations \(.*expected numbers\nhint: .*for example days, NaN"),
    ],
)
def test_refusals(given: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(given)


def test_as_many_as_rows() -> None:
    with pytest.raises(DataError, match="2 targets, the inputs have 3 rows"):
        load_quantities(open_source([1.0, 2.0], kind="targets"), 3)
