"""The section on the layers: its figures hold the numbers, its words follow from them, and it says what is missing."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerwise.report import Summary, read_summary
from layerwise.report.layer_section import by_layer, noise_figure, probe_figure


@pytest.fixture
def changed(make_run: Callable[..., Path], tmp_path: Path) -> Callable[..., Any]:
    """Return a function that makes the section of a run after its measurements were changed in place."""

    def make(change: Callable[[dict[str, Any]], None], **others: Any) -> Any:
        folder = make_run(tmp_path / "run", **others)
        results = json.loads((folder / "results.json").read_text())
        change(results["by_layer"])
        (folder / "results.json").write_text(json.dumps(results))
        return by_layer(read_summary(folder))

    return make


def test_the_figures_hold_the_numbers(summary: Summary) -> None:
    found = summary.results.by_layer
    assert found is not None
    probes, noise = probe_figure(summary, found), noise_figure(summary, found)
    assert probes is not None and noise is not None
    drawn = {trace.name: (list(trace.x), list(trace.y)) for trace in probes.data}
    assert drawn["pre-trained, before fine-tuning"] == (["the rows", "layer 1", "layer 2"], [12.75, 8.5, 9.25])
    assert drawn["random, before fine-tuning"][1] == [12.75, 11.5, 12.5]
    assert drawn["pre-trained, after fine-tuning"] == (["layer 1", "layer 2"], [6.5, 5.75])
    masked = {trace.name: (list(trace.x), list(trace.y)) for trace in noise.data}
    assert masked["random"] == ([0.0, 20.0, 40.0], [8.0, 10.0, 20.0]) and masked["pre-trained"][1][-1] == 12.0


def test_the_words_follow_from_the_numbers(summary: Summary) -> None:
    section = by_layer(summary)
    codes, movement, noise = (text.replace("\u00a0", " ") for text in section.paragraphs)
    for said in ("codes of layer 2 errs on 9.25 % of rows in the pre-trained", "12.50 % in the random one", "12.75 %",
                 "After fine-tuning, on 5.75 % and 8.25 %."):  # fmt: skip
        assert said in codes
    assert "by 0.05 to 0.11 of their length in the pre-trained network and by 0.08 to 0.09 in the random" in movement
    assert movement.endswith("1 of the 2 pre-trained ones stayed nearer to where they began.")
    assert "With 40 % of the elements masked" in noise
    assert "the pre-trained network from 5.90 % to 12.00 %, the random network from 8.00 % to 20.00 %." in noise
    # 1.96 sqrt(2 * .125 * .875 / 2000)
    assert "on 2,000 labelled rows outside every budget" in section.lead and "below about 2.0 points" in section.lead


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        ((0.01, 0.02), "the pre-trained ones stayed nearer to where they began"),
        ((0.5, 0.6), "the random ones stayed nearer to where they began"),
    ],
)
def test_who_stayed_nearer(changed: Callable[..., Any], moved: tuple[float, float], said: str) -> None:
    def change(found: dict[str, Any]) -> None:
        for layer, relative in zip(found["arms"]["pretrained"]["layers"], moved, strict=False):
            layer["relative"] = relative

    assert changed(change).paragraphs[1].endswith(f"{said}.")


def test_one_hidden_layer_is_spoken_of_alone(changed: Callable[..., Any]) -> None:
    def change(found: dict[str, Any]) -> None:
        for arm in found["arms"].values():
            del arm["layers"][1]

    movement = changed(change).paragraphs[1]
    assert "moved the hidden layer by 0.05 of" in movement
    assert movement.endswith("the pre-trained one stayed nearer to where it began.")


def test_the_tables_have_a_line_for_each_layer_and_arm(summary: Summary) -> None:
    movement, codes = by_layer(summary).tables
    assert [row[:3] for row in movement.rows[-3:]] == [
        ("layer\u00a02", "2", "random"), ("output head", "4", "pre-trained"), ("output head", "4", "random")
    ]  # fmt: skip
    assert movement.rows[0][3:] == ("2.00", "0.05", "0.999", "0.017")
    assert codes.rows[1] == (
        "layer\u00a01", "0", "random", "11.50 \u2192 9.50", "30.0 \u2192 25.0", "1.2 \u2192 1.0"
    )  # fmt: skip
    assert len(movement.rows) == 6 and len(codes.rows) == 4


def test_what_is_missing_is_said(changed: Callable[..., Any], make_run: Callable[..., Path], tmp_path: Path) -> None:
    def change(found: dict[str, Any]) -> None:
        for arm in found["arms"].values():
            arm |= {"left_out": ["the cat sat on them"], "noise_errors": [], "inputs_probe": None}
            for layer in arm["layers"][:2]:
                layer |= {"probe_before": None, "probe_after": None, "saturated_before": None, "saturated_after": None}

    section = changed(change)
    assert section.absent == "Left out: the cat sat on them." and section.plots == () and section.legend == ()
    assert len(section.paragraphs) == 1 and section.lead == "Seed 0 at 1,000 labels."
    assert section.tables[1].rows[0][3:] == ("\u2013", "\u2013", "1.2 \u2192 1.0")
    without = by_layer(read_summary(make_run(tmp_path / "old", by_layer=None)))
    assert without.absent == "The run did not look into the layers." and not without.tables


def test_a_control_names_its_arms(changed: Callable[..., Any]) -> None:
    section = changed(lambda found: None, control=True)
    words = " ".join(section.paragraphs)
    assert "random, arm A" in words and "pre-trained" not in words
    assert not re.search("pre-trained", json.dumps(copy.deepcopy(section.tables[0].rows)))
