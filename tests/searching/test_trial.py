"""A trial measures what a comparison's tuning does, on rows that are held out, and repeats no layer that is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_search import small_search

from layerwise.comparison.experiment import Experiment
from layerwise.comparison.rows import Rows
from layerwise.plan import Plan
from layerwise.recipe import with_settings
from layerwise.runs.folder import RunFolder
from layerwise.searching.shared import SharedLayers, layer_key
from layerwise.searching.trial import GivenUp, Measurement, RowCount
from layerwise.training.loop import Progress

PLAN = small_search({}, network={"hidden_layer_sizes": (12, 10)})


def measured(plan: Plan, rows: Rows, labels: int = 100, **options: Any) -> tuple[float, int]:
    return Measurement(plan, rows, labels).run(plan, "trial-1", **options)


def test_a_trial_is_the_tuning_of_a_comparisons_first_seed(digits: Rows, tmp_path: Path) -> None:
    rates = (0.03, 0.3)
    compared = PLAN.model_copy(
        update={"compare": PLAN.compare.model_copy(update={"learning_rates": rates, "seeds": 1})}
    )
    tuning = Experiment(compared, digits).run(RunFolder.open(tmp_path / "run", False, "x")).tuning
    there = {row["settings"]["learning_rate"]: row for row in tuning if row["arm"] == "pretrained"}
    for rate in rates:
        plan = with_settings(PLAN, {"finetune.learning_rate": rate})
        assert measured(plan, digits) == (there[rate]["validation_error"], there[rate]["settings"]["epochs"])


def test_no_test_row_reaches_a_trial(digits: Rows) -> None:
    noise = torch.rand(digits.test_inputs.shape, generator=torch.Generator().manual_seed(1))
    others = replace(digits, test_inputs=noise, test_codes=digits.test_codes.flip(0))
    assert measured(PLAN, others) == measured(PLAN, digits)


def test_labels_outside_the_budget_and_of_other_folds_reach_no_trial(digits: Rows) -> None:
    """An objective that learns from labels is given those of the training part alone: others may be anything."""
    plan = small_search({}, pretrain={"objective": "supervised", "epochs": 20}, finetune={"epochs": 1})
    measurement = Measurement(plan, digits, 300)
    ((training, held_out),) = measurement.folds

    def measured_with_noise_in(changed: torch.Tensor) -> float:
        codes = digits.codes.clone()
        codes[changed] = (codes[changed] + 1) % 10
        measurement.rows = replace(digits, codes=codes)  # the rows drawn, and their labels, stay those of before
        return measurement.run(plan, "trial-1")[0]

    seen = torch.zeros(len(digits.codes), dtype=torch.bool)
    seen[measurement.chosen[training]] = True
    error = measured_with_noise_in(torch.zeros_like(seen))
    assert measured_with_noise_in(~seen) == error != measured_with_noise_in(seen)
    assert not seen[measurement.chosen[held_out]].any()


@pytest.mark.parametrize("labels, folds, validated", [(100, 5, 100), (600, 1, 150)])
def test_the_validation_rows_are_counted(digits: Rows, labels: int, folds: int, validated: int) -> None:
    measurement = Measurement(PLAN, digits, labels)
    assert (len(measurement.folds), measurement.validation_rows) == (folds, validated)


def test_a_shared_layer_is_trained_once_and_changes_nothing(digits: Rows, tmp_path: Path) -> None:
    deeper, other = (with_settings(PLAN, s) for s in ({"network.hidden_layer_sizes": [12, 8]}, {"finetune.l2": 0.001}))
    alone = {name: measured(plan, digits) for name, plan in (("deeper", deeper), ("other", other))}
    shared = SharedLayers(tmp_path, "x")
    shared.expect([PLAN, deeper, other])
    counts = []
    for plan in (PLAN, deeper, other):
        count = RowCount()
        found = measured(plan, digits, callbacks=[count], shared=shared.places(plan))
        counts.append(count.rows)
        assert plan is PLAN or found == alone["deeper" if plan is deeper else "other"]
    one_layer = len(digits.inputs)
    assert counts[0] - counts[1] == one_layer and counts[0] - counts[2] == 2 * one_layer
    assert len(list((tmp_path / "pretrained").iterdir())) == 2  # the deeper one's second layer is nobody else's


def test_the_key_of_a_layer_holds_what_it_depends_on_and_no_more() -> None:
    base = layer_key(PLAN, 1)
    same = [{"finetune.learning_rate": 0.5}, {"network.hidden_layer_sizes": [12, 99]}, {"finetune.epochs": 2}]
    other = [{"pretrain.learning_rate": 0.5}, {"network.hidden_layer_sizes": [11, 10]}, {"pretrain.epochs": 2},
             {"network.activation": "relu"}, {"pretrain.objective.corruption.rate": 0.5}]  # fmt: skip
    assert all(layer_key(with_settings(PLAN, settings), 1) == base for settings in same)
    assert all(layer_key(with_settings(PLAN, settings), 1) != base for settings in other)
    listed = with_settings(PLAN, {"pretrain.objective": ["denoising", "contractive"]})
    assert layer_key(listed, 1) == base and layer_key(listed, 2) != layer_key(PLAN, 2)
    assert layer_key(PLAN, 2) != base


def test_a_trial_is_told_of_every_epochs_error_of_the_first_fold(digits: Rows) -> None:
    told: list[tuple[int, float]] = []
    measured(PLAN, digits, halve=lambda epoch, error: told.append((epoch, error)))
    assert [epoch for epoch, _ in told] == [1, 2, 3, 4, 5] and all(0 <= error <= 100 for _, error in told)

    def give_up(epoch: int, error: float) -> None:
        raise GivenUp

    with pytest.raises(GivenUp):
        measured(PLAN, digits, halve=give_up)


def test_rows_are_counted_anew_where_a_fit_starts_afresh() -> None:
    count = RowCount()
    for fit, rows in (("a", 5), ("a", 10), ("b", 3), ("a", 4), ("a", 6)):
        count(Progress(fit, 1, 9, rows, 0.0))
    assert count.rows == 10 + 3 + 6
