"""The lines of the results, for the terminal and for RESULTS.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import torch
from rich.table import Table

from layerwise.training.device import matmul_route, processor

from .timing import Spread, Timed, ratio

PEERS = ("learnergy", "scikit-learn")
PACKAGES = ("layerwise", "torch", "numpy", "scipy", "h5py", *PEERS)
HEADINGS = ("row", "against", "ours", "theirs", "ratio", "bar", "aim", "outcome", "loss, ours", "loss, theirs")


@dataclass(frozen=True)
class Bar:
    """What a ratio must be, and what it is hoped to be: at least, or with ``most`` at most."""

    value: float
    aim: float | None = None
    most: bool = False

    def held(self, found: float) -> bool:
        """Say whether a ratio is on the right side.

        Examples
        --------
        >>> Bar(2.0).held(2.1), Bar(1.5, most=True).held(2.1)
        (True, False)
        """
        return found <= self.value if self.most else found >= self.value

    def __str__(self) -> str:
        return f"{'at most' if self.most else 'at least'} {self.value:g}"


@dataclass(frozen=True)
class Line:
    """One line of the table.

    ``ratio`` is None where a side could not be measured, and ``why`` says why not; a line without a bar is there to be
    compared with.
    """

    row: str
    against: str
    bar: Bar | None
    ours: str = ""
    theirs: str = ""
    ratio: Spread | None = None
    losses: tuple[float | None, float | None] = (None, None)
    why: str = ""

    @property
    def verdict(self) -> str:
        """Whether the bar held, or what stood in the way."""
        if self.ratio is None:
            return f"not measured: {self.why}"
        if self.bar is None:
            return ""
        return "held" if self.bar.held(self.ratio.median) else "NOT held"

    def cells(self) -> list[str]:
        """Return what stands under each of the headings."""
        found = "" if self.ratio is None else f"{self.ratio.median:.3g} ({self.ratio.low:.3g} to {self.ratio.high:.3g})"
        aim = "" if self.bar is None or self.bar.aim is None else f"{self.bar.aim:g}"
        losses = ["" if loss is None else f"{loss:.4g}" for loss in self.losses]
        return [self.row, self.against, self.ours, self.theirs, found, str(self.bar or ""), aim, self.verdict, *losses]


def compared(row: str, ours: Timed, theirs: Timed, bar: Bar | None) -> Line:
    """Return the line of two sides: with a bar of "at most" the ratio is ours / theirs, else theirs / ours."""
    found = ratio(ours, theirs) if bar is not None and bar.most else ratio(theirs, ours)
    return Line(row, theirs.name, bar, milliseconds(ours), milliseconds(theirs), found, (ours.loss, theirs.loss))


def unmeasured(row: str, against: str, bar: Bar, why: str) -> Line:
    """Return the line of a comparison that could not be made."""
    return Line(row, against, bar, why=why)


def milliseconds(timed: Timed) -> str:
    """Return the milliseconds an update: median and quartiles."""
    spread = Spread.of(1e3 * seconds for seconds in timed.seconds)
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


def table(lines: Sequence[Line]) -> Table:
    """Return the table for the terminal: what RESULTS.md says, without the quartiles of the times."""
    found = Table("row", "against", "ms", "ratio", "bar", "outcome", "loss")
    for line in lines:
        row, against, ours, theirs, ratio, bar, _, verdict, *losses = line.cells()
        times = " / ".join(cell.split(" (")[0] for cell in (ours, theirs) if cell)
        found.add_row(row, against, times, ratio, bar, verdict, " / ".join(cell or "none" for cell in losses))
    return found


def page(lines: Sequence[Line], seconds: float, load: tuple[float, float]) -> str:
    """Return RESULTS.md; ``load`` is the load average at the start and at the end."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(line.cells() for line in lines)]
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in rows)
    return (
        "# Results\n\n"
        "Written by `make bench`; the README beside it says what each row is and how to read it. Times are milliseconds"
        " an\nupdate, times and ratios are medians with their quartiles.\n\n"
        f"{body}\n\n{machine(*load)}\n\nMeasured on {datetime.now(UTC):%Y-%m-%d} in {seconds / 60:.1f} minutes.\n"
    )


def machine(before: float, after: float) -> str:
    """Describe the machine and what ran on it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return (
        f"- Processor: {processor()[1]}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB of memory; "
        f"{torch.get_num_threads()} threads,\n  OMP_WAIT_POLICY={os.environ.get('OMP_WAIT_POLICY', 'not set')}; "
        f"float32 products by {'oneDNN' if matmul_route() == 'onednn' else 'the default route'}; "
        f"load average {before:.1f} at the start, {after:.1f} at the end\n"
        f"- Python {platform.python_version()}, {versions}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
