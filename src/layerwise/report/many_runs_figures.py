"""Draws many runs of both arms: pure functions from result files to Plotly figures."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go

from .many_runs_results import Depths, DepthStudy, EqualLoss, Layers, LayerStudy, Trajectories
from .summary import ARMS, Arm
from .theme import COLOUR, INK, SOFT, SYMBOL, arm_line, arm_marker, new_figure
from .words import plot_text

NAMES: dict[Arm, str] = {"pretrained": "pre-trained", "random": "random"}
# From the start of fine-tuning, light, to its end, dark; the arms' colours in the midst.
RAMPS: dict[Arm, list[str]] = {
    "pretrained": ["#d6e6f5", "#6fa8dc", "#0b62b0", "#052f57"],
    "random": ["#fde3cc", "#f2a45f", "#d4620a", "#6b2f02"],
}
MANY_DECADES = 2.5
SHIFT = 0.17  # of an arm's errors from the depth that they stand at
PART_NAMES = {"random": "none (random)", "pretrained": "all"}


def embedding(found: Trajectories, method: str) -> go.Figure:
    """The runs of both arms in the plane: colour is the progress of training, symbol and hue are the arm."""
    figure = new_figure(430, "")
    progress = np.arange(len(found.updates))
    for arm in ARMS:
        runs = [run for run in found.runs if run.arm == arm]
        lines: list[list[float | None]] = [[], []]
        for run in runs:
            for axis in range(2):
                lines[axis] += [*(point[axis] for point in getattr(run, method)), None]
        figure.add_scatter(x=lines[0], y=lines[1], mode="lines", line={"color": COLOUR[arm], "width": 0.6},
                           opacity=0.35, hoverinfo="skip", name=f"{NAMES[arm]}, runs")  # fmt: skip
        points = [point for run in runs for point in getattr(run, method)]
        figure.add_scatter(
            x=[point[0] for point in points], y=[point[1] for point in points], mode="markers", name=NAMES[arm],
            marker={"symbol": SYMBOL[arm], "size": 6, "color": np.tile(progress, len(runs)), "colorscale": RAMPS[arm],
                    "line": {"width": 0}},
            text=[f"seed {run.seed}, update {update:,}" for run in runs for update in found.updates],
            hoverinfo="text+name",
        )  # fmt: skip
    figure.update_xaxes(showticklabels=False, ticks="", showline=False)
    figure.update_yaxes(showticklabels=False, showgrid=False, scaleanchor="x")
    return figure


def distances(found: Trajectories) -> go.Figure:
    """Mean distances among the networks of each arm and between the arms, by update."""
    figure = new_figure(330, "updates of fine-tuning (logarithmic; the start stands at the left edge)", "Mean distance")
    first = found.updates[1] if len(found.updates) > 1 else 1
    x = [update or first / 2 for update in found.updates]
    for arm in ARMS:
        figure.add_scatter(x=x, y=[row.within[arm] for row in found.regions], mode="lines", line=arm_line(arm),
                           name=f"among {NAMES[arm]}", text=[f"{update:,}" for update in found.updates])  # fmt: skip
    figure.add_scatter(x=x, y=[row.between for row in found.regions], mode="lines", name="between the arms",
                       line={"color": INK, "width": 2, "dash": "dash"})  # fmt: skip
    figure.update_xaxes(**_log_axis(x))
    figure.update_yaxes(rangemode="tozero")
    return figure


def equal_loss(found: EqualLoss) -> go.Figure:
    """Test loss against training loss, both logarithmic; training goes to the right."""
    figure = new_figure(390, "training loss, nats per row (falling to the right)", "Test loss, nats per row")
    for arm in ARMS:
        for curve in (curve for curve in found.curves if curve.arm == arm):
            figure.add_scatter(x=curve.training, y=curve.test, mode="lines", line=arm_line(arm, 0.8), opacity=0.35,
                               name=f"{NAMES[arm]}, seed {curve.seed}")  # fmt: skip
    for arm, means in zip(ARMS, (found.pretrained, found.random), strict=True):
        figure.add_scatter(x=found.levels, y=means, mode="lines", line=arm_line(arm), name=f"{NAMES[arm]}, mean")
    figure.update_xaxes(**_log_axis((loss for curve in found.curves for loss in curve.training), reverse=True))
    figure.update_yaxes(**_log_axis(loss for curve in found.curves for loss in curve.test))
    return figure


def loss_differences(found: EqualLoss) -> go.Figure:
    """The paired difference of the test loss at each training loss, with its interval."""
    figure = new_figure(270, "training loss, nats per row (falling to the right)", "Difference of test loss")
    figure.add_hline(y=0, line={"color": SOFT, "width": 1})
    means = [gap.mean or 0.0 for gap in found.differences]
    ends = [(gap.low, gap.high) for gap in found.differences]
    figure.add_scatter(
        x=found.levels, y=means, mode="markers", marker={"color": INK, "size": 7}, name="pre-trained minus random",
        error_y={"type": "data", "symmetric": False, "color": INK, "thickness": 2, "width": 0,
                 "array": [(high or mean) - mean for mean, (_, high) in zip(means, ends, strict=True)],
                 "arrayminus": [mean - (low or mean) for mean, (low, _) in zip(means, ends, strict=True)]},
    )  # fmt: skip
    figure.update_xaxes(**_log_axis(found.levels, reverse=True))
    return figure


def depth(study: DepthStudy, found: Depths) -> go.Figure:
    """Every seed's test error at each depth, with the quartiles as a bar and the mean as a line."""
    figure = new_figure(390, "hidden layers", "Test error, % (logarithmic)")
    for arm, shift in zip(ARMS, (-SHIFT, SHIFT), strict=True):
        places = [row.depth + shift for row in study.depths]
        spreads = [row.spread[arm] for row in study.depths]
        for place, row, spread in zip(places, study.depths, spreads, strict=True):
            figure.add_scatter(x=[place, place], y=[spread.quartiles[0], spread.quartiles[2]], mode="lines",
                               line={"color": COLOUR[arm], "width": 9}, opacity=0.3, hoverinfo="skip",
                               name=f"{NAMES[arm]}, {row.depth}, quartiles")  # fmt: skip
            errors = row.errors[arm]
            figure.add_scatter(x=_beside(place, len(errors)), y=list(errors), mode="markers", name=NAMES[arm],
                               marker=arm_marker(arm, 6), opacity=0.8)  # fmt: skip
        figure.add_scatter(x=places, y=[spread.mean for spread in spreads], mode="lines", line=arm_line(arm, 1.5),
                           name=f"{NAMES[arm]}, mean")  # fmt: skip
    every = [error for each in found.initializers for row in each.depths for arm in ARMS for error in row.errors[arm]]
    figure.update_xaxes(dtick=1)
    figure.update_yaxes(**_log_axis(every))
    return figure


