"""`compare` of a network of one's own: a class or a function that makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import layerwise as lw
from layerwise.cli.app import run as command
from layerwise.comparison import arms, experiment
from layerwise.errors import NetworkError, PlanError
from layerwise.report import write_report

DIGITS = load_digits()
IMAGES, LABELS = (DIGITS.data / 16).astype(np.float32).reshape(-1, 1, 8, 8), DIGITS.target
SMALL: dict[str, Any] = {
    "budgets": [100], "seeds": 2, "tune": False, "baselines": [], "device": "cpu",
    "settings": {"pretrain": {"epochs": 1, "learning_rate": 0.05}, "finetune": {"epochs": 2, "batch_size": 25}},
}  # fmt: skip


class Own(nn.Module):
    """The head is registered first, and the rows are scaled in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.filters, self.hidden = nn.Linear(16, 10), nn.Conv2d(1, 4, 3), nn.Linear(36, 16)

    def forward(self, images: Tensor) -> Tensor:
        maps = nn.functional.max_pool2d(torch.relu(self.filters(images / 2)), 2)
        return self.head(torch.sigmoid(self.hidden(maps.flatten(1))))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Sigmoid(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 12), nn.Sigmoid(),
        nn.Linear(12, 10),
    )  # fmt: skip


def unpooled() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(144, 10))


def dense() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10))


def watched(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Tensor]]]:
    """Record the weights of each arm before anything is trained, and the shapes of the rows it is fed."""
    found: dict[str, list[Any]] = {"pretrained": [], "random": [], "rows": []}
    before, run = arms.pretrain_layers, experiment.run_arm

    def kept(network: nn.Module) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in network.state_dict().items()}

    def pretrain(network: nn.Module, rows: Any, *rest: Any) -> Any:
        found["pretrained"].append(kept(network))
        found["rows"].append(rows.inputs.shape[1:])
        return before(network, rows, *rest)

    def finetune(arm: Any, network: nn.Module, budget: Any, *rest: Any) -> Any:
        if arm.name == "random":
            found["random"].append(kept(network))
        found["rows"] += [budget.inputs.shape[1:], budget.monitor[0].shape[1:], budget.test[0].shape[1:]]
        return run(arm, network, budget, *rest)

    monkeypatch.setattr(arms, "pretrain_layers", pretrain)
    monkeypatch.setattr(experiment, "run_arm", finetune)
    return found


def alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("make", [Own, convolutional])
def test_each_seed_draws_anew_and_both_arms_begin_alike(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = watched(monkeypatch)
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first = lw.compare(IMAGES, LABELS, network=make, run_dir=tmp_path / "run", **SMALL)
    assert torch.equal(torch.get_rng_state(), state), "torch's global generator is put back"
    assert len(found["pretrained"]) == len(found["random"]) == 2
    for pretrained, random in zip(found["pretrained"], found["random"], strict=True):
        assert alike(pretrained, random)
    assert not any(torch.equal(value, found["random"][1][name]) for name, value in found["random"][0].items())
    assert set(found["rows"]) == {torch.Size([1, 8, 8])}, "rows keep their shape"
    torch.manual_seed(12)
    second = lw.compare(IMAGES, LABELS, network=make, **SMALL)
    assert second.results["budgets"] == first.results["budgets"], "and is not read either"
    assert {name for name, origin in first.results["parameters"]["pretrained"].items() if origin == "initialised"} == (
        {"head.weight", "head.bias"} if make is Own else {"6.weight", "6.bias"}
    )
    write_report(tmp_path / "run")


def test_simple_baselines_stand_beside_it_and_the_modern_network_is_left_out(tmp_path: Path) -> None:
    settings = {**SMALL, "baselines": "auto", "seeds": 1}
    results = lw.compare(IMAGES, LABELS, network=dense, **settings).results
    assert {entry["name"] for entry in results["baselines"]} == {"logistic regression", "gradient boosting"}
    with pytest.raises(PlanError, match="the modern network is built from the table") as caught:
        lw.compare(
            IMAGES, LABELS, network=dense, run_dir=tmp_path / "run", **{**SMALL, "baselines": ["modern network"]}
        )
    assert "leave it out" in caught.value.hint and not (tmp_path / "run").exists()
    settings = {**SMALL, "baselines": ["adam"], "seeds": 1}
    assert [e["name"] for e in lw.compare(IMAGES, LABELS, network=dense, **settings).results["baselines"]] == ["adam"]


def test_the_recipe_names_the_maker_and_the_command_refuses_it_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import h5py

    file = tmp_path / "digits.h5"
    with h5py.File(file, "w") as opened:
        opened["data"], opened["label"] = IMAGES, LABELS
    lw.compare(str(file), str(file), network=Own, run_dir=tmp_path / "run", **SMALL)
    recipe = tmp_path / "run" / "recipe.toml"
    assert 'factory = "Own"' in recipe.read_text()
    assert command(["compare", "--recipe", str(recipe), "--out", str(tmp_path / "again")]) == 2
    error = capsys.readouterr().err
    assert "was made in Python, by Own, which a recipe cannot hold" in error
    assert "hint: call layerwise.compare with it again" in error
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    "network, settings, error, said",
    [
        (convolutional(), {}, PlanError, "network is one Sequential, but every seed needs new initial weights"),
        (lambda: 3, {}, NetworkError, "network makes a int, expected an nn.Module"),
        (lambda: dense().double(), {}, NetworkError, "your network is not in float32"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 9)), {}, NetworkError,
         "the labels have 10 classes"),
        (dense, {"network": {"dropout": 0.5}}, PlanError, "settings name network.dropout, but your network is made in"),
    ],
)  # fmt: skip
def test_makers_that_do_not_fit_are_refused_before_anything_is_written(
    network: Any, settings: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        lw.compare(IMAGES, LABELS, network=network, run_dir=tmp_path / "run", **{**SMALL, "settings": settings})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("make, kept", [
    (convolutional, {"filters": (4, 3, 3), "filters_random": (4, 3, 3)}),  # there is no way back through pooling
    (unpooled, {"filters": (4, 3, 3), "filters_random": (4, 3, 3), "reconstruction_input": (10, 64),
                "reconstruction_noisy": (10, 64), "reconstruction_output": (10, 64)}),
    (dense, {"filters": (12, 64), "filters_random": (12, 64), "reconstruction_input": (10, 64),
             "reconstruction_noisy": (10, 64), "reconstruction_output": (10, 64)}),
])  # fmt: skip
def test_pictures_are_kept_where_there_are_some_and_the_page_shows_them(
    make: Any, kept: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    found = lw.compare(IMAGES, LABELS, network=make, run_dir=tmp_path / "run", **{**SMALL, "seeds": 1})
    with np.load(found.run_dir / "arrays.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays.files} == kept
    page = write_report(found.run_dir).read_text()
    assert "4 first-layer filters after pre-training" in page or "12 first-layer filters after pre-training" in page
    assert ("rows as images: noisy" in page) == ("reconstruction_noisy" in kept)


def test_a_resumed_comparison_makes_the_same_network(tmp_path: Path) -> None:
    whole = lw.compare(IMAGES, LABELS, network=Own, **SMALL)

    def stop(progress: Any) -> None:
        if progress.fit == "seed-1/labels-100/random" and progress.update == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lw.compare(IMAGES, LABELS, network=Own, run_dir=tmp_path / "run", callbacks=[stop], **SMALL)
    torch.manual_seed(99)
    resumed = lw.compare(IMAGES, LABELS, network=Own, run_dir=tmp_path / "run", resume=True, **SMALL)
    assert resumed.results["budgets"] == whole.results["budgets"]
