"""A model as a value: what it says of rows, against the network computed by hand; block by block; what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import scipy.sparse
import torch
from scipy.special import softmax
from torch import nn

import layerwise as lw
from churn_table import COLUMNS, churn_rows, write_csv
from layerwise.models.inputs import Inputs
from layerwise.models.model import Model, Quantity


def by_hand(model: Model, rows: np.ndarray) -> np.ndarray:
    """The outputs of the shared model, in float64 NumPy: no dropout, the running statistics of normalisation."""
    state = {name: value.double().numpy() for name, value in model.network.state_dict().items()}
    codes = rows @ state["1.weight"].T + state["1.bias"]
    codes = (codes - state["2.running_mean"]) / np.sqrt(state["2.running_var"] + 1e-5)
    codes = 1 / (1 + np.exp(-(codes * state["2.weight"] + state["2.bias"])))
    codes = np.tanh(codes @ state["4.weight"].T + state["4.bias"])
    return codes @ state["6.weight"].T + state["6.bias"]


def test_predictions_are_those_of_the_network(model: Model, rows: torch.Tensor) -> None:
    outputs = by_hand(model, rows.double().numpy())
    assert np.abs(model.predict_proba(rows) - softmax(outputs, axis=1)).max() < 1e-6
    assert model.predict(rows).tolist() == np.array(["a", "b", "c"])[outputs.argmax(1)].tolist()
    assert model.predict_proba(rows).dtype == np.float32


def test_codes_are_those_of_the_stack(model: Model, rows: torch.Tensor) -> None:
    assert model.stack is not None
    for depth in (None, 0, 1):
        assert np.array_equal(model.encode(rows, depth), model.stack.encode(rows, depth).numpy())
    with pytest.raises(lw.LayerwiseError, match="depth is 3"):
        model.encode(rows, 3)


def test_a_quantity_has_its_own_mean_and_spread(rows: torch.Tensor) -> None:
    network = nn.Sequential(nn.Linear(5, 1))
    model = Model(network, classes=[], quantity=Quantity(mean=100.0, spread=7.0))
    with torch.no_grad():
        expected = 100 + 7 * network(rows)[:, 0].numpy()
    assert np.allclose(model.predict(rows), expected, atol=1e-4)
    with pytest.raises(lw.LayerwiseError, match="fine-tuned for a quantity"):
        model.predict_proba(rows)


class Watched:
    """Rows that say how many of them were asked for at once."""

    sparse, dtype, name = False, np.dtype(np.float32), "watched"

    def __init__(self, rows: int) -> None:
        self.shape, self.most, self.asked = (rows, 5), 0, 0

    def read(self, start: int, stop: int) -> np.ndarray:
        self.most, self.asked = max(self.most, stop - start), self.asked + stop - start
        return np.random.default_rng(start).random((stop - start, 5), dtype=np.float32)


def test_memory_does_not_grow_with_the_rows(model: Model) -> None:
    """A block at a time is read and given out, twice the rows in twice the blocks."""
    counts = []
    for rows in (20_000, 40_000):
        source = Watched(rows)
        sizes = [len(block["prediction"]) for block in model.predictions(model.open(source))]
        assert sum(sizes) == rows and max(sizes) <= 4096 and source.most <= 4096
        counts.append(len(sizes))
    assert counts == [5, 10]


@pytest.mark.parametrize("what", ["csv", "parquet", "frame", "polars", "other order", "no target", "no id"])
def test_one_table_in_any_form_and_order_predicts_the_same(what: str, churn: Path, table: Path, tmp_path: Path) -> None:
    """The table has numbers, dates, text and gaps; columns are found by name."""
    model = Model.load(churn)
    expected = model.predict_proba(table)
    frame = pd.read_csv(table, parse_dates=["joined"])
    given: object = table
    if what == "parquet":
        given = tmp_path / "churn.parquet"
        frame.to_parquet(given, index=False)
    elif what == "frame":
        given = frame
    elif what == "polars":
        given = pytest.importorskip("polars").from_pandas(frame)
    elif what != "csv":
        chosen = {"other order": COLUMNS[::-1], "no target": COLUMNS[:-1], "no id": COLUMNS[1:]}[what]
        given = write_csv(tmp_path / "churn.csv", churn_rows(), chosen)
    assert np.abs(model.predict_proba(given) - expected).max() < 1e-6
    assert expected.std() > 0.01


def test_numbers_predict_the_same_from_every_kind_of_file(tmp_path: Path) -> None:
    """A table of numbers alone: by its names, and by the columns' order where there are none."""
    from layerwise.models.training import Training
    from layerwise.recipe import read_recipe

    random = np.random.default_rng(0)
    rows = random.random((200, 4)) * (random.random((200, 4)) < 0.6)
    labels = np.where(rows[:, 0] > rows[:, 1], "up", "down")
    with open(tmp_path / "rows.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [["a", "b", "c", "d", "y"], *([*row, y] for row, y in zip(rows, labels, strict=True))]
        )
    settings = ["network.hidden_layer_sizes=[6]", "pretrain.epochs=1", "finetune.epochs=3", "compare.tune=false"]
    training = Training(read_recipe("default", [*settings, f"data.inputs={tmp_path}/rows.csv", "data.targets=y"]))
    model = training.run(training.open(tmp_path / "model"))
    expected = model.predict_proba(tmp_path / "rows.csv")
    frame = pd.DataFrame(rows, columns=list("abcd"))
    frame[["d", "c", "b", "a"]].to_parquet(tmp_path / "rows.parquet")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["data"] = rows
    np.save(tmp_path / "rows.npy", rows)
    scipy.sparse.save_npz(tmp_path / "rows.npz", scipy.sparse.csr_array(rows))
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").column_names[0] == "d"
    for given in (*(tmp_path / f"rows.{ending}" for ending in ("parquet", "h5", "npy", "npz")), frame, rows):
        assert np.abs(model.predict_proba(given) - expected).max() < 1e-6, given


