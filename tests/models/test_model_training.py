"""A plan into a model: what is trained on what, what is chosen on what, and that a stop changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import layerwise as lw
from layerwise.comparison.arms import started
from layerwise.models.model import Model
from layerwise.models.training import Training, is_whole
from layerwise.plan import Plan
from layerwise.recipe import read_recipe
from layerwise.training.loop import Progress

SMALL = [
    "network.hidden_layer_sizes=[6,5]", "pretrain.epochs=2", "pretrain.batch_size=20", "finetune.epochs=4",
    "finetune.batch_size=10", "compare.learning_rates=[0.1, 0.4]",
]  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 rows, 40 of them labelled; a quantity beside the labels."""
    random = np.random.default_rng(0)
    rows = random.random((80, 7)).astype(np.float32)
    labels = (rows[:, 0] > 0.5).astype(np.int64)
    labels[random.permutation(80)[:40]] = -1
    path = tmp_path_factory.mktemp("rows") / "rows.h5"
    with h5py.File(path, "w") as held:
        held["data"], held["label"] = rows, labels
        held["price"] = np.where(labels < 0, np.nan, 40 + 100 * rows[:, 1])
        held["other/data"] = random.random((30, 7))
    return path


def plan_of(file: Path, *settings: str) -> Plan:
    return read_recipe("default", [*SMALL, f"data.inputs={file}::data", *settings])


def train(file: Path, folder: Path, *settings: str) -> Model:
    training = Training(plan_of(file, *settings))
    return training.run(training.open(folder))


