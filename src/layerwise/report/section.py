"""What a section of the page is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from .pictures import Picture
from .summary import ARMS, Summary
from .tables import Table

Switches = tuple[tuple[str, Mapping[str, Any]], ...]


@dataclass(frozen=True)
class Plot:
    """A figure on the page: its place, its text for those who do not see it, and its switches."""

    key: str
    figure: go.Figure
    label: str
    caption: str = ""
    title: str = ""
    switches: Switches = ()  # (word on the button, what it changes in the layout)


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it; ``absent`` says why when there is nothing."""

    key: str
    title: str
    lead: str = ""
    plots: tuple[Plot, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    absent: str = ""
    paragraphs: tuple[str, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()  # (class of the mark, its meaning)


def legend(summary: Summary, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the legend of both arms, and of further marks."""
    return (*((arm, summary.arm_name(arm)) for arm in ARMS), *more)
