"""The picture of Bergstra and Bengio (2012): where a grid looks, where random trials look, and their projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from ..theme import GREY, INK, LINE, SOFT, new_figure
from .marks import BEST, axis_ticks, colours, title
from .summary import Searched, SearchSummary, Value


def grid_and_random(summary: SearchSummary) -> go.Figure | None:
    """Where a grid of as many trials would have looked, and where this search did, with the projections on both axes.

    None where the search has fewer than two ranges, or was not random.
    """
    if len(summary.results.grid) != 2:
        return None
    across, up = (summary.domain(name) for name in summary.results.grid)
    figure = new_figure(430, "")
    axis: dict[str, Any] = {"showgrid": False, "zeroline": False, "fixedrange": True}
    figure.update_layout(
        xaxis={"domain": [0.0, 0.46]}, xaxis2={"domain": [0.54, 1.0], "anchor": "y2", **axis},
        yaxis2={"anchor": "x2", **axis}, margin={"t": 54},
    )  # fmt: skip
    grid = [(a, b) for a in summary.results.grid[across.name] for b in summary.results.grid[up.name]]
    looked = [(one.values[across.name], one.values[up.name]) for one in summary.complete]
    errors = [one.validation_error for one in summary.complete]
    _add_panel(figure, "", across, up, grid, GREY, "a grid of as many trials")
    _add_panel(figure, "2", across, up, looked, colours(summary, errors), "this search")
    best = [one for one in summary.complete if one.slot == summary.results.best.slot]
    figure.add_scatter(
        x=[across.place(one.values[across.name]) for one in best], y=[up.place(one.values[up.name]) for one in best],
        mode="markers", name="the best", xaxis="x2", yaxis="y2",
        marker={"color": BEST, "size": 14, "symbol": "diamond", "line": {"color": "#ffffff", "width": 1.2}},
    )  # fmt: skip
    return figure


def _add_panel(
    figure: go.Figure,
    panel: str,
    across: Searched,
    up: Searched,
    points: Sequence[tuple[Value, Value]],
    colour: Any,
    name: str,
) -> None:
    x, y = [across.place(a) for a, _ in points], [up.place(b) for _, b in points]
    where = {"xaxis": f"x{panel}", "yaxis": f"y{panel}"}
    figure.add_scatter(x=x, y=y, mode="markers", name=name, **where,
                       marker={"color": colour, "size": 9, "line": {"color": "#ffffff", "width": 1}})  # fmt: skip
    for along, at in ((x, "top"), (y, "right")):
        places = sorted({round(value, 6) for value in along})
        marks = {"color": INK, "size": 9, "line": {"width": 1.3, "color": INK},
                 "symbol": "line-ns" if at == "top" else "line-ew"}  # fmt: skip
        figure.add_scatter(x=places if at == "top" else [1.09] * len(places),
                           y=[1.09] * len(places) if at == "top" else places, mode="markers", marker=marks,
                           hoverinfo="skip", name=f"projection of {name}", **where)  # fmt: skip
    values = tuple(len({round(value, 6) for value in along}) for along in (x, y))
    text = f"<b>{name}</b>: {values[0]} values across, {values[1]} up"
    figure.add_annotation(x=0, y=1.0, xref=f"x{panel} domain", yref="paper", yshift=26, xanchor="left", showarrow=False,
                          text=text, font={"size": 13, "color": INK})  # fmt: skip
    for letter, domain in (("x", across), ("y", up)):
        ticks = sorted(axis_ticks(domain))
        layout = {"range": [-0.05, 1.13], "tickvals": [place for place, _ in ticks],
                  "ticktext": [text for _, text in ticks], "showgrid": False, "showline": True,
                  "linecolor": "#c3cad4", "tickfont": {"color": SOFT, "size": 11.5},
                  "title": {"text": title(domain.name).split("<br>")[0] if letter == "x" or not panel else "",
                            "font": {"color": SOFT, "size": 12.5}}}  # fmt: skip
        figure.update_layout({f"{letter}axis{panel}": layout})
    figure.add_shape(type="rect", x0=0, x1=1, y0=0, y1=1, xref=f"x{panel}", yref=f"y{panel}", layer="below",
                     line={"color": LINE, "width": 1}, fillcolor="#fafbfc")  # fmt: skip
