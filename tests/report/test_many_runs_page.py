"""The page of many runs shows the numbers of its files, leaves out what is not there, and loads nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from many_runs_files import DEPTH, EQUAL, FILES, LAYERS, TRAJECTORIES

from layerwise.report import many_runs_figures as figures
from layerwise.report.many_runs import write_many_runs
from layerwise.report.many_runs_results import Depths, EqualLoss, Layers, Trajectories
from layerwise.write import write_json


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("results")
    for name, value in FILES.items():
        write_json(folder / f"{name}.json", value)
    return write_many_runs(folder).read_text(encoding="utf-8")


def test_every_file_has_its_section_with_its_sentence(page: str) -> None:
    for said in ("Trajectories in function space", "The two regions do not overlap.", "That speaks for regularisation.",
                 "Spread over seeds by depth", "It does not show.", "Which layers", "layerwise 1.2.3"):  # fmt: skip
        assert said in page
    assert page.count('role="img" aria-label="') == page.count('class="plot"') == 7


def test_nothing_is_loaded_and_text_stays_text(page: str) -> None:
    assert "default-src 'none'" in page and page.count("plotly.js v") == 1
    assert "3<b>" not in page and "3&lt;b&gt;" in page
    loads = re.findall(r'(?:src|href)="([^"]*)"', re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    assert loads and all(load.startswith(("#", "data:")) for load in loads)


@pytest.mark.parametrize("name", FILES)
def test_a_file_alone_makes_a_page_of_its_sections_alone(name: str, tmp_path: Path) -> None:
    write_json(tmp_path / f"{name}.json", FILES[name])
    text = write_many_runs(tmp_path, tmp_path / "a" / "page.html").read_text(encoding="utf-8")
    titles = {"trajectories": "Trajectories in", "equal-loss": "Regularisation or", "depth": "Spread over seeds by",
              "layers": "Which layers matter"}  # fmt: skip
    assert {key for key, title in titles.items() if title in text} == {name}


def by_name(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_an_embedding_draws_every_point_coloured_by_progress() -> None:
    traces = by_name(figures.embedding(Trajectories.model_validate(TRAJECTORIES), "tsne"))
    points = traces["random"]
    assert list(points.x) == [5, 6, 7, 5, 6, 7] and list(points.y) == [0, 0, 0, 1, 1, 1]
    assert list(points.marker.color) == [0, 1, 2, 0, 1, 2]
    assert points.marker.symbol != traces["pre-trained"].marker.symbol
    assert list(traces["random, runs"].x) == [5, 6, 7, None, 5, 6, 7, None]


def test_the_start_stands_on_the_logarithmic_axis_of_distances() -> None:
    traces = by_name(figures.distances(Trajectories.model_validate(TRAJECTORIES)))
    assert list(traces["between the arms"].x) == [5, 10, 100]
    assert list(traces["among random"].y) == [0.3] * 3


def test_equal_loss_runs_from_high_training_loss_to_low() -> None:
    figure = figures.equal_loss(EqualLoss.model_validate(EQUAL))
    left, right = figure.layout.xaxis.range
    assert left > right and 10**right < 0.05 < 1.0 < 10**left
    assert list(by_name(figure)["pre-trained, mean"].y) == [1.0, 0.4]
    gaps = figures.loss_differences(EqualLoss.model_validate(EQUAL)).data[0]
    assert list(gaps.error_y.array) == pytest.approx([0.05] * 2) and list(gaps.error_y.arrayminus) == pytest.approx(
        [0.1] * 2
    )


def test_depths_share_one_axis_that_holds_every_error() -> None:
    found = Depths.model_validate(DEPTH)
    figure = figures.depth(found.initializers[0], found)
    low, high = figure.layout.yaxis.range
    assert 10**low < 7.0 and 10**high > 80.0
    shown = [trace for trace in figure.data if trace.name == "random"]
    assert [list(trace.y) for trace in shown] == [[8.0, 9.0, 80.0]] * 2
    assert all(abs(x - depth) < 0.4 for depth, trace in zip((1, 2), shown, strict=True) for x in trace.x)


def test_layers_stand_from_the_first_arm_down() -> None:
    found = Layers.model_validate(LAYERS)
    figure = figures.layers(found.initializers[0], found)
    assert figure.layout.yaxis.autorange == "reversed"
    assert "none (random)" in by_name(figure)
