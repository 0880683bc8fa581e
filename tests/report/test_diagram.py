"""How numbers are written, and how much room words and tables take."""

from __future__ import annotations

import math

import pytest

from layerwise.report.diagram import Arrow, Box, Table, Text, label_size, size_of, table_lines


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([[0.0, 0.0]], ["0  0"]),
        ([[-0.001, 1.0]], ["−0.00   1.00"]),  # noqa: RUF001
        ([[123.4, -5.0]], ["123   −5"]),  # noqa: RUF001
        ([[0.0123, 0.5]], ["0.012  0.500"]),
        ([[1e-5, 1.0], [1e-5, 2.0]], ["0.00  1.00", "0.00  2.00"]),
        ([[1e-5]], ["1.0e−05"]),  # noqa: RUF001
        ([[math.nan, math.inf, 1.5]], [" nan   inf  1.50"]),
        ([[math.nan]], ["nan"]),
        ([[]], [""]),
    ],
)
def test_numbers_have_places_by_the_largest_beside_them(rows, lines):
    assert table_lines(Table(rows)) == lines


def test_what_is_left_out_is_marked():
    assert table_lines(Table([[1.0, 2.0]], more=(True, True))) == ["1  2  …", "…"]


def test_a_box_has_room_for_its_words_tables_and_arrows():
    small = size_of(Box("a", "a"), [], 0)
    assert size_of(Box("a", "a" * 40), [], 0).width > small.width
    assert size_of(Box("a", "a", lines=(Text("b" * 40),)), [], 0).height > small.height
    table = Table([[1.0] * 9] * 3, "value")
    assert size_of(Box("a", "a", tables=(table, table)), [], 0).width > 2 * 9 * 10
    arrows = [Arrow("a", "b", (Text("3 by 2"),), table), Arrow("a", "c")]
    size = size_of(Box("a", "a"), arrows, 0)
    assert size.step == label_size(arrows[0])[0] and size.room == 3 * size.step
    assert size_of(Box("a", "a"), [], 12).width > 11 * 22
    assert label_size(arrows[1])[1] == 0