@pytest.fixture(scope="module")
def trained(file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    folder = tmp_path_factory.mktemp("models") / "model"
    return train(file, folder, "data.targets=label"), folder


def rows_of(file: Path) -> tuple[torch.Tensor, torch.Tensor]:
    with h5py.File(file) as held:
        return torch.from_numpy(held["data"][:]), torch.from_numpy(held["label"][:])


def test_the_model_is_that_of_pretrain_and_finetune(trained: tuple[Model, Path], file: Path) -> None:
    """The public functions, given the weights it starts from and what it chose, come to the same weights."""
    model, _ = trained
    rows, labels = rows_of(file)
    training = Training(plan_of(file, "data.targets=label"))
    network = training.draw()
    seeds = training.randomness
    around: Any = lambda name: seeds.child(name)  # noqa: E731
    from layerwise.data.rowset import RowSet
    from layerwise.finetuning import finetune_network
    from layerwise.pretraining import pretrain_layers
    from layerwise.training.loop import Surroundings

    result = pretrain_layers(
        network, RowSet(training.store.keep([rows], 80)), training.plan.pretrain, Surroundings("p", around("pretrain"))
    )  # fmt: skip
    assert model.stack is not None
    assert torch.equal(result.stack.encode(rows), torch.from_numpy(model.encode(rows)))
    tuned = model.facts.finetuning
    assert tuned is not None
    known = labels >= 0
    plan = training.plan.finetune.model_copy(update={"learning_rate": tuned.learning_rate, "epochs": tuned.epochs})
    final = started(network, rows[known], labels[known])
    finetune_network(final, rows[known], labels[known], plan, Surroundings("f", around("finetune")))
    for name, value in final.state_dict().items():
        assert torch.equal(value, model.network.state_dict()[name]), name
    # fine-tuning has left the stack as it was pre-trained
    assert not torch.equal(model.stack.layers[0].module.weight, model.network[0].weight)  # type: ignore[arg-type]


def test_held_out_rows_choose_and_are_told_of(trained: tuple[Model, Path], file: Path) -> None:
    """The error is that of the best mean of validation curves, read from the history anew; every labelled row is held
    out once."""
    model, folder = trained
    held = model.facts.validation
    assert held is not None and (held.rows, held.folds, held.trained_rows, held.tried) == (40, 5, 32, 2)
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    errors = {
        rate: np.mean(
            [
                [line["validation_error"] for line in lines
                 if line["fit"] == f"train/tune/pretrained/lr-{rate}/fold-{fold}" and line["update"] > 0]
                for fold in range(5)
            ], axis=0,
        )
        for rate in ("0.1", "0.4")
    }  # fmt: skip
    best = min(curve.min() for curve in errors.values())
    assert held.error == pytest.approx(best) and model.facts.finetuning is not None
    assert model.facts.finetuning.rows == 40 and model.facts.rows == 80 and model.facts.pretraining_rows == 80
    assert model.facts.label_counts == {
        "0": int((rows_of(file)[1] == 0).sum()), "1": int((rows_of(file)[1] == 1).sum()),
    }  # fmt: skip


def test_the_folder_holds_a_model_and_its_run_and_no_state_of_training(trained: tuple[Model, Path]) -> None:
    model, folder = trained
    assert {path.name for path in folder.iterdir()} == {
        "model.json", "network.safetensors", "stack.json", "stack.safetensors", "README.md", "recipe.toml",
        "environment.json", "history.jsonl",
    }  # fmt: skip
    assert is_whole(folder) and read_recipe(folder / "recipe.toml").network.hidden_layer_sizes == (6, 5)
    found = Model.load(folder)
    assert found.facts == model.facts
    card = (folder / "README.md").read_text()
    for part in ("80 |", "40 |", "denoising", f"{model.facts.validation.error:.2f} %", "Not measured"):  # type: ignore[union-attr]
        assert part in card, part


class Stop(BaseException):
    """As a kill would."""


@pytest.mark.parametrize("where", ["train/pretrain/2", "train/tune/pretrained/lr-0.4/fold-2", "train/finetune"])
def test_a_stopped_training_goes_on_to_the_same_bits(
    where: str, trained: tuple[Model, Path], file: Path, tmp_path: Path
) -> None:
    training = Training(plan_of(file, "data.targets=label"))

    def stop(told: Progress) -> None:
        if told.fit == where and told.update > 1:
            raise Stop

    with pytest.raises(Stop):
        training.run(training.open(tmp_path / "model"), [stop])
    assert not is_whole(tmp_path / "model")
    with pytest.raises(lw.LayerwiseError, match="training has not ended") as raised:
        Model.load(tmp_path / "model")
    assert "--resume" in raised.value.hint
    with pytest.raises(lw.LayerwiseError, match="is not empty"):
        training.open(tmp_path / "model")
    again = Training(plan_of(file, "data.targets=label"))
    seen: list[str] = []
    model = again.run(again.open(tmp_path / "model", resume=True), [lambda told: seen.append(told.fit)])
    for name, value in trained[0].network.state_dict().items():
        assert torch.equal(value, model.network.state_dict()[name]), name
    assert "train/pretrain/1" not in seen
    assert model.facts.validation == trained[0].facts.validation


def test_other_settings_do_not_resume(file: Path, tmp_path: Path) -> None:
    Training(plan_of(file, "data.targets=label")).open(tmp_path / "model")
    with pytest.raises(lw.LayerwiseError, match="other settings, data or seed"):
        Training(plan_of(file, "data.targets=label", "pretrain.epochs=3")).open(tmp_path / "model", resume=True)


def test_other_rows_do_not_resume(file: Path, tmp_path: Path) -> None:
    """Not even where only rows without a label differ."""
    Training(plan_of(file, "data.targets=label")).open(tmp_path / "model")
    changed = tmp_path / "rows.h5"
    with h5py.File(file) as held, h5py.File(changed, "w") as made:
        labels, rows = held["label"][:], held["data"][:]
        rows[np.flatnonzero(labels < 0)[0], 0] += 0.5
        made["data"], made["label"] = rows, labels
    plan = plan_of(file, "data.targets=label")
    other = Training(plan_of(changed, "data.targets=label"))
    other.plan = plan  # the same settings, the file's name among them
    with pytest.raises(lw.LayerwiseError, match="other settings, data or seed"):
        other.open(tmp_path / "model", resume=True)


def test_a_quantity(file: Path, tmp_path: Path) -> None:
    """The network learns the standardised target; the error said is in the target's own unit."""
    model = train(
        file, tmp_path / "model", "data.targets=price", "finetune.loss=squared", "finetune.epochs=60",
        "compare.learning_rates=[0.03]",
    )  # fmt: skip
    rows, labels = rows_of(file)
    prices = 40 + 100 * rows[:, 1]
    known = labels >= 0
    assert model.quantity is not None and model.quantity.mean == pytest.approx(float(prices[known].mean()), rel=1e-4)
    found = model.predict(rows)
    assert found.shape == (80,) and abs(float(found.mean()) - float(prices.mean())) < 10
    assert np.corrcoef(found, prices)[0, 1] > 0.6
    held = model.facts.validation
    assert held is not None and held.spread == pytest.approx(float(prices[known].std(correction=0)), rel=1e-4)
    assert 1 < held.error < held.spread
    assert "root of the mean squared error" in (tmp_path / "model" / "README.md").read_text()
    assert np.array_equal(Model.load(tmp_path / "model").predict(rows), found)


def test_pseudo_labels_are_of_the_rows_without_a_label(file: Path, trained: tuple[Model, Path], tmp_path: Path) -> None:
    """Of the 40 others, 10 an update: 4 updates an epoch; the shared model made none."""
    pseudo = "finetune.pseudo_labels={weight=1.0, ramp=[0, 8], batch_size=10}"
    model = train(file, tmp_path / "model", "data.targets=label", "compare.tune=false", pseudo)
    tuned, without = model.facts.finetuning, trained[0].facts.finetuning
    assert tuned is not None and (tuned.pseudo_labelled, tuned.updates) == (40, 16)
    assert without is not None and without.pseudo_labelled == 0
    assert "40 others by pseudo-labels" in (tmp_path / "model" / "README.md").read_text()


def test_a_fixed_plan_is_measured_and_not_tuned(file: Path, tmp_path: Path) -> None:
    """The error is that of the last epoch, over all held-out rows: nothing chose it."""
    settings = ["compare.tune=false", "finetune.learning_rate=0.2", "finetune.epochs=30"]
    model = train(file, tmp_path / "model", "data.targets=label", *settings)
    assert model.facts.finetuning is not None and model.facts.validation is not None
    assert (model.facts.finetuning.learning_rate, model.facts.finetuning.epochs) == (0.2, 30)
    lines = [json.loads(line) for line in (tmp_path / "model" / "history.jsonl").read_text().splitlines()]
    errors = {
        update: np.mean([line["validation_error"] for line in lines
                         if "/tune/" in line["fit"] and line["update"] == update])
        for update in (4, 120)
    }  # fmt: skip
    assert errors[4] != errors[120] == pytest.approx(model.facts.validation.error)
    assert model.facts.validation.tried == 1


def test_without_pre_training_there_is_no_stack(file: Path, tmp_path: Path) -> None:
    model = train(file, tmp_path / "model", "data.targets=label", "pretrain.objective=none")
    assert model.stack is None and model.facts.pretraining == ()
    assert "started from random weights" in (tmp_path / "model" / "README.md").read_text()
    with pytest.raises(lw.LayerwiseError, match="holds no stack"):
        lw.Stack.load(tmp_path / "model")


def test_labels_that_pre_train_are_said_to_flatter(file: Path, tmp_path: Path) -> None:
    model = train(file, tmp_path / "model", "data.targets=label", "pretrain.objective=supervised")
    assert model.facts.validation is not None and model.facts.validation.labels_seen
    assert "the error is too small" in (tmp_path / "model" / "README.md").read_text()


def test_other_rows_to_pre_train_on(file: Path, trained: tuple[Model, Path], tmp_path: Path) -> None:
    model = train(file, tmp_path / "model", "data.targets=label", f"data.pretrain_inputs={file}::other/data")
    assert model.facts.pretraining_rows == 30 and model.facts.rows == 80
    rows = rows_of(file)[0]
    assert not np.array_equal(model.encode(rows), trained[0].encode(rows))


def test_sparse_rows_stay_sparse_while_they_pre_train(tmp_path: Path) -> None:
    import scipy.sparse

    rows = scipy.sparse.random_array((60, 30), density=0.1, rng=np.random.default_rng(0), format="csr")
    scipy.sparse.save_npz(tmp_path / "rows.npz", rows)
    np.save(tmp_path / "labels.npy", np.where(np.arange(60) < 30, np.arange(60) % 2, -1))
    plan = read_recipe(
        "default", [*SMALL, f"data.inputs={tmp_path}/rows.npz", f"data.targets={tmp_path}/labels.npy"]
    )  # fmt: skip
    training = Training(plan)
    assert training.rows.source.sparse and training.inputs.shape == (30, 30)
    model = training.run(training.open(tmp_path / "model"))
    assert np.array_equal(model.predict_proba(rows), model.predict_proba(rows.toarray()))


BAD = {
    "early stopping": (["finetune.early_stopping={patience=5}"], "finetune.early_stopping is set"),
    "a quantity as classes": (["data.targets=price"], "expected a whole number"),
    "classes for a quantity": (
        ["finetune.loss=squared", "pretrain.objective=supervised"], "the objective learns from classes",
    ),
    "captured layers": (
        ['pretrain.layers=["0"]', "pretrain.activation=sigmoid"], "inputs captured in its network cannot be saved",
    ),
    "no labels": (["data.targets=none.npy"], "none.npy"),
    "one class": (["data.targets=one"], "has one class only"),
    "wide rows": ([], "found shape"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_would_fail_is_found_before_anything_is_written(case: str, file: Path, tmp_path: Path) -> None:
    settings, message = BAD[case]
    path = tmp_path / "rows.h5"
    with h5py.File(file) as held, h5py.File(path, "w") as made:
        for name in ("data", "label", "price"):
            made[name] = held[name][:]
        made["one"] = np.where(held["label"][:] < 0, -1, 3)
        made["wide"] = np.zeros((5, 9))
    if case == "wide rows":
        settings = [f"data.pretrain_inputs={path}::wide"]
        message = "features a row, the model takes"
    if not any(one.startswith("data.targets") for one in settings):
        settings = [*settings, "data.targets=label"]
    with pytest.raises(lw.LayerwiseError) as raised:
        Training(plan_of(path, *settings))
    assert message in str(raised.value)


def test_a_training_is_a_plain_network(trained: tuple[Model, Path]) -> None:
    assert [type(module) for module in trained[0].network] == [
        nn.Linear, nn.Sigmoid, nn.Linear, nn.Sigmoid, nn.Linear,
    ]  # fmt: skip
