"""Renders a search's sections as one HTML file that needs no network, and writes it into the run folder."""

from __future__ import annotations

from pathlib import Path

from ...write import write_text
from ..page import fill
from ..tables import Table
from ..words import count
from .sections import METHODS, headline, key_numbers, sections
from .summary import SearchSummary, read_search


def write_search_report(run_dir: str | Path) -> Path:
    """Make ``report.html`` in the run folder of a search, from that folder alone.

    Raises
    ------
    RunError
        When the folder or one of its files is missing or broken, or the page cannot be written.
    """
    summary = read_search(run_dir)
    path = Path(run_dir) / "report.html"
    write_text(path, render_search(summary))
    return path


def render_search(summary: SearchSummary) -> str:
    """Return the page as text."""
    parts = sections(summary)
    rows = ((key.replace("_", " "), str(value)) for key, value in summary.environment.items())
    machine = Table("Where and with what the run was made.", (("what", False), ("value", False)), tuple(rows))
    return fill(
        "search.html.j2",
        parts,
        summary=summary,
        results=summary.results,
        method=METHODS.get(summary.results.method, summary.results.method),
        headline=headline(summary),
        numbers=key_numbers(summary),
        environment_table=machine,
        count=count,
    )
