"""The report: one offline HTML page made from a run folder, and from nothing else.

``summary`` reads the folder into frozen values, ``figures``, ``pictures`` and ``tables`` draw them (pure functions),
``sections`` puts them in order with their words, ``page`` renders and writes. No model is loaded, so a page can be
made again long after the run, on a machine that could not have trained it. This is the only room that imports
Plotly; whoever writes a report imports this room at that moment and not before.
"""

from __future__ import annotations

from .page import write_report
from .summary import Summary, read_summary

__all__ = ["Summary", "read_summary", "write_report"]
