"""The report of a search: the same look and the same rules as a comparison's, made from the search's run folder."""

from __future__ import annotations

from .page import write_search_report
from .summary import SearchSummary, read_search

__all__ = ["SearchSummary", "read_search", "write_search_report"]