BAD_TABLES = {
    "missing": (["id", "age", "city", "joined"], {}, "lacks the column 'income'", "add it"),
    "misspelt": (
        ["id", "age", "Income", "city", "joined"],
        {"Income": "income"},
        "lacks the column 'income'",
        "Income",
    ),
    "extra": ([*COLUMNS, "shoe"], {"shoe": "age"}, "has a column 'shoe'", "leave it out"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_column_that_is_missing_or_one_too_many_is_named(case: str, churn: Path, tmp_path: Path) -> None:
    columns, renamed, message, hint = BAD_TABLES[case]
    table = [{**row, **{new: row[old] for new, old in renamed.items()}} for row in churn_rows(30)]
    path = write_csv(tmp_path / "other.csv", table, columns)
    with pytest.raises(lw.LayerwiseError, match=message) as raised:
        Model.load(churn).predict(path)
    assert hint.lower() in raised.value.hint.lower()


def test_a_column_of_another_type_is_named(churn: Path, table: Path) -> None:
    frame = pd.read_csv(table)
    frame["income"] = ["much"] * len(frame)
    with pytest.raises(lw.LayerwiseError, match="'income' holds text, those of the training rows hold numbers"):
        Model.load(churn).predict(frame)
    text = [{**row, "age": "old" if row["id"] == "c7" else row["age"]} for row in churn_rows(30)]
    with pytest.raises(lw.LayerwiseError, match="column 'age'"):
        Model.load(churn).predict(write_csv(table.with_name("text.csv"), text))


def test_rows_that_are_none_of_its_own_are_refused(model: Model, rows: torch.Tensor) -> None:
    with pytest.raises(lw.LayerwiseError, match="has 4 features a row, the model takes 5"):
        model.predict(rows[:, :4])
    holed = rows.clone()
    holed[7, 2] = float("nan")
    with pytest.raises(lw.LayerwiseError, match="row 7, column 2 is NaN"):
        model.predict(holed)
    unknown = Model(model.network, model.classes)
    with pytest.raises(lw.LayerwiseError, match="the network does not take rows of shape"):
        unknown.predict(rows[:, :4])
    with pytest.raises(lw.LayerwiseError, match="the model has 2 outputs"):
        Model(model.network, ["a", "b"]).predict(rows)
    with pytest.raises(lw.LayerwiseError, match="not pre-trained"):
        unknown.encode(rows)
    with pytest.raises(lw.LayerwiseError, match="the label of each output, or a quantity"):
        Model(model.network, [])
    with pytest.raises(lw.LayerwiseError, match="by ranking"):
        Model(model.network, model.classes, probabilities=False).predict_proba(rows)


def test_pixels_are_divided_once() -> None:
    pixels = np.arange(0, 250, 5, dtype=np.uint8).reshape(10, 5)
    inputs = Inputs.of(lw.open_source(pixels), "auto", (5,))
    assert np.allclose(inputs.open(pixels).read(0, 10), pixels / 255)
    assert np.array_equal(inputs.open(pixels.astype(np.int64)).read(3, 4), inputs.open(pixels).read(3, 4))
    with pytest.raises(lw.LayerwiseError, match="trained on 8-bit pixels"):
        inputs.open(pixels / 255)
    assert Inputs.of(lw.open_source(pixels / 1.0), "auto", (5,)).divisor is None
    assert np.allclose(Inputs.of(lw.open_source(pixels / 1.0), 2.0, (5,)).open(pixels / 1.0).read(0, 1), pixels[:1] / 2)
