"""What runs come to: numbers against those by hand, and sentences that follow the numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from small_runs import made_up

from layerwise.analysis import (
    Run,
    depth_results,
    equal_loss_results,
    function_points,
    layer_results,
    regions,
    trajectory_results,
    write_page,
)
from layerwise.errors import DataError, RunError
from layerwise.write import write_json

SEEDS = range(5)


def moving(apart: float) -> list[Run]:
    """Runs of both arms that start together and end ``apart``, in the probabilities of 4 rows and 2 classes."""
    rng = np.random.default_rng(0)
    found = []
    for arm, sign in (("pretrained", 1), ("random", -1)):
        for seed in SEEDS:
            first = 0.5 + np.linspace(0, sign * apart, 6)[:, None] + rng.normal(0, 0.01, (6, 4))
            found.append(made_up(arm, seed, [50.0, 40, 30, 20, 10, 5], np.stack([first, 1 - first], 2)))
    return found


def errors(pretrained: Sequence[float], random: Sequence[float]) -> list[Run]:
    both = zip(("pretrained", "random"), (pretrained, random), strict=True)
    return [made_up(arm, seed, [90.0, error]) for arm, of in both for seed, error in enumerate(of)]


def test_trajectories_hold_every_run_and_the_distances_at_each_checkpoint() -> None:
    runs = moving(0.3)
    found = trajectory_results(runs)
    assert [(run["arm"], run["seed"]) for run in found["runs"]] == [(run.arm, run.seed) for run in runs]
    assert np.shape([run["isomap"] for run in found["runs"]]) == (10, 6, 2)
    last = regions(np.concatenate([function_points(run.outputs[-1:]) for run in runs]), [run.arm for run in runs])
    assert found["regions"][-1]["within"] == pytest.approx(last.within)
    assert found["regions"][-1]["between"] == pytest.approx(last.between) == found["end"]["between"]
    assert found["regions"][0]["purity"] < 1.0 == found["end"]["purity"]
    assert found["sentence"].startswith("The two regions do not overlap")
    assert found["end"]["p_value"] is not None and found["watched"] == 4


def test_regions_that_overlap_are_said_to() -> None:
    assert trajectory_results(moving(0.0))["sentence"].startswith("The two regions overlap")


def test_equal_loss_holds_the_curves_and_the_sentence() -> None:
    found = equal_loss_results(moving(0.1))
    assert found["differences"][-1]["mean"] == pytest.approx(-0.1)
    assert "speaks for regularisation" in found["sentence"] and len(found["curves"]) == 10


def test_the_published_pattern_is_said_to_show_where_it_does() -> None:
    rng = np.random.default_rng(0)
    runs = {
        depth: errors(8 + 0.1 * rng.normal(size=12), 9 + depth + 0.3 * depth * rng.normal(size=12))
        for depth in (1, 2, 5)
    }
    found = depth_results(runs)
    assert found["sentence"].startswith("The published pattern shows. ")
    deepest = found["depths"][-1]
    here, there = deepest["errors"]["pretrained"], deepest["errors"]["random"]
    assert deepest["depth"] == 5
    assert deepest["gain"]["mean"] == pytest.approx(np.mean(there) - np.mean(here))
    assert deepest["equal_spreads"]["p_value"] == pytest.approx(stats.levene(here, there, center="median").pvalue)
    growth = stats.ttest_ind(there, found["depths"][0]["errors"]["random"], equal_var=False).confidence_interval()
    assert (found["growth"]["random"]["low"], found["growth"]["random"]["high"]) == pytest.approx(
        (growth.low, growth.high)
    )


def test_the_published_pattern_is_denied_where_it_does_not_show() -> None:
    rng = np.random.default_rng(1)
    runs = {depth: errors(8 + rng.normal(size=12), 8 + rng.normal(size=12)) for depth in (1, 3)}
    found = depth_results(runs)
    assert found["sentence"].startswith("It does not show. ")
    assert "at no depth do random errors clearly spread wider" in found["sentence"]


def test_a_pattern_in_the_means_alone_is_a_part_of_it() -> None:
    rng = np.random.default_rng(2)
    runs = {depth: errors(8 + rng.normal(size=12), 8 + 5 * depth + rng.normal(size=12)) for depth in (1, 3)}
    assert depth_results(runs)["sentence"].startswith("The published pattern shows in part. ")


def test_gains_of_partly_pretrained_arms_are_paired_with_the_random_arm() -> None:
    runs = errors([5.0, 6.0, 7.0], [8.0, 9.0, 10.0])
    runs += [made_up("layer 1", seed, [90.0, error]) for seed, error in enumerate([7.0, 8.5, 9.0])]
    found = layer_results(runs, ["random", "layer 1", "pretrained"])["arms"]
    assert [row["name"] for row in found] == ["random", "layer 1", "pretrained"]
    assert found[0]["gain"] is None and found[1]["gain"]["mean"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert (found[2]["gain"]["low"], found[2]["gain"]["high"]) == (3.0, 3.0)


def test_unfinished_or_unlike_runs_are_refused() -> None:
    runs = moving(0.1)
    with pytest.raises(DataError, match="expected the same two or more"):
        equal_loss_results(runs[:-1])
    odd = [*runs[:-1], made_up("random", 4, [1.0, 2.0])]
    with pytest.raises(DataError, match="after different updates"):
        equal_loss_results(odd)


def test_the_page_is_made_from_the_files_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "equal-loss.json", equal_loss_results(moving(0.1)))
    page = write_page(tmp_path)
    assert page == tmp_path / "report.html" and "Regularisation or optimisation" in page.read_text()
    assert write_page(tmp_path, tmp_path / "elsewhere.html").exists()


def test_a_folder_without_results_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="none of the result files of many runs"):
        write_page(tmp_path)
    (tmp_path / "depth.json").write_text(json.dumps({"initializers": []}))
    with pytest.raises(RunError, match=r"depth\.json cannot be used: initializers: "):
        write_page(tmp_path)