def layers(study: LayerStudy, found: Layers) -> go.Figure:
    """Test error by which layers were pre-trained: the mean with its interval, and every seed."""
    figure = new_figure(110 + 38 * len(study.arms), "test error, %")
    for part in study.arms:
        colour = (
            COLOUR["random"] if part.name == "random" else COLOUR["pretrained"] if part.name == "pretrained" else INK
        )
        name = plot_text(part_name(part.name))
        mean, low, high = part.error.mean or 0.0, part.error.low, part.error.high
        figure.add_scatter(x=list(part.errors), y=[name] * len(part.errors), mode="markers", opacity=0.3,
                           marker={"color": colour, "size": 5}, name=f"{name}, seeds")  # fmt: skip
        figure.add_scatter(
            x=[mean], y=[name], mode="markers", marker={"color": colour, "size": 10}, name=name,
            error_x={"type": "data", "symmetric": False, "color": colour, "thickness": 3, "width": 0,
                     "array": [(high or mean) - mean], "arrayminus": [mean - (low or mean)]},
        )  # fmt: skip
    every = [error for each in found.initializers for part in each.arms for error in part.errors]
    room = 0.05 * (max(every) - min(every)) or 1.0
    figure.update_xaxes(range=[min(every) - room, max(every) + room])
    figure.update_yaxes(autorange="reversed", dtick=1)
    return figure


def part_name(arm: str) -> str:
    """Return how an arm of the study of layers is called.

    Examples
    --------
    >>> part_name("random"), part_name("layers 2, 3")
    ('none (random)', 'layers 2, 3')
    """
    return PART_NAMES.get(arm, arm)


def _beside(place: float, number: int) -> list[float]:
    """Spread points a little to both sides, so that equal ones are seen."""
    return [place + 0.05 * ((at % 3) - 1) for at in range(number)]


def _log_axis(values: Iterable[float], reverse: bool = False) -> dict[str, object]:
    """Return a logarithmic axis just around some values, with its ticks at 1, 2 and 5 times powers of ten."""
    logs = [math.log10(value) for value in values]
    low, high = min(logs), max(logs)
    room = 0.03 * (high - low) or 0.1
    low, high = low - room, high + room
    decades = range(math.floor(low), math.ceil(high) + 1)
    steps = (1, 2, 5) if high - low < MANY_DECADES else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps if low <= math.log10(step) + decade <= high]
    return {"type": "log", "range": [high, low] if reverse else [low, high], "tickvals": ticks,
            "ticktext": [f"{tick:,g}" for tick in ticks]}  # fmt: skip
