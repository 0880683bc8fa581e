"""Each figure's traces hold the run's numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from layerwise.report import Summary, figures, read_summary
from layerwise.report.theme import COLOUR


def trace(figure: go.Figure | None, name: str) -> Any:
    assert figure is not None
    found = [item for item in figure.data if item.name == name]
    assert len(found) == 1, [item.name for item in figure.data]
    return found[0]


def texts(figure: go.Figure) -> list[str]:
    return [note.text for note in figure.layout.annotations]


def test_label_efficiency_has_means_seeds_and_baselines(summary: Summary) -> None:
    figure = figures.label_efficiency(summary)
    assert figure.layout.xaxis.type == "log"
    mean = trace(figure, "pre-trained")
    assert list(mean.x) == [100, 1000] and list(mean.y) == pytest.approx([17.32, 5.902])
    assert list(trace(figure, "random, seed 2").y) == [21.7, 8.31]
    assert mean.line.width > trace(figure, "random, seed 2").line.width
    boosting = trace(figure, "gradient boosting")
    assert list(boosting.x) == [100, 1000] and list(boosting.y) == [31.5, 9.1] and boosting.mode == "markers"
    assert len(figure.data) == 2 * 5 + 2 + 4


def test_gain_intervals_reach_from_low_to_high(summary: Summary) -> None:
    figure = figures.gain_intervals(summary)
    assert figure is not None
    by_labels = {item.y[0]: item for item in figure.data}
    shown = by_labels["1,000 labels"]
    assert shown.x[0] == pytest.approx(2.116)
    assert shown.x[0] + shown.error_x.array[0] == pytest.approx(2.61)
    assert shown.x[0] - shown.error_x.arrayminus[0] == pytest.approx(1.62)
    assert [shape.x0 for shape in figure.layout.shapes] == [0, 0.5]
    assert "worth having: 0.5" in texts(figure)


def test_gains_without_intervals_are_not_drawn(tutorial: Summary) -> None:
    assert figures.gain_intervals(tutorial) is None


def test_paired_seeds_join_the_arms_and_state_the_gain(summary: Summary) -> None:
    figure = figures.paired_seeds(summary)
    assert list(trace(figure, "pair, seed 3").x) == [6.12, 8.14]
    assert list(trace(figure, "random").x) == pytest.approx([8.05, 7.82, 8.31, 8.14, 7.77, 8.018])
    assert texts(figure)[:6] == ["+2.22", "+1.85", "+2.60", "+2.02", "+1.89", "<b>+2.12</b>"]


def test_one_seed_has_no_mean_row(tutorial: Summary) -> None:
    assert list(trace(figures.paired_seeds(tutorial), "pre-trained").y) == ["seed 0"]


def test_curves_hold_the_history(summary: Summary) -> None:
    loss, accuracy = figures.training_loss(summary), figures.held_out_accuracy(summary)
    curve = summary.arm_curves("random")[4]
    assert list(trace(loss, "random, seed 4").y) == pytest.approx(curve.training_loss[1:])
    assert list(trace(accuracy, "random, seed 4").y) == pytest.approx(100 - curve.validation_error)
    every = [summary.arm_curves("pretrained")[seed].validation_error for seed in range(5)]
    assert list(trace(accuracy, "pre-trained").y) == pytest.approx(100 - np.mean(every, axis=0))
    assert trace(accuracy, "pre-trained").x[0] == 0
    assert trace(accuracy, "pre-trained").line.color == COLOUR["pretrained"]


def test_curves_that_were_not_kept_are_not_drawn(summary: Summary) -> None:
    bare = dataclasses.replace(summary, curves={})
    assert figures.training_loss(bare) is None and figures.held_out_accuracy(bare) is None
    assert figures.layer_loss(bare, 1) is None


def test_published_points_stand_in_the_tutorial_as_far_as_the_run_goes(tutorial: Summary, summary: Summary) -> None:
    loss, accuracy = figures.training_loss(tutorial), figures.held_out_accuracy(tutorial)
    shown = trace(accuracy, "pre-trained, published")
    assert list(shown.x) == [5000, 10000] and list(shown.y) == pytest.approx([29.2, 59.9])
    assert shown.marker.symbol.endswith("-open")
    assert list(trace(loss, "random, published").y) == [2.27, 2.04]
    assert len(accuracy.data) == 4  # type: ignore[union-attr]
    assert not [item for item in figures.training_loss(summary).data if "published" in item.name]  # type: ignore[union-attr]


def test_convergence_shows_the_updates_of_each_seed(summary: Summary) -> None:
    figure = figures.convergence_updates(summary)
    assert list(trace(figure, "pre-trained").x) == [200, 240, 180, 220, 200]
    assert list(trace(figure, "random").x) == [1200, 1100, 1300, 1000, 1150]
    assert texts(figure)[:5] == ["1,000", "860", "1,120", "780", "950"]  # type: ignore[arg-type]


def test_an_arm_that_did_not_get_there_is_said_so(
    summary: Summary, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    found = summary.results.convergence
    assert found is not None
    changed = found.model_dump() | {"pretrained_reached": [True, False, True, True, True]}
    figure = figures.convergence_updates(read_summary(make_run(tmp_path / "run", convergence=changed)))
    assert trace(figure, "pre-trained").x[1] is None
    assert texts(figure)[1] == "not reached"  # type: ignore[arg-type]


def test_convergence_that_was_not_measured_is_not_drawn(tutorial: Summary) -> None:
    assert figures.convergence_updates(tutorial) is None


def test_layer_loss_falls_beside_the_mean_predictor(summary: Summary) -> None:
    figure = figures.layer_loss(summary, 2)
    curve = summary.layer_curves(2)[1]
    seed = trace(figure, "pretrained, seed 1")
    assert list(seed.x) == list(range(1, 16)) and list(seed.y) == pytest.approx(curve.training_loss)
    assert figure is not None
    assert [shape.y0 for shape in figure.layout.shapes] == [103.0] and "mean predictor 103.0" in texts(figure)


def test_baselines_are_sorted_and_hold_the_errors(summary: Summary) -> None:
    figure = figures.baseline_errors(summary)
    assert trace(figure, "logistic regression").x[0] == 10.2
    assert list(trace(figure, "random, seeds").x) == [8.05, 7.82, 8.31, 8.14, 7.77]
    order = [item.name for item in figure.data if not item.name.endswith("seeds")]  # type: ignore[union-attr]
    assert order[-1] == "pre-trained" and order[0] == "nearest neighbours"


def test_no_baselines_no_figure(tutorial: Summary) -> None:
    assert figures.baseline_errors(tutorial) is None


def test_names_from_outside_cannot_be_markup(make_run: Callable[..., Path], tmp_path: Path) -> None:
    rival = {"name": "<a href='x'>svm</a>", "labels": 1000, "error": 5.0, "errors": [5.0]}
    found = read_summary(make_run(tmp_path / "run", baselines=[rival]))
    for figure in (figures.baseline_errors(found), figures.label_efficiency(found)):
        assert figure is not None
        assert "<a" not in figure.to_json() and "&lt;a" in figure.to_json()
