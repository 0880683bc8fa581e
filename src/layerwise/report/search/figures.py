"""Draws a search: each function takes its summary and returns a Plotly figure whose traces hold the trials' numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from ..theme import INK, SOFT, new_figure
from ..words import count, decimal
from .marks import BEST, axis_ticks, colours, error_axis, title, value_at
from .summary import Searched, SearchSummary, Tried

MOST_PANELS = 8


def best_so_far(summary: SearchSummary, along: str) -> go.Figure:
    """The best validation error so far against trials or seconds; each trial a dot, and what k random trials find."""
    trials = along == "trials"
    figure = new_figure(330, "trials" if trials else "minutes of all trials together", "Validation error, %")
    ended = [one for one in summary.results.tried if one.slot > 0 and one.state in ("complete", "pruned", "diverged")]
    spent, places, errors, best = 0.0, [], [], []
    for number, one in enumerate(ended, 1):
        spent += one.seconds or 0.0
        places.append(float(number) if trials else spent / 60)
        errors.append(one.validation_error)
        known = [error for error in errors if error is not None]
        best.append(min(known) if known else None)
    if trials:
        _add_expected(figure, summary)
    figure.add_scatter(
        x=places, y=errors, mode="markers", name="one trial",
        marker={"color": colours(summary, errors), "size": 7, "line": {"color": "#ffffff", "width": 0.8}},
    )  # fmt: skip
    figure.add_scatter(x=places, y=best, mode="lines", name="best so far",
                       line={"color": BEST, "width": 3, "shape": "hv"})  # fmt: skip
    _add_recipe_line(figure, summary)
    error_axis(figure, summary)
    figure.update_xaxes(rangemode="tozero")
    return figure


def _add_expected(figure: go.Figure, summary: SearchSummary) -> None:
    points = summary.results.expected_best
    if not points:
        return
    k = [point[0] for point in points]
    figure.add_scatter(x=k, y=[point[3] for point in points], mode="lines", line={"width": 0}, hoverinfo="skip",
                       name="upper end")  # fmt: skip
    figure.add_scatter(x=k, y=[point[2] for point in points], mode="lines", line={"width": 0}, fill="tonexty",
                       fillcolor="rgba(11, 98, 176, 0.10)", hoverinfo="skip", name="lower end")  # fmt: skip
    figure.add_scatter(x=k, y=[point[1] for point in points], mode="lines", name="expected best of k trials",
                       line={"color": "#0b62b0", "width": 1.5, "dash": "dot"})  # fmt: skip


def _add_recipe_line(figure: go.Figure, summary: SearchSummary) -> None:
    level = summary.results.recipe_error
    if level is not None:
        figure.add_hline(y=level, line={"color": SOFT, "width": 1.5, "dash": "dash"})
        # an annotation on a logarithmic axis stands at the logarithm
        figure.add_annotation(
            text=f"the recipe as it is: {decimal(level)}", x=1, xref="paper", xanchor="right", y=math.log10(level),
            yanchor="bottom", showarrow=False, font={"size": 12, "color": SOFT}, bgcolor="rgba(255,255,255,0.7)",
        )  # fmt: skip


def importance_bars(summary: SearchSummary) -> go.Figure | None:
    """The share of the differences that each setting alone explains, and its range over resamples of the trials."""
    found = summary.results.importances
    if not found:
        return None
    figure = new_figure(80 + 38 * len(found), "share of the differences in validation error that the setting explains")
    names = [title(one.name).replace("<br>", "  ") for one in found]
    colours = ["#0b62b0" if summary.results.importances_sure else "#7fa9d1"] * len(found)
    figure.add_bar(
        y=names, x=[one.importance for one in found], orientation="h", marker={"color": colours}, width=0.5,
        name="importance", hovertemplate="%{x:.0%}<extra></extra>",
        error_x={"type": "data", "symmetric": False, "array": [max(0.0, one.high - one.importance) for one in found],
                 "arrayminus": [max(0.0, one.importance - one.low) for one in found],
                 "color": INK, "thickness": 1.5, "width": 5},
    )  # fmt: skip
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def one_setting(summary: SearchSummary, domain: Searched) -> go.Figure:
    """The validation error of every trial against one of its values."""
    figure = new_figure(220, "", "")
    trials = [one for one in summary.complete if domain.name in one.values]
    x = [one.values[domain.name] for one in trials]
    figure.add_scatter(
        x=x, y=[one.validation_error for one in trials], mode="markers", name="trial",
        text=[f"trial {one.slot}" for one in trials],
        marker={"color": colours(summary, [one.validation_error for one in trials]), "size": 7,
                "line": {"color": "#ffffff", "width": 0.8}},
    )  # fmt: skip
    _add_best_dot(figure, [one for one in trials if one.slot == summary.results.best.slot], domain)
    if domain.choices is None:
        room = 0.04
        ends = (math.log10(domain.low), math.log10(domain.high)) if domain.log else (domain.low, domain.high)
        width = ends[1] - ends[0]
        figure.update_xaxes(type="log" if domain.log else "linear",
                            range=[ends[0] - room * width, ends[1] + room * width],
                            tickvals=[value_at(domain, place) for place, _ in axis_ticks(domain)],
                            ticktext=[text for _, text in axis_ticks(domain)])  # fmt: skip
    else:
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=list(domain.choices))
    error_axis(figure, summary)
    return figure


def _add_best_dot(figure: go.Figure, best: Sequence[Tried], domain: Searched) -> None:
    figure.add_scatter(
        x=[one.values[domain.name] for one in best], y=[one.validation_error for one in best], mode="markers",
        name="the best", marker={"color": BEST, "size": 12, "symbol": "diamond",
                                 "line": {"color": "#ffffff", "width": 1.2}},
    )  # fmt: skip


def described(summary: SearchSummary) -> str:
    """Say in words what the pictures show, for those who do not see them."""
    error = decimal(summary.results.best.validation_error)
    return f"The best of {count(len(summary.complete))} trials has a validation error of {error} %."
