"""The preparation's file: every transformer that a preparation is made of comes back, and nothing else is read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import layerwise as lw
from churn_table import churn_rows, write_csv
from layerwise.models.estimator import read_estimator, written_estimator
from layerwise.preparation.preparation import Preparation

WAYS: list[dict[str, Any]] = [
    {}, {"impute": "mean", "scale": "range"}, {"impute": "most_frequent", "scale": "quantile"},
    {"impute": "zero", "encode": "ordinal", "scale": "none"}, {"scale": 10.0},
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_preparation_comes_back(way: dict[str, Any], table: Path, tmp_path: Path) -> None:
    fitted = Preparation.fit(table, target="churn", **way)
    file = tmp_path / "preparation.skops"
    file.write_bytes(written_estimator(fitted.estimator))
    again = Preparation.from_parts(fitted.schema(), read_estimator(file))
    others = write_csv(tmp_path / "others.csv", churn_rows(40, seed=1))
    assert np.array_equal(again.transform(others).read(0, 40), fitted.transform(others).read(0, 40))


def shout(rows: np.ndarray) -> np.ndarray:
    raise AssertionError("code of the file was run")


def test_code_of_others_is_refused_and_not_run(tmp_path: Path) -> None:
    file = tmp_path / "preparation.skops"
    harmful = ColumnTransformer([("harm", FunctionTransformer(shout), [0])])
    file.write_bytes(skops.io.dumps(harmful))
    with pytest.raises(lw.LayerwiseError, match="shout, which is none of scikit-learn's own types"):
        read_estimator(file)


def test_what_is_no_transformer_of_columns_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "preparation.skops"
    file.write_bytes(skops.io.dumps(StandardScaler()))
    with pytest.raises(lw.LayerwiseError, match="holds a StandardScaler, expected a ColumnTransformer"):
        read_estimator(file)
    file.write_bytes(b"PK nothing")
    with pytest.raises(lw.LayerwiseError, match="cannot be read"):
        read_estimator(file)


def test_without_skops_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from layerwise.models.estimator import check_skops

    monkeypatch.setitem(sys.modules, "skops", None)
    with pytest.raises(lw.LayerwiseError, match="skops, which is not installed") as raised:
        check_skops()
    assert "pip install skops (in a checkout: pip install -c constraints.txt '.[tables]')" in raised.value.hint
