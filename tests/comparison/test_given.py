"""What is handed to a comparison: where labels are, rows prepared by the training rows alone, rows that occur twice."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import layerwise as lw
from layerwise.comparison.given import open_given
from layerwise.comparison.rows import gather, gather_files, repeated_rows
from layerwise.data.targets import load_targets
from layerwise.errors import DataError
from layerwise.plan import DataPlan

N = 240


def churn(seed: int = 0) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    age = draws.normal(40, 10, N)
    table = pd.DataFrame(
        {"age": age, "city": draws.choice(["Ulm", "Bonn"], N), "churn": np.where(age > 40, "yes", "no")}
    ).astype({"churn": object})
    table.loc[draws.random(N) < 0.3, "churn"] = None
    table.loc[draws.random(N) < 0.1, "age"] = np.nan
    return table


def gathered(inputs: Any, targets: Any = "churn", **settings: Any) -> Any:
    words = {"name": "churn", "scale": "auto", "test": 0.25, "random_state": 0, **settings}
    return gather(inputs, targets, **words)


PARTS = ("inputs", "codes", "test_inputs", "test_codes")


def test_every_kind_of_table_gives_the_same_rows(tmp_path: Path) -> None:
    table = churn()
    table.to_csv(tmp_path / "rows.csv", index=False)
    table.to_parquet(tmp_path / "rows.parquet")
    table[:99].to_csv(tmp_path / "part-1.csv", index=False)
    table[99:].to_csv(tmp_path / "part-2.csv", index=False)
    expected = gathered(table)
    assert expected.classes == ("no", "yes") and expected.image_shape is None and expected.width == 4
    several = [tmp_path / "part-1.csv", tmp_path / "part-2.csv"]
    for given in (tmp_path / "rows.csv", tmp_path / "rows.parquet", pl.from_pandas(table), several):
        for part in PARTS:
            assert torch.equal(getattr(gathered(given), part), getattr(expected, part))
    for files in (str(tmp_path / "rows.csv"), str(tmp_path / "part-*.csv"), tuple(map(str, several))):
        found = gather_files(DataPlan(inputs=files, targets="churn", test=0.25), 0)
        assert torch.equal(found.inputs, expected.inputs) and torch.equal(found.test_codes, expected.test_codes)


def test_test_rows_say_nothing_of_how_rows_are_prepared() -> None:
    """Whatever the held-out rows are, the training rows come out the same."""
    table = churn()
    first = gathered(table)
    median = float(first.preparation.estimator.named_transformers_["numbers"]["impute"].statistics_[0])
    training = table.drop(index=_held(table))
    assert median == pytest.approx(training["age"].median())
    other = table.copy()
    other.loc[_held(table), "age"] = 1e5
    assert torch.equal(gathered(other).inputs, first.inputs)
    assert float(gathered(other).test_inputs[:, 0].min()) > 1000


def _held(table: pd.DataFrame) -> Any:
    marked = table.assign(row=np.arange(N, dtype=float))
    rows = gathered(marked, kinds={"row": "number"}, scale="none")
    return rows.test_inputs[:, rows.preparation.features.index("row")].long().numpy()


def test_test_rows_of_their_own_are_prepared_as_the_training_rows(tmp_path: Path) -> None:
    training, test = churn(), churn(1)
    rows = gathered(training, test=test[test.columns[::-1]])
    labelled = test["churn"].notna().to_numpy()
    expected = lw.Preparation.fit(training, target="churn").transform(test).read(0, N)[labelled]
    np.testing.assert_array_equal(rows.test_inputs.numpy(), expected)
    assert len(rows.inputs) == N and rows.test_codes.tolist() == [int(c == "yes") for c in test["churn"][labelled]]
    for name, table in (("train", training), ("test", test)):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    plan = DataPlan(inputs=str(tmp_path / "train.csv"), targets="churn", test=str(tmp_path / "test.csv"))
    assert torch.equal(gather_files(plan, 0).test_inputs, rows.test_inputs)
    others = gathered(training, pretrain_inputs=test.drop(columns="churn")).pretrain_inputs
    np.testing.assert_allclose(others.numpy(), gathered(training).preparation.transform(test).read(0, N))
    with pytest.raises(DataError, match="no column named 'churn'"):
        gathered(training, test=test.drop(columns="churn"))


def test_where_the_labels_are(tmp_path: Path) -> None:
    table = churn().rename(columns={"churn": "label"})
    codes = gathered(table, "label").codes
    labels = table["label"].to_numpy()
    pd.DataFrame({"label": labels}).to_csv(tmp_path / "labels.csv", index=False)
    rest = table.drop(columns="label")
    for inputs, targets in (
        (table, None),
        (rest, labels),
        (rest, str(tmp_path / "labels.csv")),
        (rest, table["label"]),
    ):
        rows = gathered(inputs, targets)
        assert torch.equal(rows.codes, codes) and rows.preparation.features[0] == "age" and rows.width == 4
    table.to_csv(tmp_path / "rows.csv", index=False)
    named = gathered(tmp_path / "rows.csv", f"{tmp_path}/rows.csv::label")
    assert torch.equal(named.codes, codes) and named.width == 4, "the target is no input"


def test_a_column_that_looks_like_the_target_among_the_inputs_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    table = churn().rename(columns={"churn": "label"})
    with caplog.at_level(logging.WARNING, logger="layerwise"):
        open_given(table, np.zeros(N))
    assert "column 'label' is taken as an input like the others; is it the target?" in caplog.text


def test_a_data_set_hands_over_its_targets_with_its_inputs() -> None:
    inputs, targets = torch.rand(60, 5), torch.arange(60) % 3
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=7, shuffle=True)
    given = open_given(loader, None)
    order = [int((inputs == torch.from_numpy(row)).all(1).nonzero()) for row in given.source.read(0, 60)]
    assert order != sorted(order) and given.targets.read(0, 60).tolist() == targets[order].tolist()
    assert load_targets(open_given(TensorDataset(inputs), targets).targets, 60)[0].tolist() == targets.tolist()
    with pytest.raises(DataError, match="items are inputs alone, without a target"):
        open_given(TensorDataset(inputs), None)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("chrun", r"no column named 'chrun'; it holds age, city, churn\nhint: did you mean 'churn'"),
        (None, r"no column is named as targets are; it holds age, city, churn\nhint: .*--target churn"),
        ("labels.csv", r"labels\.csv does not exist"),
    ],
)
def test_labels_that_are_not_there(targets: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        gathered(churn(), targets)
    with pytest.raises(DataError, match=r"the targets are 'churn', but inputs of type ndarray have no columns"):
        gathered(np.ones((3, 2)), "churn")


def test_arrays_stay_as_they_are_unless_asked() -> None:
    draws = np.random.default_rng(0)
    inputs, targets = draws.normal(size=(90, 4)) * 50, np.arange(90) % 3
    plain = gathered(inputs, targets)
    assert plain.preparation is None
    np.testing.assert_array_equal(np.sort(plain.inputs[:, 0]), np.sort(plain.inputs[:, 0]))
    assert set(plain.inputs[:, 0].tolist()) <= set(inputs[:, 0].astype(np.float32).tolist())
    scaled = gathered(inputs, targets, scale="standard")
    assert scaled.inputs.mean(0).abs().max() < 1e-6 and scaled.inputs.std(0, correction=0).sub(1).abs().max() < 1e-5
    holes = inputs.copy()
    holes[7, 2] = np.nan
    with pytest.raises(DataError, match=r"row 7, column 2 is NaN .*\nhint: .*--impute median"):
        gathered(holes, targets)
    assert gathered(holes, targets, impute="median").width in (4, 5)  # a mark where a training row has the gap
    with pytest.raises(DataError, match="kinds names 'a', but inputs has no columns with names"):
        gathered(inputs, targets, kinds={"a": "text"})
    images = inputs.reshape(90, 2, 2)
    with pytest.raises(DataError, match=r"rows of shape \(2, 2\), which can only be divided by a number"):
        gathered(images, targets, scale="standard", flat=False)


def test_test_rows_that_occur_in_training_are_counted_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    draws = np.random.default_rng(0)
    inputs, targets = draws.normal(size=(60, 3)), np.arange(60) % 2
    test = np.concatenate([inputs[:4], draws.normal(size=(6, 3))])
    with caplog.at_level(logging.WARNING, logger="layerwise"):
        rows = gathered(inputs, targets, test=(test, np.zeros(10, int)))
    assert rows.repeated == 4 and "4 of the 10 test rows occur among the training rows too" in caplog.text
    caplog.clear()
    assert gathered(inputs, targets).repeated == 0 and not caplog.text
    assert repeated_rows(torch.tensor([[0.0, 1.0]]), torch.tensor([[-0.0, 1.0]])) == 1


def test_a_comparison_of_a_frame_by_the_name_of_its_column(tmp_path: Path) -> None:
    found = lw.compare(
        churn(), "churn", network=(6,), budgets=[40], seeds=1, tune=False, baselines=["logistic regression"],
        run_dir=tmp_path / "run", scale="range", kinds={"city": "none"},
        settings={"pretrain": {"epochs": 1}, "finetune": {"epochs": 1}},
    )  # fmt: skip
    data = found.results["data"]
    assert (
        data["features"] == 2 and "scale range" in data["preparation"] and data["repeated_test_rows"] == 2
    )  # without an age
    recipe = (tmp_path / "run" / "recipe.toml").read_text()
    for line in ('inputs = "arrays"', 'targets = "churn"', 'scale = "range"', 'city = "none"'):
        assert line in recipe
