"""Layer by layer: what a run keeps of both arms, from which rows, and what is left out where it cannot be had."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from small_comparison import small_plan
from torch import Tensor, nn

import layerwise as lw
from layerwise.comparison import by_layer, experiment
from layerwise.comparison.compare import open_run, run_comparison
from layerwise.comparison.experiment import Experiment
from layerwise.comparison.results import results_of
from layerwise.comparison.rows import Rows
from layerwise.report import read_summary, write_report
from layerwise.report.layer_section import by_layer as section
from layerwise.runs.folder import RunFolder

ONE: dict[str, Any] = {"compare": {"seeds": 2, "budgets": (50,)}}
SMALL: dict[str, Any] = {
    "budgets": [100], "seeds": 2, "tune": False, "baselines": [], "device": "cpu",
    "settings": {"pretrain": {"epochs": 1, "learning_rate": 0.05}, "finetune": {"epochs": 2, "batch_size": 25}},
}  # fmt: skip


def test_both_arms_are_measured_once_at_the_headline(digits: Rows, tmp_path: Path) -> None:
    plan = small_plan(network={"hidden_layer_sizes": (24, 12)}, compare={"seeds": 2})
    work = Experiment(plan, digits)
    run_comparison(work, open_run(work, tmp_path / "run"))
    found = json.loads((tmp_path / "run" / "results.json").read_text())["by_layer"]
    assert (found["labels"], found["seed"], found["strengths"]) == (100, 0, list(by_layer.STRENGTHS))
    for arm in ("pretrained", "random"):
        layers = found["arms"][arm]["layers"]
        assert [layer["layer"] for layer in layers] == ["0", "2", "4"]
        assert [layer.get("units") for layer in layers] == [24, 12, None]
        assert all(layer["relative"] > 0 and layer["gradient_norm"] > 0 for layer in layers)
        for layer in layers[:2]:
            assert all(0 < layer[f"probe_{when}"] < 95 for when in ("before", "after"))
            assert all(
                0 <= layer[f"{what}_{when}"] <= 1 for what in ("saturated", "dead") for when in ("before", "after")
            )
        assert len(found["arms"][arm]["noise_errors"]) == 6 and found["arms"][arm]["left_out"] == []
    assert found["arms"]["pretrained"]["inputs_probe"] == found["arms"]["random"]["inputs_probe"]
    said = section(read_summary(tmp_path / "run"))
    assert len(said.plots) == 2 and len(said.tables) == 2 and len(said.paragraphs) == 3 and not said.absent


def test_the_measurements_are_of_the_states_before_and_after(
    digits: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    measure, run = by_layer.measure_layers, experiment.run_arm

    def watched(arm: Any, network: nn.Module, budget: Any, *rest: Any) -> Any:
        seen["start"] = [p.detach().clone() for p in network.parameters()]
        return run(arm, network, budget, *rest)

    def measured(before: nn.Module, after: nn.Module, *rest: Any) -> Any:
        *weights, bias = zip(seen["start"], before.parameters(), strict=True)
        assert all(torch.equal(*pair) for pair in weights) and not torch.equal(*bias)  # the head's bias: class logs
        assert not any(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
        seen["calls"] = seen.get("calls", 0) + 1
        return measure(before, after, *rest)

    monkeypatch.setattr(experiment, "run_arm", watched)
    monkeypatch.setattr(experiment, "measure_layers", measured)
    Experiment(small_plan(**ONE), digits).run(RunFolder.open(tmp_path / "run", False, "test"))
    assert seen["calls"] == 2


def test_no_test_row_is_looked_at(digits: Rows, tmp_path: Path) -> None:
    found = []
    for number, rows in enumerate((digits, replace(digits, test_inputs=torch.rand_like(digits.test_inputs)))):
        plan = small_plan(**ONE)
        measured = Experiment(plan, rows).run(RunFolder.open(tmp_path / str(number), False, "test"))
        own = results_of(plan, rows, measured)["by_layer"]
        found.append(
            [[own["arms"][arm][key] for key in ("layers", "inputs_probe", "noise_errors")] for arm in own["arms"]]
        )
    assert found[0] == found[1]


def test_where_all_labels_are_in_use_probes_and_noise_are_left_out(digits: Rows, tmp_path: Path) -> None:
    plan = small_plan(compare={"seeds": 1, "budgets": (int((digits.codes >= 0).sum()),)}, finetune={"epochs": 1})
    work = Experiment(plan, digits)
    run_comparison(work, open_run(work, tmp_path / "run"))
    arm = json.loads((tmp_path / "run" / "results.json").read_text())["by_layer"]["arms"]["random"]
    assert arm["inputs_probe"] is None and arm["noise_errors"] == [] and "probe_before" not in arm["layers"][0]
    assert arm["layers"][0]["relative"] > 0 and arm["layers"][0]["dead_after"] is not None
    said = section(read_summary(tmp_path / "run"))
    assert said.absent == "Left out: there are no labelled rows outside the budgets to test on." and not said.plots
    assert len(said.tables) == 2 and len(said.paragraphs) == 1


def test_a_resumed_run_takes_what_is_kept(digits: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = small_plan(**ONE)
    first = Experiment(plan, digits).run(RunFolder.open(tmp_path / "run", False, "test"))
    monkeypatch.setattr(experiment, "measure_layers", lambda *rest: pytest.fail("measured again"))
    again = Experiment(plan, digits).run(RunFolder.open(tmp_path / "run", True, "test"))
    assert first.by_layer == again.by_layer
    (tmp_path / "run" / "checkpoints" / "seed-0" / "labels-50" / "layers-random.json").unlink()
    monkeypatch.undo()
    once_more = Experiment(plan, digits).run(RunFolder.open(tmp_path / "run", True, "test"))
    kept, new = (dict(run.by_layer["random"], seconds=0) for run in (first, once_more))
    assert kept == new  # from the finished fit's own weights


class Residual(nn.Module):
    """Can't be cut; its layers are named, and the head is registered first."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.stem, self.inner = nn.Linear(16, 10), nn.Linear(64, 16), nn.Linear(16, 16)

    def forward(self, rows: Tensor) -> Tensor:
        codes = torch.relu(self.stem(rows))
        return self.head(codes + torch.relu(self.inner(codes)))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Sigmoid(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 12),
        nn.Tanh(), nn.Linear(12, 10),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("network", "pretrain", "names"),
    [
        (Residual, {"layers": ["stem", "inner"], "activation": "relu"}, ["stem", "inner", "head"]),
        (convolutional, {}, ["0", "5", "7"]),
        (convolutional, {"objective": "supervised"}, ["0", "5", "7"]),
    ],
)
def test_networks_made_in_python(
    network: Callable[[], nn.Module], pretrain: dict[str, Any], names: list[str], tmp_path: Path
) -> None:
    data = load_digits()
    rows = (data.data / 16).astype(np.float32)
    rows = rows if network is Residual else rows.reshape(-1, 1, 8, 8)
    settings = {**SMALL["settings"], "pretrain": {**SMALL["settings"]["pretrain"], **pretrain}}
    objective = settings["pretrain"].pop("objective", "autoencoder")
    found = lw.compare(
        rows, data.target, network=network, objective=objective, run_dir=tmp_path / "run",
        **{**SMALL, "settings": settings},
    )  # fmt: skip
    layers = found.results["by_layer"]["arms"]["pretrained"]["layers"]
    assert [layer["layer"] for layer in layers] == names
    assert ["probe_after" in layer for layer in layers] == [True, True, False]
    assert "output head" in write_report(tmp_path / "run").read_text()


