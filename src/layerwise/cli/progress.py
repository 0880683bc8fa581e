"""What is shown while a comparison runs: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ..comparison.estimate import Estimate
from ..comparison.experiment import Experiment
from ..plan import Plan
from ..training.loop import Callback
from ..training.loop import Progress as Told
from ..training.verbose import line_of, roughly

LINE_SECONDS = 10.0
Describe = Callable[[Told], str]  # says in words which fit is running


class Pace:
    """The share of the work that is done, and the seconds left, from the estimate and the clock.

    Parameters
    ----------
    expected : Estimate
        Weighs each update by its measured time; the clock then corrects the whole.
    """

    def __init__(self, expected: Estimate) -> None:
        self.expected = expected
        self.began = time.monotonic()
        self.seen: dict[str, int] = {}
        self.done = self.skipped = 0.0

    def take(self, told: Told) -> None:
        """Count the updates made since this fit was last heard of."""
        before = self.seen.get(told.fit)
        if before is None:  # a resumed fit's earlier updates took none of this clock's time
            before = told.update
            self.skipped += told.update * self.expected.update_seconds(told.fit)
        self.done += (told.update - before) * self.expected.update_seconds(told.fit)
        self.seen[told.fit] = told.update

    def share(self) -> float:
        """Return the share of the work that is done, in [0, 1]."""
        return min(1.0, (self.done + self.skipped) / self.expected.total) if self.expected.total else 1.0

    def left(self) -> float | None:
        """Return the seconds left, None before anything is known."""
        if self.done <= 0:
            return None
        pace = (time.monotonic() - self.began) / self.done
        return max(0.0, self.expected.total - self.done - self.skipped) * pace


@contextmanager
def watching(plan: Plan, expected: Estimate, describe: Describe) -> Iterator[Callback]:
    """Show progress on standard error while the block runs, and every summary where the plan asks for them."""
    console = Console(stderr=True)
    handler = Lines(console)
    logger = logging.getLogger("layerwise")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    pace = Pace(expected)
    summaries = bool(plan.pretrain.summary_every or plan.finetune.summary_every)
    try:
        if console.is_terminal:
            with _bar(console, pace, describe, summaries) as callback:
                yield callback
        else:
            yield _plain(pace, summaries)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def _bar(console: Console, pace: Pace, describe: Describe, summaries: bool) -> Iterator[Callback]:
    columns = (
        TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=1.0, left="")

        def callback(told: Told) -> None:
            pace.take(told)
            left = pace.left()
            said = "" if left is None else f"about {roughly(left)} left"
            bar.update(task, completed=pace.share(), description=describe(told), left=said)

            if told.record is not None and summaries:
                console.print(line_of(told), highlight=False, markup=False, soft_wrap=True)

        yield callback


def _plain(pace: Pace, summaries: bool) -> Callback:
    last = time.monotonic()

    def callback(told: Told) -> None:
        nonlocal last
        pace.take(told)
        if told.record is None:
            return
        if summaries or told.update == told.updates or time.monotonic() - last > LINE_SECONDS:
            last = time.monotonic()
            left = pace.left()
            ending = f", about {roughly(left)} left" if left is not None else ""
            print(f"{line_of(told)}{ending}", file=sys.stderr, flush=True)

    return callback


def describe(told: Told, experiment: Experiment) -> str:
    """Say in words which fit is running."""
    parts = told.fit.split("/")
    seed = f"seed {int(parts[0].removeprefix('seed-')) + 1} of {experiment.plan.compare.seeds}"
    if parts[1] == "pretrain":
        return f"{seed}: pre-training layer {parts[2]}"
    labels = f"{int(parts[1].removeprefix('labels-')):,} labels"
    if parts[2] == "pretrain":
        return f"{seed}: {labels}, pre-training layer {parts[3]}"
    if parts[2] == "tune":
        return f"{seed}: {labels}, tuning the {parts[3]} arm ({parts[4]})"
    return f"{seed}: {labels}, fine-tuning the {parts[2]} arm"


class Lines(logging.Handler):
    """Log lines above the bar."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record's message."""
        self.console.print(record.getMessage(), highlight=False, markup=False, soft_wrap=True)
