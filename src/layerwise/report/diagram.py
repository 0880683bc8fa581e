"""What a diagram holds, as plain data: boxes of words and numbers, and arrows; and how much room they take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .layout import ARRIVING, Size
from .words import MINUS

Role = Literal["plain", "soft", "pretrained", "initialised", "gradient"]
Look = Literal["operation", "data", "pretrained", "initialised"]
TITLE, TEXT, NUMBER = 13.0, 11.5, 11.0  # sizes of letters
ROW = 15.0  # height of a line
PAD, BAR, ABOVE, COLUMNS = 11.0, 4.0, 6.0, 18.0  # in a box: its edge, its coloured bar, above and between tables
LEAST = 84.0  # width of a box, without its edges
LABEL = 30.0  # a label's distances from its own arrow and from the next one, together


@dataclass(frozen=True)
class Text:
    """A line of words; its role is its colour."""

    words: str
    role: Role = "plain"


@dataclass(frozen=True)
class Table:
    """Some of a matrix's numbers; ``more`` says whether there are further rows, and further columns."""

    rows: Sequence[Sequence[float]]
    title: str = ""
    role: Role = "plain"
    more: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Box:
    """A box with its words and numbers; the note stands beside the title. Names are unique within a diagram."""

    name: str
    title: str
    note: str = ""
    lines: tuple[Text, ...] = ()
    tables: tuple[Table, ...] = ()
    look: Look = "operation"


@dataclass(frozen=True)
class Arrow:
    """An arrow from a box to another below it; ``back`` draws the way back beside it."""

    start: str
    end: str
    label: tuple[Text, ...] = ()
    table: Table | None = None
    back: bool = False


@dataclass(frozen=True)
class Diagram:
    """What is drawn.

    Attributes
    ----------
    title, description : str
        The description is for those who do not see the picture.
    boxes : tuple of Box
        A box comes after those that arrows lead from to it.
    arrows : tuple of Arrow
    """

    title: str
    description: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...] = ()


def width_of(words: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """Return about how wide words are in letters of a size: a little more than in the fonts that are common."""
    return len(words) * size * (0.61 if mono else 0.69 if bold else 0.6)


def size_of(box: Box, leaving: Sequence[Arrow], arriving: int) -> Size:
    """Return the size of a box, from which some arrows leave and at which a number of them arrive.

    Examples
    --------
    >>> size_of(Box("x", "x"), [], 0).height
    37.0
    """
    title = width_of(box.title, TITLE, bold=True) + width_of(f"  {box.note}", TEXT) * bool(box.note)
    words = [title, *(width_of(line.words, TEXT) for line in box.lines)]
    tables = [table_size(table) for table in box.tables]
    step = port_step(leaving)
    outer = step * max(len(leaving) - 1, 0)
    numbers = sum(width for width, _ in tables) + COLUMNS * max(len(tables) - 1, 0)
    width = max(*words, numbers, outer, ARRIVING * (arriving - 1), LEAST) + 2 * PAD + BAR
    height = 2 * PAD + ROW * (1 + len(box.lines)) + max((height + ABOVE for _, height in tables), default=0.0)
    return Size(width, height, max(width, outer + 2 * step), step)


def port_step(leaving: Sequence[Arrow]) -> float:
    """Return how far apart arrows leave a box, each with its label to the right of it."""
    return max((label_size(arrow)[0] for arrow in leaving), default=0.0)


def label_size(arrow: Arrow) -> tuple[float, float]:
    """Return the width and height that an arrow's label takes up."""
    table = table_size(arrow.table) if arrow.table else (0.0, 0.0)
    width = max([table[0], *(width_of(line.words, TEXT) for line in arrow.label)])
    height = ROW * len(arrow.label) + table[1]
    return width + LABEL, height + 8.0 if height else 0.0


def table_size(table: Table) -> tuple[float, float]:
    """Return the width and height of a table."""
    lines = table_lines(table)
    wide = [width_of(line, NUMBER, mono=True) for line in lines]
    return max(*wide, width_of(table.title, TEXT)), ROW * (len(lines) + bool(table.title))


def table_lines(table: Table) -> list[str]:
    r"""Return a table's rows as lines of letters of even width.

    Examples
    --------
    >>> table_lines(Table([[1.0, 0.25], [12.5, 3.0]], more=(True, False)))
    [' 1.0   0.2', '12.5   3.0', '…']
    >>> table_lines(Table([[2.0, 1e9]])), table_lines(Table([[1.0, 2.0]]))
    (['2.0e+00  1.0e+09'], ['1  2'])
    """
    numbers = [value for row in table.rows for value in row]
    cells = [[_written(value, numbers) for value in row] for row in table.rows]
    wide = max((len(cell) for row in cells for cell in row), default=0)
    lines = ["  ".join([*(cell.rjust(wide) for cell in row), *["…"] * table.more[1]]) for row in cells]
    return [*lines, *["…"] * table.more[0]] or ["none"]


def _written(value: float, beside: Sequence[float]) -> str:
    """Write a number with as many places as three digits of the largest beside it take."""
    if not math.isfinite(value):
        return str(value).replace("-", MINUS)
    most = max(abs(other) for other in beside if math.isfinite(other))
    if most and not 1e-3 <= most < 1e5:
        return f"{value:.1e}".replace("-", MINUS)
    whole = all(float(other).is_integer() for other in beside if math.isfinite(other))
    places = 0 if whole else min(max(2 - math.floor(math.log10(most)), 0), 5)
    return f"{value + 0.0:.{places}f}".replace("-", MINUS)
