"""Layers, order and positions: on random graphs no box over another and no line through one; what must be straight."""

from __future__ import annotations

import itertools
import random

import pytest

from layerwise.report.layout import GAP, Size, arrange, crossings, layers_of


def random_graph(seed):
    """A graph of up to 25 boxes, each taking from up to three before it, some twice, and some from none."""
    draw = random.Random(seed)
    names = [str(k) for k in range(draw.randint(1, 25))]
    edges = [
        (draw.choice(names[max(0, k - 8) : k]), name)
        for k, name in enumerate(names)
        if k and draw.random() < 0.9
        for _ in range(draw.randint(1, 3))
    ]
    sizes = {}
    for name in names:
        width, step = draw.uniform(60, 250), draw.choice([0.0, draw.uniform(20, 90)])
        leaving = sum(start == name for start, _ in edges)
        outer = step * max(leaving - 1, 0)
        width = max(width, outer, 22.0 * sum(end == name for _, end in edges))
        sizes[name] = Size(width, draw.uniform(30, 120), max(width, outer + 2 * step), step)
    return sizes, edges, [draw.choice([0.0, 40.0]) for _ in edges]


def boxes_of(layout, sizes):
    for name, place in layout.places.items():
        yield (
            name,
            (place.x - sizes[name].width / 2, place.y, place.x + sizes[name].width / 2, place.y + sizes[name].height),
        )


@pytest.mark.parametrize("seed", range(40))
def test_no_box_over_another_and_no_line_through_one(seed):
    sizes, edges, labels = random_graph(seed)
    layout = arrange(sizes, edges, labels)
    boxes = dict(boxes_of(layout, sizes))
    for (_, a), (_, b) in itertools.combinations(boxes.items(), 2):
        assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]
    for left, top, right, bottom in boxes.values():
        assert left >= 0 and top >= 0 and right <= layout.width and bottom <= layout.height
    for (start, end), route in zip(edges, layout.routes, strict=True):
        assert boxes[start][0] <= route[0][0] <= boxes[start][2] and route[0][1] == pytest.approx(boxes[start][3])
        assert boxes[end][0] <= route[-1][0] <= boxes[end][2] and route[-1][1] == pytest.approx(boxes[end][1])
        for (x, y), (to_x, to_y) in itertools.pairwise(route):
            assert to_y >= y
            for name, (left, top, right, bottom) in boxes.items():
                if name not in (start, end) and y < bottom and to_y > top:
                    # beside a box lines go straight down; they turn where no box is
                    assert x == to_x and not left < x < right


@pytest.mark.parametrize("seed", range(10))
def test_neighbours_keep_room_for_their_labels(seed):
    sizes, edges, labels = random_graph(seed)
    layout = arrange(sizes, edges, labels)
    rows = {}
    for name, place in layout.places.items():
        rows.setdefault(place.layer, []).append((place.x, name))
    for row in rows.values():
        for (x, one), (other_x, other) in itertools.pairwise(sorted(row)):
            assert other_x - x >= (sizes[one].room + sizes[other].room) / 2 + GAP - 0.01


def test_a_chain_is_straight_and_a_long_arrow_goes_beside_it():
    names = ["a", "b", "c", "d"]
    sizes = {name: Size(80, 30, 80, 10) for name in names}
    layout = arrange(sizes, [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")], [0.0] * 4)
    assert layout.places["b"].x == layout.places["c"].x
    *_, long = layout.routes
    inner = {x for x, y in long if layout.places["b"].y <= y <= layout.places["c"].y + 30}
    assert len(inner) == 1 and abs(inner.pop() - layout.places["b"].x) > 40


def test_layers_are_the_longest_paths():
    edges = [("x", "a"), ("a", "b"), ("x", "b"), ("w", "b"), ("b", "y")]
    assert layers_of(["x", "w", "a", "b", "y"], edges) == {"x": 0, "a": 1, "w": 1, "b": 2, "y": 3}


def test_the_order_crosses_no_lines_where_none_has_to():
    """Two chains whose names come mixed up."""
    names = ["a0", "b0", "b1", "a1", "a2", "b2"]
    sizes = {name: Size(50, 20, 50, 0) for name in names}
    edges = [("a0", "a1"), ("b0", "b1"), ("a1", "a2"), ("b1", "b2")]
    x = {name: place.x for name, place in arrange(sizes, edges, [0.0] * 4).places.items()}
    assert len({x["a0"] < x["b0"], x["a1"] < x["b1"], x["a2"] < x["b2"]}) == 1
    assert x["a0"] == x["a1"] == x["a2"] and x["b0"] == x["b1"] == x["b2"]


@pytest.mark.parametrize("seed", range(5))
def test_crossings_are_counted_as_by_geometry(seed):
    draw = random.Random(seed)
    lines = [(draw.randint(0, 4), draw.randint(0, 4)) for _ in range(8)]
    met = 0
    for (a, b), (c, d) in itertools.combinations(lines, 2):
        # x of both lines at height 0 < t < 1: equal there and nowhere at the ends
        slope = (b - a) - (d - c)
        met += slope != 0 and 0 < (c - a) / slope < 1
    assert crossings(lines) == met


def test_nothing_and_one_box():
    assert arrange({}, [], []).places == {}
    assert arrange({"a": Size(10, 10, 10, 0)}, [], [], margin=5).width == 20