def test_a_control_whose_network_cannot_be_cut_says_so(tmp_path: Path) -> None:
    data = load_digits()
    found = lw.compare(data.data / 16, data.target, network=Residual, objective=None, run_dir=tmp_path / "run", **SMALL)
    arm = found.results["by_layer"]["arms"]["random"]
    assert "cannot be cut into layers" in arm["left_out"][0] and "relative" in arm["layers"][0]
    assert arm["inputs_probe"] is not None and len(arm["noise_errors"]) == 6
    said = section(read_summary(tmp_path / "run"))
    assert "cannot be cut" in said.absent and [plot.key for plot in said.plots] == ["masked-rows"]


def test_codes_too_wide_are_not_probed_and_memory_is_bounded(
    digits: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_layer, "WIDEST_PROBED", 23)
    monkeypatch.setattr(by_layer, "MOST_ELEMENTS", 24 * 7)
    seen: list[int] = []
    look = by_layer.activity
    monkeypatch.setattr(by_layer, "activity", lambda layers, rows: seen.append(len(rows)) or look(layers, rows))
    plan = small_plan(compare={"seeds": 1, "budgets": (50,)}, finetune={"epochs": 1})
    found = Experiment(plan, digits).run(RunFolder.open(tmp_path / "run", False, "test")).by_layer["random"]
    assert found["left_out"] == ["codes of more than 23 elements are not probed"] and seen == [7] * 4
    assert found["inputs_probe"] is None and len(found["noise_errors"]) == 6
    assert "probe_after" not in found["layers"][0] and "dead_after" in found["layers"][0]
