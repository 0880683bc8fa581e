"""Numbers as people read them, each with its unit."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

ABSENT = "\u2013"  # an en dash
MINUS = "\u2212"


def count(value: float | None) -> str:
    """Write a whole number with separators.

    Examples
    --------
    >>> count(60000)
    '60,000'
    """
    return ABSENT if value is None else f"{value:,.0f}"


def decimal(value: float | None, places: int = 2, sign: bool = False) -> str:
    r"""Write a number with a true minus sign.

    Examples
    --------
    >>> decimal(2.1, sign=True), ascii(decimal(-0.5))
    ('+2.10', "'\\u22120.50'")
    """
    if value is None:
        return ABSENT
    return f"{value:{'+' if sign else ''},.{places}f}".replace("-", MINUS)


def interval(low: float | None, high: float | None, places: int = 2) -> str:
    """Write an interval, or a dash when there is none.

    Examples
    --------
    >>> interval(1.6, 2.6)
    '1.60 to 2.60'
    """
    if low is None or high is None:
        return ABSENT
    return f"{decimal(low, places)} to {decimal(high, places)}"


def probability(value: float | None) -> str:
    """Write a p-value.

    Examples
    --------
    >>> probability(0.00003), probability(0.0123)
    ('< 0.0001', '0.012')
    """
    if value is None:
        return ABSENT
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """Write a time in the largest fitting unit.

    Examples
    --------
    >>> duration(3.21), duration(192), duration(3900)
    ('3.2 s', '3 min 12 s', '1 h 05 min')
    """
    if seconds is None:
        return ABSENT
    if seconds < 0:
        return MINUS + duration(-seconds)
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def settings(values: Mapping[str, Any]) -> str:
    """Write chosen settings in one line.

    Examples
    --------
    >>> settings({"learning_rate": 0.1, "epochs": 60})
    'learning rate 0.1, epochs 60'
    """
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items()) or ABSENT


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are there.

    Examples
    --------
    >>> mean([1.0, None, 3.0])
    2.0
    """
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def plot_text(text: str) -> str:
    """Make foreign text harmless in a figure, whose labels read a few HTML tags.

    Examples
    --------
    >>> plot_text("<b>cats & dogs</b>")
    '&lt;b&gt;cats &amp; dogs&lt;/b&gt;'
    """
    return html.escape(text, quote=False)
