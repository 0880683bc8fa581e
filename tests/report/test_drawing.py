"""The picture: well-formed, its letters readable in light and in dark, its lines where they belong."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from layerwise.report.diagram import Arrow, Box, Diagram, Table, Text
from layerwise.report.drawing import DARK, LIGHT, LOOKS, ROLES, draw

TABLES = (Table([[1.0]], "value"), Table([[2.0]], "gradient", "gradient"))
TWO = Diagram(
    "two", "b takes from a", (Box("a", "a", tables=TABLES, look="data"), Box("b", "b")),
    (Arrow("a", "b", (Text("1 by 1", "soft"),), Table([[2.0]], role="gradient"), back=True),),
)  # fmt: skip


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """WCAG 2.2, relative contrast."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_letters_stand_out(colours):
    behind = ["ground", *(f"{look}-fill" for look in LOOKS)]
    for role in ROLES:
        for ground in behind:
            assert contrast(colours[role], colours[ground]) >= 4.5, (role, ground)
    assert contrast(colours["line"], colours["operation-fill"]) >= 2


def test_both_sheets_name_the_same_and_dark_is_for_those_who_want_it():
    assert LIGHT.keys() == DARK.keys()
    text = draw(TWO)
    light, _, dark = text.partition("@media (prefers-color-scheme: dark)")
    assert LIGHT["ground"] in light and DARK["ground"] in dark and DARK["ground"] not in light


def test_arrows_lead_down_and_their_way_back_up():
    edge = draw(TWO).partition('class="graph-edge"')[2]
    lines = re.findall(r'class="graph-arrow (\w+)".*?d="M([\d.]+) ([\d.]+)V[\d.]+V([\d.]+)"', edge)
    assert [line[0] for line in lines] == ["plain", "gradient"]
    (_, x, top, bottom), (_, back_x, back_bottom, back_top) = lines
    assert float(top) < float(bottom) and (back_top, back_bottom) == (top, bottom)
    assert float(back_x) - float(x) == 9


def test_the_legend_names_what_there_is():
    assert "backward" in draw(TWO) and "pre-trained" not in draw(TWO)
    plain = draw(Diagram("one", "one box", (Box("a", "a", look="pretrained"),)))
    assert (
        "pre-trained" in plain
        and "backward" not in plain
        and "initialised" not in re.sub("<style>.*</style>", "", plain)
    )


def test_an_empty_diagram_is_a_picture():
    assert ET.fromstring(draw(Diagram("none", "nothing", ()))).tag.endswith("svg")


def test_long_words_are_inside_the_picture():
    root = ET.fromstring(draw(Diagram("a title that is very long " * 5, "", (Box("a", "a"),))))
    assert float(root.get("width")) > 800
