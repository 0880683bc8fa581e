"""The run folder is read as it stands, and refused by name where it is not what it should be."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from layerwise.errors import RunError
from layerwise.report import Summary, read_summary
from layerwise.report.summary import MOST_POINTS, Curve, mean_curve


def test_the_summary_holds_what_the_files_say(summary: Summary) -> None:
    assert summary.results.verdict == "WORTH IT"
    assert summary.headline.labels == 1000
    assert summary.headline.random_errors == (8.05, 7.82, 8.31, 8.14, 7.77)
    assert summary.recipe["pretrain"]["objective"]["corruption"]["rate"] == 0.4
    assert summary.environment["cpu"] == "AMD EPYC"
    assert len(summary.tuning) == 18
    assert summary.arrays["filters"].shape == (100, 784)
    assert sorted(summary.arm_curves("random")) == [0, 1, 2, 3, 4]
    assert sorted(summary.layer_curves(2)) == [0, 1, 2, 3, 4]
    assert summary.layer_curves(3) == {}
    assert not summary.is_tutorial


def test_a_summary_cannot_be_changed(summary: Summary) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        summary.recipe_text = ""  # type: ignore[misc]
    with pytest.raises(TypeError):
        summary.curves["new"] = next(iter(summary.curves.values()))  # type: ignore[index]


def test_absent_values_are_gaps_and_not_zeros(summary: Summary) -> None:
    curve = summary.arm_curves("random")[0]
    assert curve.update[0] == 0 and np.isnan(curve.training_loss[0]) and curve.validation_error[0] > 80
    x, y = curve.points("training_loss")
    assert x[0] == 20 and np.isfinite(y).all()


def test_the_tutorial_is_known_by_its_recipe(tutorial: Summary) -> None:
    assert tutorial.is_tutorial
    assert tutorial.tuning == () and dict(tutorial.arrays) == {}
    assert tutorial.results.convergence is None and tutorial.headline.low is None


def test_in_a_control_no_arm_is_called_pre_trained(make_run: Callable[..., Path], tmp_path: Path) -> None:
    control = read_summary(make_run(tmp_path / "run", control=True))
    names = [control.arm_name("pretrained"), control.arm_name("random")]
    assert names == ["random, arm A", "random, arm B"]


def test_a_baseline_wins_only_at_the_headline(make_run: Callable[..., Path], summary: Summary, tmp_path: Path) -> None:
    assert summary.winning_baseline is None
    rivals = [{"name": "elsewhere", "labels": 100, "error": 1.0}, {"name": "here", "labels": 1000, "error": 5.0}]
    winner = read_summary(make_run(tmp_path / "run", baselines=rivals)).winning_baseline
    assert winner is not None and winner.name == "here"


@pytest.mark.parametrize("name", ["recipe.toml", "environment.json", "history.jsonl", "results.json"])
def test_a_missing_file_is_named(make_run: Callable[..., Path], tmp_path: Path, name: str) -> None:
    folder = make_run(tmp_path / "run")
    (folder / name).unlink()
    with pytest.raises(RunError, match=rf"{name} is missing\nhint: .") as caught:
        read_summary(folder)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["tuning.json", "arrays.npz"])
def test_tuning_and_arrays_may_be_absent(make_run: Callable[..., Path], tmp_path: Path, name: str) -> None:
    folder = make_run(tmp_path / "run")
    (folder / name).unlink()
    found = read_summary(folder)
    assert not (found.tuning if name == "tuning.json" else found.arrays)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("recipe.toml", "a = ", "Invalid value"),
        ("environment.json", "[1]", "expected a JSON object"),
        ("environment.json", "{", "line 1 is not JSON"),
        ("history.jsonl", '{"update": 1}\n{}\n', "line 1 is not a JSON object with fit and update"),
        ("history.jsonl", "junk\n{}\n", "line 1 is not"),
        ("history.jsonl", '{"fit": "a", "update": 1, "epoch": "two"}\n', "a statistic is not a number"),
        ("results.json", "[]", "valid dictionary"),
        ("tuning.json", '[{"labels": 10}]', "0.arm: Field required; 0.settings: Field required"),
        ("arrays.npz", "junk", "arrays.npz cannot be used"),
    ],
)
def test_a_broken_file_is_named(
    make_run: Callable[..., Path], tmp_path: Path, name: str, content: str, said: str
) -> None:
    folder = make_run(tmp_path / "run")
    (folder / name).write_text(content)
    with pytest.raises(RunError) as caught:
        read_summary(folder)
    assert name in caught.value.message and said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "MAYBE", "seeds": "many"}, r"verdict: .*seeds: "),
        ({"headline": 7}, "headline of 7 labels is not among the budgets"),
        ({"budgets": []}, "budgets: "),
    ],
)
def test_wrong_results_are_refused_with_every_fault(
    make_run: Callable[..., Path], tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(RunError, match=said):
        read_summary(make_run(tmp_path / "run", **changes))


def test_arrays_must_fit_the_image(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    np.savez(folder / "arrays.npz", filters=np.zeros((3, 10)))
    with pytest.raises(RunError, match=r"filters has shape \(3, 10\), expected rows of 784 pixels"):
        read_summary(folder)


def test_what_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a folder"):
        read_summary(tmp_path / "nowhere")


def test_half_a_last_line_is_passed_over_and_a_repeated_update_taken_once(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "run")
    lines = [{"fit": "f", "update": 1, "training_loss": 3.0}, {"fit": "f", "update": 1, "training_loss": 2.0}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "history.jsonl").write_text(text + '{"fit": "f", "upd')
    curve = read_summary(folder).curves["f"]
    assert curve.update.tolist() == [1.0] and curve.training_loss.tolist() == [2.0]


def test_a_long_curve_is_thinned_and_keeps_its_ends(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    lines = (json.dumps({"fit": "f", "update": update}) for update in range(5000))
    (folder / "history.jsonl").write_text("\n".join(lines) + "\n")
    update = read_summary(folder).curves["f"].update
    assert len(update) == MOST_POINTS and update[0] == 0 and update[-1] == 4999


def test_the_mean_of_unlike_places_is_interpolated_where_all_seeds_are() -> None:
    def curve(updates: list[float], losses: list[float]) -> Curve:
        nothing = np.full(len(updates), np.nan)
        return Curve(np.array(updates), nothing, np.array(losses), nothing, nothing, nothing)

    x, y = mean_curve({0: curve([0, 10, 20], [4, 2, 0]), 1: curve([5, 15], [2, 4])}, "training_loss")
    assert x.tolist() == [10.0] and y.tolist() == [2.5]
    assert mean_curve({}, "training_loss")[0].size == 0
