"""Where the boxes and arrows of a diagram go: from top to bottom, in layers (Sugiyama, Tagawa & Toda 1981).

1. A box's layer is one below the lowest it takes from; a box that takes from none stands right above its first use.
2. An arrow over several layers passes through a slot of its own in each layer between: no line crosses a box.
3. Boxes are ordered within their layers by the means of their neighbours' positions, down and up, to cross fewer lines.
4. They move sideways to where most arrows are straight, as far as the order and the widths let them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from scipy.optimize import linprog
from scipy.sparse import csr_array

GAP, SLOT = 26.0, 14.0  # between neighbours of a layer; width of an arrow's slot between boxes
BEND = 34.0  # height in which arrows turn sideways
SWEEPS = 8
ARRIVING = 22.0  # how far apart arrows arrive
# How much an arrow's parts want to be straight: between boxes, box to slot, slot to slot (Gansner et al. 1993).
STRAIGHT = (1.0, 2.0, 8.0)
MIDDLE = 0.05  # how much a box wants to stand in the middle
ALONE = 1.2  # times that, of one from a box with no other to a box with no other: a bend comes where ways part or meet


class Size(NamedTuple):
    """Of a box: width, height, the width that it and its arrows' labels take up, how far apart arrows leave it."""

    width: float
    height: float
    room: float
    step: float


class Place(NamedTuple):
    """Where a box is: the middle of its upper edge, and its layer."""

    x: float
    y: float
    layer: int


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Attributes
    ----------
    places : dict of str to Place
        By a box's name.
    routes : list of list of (float, float)
        Of each arrow, its corners; where x changes from one to the next, it bends.
    width, height : float
        Of the whole.
    """

    places: dict[str, Place]
    routes: list[list[tuple[float, float]]]
    width: float
    height: float


def layers_of(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return the layer of each box; names come in an order in which each stands after those it takes from.

    Examples
    --------
    >>> layers_of(["x", "a", "w", "b"], [("x", "a"), ("a", "b"), ("w", "b")])
    {'x': 0, 'a': 1, 'w': 1, 'b': 2}
    """
    layer = dict.fromkeys(names, 0)
    above: dict[str, list[str]] = {name: [] for name in names}
    below: dict[str, list[str]] = {name: [] for name in names}
    for start, end in edges:
        above[end].append(start)
        below[start].append(end)
    for name in names:
        layer[name] = 1 + max((layer[other] for other in above[name]), default=-1)
    for name in names:
        if not above[name] and below[name]:
            layer[name] = min(layer[other] for other in below[name]) - 1
    return layer


def crossings(lines: Sequence[tuple[int, int]]) -> int:
    """Count the crossings of lines between two layers, given the positions of their ends.

    Examples
    --------
    >>> crossings([(0, 2), (1, 1), (2, 0)]), crossings([(0, 0), (0, 1), (1, 1)])
    (3, 0)
    """
    return sum((a - c) * (b - d) < 0 for k, (a, b) in enumerate(lines) for c, d in lines[:k])


def arrange(
    sizes: Mapping[str, Size], edges: Sequence[tuple[str, str]], labels: Sequence[float], margin: float = 24.0
) -> Layout:
    """Lay out boxes and arrows.

    Parameters
    ----------
    sizes : dict of str to Size
        In an order in which each box stands after those it takes from.
    edges : sequence of (str, str)
        From, to; twice the same is two arrows.
    labels : sequence of float
        Height of each arrow's label, which stands below the box it leaves.
    margin : float
        Around it all.

    Examples
    --------
    >>> layout = arrange({"a": Size(80, 30, 80, 0), "b": Size(90, 30, 90, 0)}, [("a", "b")], [0.0])
    >>> [place.x for place in layout.places.values()], layout.routes
    ([69.0, 69.0], [[(69.0, 54.0), (69.0, 54.0), (69.0, 88.0)]])
    """
    plan = _Plan(sizes, edges)
    x = plan.positions()
    left = min((x[item] - plan.room(item) / 2 for item in x), default=0.0) - margin
    x = {item: round(at - left, 3) for item, at in x.items()}
    width = max((x[item] + plan.room(item) / 2 for item in x), default=0.0) + margin
    bands, top = [], margin  # of each layer: where its boxes begin, and where its labels end and arrows may turn
    for number, row in enumerate(plan.rows):
        foot = top + max((sizes[item].height for item in row if isinstance(item, str)), default=0.0)
        own = [height for height, (start, _) in zip(labels, edges, strict=True) if plan.layer[start] == number]
        bands.append((top, foot + max(own, default=0.0)))
        top = bands[-1][1] + BEND
    places = {name: Place(x[name], bands[plan.layer[name]][0], plan.layer[name]) for name in sizes}
    routes = []
    for number, ((start, end), passed) in enumerate(zip(edges, plan.passed, strict=True)):
        leaving, coming = x[start] + plan.leaving[number], x[end] + plan.coming[number]
        corners = [(leaving, places[start].y + sizes[start].height), (leaving, bands[places[start].layer][1])]
        corners += [(x[slot], y) for slot in passed for y in bands[slot.layer]]
        routes.append([*corners, (coming, places[end].y)])
    return Layout(places, routes, width, top - BEND + margin if bands else 2 * margin)


class _Slot(NamedTuple):
    """Where an arrow passes a layer."""

    arrow: int
    layer: int


_Item = str | _Slot


