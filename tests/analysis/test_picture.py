"""The picture says what the graph says: every operation once, every use an arrow, no box over another, text escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
import torch
from torch import nn

import layerwise as lw
from layerwise.analysis.graph import graph_of
from layerwise.analysis.picture import diagram_of
from layerwise.errors import PlanError
from traced_networks import NETWORKS, network_of

SVG = "{http://www.w3.org/2000/svg}"


def parts(text, kind):
    return [element for element in ET.fromstring(text).iter() if element.get("class") == kind]


def rectangles(text):
    """Each box's edges, in the order of drawing."""
    for node in parts(text, "graph-node"):
        box = next(element for element in node if (element.get("class") or "").startswith("graph-box"))
        x, y, width, height = (float(box.get(key)) for key in ("x", "y", "width", "height"))
        yield x, y, x + width, y + height


@pytest.mark.parametrize("opened", [(), ("batch_norm", "dense")], ids=["whole", "opened"])
@pytest.mark.parametrize("values", [False, True], ids=["shapes", "values"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_operation_once_every_use_an_arrow_and_no_box_over_another(name, values, opened):
    network, rows = network_of(name)
    text = lw.draw_graph(network, rows, values=values, opened=opened)
    graph = graph_of(network, rows, opened=opened)
    assert [node.get("data-name") for node in parts(text, "graph-node")] == [o.name for o in graph.operations]
    found = [(edge.get("data-from"), edge.get("data-to")) for edge in parts(text, "graph-edge")]
    assert sorted(found) == sorted(graph.edges())
    boxes = list(rectangles(text))
    root = ET.fromstring(text)
    width, height = float(root.get("width")), float(root.get("height"))
    for k, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0 and top >= 0 and right <= width and bottom <= height
        for other_left, other_top, other_right, other_bottom in boxes[:k]:
            apart = left >= other_right or right <= other_left or top >= other_bottom or bottom <= other_top
            assert apart
    tops = dict(zip((o.name for o in graph.operations), (box[1] for box in boxes), strict=True))
    assert all(tops[made] < tops[user] for made, user in graph.edges())


def test_the_way_back_is_drawn_where_a_gradient_goes():
    network, rows = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 1)), torch.tensor([[0, 4]])
    arrows = diagram_of(graph_of(network, rows), values=True).arrows
    assert [arrow.back for arrow in arrows] == [False, True, True, True]
    assert not any(arrow.back for arrow in diagram_of(graph_of(network, rows)).arrows)


def test_where_ways_meet_each_arrow_has_its_gradient_and_the_box_their_sum():
    network, rows = network_of("residual")
    graph = graph_of(network, rows)
    diagram = diagram_of(graph, values=True)
    labelled = {(arrow.start, arrow.end): arrow.table for arrow in diagram.arrows if arrow.table}
    assert labelled.keys() == {("tanh", "inner"), ("tanh", "add")}
    (box,) = (box for box in diagram.boxes if box.name == "tanh")
    assert [table.title for table in box.tables] == ["value", "gradient: the sum"]
    sums = torch.tensor(labelled["tanh", "inner"].rows) + torch.tensor(labelled["tanh", "add"].rows)
    torch.testing.assert_close(sums, torch.tensor(box.tables[1].rows), rtol=0, atol=1e-6)
    assert box.tables[0].rows == graph["tanh"].value.tolist()


def test_shapes_stand_on_the_arrows():
    network, rows = network_of("dense")
    labels = [[line.words for line in arrow.label] for arrow in diagram_of(graph_of(network, rows)).arrows]
    assert labels == [["4 × 5"], ["4 × 4"], ["4 × 4"], ["4 × 3"], ["4 × 3"], ["4 × 2"]]  # noqa: RUF001


def test_origins_are_colours_and_words():
    network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    origins = {"0.weight": "pre-trained", "0.bias": "pre-trained", "2.weight": "initialised", "2.bias": "pre-trained"}
    diagram = diagram_of(graph_of(network, parameters=origins))
    assert [box.look for box in diagram.boxes] == ["data", "pretrained", "operation", "operation", "data"]
    assert [line.words for line in diagram.boxes[1].lines] == ["weight 3 × 2, pre-trained", "bias 3, pre-trained"]  # noqa: RUF001
    assert [line.role for line in diagram.boxes[3].lines] == ["initialised", "pretrained"]
    opened = diagram_of(graph_of(network, parameters=origins, opened=["dense"]))
    assert {box.name: box.look for box in opened.boxes}["2.weight"] == "initialised"
    text = lw.draw_graph(network, parameters=origins)
    assert "pre-trained" in text and ">initialised<" in text
    assert ">initialised<" not in lw.draw_graph(network)


def test_large_values_are_cut():
    diagram = diagram_of(graph_of(nn.Sequential(nn.Flatten()), torch.arange(60.0).reshape(6, 2, 5)), values=True)
    (table, _) = diagram.boxes[0].tables
    assert table.rows == [[10.0 * row + k for k in range(4)] for row in range(4)] and table.more == (True, True)


def test_text_is_escaped():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("a<b>&\"'", nn.Linear(2, 2))

        def forward(self, rows):
            return getattr(self, "a<b>&\"'")(rows)

    text = lw.draw_graph(Odd(), torch.ones(1, 2), title="<script>&", values=True)
    assert "<script>" not in text and "<b>" not in text
    assert [node.get("data-name") for node in parts(text, "graph-node")] == ["input", "a<b>&\"'", "output"]
    assert ET.fromstring(text).find(f"{SVG}title").text == "<script>&"


def test_it_is_told_to_those_who_do_not_see_it():
    network, rows = network_of("residual")
    root = ET.fromstring(lw.draw_graph(network, rows, values=True))
    assert root.get("role") == "img"
    named = [element.get("id") for element in root if element.tag in (f"{SVG}title", f"{SVG}desc")]
    assert root.get("aria-labelledby").split() == named
    told = root.find(f"{SVG}desc").text
    assert "add (add) of tanh, tanh_1" in told and "sum of the outputs" in told


def test_the_picture_is_written_whole(tmp_path):
    network, rows = network_of("dense")
    text = lw.draw_graph(network, rows, path=tmp_path / "new" / "graph.svg")
    assert (tmp_path / "new" / "graph.svg").read_text(encoding="utf-8") == text
    assert not re.search(r"(?:href|src)=|url\((?!#)|<script", text), "it needs no other file"
    assert lw.draw_graph(network, rows) == text


def test_values_need_a_batch():
    with pytest.raises(PlanError, match="values=True") as caught:
        lw.draw_graph(nn.Linear(2, 2), values=True)
    assert "batch=" in caught.value.hint
