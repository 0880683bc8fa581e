"""Draws the summary: each function takes it and returns one Plotly figure whose traces hold the run's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from .published import PUBLISHED
from .results import Budget, LayerLoss
from .summary import ARMS, Arm, Curve, Summary, mean_curve
from .theme import COLOUR, GREY, GREY_SYMBOLS, INK, SOFT, SYMBOL, arm_line, arm_marker, new_figure
from .words import count, decimal, plot_text


def label_efficiency(summary: Summary) -> go.Figure:
    """Test error against the number of labels: a thin line per seed, the mean bold, baselines as grey markers."""
    budgets = sorted(summary.results.budgets, key=lambda budget: budget.labels)
    labels = [budget.labels for budget in budgets]
    figure = new_figure(400, "labelled rows (logarithmic)", "Test error, %")
    for arm in ARMS:
        for seed, errors in enumerate(_seed_lines([_errors(budget, arm) for budget in budgets])):
            figure.add_scatter(x=labels, y=errors, mode="lines", line=arm_line(arm, 1), opacity=0.4,
                               name=f"{summary.arm_name(arm)}, seed {seed}", showlegend=False)  # fmt: skip
    _add_baselines(figure, summary)
    means = {arm: np.array([_mean_error(budget, arm) for budget in budgets]) for arm in ARMS}
    for arm in ARMS:
        upper = means[arm].sum() >= max(values.sum() for values in means.values())
        figure.add_scatter(x=labels, y=means[arm], mode="lines+markers+text", line=arm_line(arm), cliponaxis=False,
                           marker=arm_marker(arm, 10), name=summary.arm_name(arm), showlegend=False,
                           text=[summary.arm_name(arm), *[""] * (len(labels) - 1)],
                           textposition="top right" if upper else "bottom left",
                           textfont={"color": COLOUR[arm], "size": 14})  # fmt: skip
    ends = np.log10([min(labels), max(labels)])
    figure.update_xaxes(type="log", range=[ends[0] - 0.3, ends[1] + 0.12], tickvals=labels,
                        ticktext=[count(value) for value in labels])  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(showlegend=True)
    return figure


def gain_intervals(summary: Summary) -> go.Figure | None:
    """The gain with its 95 % interval at each budget, against zero and the smallest gain worth having.

    None when no budget has an interval (below three seeds).
    """
    budgets = [budget for budget in summary.results.budgets if budget.low is not None and budget.high is not None]
    if not budgets:
        return None
    budgets = sorted(budgets, key=lambda budget: -budget.labels)
    figure = new_figure(118 + 44 * len(budgets), "gain, percentage points of test error")
    figure.add_vline(x=0, line={"color": SOFT, "width": 1})
    figure.add_vline(
        x=summary.results.min_gain,
        line={"color": SOFT, "width": 1, "dash": "dot"},
        annotation={"text": f"worth having: {summary.results.min_gain:g}", "font": {"size": 12, "color": SOFT},
                    "y": 1, "yanchor": "bottom", "xanchor": "left", "xshift": -6},
    )  # fmt: skip
    for budget in budgets:
        strong = budget.labels == summary.results.headline
        colour = INK if strong else GREY
        figure.add_scatter(
            x=[budget.gain], y=[f"{count(budget.labels)} labels"], mode="markers",
            marker={"color": colour, "size": 11 if strong else 8},
            error_x={"type": "data", "symmetric": False, "array": [(budget.high or 0) - budget.gain],
                     "arrayminus": [budget.gain - (budget.low or 0)], "color": colour,
                     "thickness": 3 if strong else 2, "width": 0},
            name="gain and 95 % interval",
        )  # fmt: skip
    ends = [0.0, summary.results.min_gain, *(end or 0 for budget in budgets for end in (budget.low, budget.high))]
    room = 0.06 * (max(ends) - min(ends))
    figure.update_xaxes(range=[min(ends) - room, max(ends) + room])
    figure.update_yaxes(showgrid=False, range=[-0.6, len(budgets) - 0.4], dtick=1)
    return figure


def paired_seeds(summary: Summary) -> go.Figure:
    """Both arms' test error of each seed at the headline budget, joined; the gain stands at the right."""
    budget = summary.headline
    names = [f"seed {seed}" for seed in range(len(budget.pretrained_errors))]
    rows: dict[Arm, list[float | None]] = {arm: list(_errors(budget, arm)) for arm in ARMS}
    if len(names) > 1:
        names.append("mean")
        rows["pretrained"].append(budget.pretrained_error)
        rows["random"].append(budget.random_error)
    pairs = zip(budget.pretrained_errors, budget.random_errors, strict=True)
    gains = [decimal(there - here, sign=True) for here, there in pairs]
    if len(names) > len(gains):
        gains.append(decimal(budget.gain, sign=True))
    return _dumbbells(summary, names, rows, f"test error at {count(budget.labels)} labels, %", gains, "gain, points")


