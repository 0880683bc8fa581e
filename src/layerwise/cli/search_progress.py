"""What is shown while a search runs: a bar over its trials on a terminal, a line for each elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..searching.searcher import Searcher, Standing
from ..training.loop import Callback
from ..training.loop import Progress as Told
from ..training.verbose import roughly
from .progress import Lines


@contextmanager
def watching_search(searcher: Searcher) -> Iterator[Callback]:
    """Show progress on standard error while the block runs; a finished trial leaves a line."""
    console = Console(stderr=True)
    handler = Lines(console)
    logger = logging.getLogger("layerwise")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        if console.is_terminal:
            with _bar(console, searcher.standing) as callback:
                yield callback
        else:
            yield lambda told: None
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def _bar(console: Console, standing: Standing) -> Iterator[Callback]:
    columns = (
        TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    began = time.monotonic()
    first: int | None = None
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=standing.asked, left="")

        def callback(told: Told) -> None:
            nonlocal first
            first = standing.done if first is None else first
            made = standing.done - first  # by all workers, since this one began
            left = ""
            if made:
                left = f"about {roughly((time.monotonic() - began) / made * (standing.asked - standing.done))} left"
            bar.update(task, completed=standing.done, description=describe(told, standing), left=left)

        yield callback


def describe(told: Told, standing: Standing) -> str:
    """Say in words which fit is running, and the best error so far.

    Examples
    --------
    >>> describe(Told("trial-7/pretrain/2", 1, 9, 0, 0.0), Standing(61, best=8.5))
    'trial 7: pre-training layer 2; best 8.50 %'
    """
    parts = told.fit.split("/")
    name = parts[0].replace("-", " ") if parts[0] != "trial-0" else "the recipe as it is"
    what = f"pre-training layer {parts[2]}" if parts[1] == "pretrain" else f"fine-tuning, {parts[-1].replace('-', ' ')}"
    best = "" if standing.best is None else f"; best {standing.best:.2f} %"
    return f"{name}: {what}{best}"
