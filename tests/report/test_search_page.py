"""The page of a search: one file that says what was found, what is uncertain, what it cost; made from files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_page import MOST_BYTES, read

from layerwise.errors import RunError
from layerwise.report.search import read_search, write_search_report
from layerwise.report.search.figures import best_so_far, importance_bars, one_setting
from layerwise.report.search.marks import error_range
from layerwise.report.search.parallel import parallel_coordinates
from layerwise.report.search.projections import grid_and_random
from layerwise.report.search.sections import sections

RATE, SIZES = "pretrain.learning_rate", "network.hidden_layer_sizes"


def results(**changes: Any) -> dict[str, Any]:
    """Return what a random search of 5 trials leaves, one of them diverged."""
    errors = [30.0, 22.5, 61.0, None, 18.25, 25.0]
    rates = [None, 0.01, 0.5, 0.9, 0.0975, 0.3]
    tried = [
        {
            "slot": slot, "phase": 1, "parent": None, "attempt": 2 if slot == 2 else 1,
            "state": "complete" if error else "diverged", "validation_error": error, "epochs": 5, "seconds": 60.0,
            "rows": 1000, "reason": "", "worker": "w",
            "values": {RATE: rate, SIZES: "[16]" if slot % 2 else "[<b>]", "finetune.l2": 0.1 * slot} if slot else {},
        }
        for slot, (error, rate) in enumerate(zip(errors, rates, strict=True))
    ]  # fmt: skip
    return {
        "kind": "search", "method": "random", "trials_asked": 5, "labels": 100, "validation_rows": 100, "folds": 5,
        "recipe_error": 30.0,
        "best": {"slot": 4, "validation_error": 18.25, "standard_error": 3.86, "epochs": 5,
                 "values": tried[4]["values"]},
        "edges": [{"name": RATE, "text": f"the best {RATE}, 0.0975, lies within 5% of its high end"}],
        "edge_share": 0.05,
        "domains": [
            {"name": RATE, "low": 0.001, "high": 0.1, "log": True},
            {"name": SIZES, "choices": ["[16]", "[<b>]"]},
            {"name": "finetune.l2", "low": 0.0, "high": 1.0},
        ],
        "importances": [{"name": RATE, "importance": 0.8, "low": 0.5, "high": 0.9},
                        {"name": "finetune.l2", "importance": 0.2, "low": 0.1, "high": 0.5}],
        "importances_sure": False,
        "grid": {RATE: [0.001, 0.01, 0.1], "finetune.l2": [0.0, 1.0]},
        "expected_best": [[1, 31.0, 18.25, 61.0], [2, 24.0, 18.25, 25.0]],
        "tried": tried,
        "cost": {"trials": 6, "seconds": 360.0, "rows": 6000, "workers": 2, "died": 1},
        "data": {"name": "<i>digits</i>", "training_rows": 1438, "classes": ["0", "1"]},
        **changes,
    }  # fmt: skip


def folder_of(tmp_path: Path, **changes: Any) -> Path:
    (tmp_path / "results.json").write_text(json.dumps(results(**changes)))
    (tmp_path / "best.toml").write_text('name = "</script>"\n')
    (tmp_path / "environment.json").write_text('{"layerwise": "0", "started": "2026-01-02"}')
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path)


def test_the_page_is_one_file_that_loads_nothing_and_says_what_was_found(folder: Path) -> None:
    page = write_search_report(folder).read_text()
    assert len(page.encode()) < MOST_BYTES
    reader = read(page)
    assert all(address.startswith(("#", "data:")) for address in reader.loads)
    words = reader.words
    for text in (
        "18.25 %", "random search · 100 labels of 1,438 training rows", "30.00", "standard error 3.86 on 100 rows",
        "lies within 5% of its high end", "10 times in a hundred", "take the order as uncertain",
        "5 of 5", "1 diverged", "6 min 00 s", "layerwise compare --recipe best.toml", "(second attempt)",
    ):  # fmt: skip
        assert text in words, text


def test_no_text_from_outside_is_run(folder: Path) -> None:
    page = write_search_report(folder).read_text()
    assert "<i>digits</i>" not in page and "<b>]" not in page
    assert page.count("</script>") == page.count("<script")
    assert write_search_report(folder).read_text() == page  # and the same folder gives the same bytes


def test_the_figures_hold_the_trials(folder: Path) -> None:
    summary = read_search(folder)
    progress = best_so_far(summary, "trials")
    (line,) = [trace for trace in progress.data if trace.name == "best so far"]
    assert list(line.x) == [1, 2, 3, 4, 5] and list(line.y) == [22.5, 22.5, 22.5, 18.25, 18.25]
    (line,) = [trace for trace in best_so_far(summary, "seconds").data if trace.name == "best so far"]
    assert list(line.x) == [1, 2, 3, 4, 5]  # minutes
    lines = parallel_coordinates(summary).data
    assert len(lines) == 4 and lines[-1].name == "trial 4, 18.25 %"
    low, high = error_range(summary)
    assert lines[-1].y[0] == pytest.approx(0.9945, abs=1e-3) and 0 < lines[-1].y[3] < lines[0].y[3] < 1
    assert low < 18.25 < 61.0 < high
    bars = importance_bars(summary)
    assert bars is not None and list(bars.data[0].x) == [0.8, 0.2]
    assert list(bars.data[0].error_x.array) == pytest.approx([0.1, 0.3])
    setting = one_setting(summary, summary.domain(RATE))
    assert sorted(setting.data[0].x) == [0.01, 0.0975, 0.3, 0.5] and list(setting.data[1].y) == [18.25]
    looked = grid_and_random(summary)
    assert looked is not None
    grid, search = (
        next(t for t in looked.data if t.name == name) for name in ("a grid of as many trials", "this search")
    )
    assert len(grid.x) == 6 and len(search.x) == 4
    assert {round(x, 6) for x in grid.x} == {0.0, 0.5, 1.0}


@pytest.mark.parametrize(
    "changes, key, words",
    [
        ({"method": "grid", "grid": {}}, "grid", "compares trials drawn at random"),
        ({"importances": []}, "importance", "Too few trials"),
        (
            {"best": {"slot": 0, "validation_error": 30.0, "standard_error": 1.0, "epochs": 5}},
            "found",
            "No trial validated",
        ),
    ],
)
def test_what_cannot_be_shown_is_said(changes: dict[str, Any], key: str, words: str, tmp_path: Path) -> None:
    summary = read_search(folder_of(tmp_path, **changes))
    section = next(one for one in sections(summary) if one.key == key)
    assert words in section.absent + section.lead
    assert re.search(words, write_search_report(tmp_path).read_text())


@pytest.mark.parametrize("name", ["results.json", "best.toml", "environment.json"])
def test_a_folder_that_lacks_a_file_is_refused_by_name(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(RunError, match=rf"{name} is missing"):
        write_search_report(folder)


def test_another_runs_results_are_refused(folder: Path) -> None:
    (folder / "results.json").write_text(json.dumps(results(kind="comparison")))
    with pytest.raises(RunError, match="kind"):
        read_search(folder)
    with pytest.raises(RunError, match="is not a folder"):
        read_search(folder / "nothing")