def convergence_updates(summary: Summary) -> go.Figure | None:
    """Updates until each arm first reaches the random arm's best error, per seed; None without the numbers."""
    found = summary.results.convergence
    if found is None or not found.random_updates or len(found.random_updates) != len(found.pretrained_updates):
        return None
    names = [f"seed {seed}" for seed in range(len(found.random_updates))]
    reached = found.pretrained_reached or (True,) * len(names)
    early = [value if ok else None for value, ok in zip(found.pretrained_updates, reached, strict=False)]
    rows: dict[Arm, list[float | None]] = {"pretrained": early, "random": list(found.random_updates)}
    saved = [
        decimal(there - here, 0) if here is not None and there is not None else "not reached"
        for here, there in zip(early, found.random_updates, strict=True)
    ]
    title = f"updates of fine-tuning at {count(found.labels)} labels"
    figure = _dumbbells(summary, names, rows, title, saved, "saved")
    figure.update_xaxes(range=[0, figure.layout.xaxis.range[1]], tickformat=",d")
    return figure


def training_loss(summary: Summary) -> go.Figure | None:
    """Training loss against updates, both arms, at the headline budget; None when the run has no such curve."""
    return _arm_curves(summary, "training_loss", "Training loss, nats per row", "loss")


def held_out_accuracy(summary: Summary) -> go.Figure | None:
    """Held-out accuracy (100 - error, percent) against updates, both arms; None when the run has no such curve."""
    return _arm_curves(summary, "validation_error", "Held-out accuracy, %", "accuracy")


def layer_loss(summary: Summary, stage: int) -> go.Figure | None:
    """Pre-training loss of one layer by epoch, against the mean predictor (dashed); None without the curve."""
    curves = summary.layer_curves(stage)
    along = "epoch" if any(curve.points("training_loss", "epoch")[0].size for curve in curves.values()) else "update"
    x, y = mean_curve(curves, "training_loss", along)
    if not x.size:
        return None
    figure = new_figure(290, f"{along}s", "Loss per row, summed over features")
    _add_seed_lines(figure, curves, "training_loss", along, "pretrained")
    figure.add_scatter(x=x, y=y, mode="lines", line=arm_line("pretrained"), name="mean of the seeds")
    level = mean_predictor(summary.results.layers, stage)
    if level is not None:
        figure.add_hline(
            y=level, line={"color": SOFT, "width": 1.5, "dash": "dash"},
            annotation={"text": f"mean predictor {decimal(level, 1)}", "font": {"size": 12, "color": SOFT},
                        "xanchor": "right", "x": 1, "yanchor": "bottom"},
        )  # fmt: skip
        figure.update_yaxes(range=[0, 1.15 * max(level, float(y.max()))])
    else:
        figure.update_yaxes(rangemode="tozero")
    return figure


def mean_predictor(layers: Sequence[LayerLoss], stage: int) -> float | None:
    """Return the mean predictor's loss on a stage, averaged over the seeds."""
    known = [row.mean_predictor_loss for row in layers if row.stage == stage and row.mean_predictor_loss is not None]
    return float(np.mean(known)) if known else None


def baseline_errors(summary: Summary) -> go.Figure | None:
    """Test error of the arms and baselines at the headline budget, best first; None when there are no baselines."""
    budget = summary.headline
    others = [item for item in summary.results.baselines if item.labels == budget.labels]
    if not others:
        return None
    rows: list[tuple[str, float, Sequence[float], str, str]] = [
        (summary.arm_name(arm), _mean_error(budget, arm), _errors(budget, arm), COLOUR[arm], SYMBOL[arm])
        for arm in ARMS
    ]
    rows += [(plot_text(item.name), item.error, item.errors, GREY, "square") for item in others]
    figure = new_figure(90 + 40 * len(rows), f"test error at {count(budget.labels)} labels, %")
    for name, error, errors, colour, symbol in sorted(rows, key=lambda row: -row[1]):
        figure.add_scatter(x=list(errors), y=[name] * len(errors), mode="markers", opacity=0.4, name=f"{name}, seeds",
                           marker={"color": colour, "size": 6})  # fmt: skip
        figure.add_scatter(x=[error], y=[name], mode="markers+text", text=[decimal(error)], textposition="top center",
                           textfont={"color": colour if colour != GREY else SOFT, "size": 12}, cliponaxis=False,
                           marker={"color": colour, "symbol": symbol, "size": 11}, name=name)  # fmt: skip
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(dtick=1, range=[-0.6, len(rows) - 0.2])
    return figure


def _errors(budget: Budget, arm: Arm) -> tuple[float, ...]:
    return budget.pretrained_errors if arm == "pretrained" else budget.random_errors


