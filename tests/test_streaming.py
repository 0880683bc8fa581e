"""Rows larger than memory_limit: pre-trained on as rows in memory are, resumed to the same bits, and traceless."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import layerwise as lw
from layerwise.data import features
from layerwise.data.hdf5 import Hdf5Source
from layerwise.errors import DataError
from layerwise.training import stage
from small_network import build, inputs, same, weights

ROWS = 230
TINY = 1e-7  # GiB: 107 bytes


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 10 rows of the network's inputs and windows of 60."""
    monkeypatch.setattr(features, "BLOCK_BYTES", 10 * 12 * 4)
    monkeypatch.setattr(features, "WINDOW_BYTES", 60 * 12 * 4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = inputs(ROWS)
    with h5py.File(tmp_path / "rows.h5", "w") as made:
        made["data"] = rows
        made["label"] = (rows[:, 0] > rows[:, 0].median()).long()
    return tmp_path / "rows.h5"


def pretrain(given: Any, limit: float, **settings: Any) -> tuple[nn.Sequential, lw.PretrainResult]:
    network = build()
    settings = {"epochs": 4, "batch_size": 20, "learning_rate": 0.3, "random_state": 0} | settings
    return network, lw.pretrain(network, given, memory_limit=limit, **settings)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many rows each window had that was read."""
    found: list[int] = []
    genuine = features.Streamed.load

    def load(self: features.Streamed, spans: Any, spare: Any = None) -> Any:
        found.append(sum(stop - start for start, stop in spans))
        return genuine(self, spans, spare)

    monkeypatch.setattr(features.Streamed, "load", load)
    yield found


def test_learns_what_rows_in_memory_teach(file: Path, loaded: list[int]) -> None:
    """The same rows in another order: losses within 2 %; every epoch of both stages is streamed."""
    _, inside = pretrain(inputs(ROWS), 2.0, epochs=15)
    assert loaded == []
    _, outside = pretrain(file, TINY, epochs=15)
    assert max(loaded) <= 80 and len(loaded) > 2 * 15 * 3
    for mine, other in zip(outside.history, inside.history, strict=True):
        assert mine.updates == other.updates
        assert mine.loss == pytest.approx(other.loss, rel=0.02)
        assert mine.loss < mine.mean_predictor_loss == pytest.approx(other.mean_predictor_loss, rel=0.02)


def test_in_one_window_of_one_block_the_weights_are_those_of_rows_in_memory(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of one block is that of memory: only where rows are kept differs, so nothing else may."""
    monkeypatch.setattr(features, "BLOCK_BYTES", 2**20)
    monkeypatch.setattr(features, "WINDOW_BYTES", 2**21)
    settings = {"validation": 0.2, "learning_rate": "auto", "early_stopping": lw.EarlyStopping(patience=10)}
    (mine, _), (other, _) = pretrain(file, TINY, **settings), pretrain(inputs(ROWS), 2.0, **settings)
    assert same(weights(mine), weights(other))


@pytest.mark.parametrize("settings", [
    {}, {"validation": 0.2}, {"corrupt": "input"}, {"objective": lw.SupervisedLayer(), "targets": True},
    {"objective": lw.RBM(estimator="pcd"), "learning_rate": 0.05},
], ids=["plain", "validation", "corrupt", "targets", "rbm"])  # fmt: skip
@pytest.mark.parametrize("fit", ["pretrain/1", "pretrain/2"])
def test_resumed_it_ends_in_the_same_bits(settings: dict[str, Any], fit: str, file: Path, tmp_path: Path) -> None:
    if "targets" in settings:
        settings = settings | {"targets": f"{file}::label"}
    expected, whole = pretrain(file, TINY, **settings)

    def stop(progress: Any) -> None:
        if progress.fit == fit and progress.update >= 17 and progress.record:
            raise KeyboardInterrupt

    every = {"checkpoint_every": 7, "summary_every": 3, "run_dir": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        pretrain(file, TINY, **settings, **every, callbacks=[stop])
    heard: list[Any] = []
    found, again = pretrain(file, TINY, **settings, **every, callbacks=[heard.append], resume=True)
    assert min(progress.update for progress in heard if progress.fit == fit) > 10, "not from the start"
    assert same(weights(found), weights(expected))
    assert [one.loss for one in again.history] == [one.loss for one in whole.history]


def test_a_run_is_not_resumed_on_other_rows(file: Path, tmp_path: Path) -> None:
    settings = {"run_dir": tmp_path / "run", "epochs": 1}
    pretrain(file, TINY, **settings)
    with h5py.File(file, "r+") as made:
        made["data"][ROWS - 1, 3] = 0.5
    with pytest.raises(lw.LayerwiseError, match="other settings, data or seed"):
        pretrain(file, TINY, **settings, resume=True)


def test_codes_leave_no_file_behind(file: Path, tmp_path: Path) -> None:
    names = [set[str](), set[str]()]
    for number, limit in enumerate((2.0, TINY)):
        run = tmp_path / f"run {number}"
        pretrain(file, limit, run_dir=run, callbacks=[
            lambda _, run=run, found=names[number]: found.update(path.name for path in run.rglob("*"))
        ])  # fmt: skip
    assert names[0] == names[1]


def test_held_out_rows_are_the_same_wherever_they_are(file: Path) -> None:
    """Validation rows by a fraction or by file: the loss that is reported is the stack's own on them."""
    from layerwise.data.batches import hold_out
    from layerwise.randomness import Randomness

    _, held = hold_out(ROWS, 0.2, Randomness(0).child("validation"))
    for validation, rows in ((0.2, inputs(ROWS)[held]), (file, inputs(ROWS))):
        _, result = pretrain(file, TINY, validation=validation, objective=lw.Autoencoder(loss="squared"))
        layer, decoder = result.stack.layers[0], result.stack.decoders[0]
        assert decoder is not None
        with torch.no_grad():
            own = 0.5 * (decoder(layer(rows)) - rows).square().sum(1).mean()
        assert result.history[0].loss == pytest.approx(float(own), rel=1e-5)


def test_images_pass_a_flatten_and_convolutions(tmp_path: Path) -> None:
    """Rows of more dimensions: reshaped on their way, and through convolutions to codes in a file."""
    images = inputs(ROWS, 36).reshape(ROWS, 1, 6, 6)
    np.save(tmp_path / "images.npy", images.numpy())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = [
            nn.Sequential(nn.Flatten(), *build(36)),
            nn.Sequential(nn.Conv2d(1, 3, 3), nn.Sigmoid(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 5), nn.Tanh(),
                          nn.Linear(5, 2)),
        ]  # fmt: skip
    for network in networks:
        result = lw.pretrain(
            network, tmp_path / "images.npy", memory_limit=TINY, epochs=15, batch_size=20, random_state=0
        )
        assert len(result.history) == 2
        assert all(one.loss < one.mean_predictor_loss for one in result.history)


class Own(nn.Module):
    """Not cut: the named modules' inputs are captured, past a normalisation that must not learn from them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.two, self.head = nn.Linear(12, 9), nn.BatchNorm1d(9), nn.Linear(9, 9), nn.Linear(9, 2)

    def forward(self, rows: Tensor) -> Tensor:
        code = torch.sigmoid(self.norm(self.one(rows)))
        return self.head(torch.sigmoid(self.two(code)) + code)


def test_captured_inputs(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "BLOCK_BYTES", 2**20)  # one block: the order of memory
    found = []
    for given, limit in ((file, TINY), (inputs(ROWS), 2.0)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = Own()
        lw.pretrain(
            network, given, layers=["one", "two"], activation="sigmoid", memory_limit=limit, epochs=3, random_state=0,
            objective=lw.Autoencoder(loss="squared", decoder="linear"), learning_rate=0.05,
        )  # fmt: skip
        found.append(weights(network))
    assert same(*found)


@pytest.mark.parametrize("where", ["first", "held out"])
def test_a_value_that_is_no_number_is_refused_before_training(where: str, file: Path) -> None:
    before = weights(build())
    with h5py.File(file, "r+") as made:
        made["data"][200, 5] = np.nan
    given = (file, {}) if where == "first" else (inputs(ROWS), {"validation": file})
    network = build()
    with pytest.raises(DataError, match=r"rows\.h5::data: row 200, column 5 is NaN"):
        lw.pretrain(network, given[0], memory_limit=TINY, epochs=1, random_state=0, **given[1])
    assert same(before, weights(network))


def test_fine_tuning_loads_labelled_rows_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.full((ROWS,), -1)
    labels[100:140] = (inputs(ROWS)[100:140, 0] > 0.5).long()
    found = [build(), build()]
    settings: dict[str, Any] = {"epochs": 2, "random_state": 0}
    lw.finetune(found[0], inputs(ROWS)[100:140], labels[100:140], **settings)
    sizes: list[int] = []
    genuine = Hdf5Source.read
    monkeypatch.setattr(
        Hdf5Source, "read", lambda self, start, stop: sizes.append(stop - start) or genuine(self, start, stop)
    )
    lw.finetune(found[1], file, labels, **settings)
    assert same(weights(found[0]), weights(found[1]))
    assert sum(sizes) == 40


def test_waiting_for_rows_is_warned_of_once_a_stage(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stage, "WAITED_SECONDS", 0.1)
    genuine = Hdf5Source.read

    def slow(self: Hdf5Source, start: int, stop: int) -> np.ndarray:
        time.sleep(0.01)
        return genuine(self, start, stop)

    with caplog.at_level(logging.WARNING, logger="layerwise"):
        pretrain(inputs(ROWS), 2.0)
        assert caplog.text == ""
        monkeypatch.setattr(Hdf5Source, "read", slow)
        pretrain(file, TINY)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1, "the second stage's codes are read from a fast file"
    assert "pretrain/1" in messages[0] and "raise memory_limit above" in messages[0]
