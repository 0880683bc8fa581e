"""What the figures of a search share: axes of settings and of errors, and a colour for each error."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from ..words import plot_text
from .summary import Searched, SearchSummary

BEST = "#d4620a"
SCALE = [[0.0, "#08457e"], [0.35, "#3f8ac9"], [0.7, "#b3cfe8"], [1.0, "#e3eaf1"]]  # from few errors to many
FEWEST_TICKS = 3
TICKS = (0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)


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
    """Return a setting's name in two lines: what it is, and the layer or table it is of.

    Examples
    --------
    >>> title("pretrain.objective.corruption.rate"), title("layer 2: units")
    ('corruption rate<br><i>pretrain</i>', 'units<br><i>layer 2</i>')
    """
    layer, _, own = name.rpartition(": ")
    table, _, key = own.partition(".")
    key = (key or table).removeprefix("objective.").replace(".", " ").replace("_", " ").replace("hidden layer ", "")
    below = layer or (table if "." in own else "")
    return f"{plot_text(key)}<br><i>{plot_text(below)}</i>" if below else plot_text(key)


def error_range(summary: SearchSummary) -> tuple[float, float]:
    """Return the ends of an axis of errors."""
    known = [one.validation_error for one in summary.results.tried if one.validation_error is not None]
    low, high = max(min(known), 0.05), max(*known, 0.1)
    return low / 1.08, max(high * 1.08, low * 1.2)


def error_axis(figure: go.Figure, summary: SearchSummary) -> None:
    """Make the vertical axis one of errors, logarithmic, the same in every figure."""
    low, high = error_range(summary)
    figure.update_yaxes(type="log", range=[math.log10(low), math.log10(high)],
                        tickvals=error_ticks(low, high))  # fmt: skip


def within(value: float | None, low: float, high: float) -> float:
    """Return an error within the ends of an axis; one that there is not counts as the highest."""
    return min(max(value if value is not None else high, low), high)


def value_at(domain: Searched, place: float) -> float:
    """Return the value that stands at a place of a range."""
    if domain.log:
        return float(domain.low * (domain.high / domain.low) ** place)
    return domain.low + place * (domain.high - domain.low)


def colours(summary: SearchSummary, errors: Sequence[float | None]) -> list[str]:
    """Return a colour for each error, by its rank among all: one bad trial would else make the others look alike."""
    known = sorted(one.validation_error for one in summary.complete if one.validation_error is not None)
    last = max(1, len(known) - 1)
    ranks = [1.0 if error is None else sum(other < error for other in known) / last for error in errors]
    return [str(colour) for colour in sample_colorscale(SCALE, [min(1.0, rank) for rank in ranks])] if ranks else []


def error_ticks(low: float, high: float) -> list[float]:
    """Return the marks of a logarithmic axis of errors: a few round numbers, however short the axis.

    Examples
    --------
    >>> error_ticks(4.0, 60.0), error_ticks(8.0, 11.5)
    ([5, 7, 10, 15, 20, 30, 50], [8.0, 9.0, 10.0, 11.0])
    """
    found: list[float] = [tick for tick in TICKS if low <= tick <= high]
    for step in (5.0, 2.0, 1.0, 0.5, 0.2, 0.1):
        if len(found) >= FEWEST_TICKS:
            break
        found = [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return found