def _mean_error(budget: Budget, arm: Arm) -> float:
    return budget.pretrained_error if arm == "pretrained" else budget.random_error


def _seed_lines(columns: Sequence[Sequence[float]]) -> list[list[float | None]]:
    seeds = max(len(column) for column in columns)
    return [[column[seed] if seed < len(column) else None for column in columns] for seed in range(seeds)]


def _add_baselines(figure: go.Figure, summary: Summary) -> None:
    names = list(dict.fromkeys(item.name for item in summary.results.baselines))
    for index, name in enumerate(names):
        items = [item for item in summary.results.baselines if item.name == name]
        figure.add_scatter(
            x=[item.labels for item in items], y=[item.error for item in items], mode="markers", name=plot_text(name),
            marker={"color": GREY, "size": 9, "symbol": GREY_SYMBOLS[index % len(GREY_SYMBOLS)]},
        )  # fmt: skip


def _dumbbells(
    summary: Summary,
    names: Sequence[str],
    rows: Mapping[Arm, Sequence[float | None]],
    title: str,
    differences: Sequence[str],
    difference_title: str,
) -> go.Figure:
    figure = new_figure(120 + 38 * len(names), title)
    for name, here, there in zip(names, rows["pretrained"], rows["random"], strict=True):
        figure.add_scatter(x=[here, there], y=[name, name], mode="lines", hoverinfo="skip", name=f"pair, {name}",
                           line={"color": INK if name == "mean" else "#b9c1cc", "width": 2.5})  # fmt: skip
    for arm in ARMS:
        figure.add_scatter(x=list(rows[arm]), y=list(names), mode="markers", marker=arm_marker(arm, 13),
                           name=summary.arm_name(arm))  # fmt: skip
    beside = {"x": 1, "xref": "paper", "xanchor": "right", "showarrow": False}
    for name, text in zip(names, differences, strict=True):
        figure.add_annotation(text=f"<b>{text}</b>" if name == "mean" else text, y=name, font={"color": INK}, **beside)
    figure.add_annotation(text=difference_title, y=1, yref="paper", yanchor="bottom", yshift=4,
                          font={"size": 12, "color": SOFT}, **beside)  # fmt: skip
    known = [value for arm in ARMS for value in rows[arm] if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    figure.update_xaxes(range=[low - room, high + room], domain=[0, 0.84])  # the differences stand beside it
    figure.update_yaxes(range=[len(names) - 0.4, -0.6], dtick=1)
    return figure


def _arm_curves(summary: Summary, field: str, y_title: str, quantity: str) -> go.Figure | None:
    curves = {arm: summary.arm_curves(arm) for arm in ARMS}
    means = {arm: mean_curve(curves[arm], field) for arm in ARMS}
    if not any(x.size for x, _ in means.values()):
        return None
    flip = quantity == "accuracy"
    figure = new_figure(390, "updates", y_title)
    for arm in ARMS:
        _add_seed_lines(figure, curves[arm], field, "update", arm, flip)
    for arm in ARMS:
        x, y = means[arm]
        figure.add_scatter(x=x, y=100 - y if flip else y, mode="lines", line=arm_line(arm), name=summary.arm_name(arm))
    last = max(float(x[-1]) for x, _ in means.values() if x.size)
    if summary.is_tutorial:
        _add_published(figure, summary, quantity, last)
    figure.update_yaxes(rangemode="tozero", range=[0, 101] if flip else None)
    figure.update_xaxes(range=[0, last * 1.02 or 1], tickformat=",d", nticks=6)
    return figure


def _add_seed_lines(
    figure: go.Figure, curves: Mapping[int, Curve], field: str, along: str, arm: Arm, flip: bool = False
) -> None:
    if len(curves) < 2:
        return  # a single seed is drawn once, bold
    for seed, curve in curves.items():
        x, y = curve.points(field, along)
        figure.add_scatter(x=x, y=100 - y if flip else y, mode="lines", line=arm_line(arm, 1), opacity=0.35,
                           name=f"{arm}, seed {seed}", showlegend=False)  # fmt: skip


def _add_published(figure: go.Figure, summary: Summary, quantity: str, last: float) -> None:
    # Only as far as this run went: the published 600,000 updates would press its curves against the axis.
    points = [point for point in PUBLISHED if point.update <= 1.02 * last]
    for arm in ARMS:
        figure.add_scatter(
            x=[point.update for point in points], y=[point.value(arm, quantity) for point in points], mode="markers",
            marker={"symbol": f"{SYMBOL[arm]}-open", "size": 12, "color": COLOUR[arm], "line": {"width": 2}},
            name=f"{summary.arm_name(arm)}, published", cliponaxis=False,
        )  # fmt: skip
