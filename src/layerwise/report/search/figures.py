"""Draws a search: each function takes its summary and returns a Plotly figure whose traces hold the trials' numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from ..theme import GREY, INK, LINE, SOFT, TEMPLATE, new_figure
from ..words import count, decimal, plot_text
from .summary import Searched, SearchSummary, Tried, Value

BEST = "#d4620a"
SCALE = [[0.0, "#08457e"], [0.35, "#3f8ac9"], [0.7, "#b3cfe8"], [1.0, "#e3eaf1"]]  # from few errors to many
TICKS = (0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)
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
        marker={"color": _colours(summary, errors), "size": 7, "line": {"color": "#ffffff", "width": 0.8}},
    )  # fmt: skip
    figure.add_scatter(x=places, y=best, mode="lines", name="best so far",
                       line={"color": BEST, "width": 3, "shape": "hv"})  # fmt: skip
    _add_recipe_line(figure, summary)
    _error_axis(figure, summary)
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
        figure.add_hline(
            y=level, line={"color": SOFT, "width": 1.5, "dash": "dash"},
            annotation={"text": f"the recipe as it is {decimal(level)}", "font": {"size": 12, "color": SOFT},
                        "xanchor": "right", "x": 1, "yanchor": "bottom"},
        )  # fmt: skip


def parallel_coordinates(summary: SearchSummary) -> go.Figure:
    """Every trial as a line through its values, coloured by its validation error; the best bold."""
    domains = list(summary.results.domains)
    trials = sorted(summary.complete, key=lambda one: -(one.validation_error or 0.0))
    low, high = error_range(summary)
    error = Searched(name="validation error, %", low=low, high=high, log=True)
    axes = [*domains, error]
    figure = go.Figure(layout={"template": TEMPLATE, "height": 460, "margin": {"l": 44, "r": 44, "t": 64, "b": 16}})
    colours = _colours(summary, [one.validation_error for one in trials])
    for one, colour in zip(trials, colours, strict=True):
        best = one.slot == summary.results.best.slot
        points = _points(one, domains)
        points.append((len(domains), error.place(_within(one.validation_error, low, high))))
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


def axis_ticks(domain: Searched) -> list[tuple[float, str]]:
    """Return (place, text) of an axis's marks: choices, the ends, and between them round numbers.

    Examples
    --------
    >>> axis_ticks(Searched(name="rate", low=0.01, high=1.0, log=True))
    [(0.0, '0.01'), (1.0, '1'), (0.5, '0.1')]
    """
    if domain.choices is not None:
        return [(domain.place(choice), plot_text(choice)) for choice in domain.choices]
    ends = [(0.0, f"{domain.low:.3g}"), (1.0, f"{domain.high:.3g}")]
    if domain.log:
        exponents = range(math.ceil(math.log10(domain.low)), math.floor(math.log10(domain.high)) + 1)
        inner = [10.0**exponent for exponent in exponents]
        inner = inner if len(inner) > 1 else [value for value in TICKS if domain.low < value < domain.high]
    else:
        inner = [domain.low + share * (domain.high - domain.low) for share in (0.25, 0.5, 0.75)]
        inner = [float(round(value)) for value in inner] if domain.whole else inner
    between = [(domain.place(value), f"{value:.3g}") for value in inner]
    return [*ends, *((place, text) for place, text in between if 0.06 < place < 0.94)]


def title(name: str) -> str:
    """Return a setting's name in two lines: what it is, and the table it is in.

    Examples
    --------
    >>> title("pretrain.objective.corruption.rate"), title("layer 2: units")
    ('corruption rate<br><i>pretrain</i>', 'units<br><i>layer 2</i>')
    """
    layer, _, own = name.rpartition(": ")
    table, _, key = own.partition(".")
    key = (key or table).removeprefix("objective.").replace(".", " ").replace("_", " ").replace("hidden layer ", "")
    below = ", ".join(part for part in (layer, table if "." in own else "") if part)
    return f"{plot_text(key)}<br><i>{plot_text(below)}</i>" if below else plot_text(key)


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
    figure = new_figure(230, plot_text(title(domain.name)).split("&lt;")[0], "")
    trials = [one for one in summary.complete if domain.name in one.values]
    x = [one.values[domain.name] for one in trials]
    figure.add_scatter(
        x=x, y=[one.validation_error for one in trials], mode="markers", name="trial",
        text=[f"trial {one.slot}" for one in trials],
        marker={"color": _colours(summary, [one.validation_error for one in trials]), "size": 7,
                "line": {"color": "#ffffff", "width": 0.8}},
    )  # fmt: skip
    _add_best_dot(figure, [one for one in trials if one.slot == summary.results.best.slot], domain)
    if domain.choices is None:
        room = 0.04
        ends = (math.log10(domain.low), math.log10(domain.high)) if domain.log else (domain.low, domain.high)
        width = ends[1] - ends[0]
        figure.update_xaxes(type="log" if domain.log else "linear",
                            range=[ends[0] - room * width, ends[1] + room * width],
                            tickvals=[_value_at(domain, place) for place, _ in axis_ticks(domain)],
                            ticktext=[text for _, text in axis_ticks(domain)])  # fmt: skip
    else:
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=list(domain.choices))
    _error_axis(figure, summary)
    return figure


def _add_best_dot(figure: go.Figure, best: Sequence[Tried], domain: Searched) -> None:
    figure.add_scatter(
        x=[one.values[domain.name] for one in best], y=[one.validation_error for one in best], mode="markers",
        name="the best", marker={"color": BEST, "size": 12, "symbol": "diamond",
                                 "line": {"color": "#ffffff", "width": 1.2}},
    )  # fmt: skip


def grid_and_random(summary: SearchSummary) -> go.Figure | None:
    """Where a grid of as many trials would have looked, and where this search did, with the projections on both axes.

    None where the search has fewer than two ranges, or was a grid itself.
    """
    pair = _most_important_pair(summary)
    if pair is None or summary.results.method in ("grid", "greedy") or not summary.results.grid:
        return None
    across, up = pair
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
    _add_panel(figure, "2", across, up, looked, _colours(summary, errors), "this search")
    return figure


def _most_important_pair(summary: SearchSummary) -> tuple[Searched, Searched] | None:
    ranges = [one.name for one in summary.results.domains if one.choices is None]
    ranked = [one.name for one in summary.results.importances if one.name in ranges]
    names = list(dict.fromkeys([*ranked, *ranges]))[:2]
    return (summary.domain(names[0]), summary.domain(names[1])) if len(names) == 2 else None


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


def error_range(summary: SearchSummary) -> tuple[float, float]:
    """Return the ends of an axis of errors."""
    known = [one.validation_error for one in summary.results.tried if one.validation_error is not None]
    low, high = max(min(known), 0.05), max(*known, 0.1)
    return low / 1.08, max(high * 1.08, low * 1.2)


def _error_axis(figure: go.Figure, summary: SearchSummary) -> None:
    low, high = error_range(summary)
    figure.update_yaxes(type="log", range=[math.log10(low), math.log10(high)],
                        tickvals=[tick for tick in TICKS if low <= tick <= high])  # fmt: skip


def _within(value: float | None, low: float, high: float) -> float:
    return min(max(value if value is not None else high, low), high)


def _value_at(domain: Searched, place: float) -> float:
    if domain.log:
        return float(domain.low * (domain.high / domain.low) ** place)
    return domain.low + place * (domain.high - domain.low)


def _colours(summary: SearchSummary, errors: Sequence[float | None]) -> list[str]:
    """Return a colour for each error, by its rank among all: one bad trial would else make the others look alike."""
    known = sorted(one.validation_error for one in summary.complete if one.validation_error is not None)
    last = max(1, len(known) - 1)
    ranks = [1.0 if error is None else sum(other < error for other in known) / last for error in errors]
    return [str(colour) for colour in sample_colorscale(SCALE, [min(1.0, rank) for rank in ranks])] if ranks else []


def described(summary: SearchSummary) -> str:
    """Say in words what the pictures show, for those who do not see them."""
    error = decimal(summary.results.best.validation_error)
    return f"The best of {count(len(summary.complete))} trials has a validation error of {error} %."
