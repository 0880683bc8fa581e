"""A preparation: against pandas and NumPy by hand, of training rows alone, the same for every kind of table."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import skops.io
import torch
from sklearn.preprocessing import QuantileTransformer
from torch import nn

from layerwise import DenoisingAutoencoder, Preparation, SwapNoise, pretrain
from layerwise.data.source import load_rows, open_source
from layerwise.errors import DataError
from layerwise.preparation import matrix as module
from layerwise.preparation.preparation import TRUSTED

N = 200
TRAINING = np.arange(0, N, 2)


def frame(seed: int = 0) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    age = pd.Series(draws.normal(40, 10, N)).mask(draws.random(N) < 0.2)
    city = pd.Series(draws.choice(["Ulm", "Bonn", "Köln"], N)).mask(draws.random(N) < 0.1)
    member = pd.Series(draws.random(N) < 0.7, dtype="boolean").mask(draws.random(N) < 0.1)
    joined = pd.Timestamp("2020-01-01") + pd.to_timedelta(draws.integers(0, 900, N), unit="D")
    income = draws.lognormal(8, 1, N)
    return pd.DataFrame({"age": age, "city": city, "member": member, "joined": joined, "income": income})


def by_hand(table: pd.DataFrame, training: np.ndarray) -> dict[str, np.ndarray]:
    """The defaults, in pandas: medians, means and deviations of the training rows."""

    def numbers(column: pd.Series) -> np.ndarray:
        filled = column.fillna(column[training].median())
        return ((filled - filled[training].mean()) / filled[training].std(ddof=0)).to_numpy()

    days = (table["joined"] - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    member = table["member"].astype("Float64")
    found = {"age": numbers(table["age"]), "income": numbers(table["income"]), "joined": numbers(days)}
    found |= {f"{name} (missing)": table[name].isna().to_numpy() for name in ("age", "member")}
    found["member"] = member.fillna(member[training].mode()[0]).to_numpy(float)
    for city in ("Bonn", "Köln", "Ulm"):
        found[f"city={city}"] = (table["city"] == city).to_numpy()
    return found | {"city=(missing)": table["city"].isna().to_numpy()}


def test_equals_pandas_with_what_the_training_rows_say() -> None:
    table = frame()
    prepared = Preparation.fit(table, rows=TRAINING)
    expected = by_hand(table, TRAINING)
    assert set(prepared.features) == set(expected) and len(prepared.features) == 10
    rows = prepared.transform(table).read(0, N)
    assert rows.dtype == np.float32
    for place, name in enumerate(prepared.features):
        np.testing.assert_allclose(rows[:, place], expected[name].astype(float), atol=2e-6, err_msg=name)


def test_other_rows_change_nothing_of_what_the_training_rows_say() -> None:
    table, other = frame(), frame()
    held = np.setdiff1d(np.arange(N), TRAINING)
    other.loc[held, "age"] = 1e6
    other.loc[held, "city"] = "Nowhere"
    other.loc[held, "income"] = np.nan
    first, second = (Preparation.fit(rows, rows=TRAINING) for rows in (table, other))
    assert first.schema() == second.schema()
    np.testing.assert_array_equal(first.transform(table).read(0, N), second.transform(table).read(0, N))
    rows = second.transform(other).read(0, N)[held]
    assert not rows[:, [name.startswith("city=") for name in first.features]].any(), "an unknown level is all 0"
    assert (rows[:, first.features.index("income")] != 0).all() and np.isfinite(rows).all(), "a new gap is filled"


IMPUTED = {"median": np.nanmedian, "mean": np.nanmean, "zero": lambda values: 0.0, "most_frequent": lambda values: 2.0}


@pytest.mark.parametrize("impute", IMPUTED)
def test_what_stands_where_a_number_is_missing(impute: Any) -> None:
    values = np.array([[2.0], [2.0], [3.0], [9.0], [np.nan]])
    prepared = Preparation.fit(values, impute=impute)
    assert prepared.features == ("0", "0 (missing)")
    np.testing.assert_allclose(prepared.transform(values).read(4, 5), [[IMPUTED[impute](values), 1.0]])


def test_scales() -> None:
    table = frame()[["income"]]
    income = table["income"].to_numpy()
    quantile = QuantileTransformer(n_quantiles=len(TRAINING), output_distribution="normal").fit(income[TRAINING, None])
    low, high = income[TRAINING].min(), income[TRAINING].max()
    expected = {
        "standard": (income - income[TRAINING].mean()) / income[TRAINING].std(),
        "range": np.clip((income - low) / (high - low), 0, 1),
        "quantile": quantile.transform(income[:, None])[:, 0],
        "none": income,
        1000.0: income / 1000,
    }
    for scale, values in expected.items():
        rows = Preparation.fit(table, rows=TRAINING, scale=scale).transform(table).read(0, N)  # type: ignore[arg-type]
        np.testing.assert_allclose(rows[:, 0], values, rtol=2e-6, atol=1e-6, err_msg=str(scale))
    with pytest.raises(DataError, match="scale is 0, expected a number above 0"):
        Preparation.fit(table, scale=0)


def test_auto_leaves_numbers_in_0_to_1_and_arrays_as_they_are() -> None:
    unit = pd.DataFrame({"a": np.linspace(0, 1, 50), "b": np.linspace(0.2, 0.9, 50)})
    assert Preparation.fit(unit).choices.scale == "none" and Preparation.fit(unit * 2).choices.scale == "standard"
    rows = np.random.default_rng(0).normal(size=(9, 4))
    np.testing.assert_array_equal(Preparation.fit(rows).transform(rows).read(0, 9), rows.astype(np.float32))
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_allclose(Preparation.fit(pixels).transform(pixels).read(0, 3), pixels / 255, rtol=1e-6)


def test_ordinal_text_is_one_column_of_numbers() -> None:
    table = pd.DataFrame({"size": ["S", "M", "L", "M", None, "S", "L", "odd"] * 3})
    prepared = Preparation.fit(table, encode="ordinal", scale="none", rows=np.arange(7))
    assert prepared.columns[0].levels == ("L", "M", "S") and prepared.features == ("size", "size (missing)")
    assert prepared.transform(table).read(0, 8)[:, 0].tolist() == [2, 1, 0, 1, 1, 2, 0, 3]


def test_rare_levels_are_pooled_and_new_ones_are_of_the_pool() -> None:
    table = pd.DataFrame({"t": ["a"] * 10 + ["b"] * 10 + ["once", "alone"]})
    prepared = Preparation.fit(table)
    assert prepared.features == ("t=a", "t=b", "t=(rare)")
    new = pd.DataFrame({"t": ["once", "never seen", "a", None]})
    assert prepared.transform(new).read(0, 4).tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_the_most_frequent_levels_are_told_apart() -> None:
    levels = [f"level {number:03}" for number in range(150) for _ in range(2 + number)]
    columns = Preparation.fit(pd.DataFrame({"t": levels})).columns
    assert columns[0].levels == tuple(f"level {number:03}" for number in range(50, 150))


def test_columns_of_no_use_are_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    table = frame()
    table["id"], table["row"], table["k"], table["gap"] = [f"c{n}" for n in range(N)], np.arange(N), 3, np.nan
    table["half"] = np.where(np.arange(N) < 9, 3.0, np.nan)  # constant but for the gaps, which say something
    with caplog.at_level(logging.WARNING, logger="layerwise"):
        prepared = Preparation.fit(table, rows=TRAINING)
    another = "another value in every row"
    assert prepared.left_out == {"id": another, "row": another, "k": "constant", "gap": "all missing"}
    assert "left out: id (another value in every row), row (another value in every row), k (constant)" in caplog.text
    assert "half (missing)" in prepared.features and "income" in prepared.features
    kept = Preparation.fit(table, rows=TRAINING, kinds={"row": "number", "age": "none"})
    assert "row" in kept.features and kept.left_out["age"] == "not wanted" and "age" not in kept.features


def test_kinds_say_what_columns_are() -> None:
    table = pd.DataFrame({"zip": [89073, 53111] * 5, "mark": ["1", "2.5"] * 5})
    prepared = Preparation.fit(table, kinds={"zip": "text", "mark": "number"}, scale="none")
    assert prepared.features == ("mark", "zip=53111", "zip=89073")
    assert prepared.transform(table).read(0, 2).tolist() == [[1, 0, 1], [2.5, 1, 0]]
    with pytest.raises(DataError, match=r"kinds names 'zpi', which is no column.*\nhint: did you mean 'zip'"):
        Preparation.fit(table, kinds={"zpi": "text"})
    with pytest.raises(DataError, match=r"row 0, column 'word' is 'x', expected a number"):
        Preparation.fit(pd.DataFrame({"word": ["x", "y"]}), kinds={"word": "number"})


def tables(folder: Path, table: pd.DataFrame) -> dict[str, Any]:
    table.to_csv(folder / "rows.csv", index=False)
    table.to_parquet(folder / "rows.parquet")
    table[:50].to_csv(folder / "part-1.csv", index=False)
    table[50:].to_csv(folder / "part-2.csv", index=False)
    return {
        "csv": folder / "rows.csv", "parquet": str(folder / "rows.parquet"), "pandas": table,
        "polars": pl.from_pandas(table), "several": str(folder / "part-*.csv"),
    }  # fmt: skip


def test_every_kind_of_table_is_prepared_alike_by_a_preparation_of_any(tmp_path: Path) -> None:
    made = tables(tmp_path, frame())
    expected = Preparation.fit(made["pandas"], rows=TRAINING).transform(made["pandas"]).read(0, N)
    for one, given in made.items():
        prepared = Preparation.fit(given, rows=TRAINING)
        for other, rows in made.items():
            np.testing.assert_array_equal(prepared.transform(rows).read(0, N), expected, err_msg=f"{one}, {other}")


def test_columns_are_matched_by_name_in_any_order_with_the_target_or_without() -> None:
    table = frame().assign(churn=1, k=3)
    prepared = Preparation.fit(table, target="churn")
    expected = prepared.transform(table).read(0, N)
    for other in (table[table.columns[::-1]], table.drop(columns="churn"), table.drop(columns=["churn", "k"])):
        np.testing.assert_array_equal(prepared.transform(other).read(0, N), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="age"), r"lacks the column 'age' of the training rows; it has .*\nhint: add it"),
        (lambda t: t.rename(columns={"income": "Income"}), r"lacks the column 'income'.*\nhint: is it .* 'Income'"),
        (lambda t: t.rename(columns={"income": "INCOME"}), r"\nhint: is it the column 'INCOME'\? Name it 'income'"),
        (lambda t: t.assign(more=1), r"has a column 'more' that the training rows have not\nhint: leave it out"),
        (lambda t: t.assign(age="old"), "column 'age' holds text, those of the training rows hold numbers"),
        (lambda t: t.assign(city=1.0), "column 'city' holds numbers, those of the training rows hold text"),
        (lambda t: t.assign(joined=20_000), "column 'joined' holds numbers, those of the training rows hold dates"),
        (lambda t: t.assign(member=1), "column 'member' holds numbers, those of the training rows hold truth values"),
    ],
)  # fmt: skip
def test_a_missing_an_extra_or_a_re_typed_column_is_named(change: Any, message: str) -> None:
    table = frame()
    with pytest.raises(DataError, match=message):
        Preparation.fit(table).transform(change(table))


def test_a_re_typed_cell_of_a_text_file_is_named_with_its_row(tmp_path: Path) -> None:
    table = frame()
    table.astype({"age": object}).assign(age=["old" if n == 7 else n for n in range(N)]).to_csv(
        tmp_path / "new.csv", index=False
    )
    with pytest.raises(DataError, match=r"new\.csv: row 7, column 'age' is 'old', expected a number"):
        Preparation.fit(table).transform(tmp_path / "new.csv").read(0, N)


def test_a_column_without_any_value_is_of_every_kind(tmp_path: Path) -> None:
    prepared = Preparation.fit(frame())
    rows = [
        prepared.transform(table).read(0, N)
        for table in (frame().assign(age=np.nan), pl.from_pandas(frame()).with_columns(age=None))
    ]
    frame().assign(age=np.nan).to_csv(tmp_path / "new.csv", index=False)
    np.testing.assert_array_equal(*rows)
    np.testing.assert_array_equal(prepared.transform(tmp_path / "new.csv").read(0, N), rows[0])


def test_rows_without_names_come_in_the_order_of_the_columns() -> None:
    table = pd.DataFrame({"a": np.arange(30) % 7, "k": 1, "b": np.arange(30) * 0.5})
    prepared = Preparation.fit(table)
    expected = prepared.transform(table).read(0, 30)
    np.testing.assert_array_equal(prepared.transform(table.to_numpy()).read(0, 30), expected)
    named = Preparation.fit(table.to_numpy(), scale="standard")
    assert named.transform(table).shape == (30, 3)
    with pytest.raises(DataError, match="has 2 features, the training rows have 3"):
        prepared.transform(table.to_numpy()[:, :2])
    with pytest.raises(DataError, match="has no names, and column 'city' of the training rows holds text"):
        Preparation.fit(frame()).transform(np.ones((3, 5)))


def test_numbers_that_are_read_as_text_are_so_in_rows_without_names() -> None:
    table = pd.DataFrame({"zip": np.arange(40) % 4 + 0.0, "b": np.arange(40) % 9})
    table.loc[5, "zip"] = np.nan
    prepared = Preparation.fit(table, kinds={"zip": "text"})
    expected = prepared.transform(table).read(0, 40)
    assert (expected[:, 1:] == 1).sum(axis=1).tolist() == [1] * 40  # a level each, one of them that of the gap
    np.testing.assert_array_equal(prepared.transform(table.to_numpy()).read(0, 40), expected)
    truths = Preparation.fit(table.assign(b=table["b"] > 4), kinds={"b": "text"})
    with pytest.raises(DataError, match="column 'b' of the training rows holds truth values, read as text"):
        truths.transform(table.to_numpy())


@pytest.mark.parametrize("sparse", [False, True])
def test_the_part_that_is_learnt_from_is_read_in_blocks(sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).random((900, 5)) * (np.arange(900)[:, None] % 2)
    source = open_source(scipy.sparse.csr_array(rows) if sparse else rows)
    longest, read = 0, source.read

    def watched(start: int, stop: int) -> Any:
        nonlocal longest
        longest = max(longest, stop - start)
        return read(start, stop)

    monkeypatch.setattr(source, "read", watched)
    monkeypatch.setattr(module, "blocks", lambda source: ((first, first + 100) for first in range(0, 900, 100)))
    chosen = np.array([3, 4, 450, 899])
    part = module.Part(source, chosen)
    np.testing.assert_array_equal(part.read(0, 4), rows[chosen])
    assert longest == 100


@pytest.mark.parametrize(("value", "word"), [(np.nan, "missing"), (np.inf, "infinite")])
def test_values_that_cannot_be_prepared_are_named(value: float, word: str) -> None:
    rows = np.ones((5, 3))
    rows[3, 1] = value
    with pytest.raises(DataError, match=rf"row 3, column 1 is {word} \(rows counted from 0\)"):
        Preparation.fit(rows, scale="standard")
    table = pd.DataFrame(rows * np.arange(5)[:, None] / 9, columns=["a", "b", "c"])
    with pytest.raises(DataError, match=rf"row 3, column 'b' is {word}"):
        Preparation.fit(table, impute="none")


def test_no_columns_of_use() -> None:
    with pytest.raises(DataError, match=r"no column is of use: k \(constant\)"):
        Preparation.fit(pd.DataFrame({"k": [1, 1, 1]}))


@pytest.mark.parametrize(
    "settings", [{}, {"scale": "quantile", "encode": "ordinal"}, {"scale": "range"}, {"scale": 2.0}]
)
def test_kept_by_skops_and_json_or_pickled_and_back(settings: Any) -> None:
    """Nothing in the estimator needs more trust than skops gives by itself, but for what TRUSTED names."""
    table = frame()
    prepared = Preparation.fit(table, rows=TRAINING, **settings)
    expected = prepared.transform(table).read(0, N)
    held = skops.io.dumps(prepared.estimator)
    assert set(skops.io.get_untrusted_types(data=held)) <= set(TRUSTED)
    schema = json.loads(json.dumps(prepared.schema()))
    again = Preparation.from_parts(schema, skops.io.loads(held, trusted=list(TRUSTED)))
    assert again.features == prepared.features == tuple(schema["features"])
    for copy in (again, pickle.loads(pickle.dumps(prepared))):
        np.testing.assert_array_equal(copy.transform(table).read(0, N), expected)
    with pytest.raises(DataError, match="is of version 0, expected 1"):
        Preparation.from_parts({**schema, "version": 0}, prepared.estimator)


def test_of_too_many_rows_a_part_is_learnt_from_and_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIT_BYTES", 0)
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(5, 2, 5000)})
    first, second = (Preparation.fit(table) for _ in range(2))
    scaler = first.estimator.named_transformers_["numbers"]["scale"]
    assert (
        scaler.n_samples_seen_ == 1000
        and scaler.mean_ == second.estimator.named_transformers_["numbers"]["scale"].mean_
    )
    assert abs(scaler.mean_[0] - 5) < 4.9 * 2 / 1000**0.5, "of rows from everywhere: false alarm 1e-6"


def test_blocks_are_prepared_as_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a block of rows is transformed at a time."""
    from layerwise.data import source as source_module

    prepared = Preparation.fit(frame())
    seen: list[int] = []
    genuine = type(prepared.estimator).transform
    monkeypatch.setattr(
        type(prepared.estimator), "transform", lambda self, rows: seen.append(len(rows)) or genuine(self, rows)
    )
    monkeypatch.setattr(source_module.blocks, "__defaults__", (30 * 4 * len(prepared.features),))
    rows = load_rows(prepared.transform(frame()))
    assert rows.shape == (N, len(prepared.features)) and max(seen) == 30 and len(seen) == 7


def test_prepared_rows_pre_train_a_network_streamed_or_not(tmp_path: Path) -> None:
    """Of a CSV file, beyond the memory limit, as the same rows in memory: one block holds them all."""
    frame().to_csv(tmp_path / "rows.csv", index=False)
    rows = Preparation.fit(tmp_path / "rows.csv").transform(tmp_path / "rows.csv")
    weights = []
    for limit in (2.0, 1e-6):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(10, 6), nn.Sigmoid(), nn.Linear(6, 2))
        result = pretrain(
            network, rows, objective=DenoisingAutoencoder(SwapNoise(0.15)), epochs=3, random_state=0, memory_limit=limit
        )
        assert result.history[0].loss < result.history[0].mean_predictor_loss
        weights.append(network[0].weight.detach().clone())
    torch.testing.assert_close(*weights)
