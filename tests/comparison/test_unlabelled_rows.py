"""Pseudo-labels in a comparison: both arms learn from the same rows outside the budget, and from no label of theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_comparison import small_plan

from layerwise.comparison import arms, tuning
from layerwise.comparison.budgets import nested_budgets
from layerwise.comparison.estimate import estimate
from layerwise.comparison.experiment import Experiment, Measured
from layerwise.comparison.rows import Rows
from layerwise.errors import DataError
from layerwise.randomness import Randomness
from layerwise.runs.folder import RunFolder

FEW = {"finetune": {"pseudo_labels": {"batch_size": 200, "ramp": [2, 6]}, "epochs": 3, "batch_size": 25}}


def run(rows: Rows, folder: Path, **tables: Any) -> Measured:
    return Experiment(small_plan(**{**FEW, **tables}), rows).run(RunFolder.open(folder, False, "test"))


def test_both_arms_learn_from_the_rows_outside_the_budget(
    digits: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, list[Any]] = {}
    genuine = arms.finetune_network

    def watched(
        network: Any, rows: Any, codes: Any, plan: Any, around: Any, device: Any, held: Any, others: Any
    ) -> Any:
        seen.setdefault(around.name.rpartition("/")[2], []).append((rows, others.rows))
        return genuine(network, rows, codes, plan, around, device, held, others)

    for place in (arms, tuning):
        monkeypatch.setattr(place, "finetune_network", watched)
    compare = {"seeds": 1, "tune": True, "learning_rates": [0.1]}
    run(digits, tmp_path / "run", compare=compare, finetune={**FEW["finetune"], "epochs": 1})
    assert any("fold" in name for name in seen), "tuning learns from them too"
    every = {tuple(row) for row in digits.inputs.tolist()}
    for number, labels in enumerate((50, 100)):
        (own, others), (random_own, random_others) = seen["pretrained"][number], seen["random"][number]
        assert torch.equal(own, random_own) and torch.equal(others, random_others)
        assert len(own) == labels and len(others) == len(digits.inputs) - labels
        assert {tuple(row) for row in own.tolist()} | {tuple(row) for row in others.tolist()} == every


def test_labels_outside_the_budget_reach_nothing_that_is_measured(digits: Rows, tmp_path: Path) -> None:
    """With the labels of all rows outside the budget taken away, every test row is predicted as it was."""
    budgets = {"compare": {"budgets": [50], "seeds": 1}}
    found = run(digits, tmp_path / "one", **budgets)
    (chosen,) = nested_budgets(digits.codes, [50], Randomness(0).child("seed-0")).values()
    outside = torch.ones(len(digits.codes), dtype=torch.bool)
    outside[chosen] = False
    hidden = replace(digits, codes=digits.codes.masked_fill(outside, -1))
    again = run(hidden, tmp_path / "two", **budgets)
    for arm in ("pretrained", "random"):
        assert (found.outcomes[0, 50, arm].wrong == again.outcomes[0, 50, arm].wrong).all()


def test_a_budget_of_all_rows_is_refused_before_anything_is_trained(digits: Rows) -> None:
    with pytest.raises(DataError, match="every row has a label"):
        Experiment(small_plan(**FEW, compare={"budgets": [50, len(digits.codes)]}), digits)


def test_the_estimate_counts_updates_of_the_unlabelled_rows(digits: Rows) -> None:
    found = estimate(Experiment(small_plan(**FEW), digits), "cpu")
    others = len(digits.inputs)
    updates = sum(3 * -(-(others - labels) // 200) for labels in (50, 100))  # three epochs each
    assert found.finetuning == pytest.approx(3 * 2 * updates * found.finetune_update)  # seeds, arms
