"""A diagram as a picture in SVG: the look of the report, in light and in dark, readable without colours.

The picture needs no other file and no script. Letters stand out from what is behind them by 4.5 to 1 or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree as ET

from . import diagram as d
from .diagram import Arrow, Box, Diagram, Look, Role, Table
from .layout import Place, Size, arrange
from .theme import COLOUR, FONT, INK, SOFT

MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
LIGHT = {
    "ground": "#ffffff", "plain": INK, "soft": SOFT, "line": "#9aa5b3", "pretrained": COLOUR["pretrained"],
    "initialised": "#a84a09", "gradient": "#a0197d", "operation-fill": "#ffffff", "data-fill": "#f1f4f7",
    "pretrained-fill": "#eef5fc", "initialised-fill": "#fdf4ec",
}  # fmt: skip
DARK = {
    "ground": "#14181f", "plain": "#e6eaf0", "soft": "#a3adba", "line": "#6b7787", "pretrained": "#6cb2f7",
    "initialised": "#f2a35e", "gradient": "#f28bd3", "operation-fill": "#1b212a", "data-fill": "#252d38",
    "pretrained-fill": "#14293f", "initialised-fill": "#35240f",
}  # fmt: skip
ROLES: tuple[Role, ...] = ("plain", "soft", "pretrained", "initialised", "gradient")
LOOKS: tuple[Look, ...] = ("operation", "data", "pretrained", "initialised")
HEAD, LEGEND = 40.0, 22.0  # heights of the title and the legend
APART = 4.5  # of an arrow and of the way back from the middle between them
MARGIN = 24.0
Point = tuple[float, float]


def draw(diagram: Diagram) -> str:
    """Return a diagram as an SVG document.

    Examples
    --------
    >>> text = draw(Diagram("two", "a to b", (Box("a", "a & b"), Box("b", "b")), (Arrow("a", "b"),)))
    >>> text[:4], "a &amp; b" in text
    ('<svg', True)
    """
    arrows = diagram.arrows
    sizes = {
        box.name: d.size_of(box, [a for a in arrows if a.start == box.name], sum(a.end == box.name for a in arrows))
        for box in diagram.boxes
    }
    edges = [(arrow.start, arrow.end) for arrow in arrows]
    layout = arrange(sizes, edges, [d.label_size(arrow)[1] for arrow in arrows], MARGIN)
    legend = _legend(diagram)
    words = sum(d.width_of(entry, d.TEXT) + 50 for _, entry in legend)
    width = max(layout.width, d.width_of(diagram.title, 16, bold=True) + 2 * MARGIN, words + MARGIN)
    head = HEAD + LEGEND * bool(legend)
    svg = _root(diagram, width, layout.height + head)
    _draw_head(svg, diagram.title, legend)
    body = _add(svg, "g", transform=f"translate({_number((width - layout.width) / 2)} {_number(head)})")
    for arrow, route in zip(arrows, layout.routes, strict=True):
        _draw_arrow(body, arrow, route)
    for box in diagram.boxes:
        _draw_box(body, box, layout.places[box.name], sizes[box.name])
    return ET.tostring(svg, encoding="unicode")


def _root(diagram: Diagram, width: float, height: float) -> ET.Element:
    attributes = {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-labelledby": "graph-title graph-text"}
    size = {"width": _number(width), "height": _number(height), "viewBox": f"0 0 {_number(width)} {_number(height)}"}
    svg = ET.Element("svg", {**attributes, **size})
    _add(svg, "title", diagram.title, id="graph-title")
    _add(svg, "desc", diagram.description, id="graph-text")
    _add(svg, "style", _style())
    definitions = _add(svg, "defs")
    for role in ("plain", "gradient"):
        marker = _add(definitions, "marker", id=f"graph-head-{role}", orient="auto", refX="7", refY="4",
                      markerWidth="8", markerHeight="8", markerUnits="userSpaceOnUse")  # fmt: skip
        _add(marker, "path", d="M0 0L8 4L0 8L2 4Z", attributes={"class": f"graph-head {role}"})
    _add(svg, "rect", width="100%", height="100%", attributes={"class": "graph-ground"})
    return svg


def _style() -> str:
    """Return the sheet of styles; colours are plain values, since not every reader of SVG knows variables."""
    fixed = (
        f".graph-text{{font:{d.TEXT}px {FONT}}}.graph-title{{font:600 {d.TITLE}px {FONT}}}"
        f".graph-heading{{font:650 16px {FONT}}}.graph-numbers{{font:{d.NUMBER}px {MONO};white-space:pre}}"
        ".graph-arrow{fill:none;stroke-width:1.4}.graph-arrow.gradient{stroke-dasharray:5 3}"
        ".graph-box{stroke-width:1.2}"
    )
    dark = _colours(DARK)
    return f"{fixed}{_colours(LIGHT)}@media (prefers-color-scheme: dark){{{dark}}}"


def _colours(colours: dict[str, str]) -> str:
    rules = [f".graph-ground{{fill:{colours['ground']}}}"]
    for role in ROLES:
        rules.append(f"text.{role},tspan.{role},.graph-head.{role},.graph-bar.{role}{{fill:{colours[role]}}}")
        rules.append(f".graph-arrow.{role}{{stroke:{colours[role]}}}")
    for look in LOOKS:
        edge = colours[look if look in ROLES else "line"]
        rules.append(f".graph-box.{look}{{fill:{colours[f'{look}-fill']};stroke:{edge}}}")
    return "".join(rules)


def _legend(diagram: Diagram) -> list[tuple[str, str]]:
    """Return what the picture's colours mean, those that it has."""
    looks = {box.look for box in diagram.boxes} | {line.role for box in diagram.boxes for line in box.lines}
    entries = [("pretrained", "pre-trained"), ("initialised", "initialised")]
    found = [entry for entry in entries if entry[0] in looks]
    if any(arrow.back for arrow in diagram.arrows):
        found += [("plain", "forward: the value"), ("gradient", "backward: the gradient")]
    return found


