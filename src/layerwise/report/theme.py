"""One look for all figures: white ground, thin grid, few words, two colours that every eye can tell apart."""

from __future__ import annotations

import plotly.graph_objects as go

from .summary import Arm

INK, SOFT, LINE, GREY = "#1c2430", "#5b6675", "#e4e8ee", "#8a94a3"
COLOUR: dict[Arm, str] = {"pretrained": "#0b62b0", "random": "#d4620a"}  # blue and orange
SYMBOL: dict[Arm, str] = {"pretrained": "circle", "random": "diamond"}  # told apart in print, too
GREY_SYMBOLS = ("square", "triangle-up", "x", "star", "cross", "triangle-down", "hexagon", "pentagon")
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

_AXIS = {
    "gridcolor": LINE,
    "gridwidth": 1,
    "linecolor": "#c3cad4",
    "zeroline": False,
    "automargin": True,
    "fixedrange": True,  # a finger on a phone scrolls the page and does not zoom
    "tickfont": {"color": SOFT, "size": 12},
    "title": {"font": {"color": SOFT, "size": 12.5}, "standoff": 10},
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "margin": {"l": 8, "r": 14, "t": 34, "b": 8},
        "xaxis": {
            **_AXIS,
            "showgrid": False,
            "showline": True,
            "ticks": "outside",
            "ticklen": 4,
            "tickcolor": "#c3cad4",
        },
        "yaxis": {**_AXIS, "showline": False, "nticks": 6, "ticklabelstandoff": 6},
        "showlegend": False,
        "legend": {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top", "font": {"size": 12, "color": SOFT}},
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "#ffffff",
            "bordercolor": "#c3cad4",
            "font": {"family": FONT, "size": 12.5, "color": INK},
        },
        "dragmode": False,
    }
)


def new_figure(height: int, x_title: str, y_title: str = "") -> go.Figure:
    """Return an empty figure; the vertical axis is named above its top end, where it reads without turning the head."""
    figure = go.Figure(layout={"template": TEMPLATE, "height": height, "xaxis": {"title": {"text": x_title}}})
    if y_title:
        figure.add_annotation(
            text=y_title, x=0, y=1, xref="paper", yref="paper", xanchor="left", yanchor="bottom", yshift=10,
            xshift=-4, showarrow=False, font={"size": 12.5, "color": SOFT},
        )  # fmt: skip
    return figure


def arm_line(arm: Arm, width: float = 3.0) -> dict[str, object]:
    """Return the bold line of an arm's mean."""
    return {"color": COLOUR[arm], "width": width}


def arm_marker(arm: Arm, size: float = 8.0) -> dict[str, object]:
    """Return an arm's marker, ringed white so that neighbours stay apart."""
    return {"color": COLOUR[arm], "symbol": SYMBOL[arm], "size": size, "line": {"color": "#ffffff", "width": 1.2}}