class _Plan:
    """The boxes and slots of each layer in their order, and where arrows leave and arrive."""

    def __init__(self, sizes: Mapping[str, Size], edges: Sequence[tuple[str, str]]) -> None:
        self.sizes, self.edges = sizes, edges
        self.layer = layers_of(list(sizes), edges)
        rows: list[list[_Item]] = [[] for _ in range(max(self.layer.values(), default=-1) + 1)]
        for name in sizes:
            rows[self.layer[name]].append(name)
        self.passed: list[list[_Slot]] = []
        self.links: list[tuple[_Item, _Item, int]] = []  # upper, lower, which arrow
        for number, (start, end) in enumerate(edges):
            passed = [_Slot(number, k) for k in range(self.layer[start] + 1, self.layer[end])]
            for slot in passed:
                rows[slot.layer].append(slot)
            self.passed.append(passed)
            way: list[_Item] = [start, *passed, end]
            self.links += [(upper, lower, number) for upper, lower in pairwise(way)]
        self.rows = self._ordered(rows)
        self.leaving, self.coming = self._ports()

    def room(self, item: _Item) -> float:
        """Return the width that a box or slot takes up."""
        return self.sizes[item].room if isinstance(item, str) else SLOT

    def _ordered(self, rows: list[list[_Item]]) -> list[list[_Item]]:
        """Return each layer's items from left to right."""
        above: dict[_Item, list[_Item]] = {item: [] for row in rows for item in row}
        below: dict[_Item, list[_Item]] = {item: [] for row in rows for item in row}
        for upper, lower, _ in self.links:
            above[lower].append(upper)
            below[upper].append(lower)
        best, fewest = rows, self._crossings(rows)
        for sweep in range(SWEEPS):
            rows = [list(row) for row in rows]
            down = sweep % 2 == 0
            for k in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
                at = {item: i for i, item in enumerate(rows[k - 1] if down else rows[k + 1])}
                own = {item: float(i) for i, item in enumerate(rows[k])}
                for item in rows[k]:
                    near = [at[other] for other in (above if down else below)[item]]
                    own[item] = sum(near) / len(near) if near else own[item]
                rows[k].sort(key=own.__getitem__)
            found = self._crossings(rows)
            if found < fewest:
                best, fewest = rows, found
        return best

    def _crossings(self, rows: Sequence[Sequence[_Item]]) -> int:
        at = {item: (k, i) for k, row in enumerate(rows) for i, item in enumerate(row)}
        lines: list[list[tuple[int, int]]] = [[] for _ in rows]
        for upper, lower, _ in self.links:
            lines[at[upper][0]].append((at[upper][1], at[lower][1]))
        return sum(map(crossings, lines))

    def _ports(self) -> tuple[list[float], list[float]]:
        """Return for each arrow how far right of the middle of its boxes it leaves and arrives, in the order below."""
        at = {item: i for row in self.rows for i, item in enumerate(row)}
        leaving, coming = [0.0] * len(self.edges), [0.0] * len(self.edges)
        for name in self.sizes:
            outward = sorted((at[lower], number) for upper, lower, number in self.links if upper == name)
            inward = sorted((at[upper], number) for upper, lower, number in self.links if lower == name)
            for k, (_, number) in enumerate(outward):
                leaving[number] = self.sizes[name].step * (k - (len(outward) - 1) / 2)
            for k, (_, number) in enumerate(inward):
                coming[number] = ARRIVING * (k - (len(inward) - 1) / 2)
        return leaving, coming

    def positions(self) -> dict[_Item, float]:
        r"""Return the middle of each item.

        .. math:: \min_x \sum w |x_u + a_u - x_v - b_v| + c \sum |x_i| \text{ with } x_{i+1} - x_i \ge d_i
            \text{ in each layer}

        a and b are where an arrow leaves and arrives. Absolute values keep most arrows straight and bend few, where
        squares would bend all a little. As a linear programme, each of them is an unknown of its own. The second sum,
        of boxes alone, keeps a long graph from drifting aside.
        """
        index = {item: i for i, item in enumerate(item for row in self.rows for item in row)}
        ends = Counter([("from", upper) for upper, _, _ in self.links] + [("to", lower) for _, lower, _ in self.links])
        # of each absolute value: its weight, the items that enter with their signs, and what is added to them
        sizes: list[tuple[float, dict[_Item, float], float]] = []
        for upper, lower, arrow in self.links:
            leaves = self.leaving[arrow] if isinstance(upper, str) else 0.0
            arrives = self.coming[arrow] if isinstance(lower, str) else 0.0
            alone = ALONE if ends["from", upper] == ends["to", lower] == 1 else 1.0
            weight = STRAIGHT[isinstance(upper, _Slot) + isinstance(lower, _Slot)] * alone
            sizes.append((weight, {upper: 1.0, lower: -1.0}, leaves - arrives))
        sizes += [(MIDDLE, {name: 1.0}, 0.0) for name in self.sizes]
        count, lines, limits = len(index), [], []
        for number, (_, items, added) in enumerate(sizes):
            for sign in (1.0, -1.0):  # sign * (what enters + what is added) <= the absolute value
                lines.append({**{index[item]: sign * by for item, by in items.items()}, count + number: -1.0})
                limits.append(-sign * added)
        for row in self.rows:
            for one, other in pairwise(row):
                lines.append({index[one]: 1.0, index[other]: -1.0})
                limits.append(-(self.room(one) + self.room(other)) / 2 - GAP)
        if not lines:
            return {}
        entries = [(i, j, value) for i, line in enumerate(lines) for j, value in line.items()]
        i, j, values = zip(*entries, strict=True)
        matrix = csr_array((values, (i, j)), shape=(len(lines), count + len(sizes)))
        found = linprog(
            [0.0] * count + [weight for weight, _, _ in sizes], A_ub=matrix, b_ub=limits,
            bounds=[(None, None)] * count + [(0, None)] * len(sizes), method="highs",
        )  # fmt: skip
        return dict(zip(index, found.x[:count].tolist(), strict=True))
