"""Renders the sections as one HTML file that needs no network, and writes it into the run folder."""

from __future__ import annotations

import json
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ..write import write_text
from .sections import key_numbers, sections
from .summary import Summary, read_summary
from .tables import environment as environment_table
from .words import count

BANNER = {"WORTH IT": "good", "DO NOT PRE-TRAIN": "bad", "CANNOT TELL": "open", "NO VERDICT": "none"}


def write_report(run_dir: str | Path) -> Path:
    """Make ``report.html`` in a run folder, from that folder alone.

    Parameters
    ----------
    run_dir : str or Path
        A folder with ``recipe.toml``, ``environment.json``, ``history.jsonl`` and ``results.json``; ``tuning.json``
        and ``arrays.npz`` are used where they are there.

    Returns
    -------
    Path
        The page, a single file under 7 MB with Plotly inside. The same folder gives the same bytes.

    Raises
    ------
    RunError
        When the folder or one of its files is missing or broken, or the page cannot be written.
    """
    summary = read_summary(run_dir)
    path = Path(run_dir) / "report.html"
    write_text(path, render(summary))
    return path


def template(name: str) -> Template:
    """Return a page's template, with the style and the script that all pages share."""
    environment = Environment(
        loader=PackageLoader("layerwise.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source = environment.loader
    assert source is not None
    environment.globals["style"] = Markup(source.get_source(environment, "style.css")[0])
    environment.globals["script"] = Markup(source.get_source(environment, "page.js")[0])
    return environment.get_template(name)


def render(summary: Summary) -> str:
    """Return the page as text."""
    parts = sections(summary)
    drawn = [plot for section in parts for plot in section.plots]
    return template("page.html.j2").render(
        summary=summary,
        results=summary.results,
        headline=summary.headline,
        banner=BANNER[summary.results.verdict],
        numbers=key_numbers(summary),
        sections=parts,
        environment_table=environment_table(summary),
        figures={plot.key: script_json(plot.figure) for plot in drawn},
        count=count,
        script_json=script_json,
        plotly=Markup(get_plotlyjs()),
    )


def script_json(value: object) -> Markup:
    r"""Write a value as JSON that can stand inside a ``<script>`` element, whatever text it holds.

    Examples
    --------
    >>> print(script_json({"name": "</script>"}))
    {"name": "\u003c/script\u003e"}
    """
    text = value.to_json() if isinstance(value, go.Figure) else json.dumps(value)
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)
