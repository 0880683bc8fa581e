"""``layerwise report``: write the page of a run folder again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import RunError

Run = Annotated[Path, typer.Argument(help="Folder that layerwise compare or search wrote.")]


def report(run: Run) -> None:
    """Write report.html of a run again, from the files in its folder; no model is loaded."""
    # imported here, because it brings plotly
    from ..report import write_report
    from ..report.search import write_search_report
    from ..report.summary import read_json

    if not run.is_dir():
        raise RunError(f"{run} is {'a file' if run.exists() else 'not there'}", "give a folder of layerwise compare")
    if not (run / "results.json").exists():
        model = (run / "model.json").exists()
        begun = (run / "history.jsonl").exists() and not model
        raise RunError(
            f"{run} holds no results: there is no results.json" + (", the run has not ended" if begun else ""),
            f"a model's page is {run / 'README.md'}" if model
            else "repeat its command with --resume" if begun else "give a folder of layerwise compare or search",
        )  # fmt: skip
    results = read_json(run / "results.json")
    searched = isinstance(results, dict) and results.get("kind") == "search"
    path = write_search_report(run) if searched else write_report(run)
    print(path, file=sys.stderr)
