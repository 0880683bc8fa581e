"""Plain progress lines, for ``verbose=1`` and for a command without a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .loop import Callback, Progress


def line_of(progress: Progress) -> str:
    """Return a record as one line of text.

    Examples
    --------
    >>> line_of(Progress("pretrain/1", 600, 9000, 60000, 3.0, {"training_loss": 92.13, "epoch": 1.0}, 2e4))
    'pretrain/1: update 600 of 9000, epoch 1, training loss 92.13, 20,000 rows/s'
    """
    record = progress.record or {}
    parts = [f"{progress.fit}: update {progress.update} of {progress.updates}", f"epoch {record['epoch']:g}"]
    words = {"training_loss": "training loss", "validation_loss": "validation loss"}
    parts += [f"{word} {record[key]:.4g}" for key, word in words.items() if key in record]
    if "validation_error" in record:
        parts.append(f"validation error {record['validation_error']:.2f} %")
    if "validation_r2" in record:
        parts.append(f"validation R^2 {record['validation_r2']:.3f}")
    if progress.rows_per_second:
        parts.append(f"{progress.rows_per_second:,.0f} rows/s")
    return ", ".join(parts)


def roughly(seconds: float) -> str:
    """Return seconds as people say them.

    Examples
    --------
    >>> roughly(8.2), roughly(200), roughly(7300)
    ('8 s', '3.3 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_record(progress: Progress) -> None:
    """Print a record to standard error, with the time left of its fit; updates between records stay silent."""
    if progress.record is not None:
        left = f", about {roughly(progress.seconds_left)} left" if progress.seconds_left else ""
        print(f"{line_of(progress)}{left}", file=sys.stderr, flush=True)


def with_printing(callbacks: Sequence[Callback], verbose: int) -> list[Callback]:
    """Return the callbacks, with the printing one when ``verbose`` asks for it."""
    return [*callbacks, print_record] if verbose else list(callbacks)
