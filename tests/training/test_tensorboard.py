"""The TensorBoard callback: what it writes is read back by TensorBoard itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import layerwise as lw


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_every_record_of_every_fit_is_there(tmp_path: Path) -> None:
    rows = torch.rand(60, 6, generator=torch.Generator().manual_seed(0))
    network = nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 2))
    board = lw.TensorBoard(tmp_path)
    pretrained = lw.pretrain(network, rows, epochs=3, batch_size=20, random_state=0, callbacks=[board])
    labels = (rows[:, 0] > 0.5).long()
    fitted = lw.finetune(network, rows, labels, epochs=2, validation=0.2, random_state=0, callbacks=[board])
    board.close()
    assert {str(file.parent.relative_to(tmp_path)) for file in tmp_path.rglob("events.*")} == {
        "pretrain/1", "pretrain/2", "finetune",
    }  # fmt: skip
    for number, stage in enumerate(pretrained.history, 1):
        written = scalars(tmp_path / "pretrain" / str(number))
        expected = [(record["update"], pytest.approx(record["training_loss"])) for record in stage.records]
        assert written["training_loss"] == expected and len(expected) == 4
    written = scalars(tmp_path / "finetune")
    assert set(written) == {"training_loss", "validation_loss", "validation_error", "learning_rate"}
    expected = [(record["update"], pytest.approx(record["validation_error"])) for record in fitted.history]
    assert written["validation_error"] == expected


def test_a_stop_loses_no_record(tmp_path: Path) -> None:
    """What was told is on disk although nobody closed the file."""
    from layerwise.training.loop import Progress

    board = lw.TensorBoard(tmp_path)
    board(Progress("pretrain/1", 5, 9, 100, 1.0, {"training_loss": 2.5, "validation_loss": None}))
    board(Progress("pretrain/1", 6, 9, 120, 1.1))
    assert scalars(tmp_path / "pretrain" / "1") == {"training_loss": [(5, 2.5)]}


def test_without_tensorboard_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(lw.LayerwiseError, match="tensorboard, which is not installed") as raised:
        lw.TensorBoard(tmp_path)
    assert "pip install tensorboard (in a checkout: " in raised.value.hint and "'.[tensorboard]'" in raised.value.hint
