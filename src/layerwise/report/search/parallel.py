"""All trials of a search at once, as lines through their values."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..theme import INK, SOFT, TEMPLATE
from ..words import decimal
from .marks import BEST, axis_ticks, colours, error_range, title, within
from .summary import Searched, SearchSummary, Tried


def parallel_coordinates(summary: SearchSummary) -> go.Figure:
    """Every trial as a line through its values, coloured by its validation error; the best bold."""
    domains = list(summary.results.domains)
    trials = sorted(summary.complete, key=lambda one: -(one.validation_error or 0.0))
    low, high = error_range(summary)
    error = Searched(name="validation error, %", low=low, high=high, log=True)
    axes = [*domains, error]
    figure = go.Figure(layout={"template": TEMPLATE, "height": 460, "margin": {"l": 44, "r": 44, "t": 64, "b": 16}})
    tints = colours(summary, [one.validation_error for one in trials])
    for one, colour in zip(trials, tints, strict=True):
        best = one.slot == summary.results.best.slot
        points = _points(one, domains)
        points.append((len(domains), error.place(within(one.validation_error, low, high))))
        figure.add_scatter(
            x=[x for x, _ in points], y=[y for _, y in points], mode="lines",
            line={"color": BEST if best else colour, "width": 3.5 if best else 1.6},
            opacity=1.0 if best else 0.75, name=f"trial {one.slot}, {decimal(one.validation_error)} %",
            hoverinfo="name",
        )  # fmt: skip
    for position, domain in enumerate(axes):
        _add_axis(figure, position, domain)
    figure.update_xaxes(visible=False, range=[-0.12, len(axes) - 0.88])
    figure.update_yaxes(visible=False, range=[-0.04, 1.04])
    return figure


def _points(one: Tried, domains: Sequence[Searched]) -> list[tuple[float, float]]:
    """Return where a trial's line meets the axes; a trial of fewer layers misses some."""
    return [
        (float(position), domain.place(one.values[domain.name]))
        for position, domain in enumerate(domains)
        if domain.name in one.values
    ]


def _add_axis(figure: go.Figure, position: int, domain: Searched) -> None:
    figure.add_shape(type="line", x0=position, x1=position, y0=0, y1=1, layer="above",
                     line={"color": INK, "width": 1.2})  # fmt: skip
    figure.add_annotation(x=position, y=1, yanchor="bottom", yshift=12, showarrow=False, text=title(domain.name),
                          font={"size": 12, "color": INK})  # fmt: skip
    for place, text in axis_ticks(domain):
        figure.add_annotation(x=position, y=place, xanchor="left", xshift=4, showarrow=False, text=text,
                              bgcolor="rgba(255,255,255,0.72)", borderpad=1,
                              font={"size": 11, "color": SOFT})  # fmt: skip
