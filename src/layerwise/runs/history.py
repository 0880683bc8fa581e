"""The history of all fits of a run: one JSON line per record, flushed at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..write import append_line, plain, write_text


class History:
    """Records in memory and, with a path, in ``history.jsonl``.

    Parameters
    ----------
    path : Path or None
        The file; existing lines are read, a last line cut short by a kill is dropped.

    Examples
    --------
    >>> history = History()
    >>> history.append("stage", {"update": 0, "training_loss": 2.0})
    >>> history.append("stage", {"update": 5, "training_loss": 1.0})
    >>> history.rewind("stage", 0); [line["update"] for line in history.of("stage")]
    [0]
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []
        if path is not None:
            if path.exists():
                self.lines = _read(path)
            self._rewrite()

    def append(self, fit: str, record: Mapping[str, Any]) -> None:
        """Add one record of a fit."""
        line = {"fit": fit, **plain(record)}
        self.lines.append(line)
        if self.path is not None:
            append_line(self.path, line)

    def of(self, fit: str) -> list[dict[str, Any]]:
        """Return the records of one fit, in order."""
        return [line for line in self.lines if line["fit"] == fit]

    def rewind(self, fit: str, update: int) -> None:
        """Forget the records of a fit after an update: they are about to be made again."""
        kept = [line for line in self.lines if line["fit"] != fit or line["update"] <= update]
        if len(kept) < len(self.lines):
            self.lines = kept
            if self.path is not None:
                self._rewrite()

    def _rewrite(self) -> None:
        assert self.path is not None
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))


def _read(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    records = []
    # a whole line ends with a newline; what follows the last one was cut short
    for number, text in enumerate(lines[:-1], 1):
        try:
            record = json.loads(text)
            record["fit"], record["update"]
        except (json.JSONDecodeError, TypeError, KeyError) as error:
            raise RunError(
                f"{path} line {number} is not a history record: {text[:60]!r}", "restore the file, or start a new run"
            ) from error
        records.append(record)
    return records