def _draw_head(svg: ET.Element, title: str, legend: Sequence[tuple[str, str]]) -> None:
    _text(svg, title, MARGIN, 30, "graph-heading plain")
    x = MARGIN
    for role, words in legend:
        if role in LOOKS:
            box = {"class": f"graph-box {role}"}
            _add(svg, "rect", x=_number(x), y="42", width="18", height="12", rx="3", attributes=box)
        else:
            line = {"class": f"graph-arrow {role}", "marker-end": f"url(#graph-head-{role})"}
            ends = (x + 22, x) if role == "gradient" else (x, x + 22)
            _add(svg, "path", d=f"M{_number(ends[0])} 48H{_number(ends[1])}", attributes=line)
        _text(svg, words, x + 28, 52, f"graph-text {'plain' if role == 'plain' else role}")
        x += d.width_of(words, d.TEXT) + 50


def _draw_arrow(body: ET.Element, arrow: Arrow, route: Sequence[Point]) -> None:
    group = _add(body, "g", attributes={"class": "graph-edge", "data-from": arrow.start, "data-to": arrow.end})
    ways = [("plain", route, -APART), ("gradient", route[::-1], APART)] if arrow.back else [("plain", route, 0.0)]
    for role, corners, aside in ways:
        line = {"class": f"graph-arrow {role}", "marker-end": f"url(#graph-head-{role})"}
        _add(group, "path", d=_path(corners, aside), attributes=line)
    x, y = route[0][0] + (APART if arrow.back else 0.0) + 8, route[0][1] + 3
    for label in arrow.label:
        y += d.ROW
        _text(group, label.words, x, y - 3, f"graph-text {label.role}")
    if arrow.table:
        _draw_table(group, arrow.table, x, y)


def _path(corners: Sequence[Point], aside: float) -> str:
    """Return a line beside corners: straight up or down, and bent where it also goes sideways."""
    parts = [f"M{_number(corners[0][0] + aside)} {_number(corners[0][1])}"]
    for (x, y), (to_x, to_y) in pairwise(corners):
        if x == to_x:
            parts.append(f"V{_number(to_y)}")
            continue
        # where two lines run sideways, the one that was right of the other has to be above or below it
        slope = max(-1.0, min(1.0, (to_x - x) / 50)) * (1 if to_y > y else -1)
        middle = _number((y + to_y) / 2 - aside * slope)
        parts.append(
            f"C{_number(x + aside)} {middle} {_number(to_x + aside)} {middle} {_number(to_x + aside)} {_number(to_y)}"
        )
    return "".join(parts)


def _draw_box(body: ET.Element, box: Box, place: Place, size: Size) -> None:
    group = _add(body, "g", attributes={"class": "graph-node", "data-name": box.name})
    x, y = place.x - size.width / 2, place.y
    corner = {"x": _number(x), "y": _number(y), "width": _number(size.width), "height": _number(size.height)}
    rounding = "16" if box.look == "data" else "6"
    _add(group, "rect", rx=rounding, attributes={**corner, "class": f"graph-box {box.look}"})
    if box.look in ROLES:
        bar = {**corner, "x": _number(x + 4), "y": _number(y + 5), "width": "4", "height": _number(size.height - 10)}
        _add(group, "rect", rx="2", attributes={**bar, "class": f"graph-bar {box.look}"})
    x, y = x + d.PAD + d.BAR, y + d.PAD + d.ROW - 4
    title = _text(group, box.title, x, y, "graph-title plain")
    if box.note:
        _add(title, "tspan", f"  {box.note}", attributes={"class": "graph-text soft", "xml:space": "preserve"})
    for line in box.lines:
        y += d.ROW
        _text(group, line.words, x, y, f"graph-text {line.role}")
    for table in box.tables:
        _draw_table(group, table, x, y + d.ABOVE)
        x += d.table_size(table)[0] + d.COLUMNS


def _draw_table(group: ET.Element, table: Table, x: float, y: float) -> None:
    if table.title:
        y += d.ROW
        _text(group, table.title, x, y, f"graph-text {'soft' if table.role == 'plain' else table.role}")
    for line in d.table_lines(table):
        y += d.ROW
        _text(group, line, x, y, f"graph-numbers {table.role}", attributes={"xml:space": "preserve"})


def _text(
    parent: ET.Element, words: str, x: float, y: float, kind: str, attributes: dict[str, str] | None = None
) -> ET.Element:
    return _add(parent, "text", words, x=_number(x), y=_number(y), attributes={"class": kind, **(attributes or {})})


def _add(
    parent: ET.Element, tag: str, text: str = "", attributes: dict[str, str] | None = None, **more: str
) -> ET.Element:
    element = ET.SubElement(parent, tag, {**(attributes or {}), **more})
    element.text = text or None
    return element


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
