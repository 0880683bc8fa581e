"""The rows of a comparison: other rows to pre-train on change nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import layerwise as lw
from layerwise.comparison import arms
from layerwise.comparison.rows import gather, gather_files
from layerwise.errors import DataError, PlanError
from layerwise.plan import DataPlan

DIGITS = load_digits()
INPUTS, LABELS = (DIGITS.data / 16).astype(np.float32), DIGITS.target
PIXELS = np.rint(DIGITS.images * 15).astype(np.uint8)
SMALL: dict[str, Any] = {
    "network": (12,), "budgets": [100], "seeds": 1, "tune": False, "baselines": [], "device": "cpu",
    "settings": {"pretrain": {"epochs": 1, "learning_rate": 0.05}, "finetune": {"epochs": 2, "batch_size": 25}},
}  # fmt: skip


def gathered(inputs: Any = INPUTS, **settings: Any) -> Any:
    return gather(inputs, LABELS, name="digits", **{"scale": "auto", "test": 0.25, "random_state": 0, **settings})


def test_other_rows_leave_the_training_and_test_rows_as_they_are() -> None:
    plain, other = gathered(), gathered(pretrain_inputs=INPUTS[:300] / 2)
    assert plain.pretrain_inputs is None
    assert torch.equal(other.pretrain_inputs, torch.from_numpy(INPUTS[:300] / 2))
    for part in ("inputs", "codes", "test_inputs", "test_codes"):
        assert torch.equal(getattr(plain, part), getattr(other, part))
    assert plain.classes == other.classes and plain.image_shape == other.image_shape == (8, 8)


def test_pre_training_sees_the_other_rows_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []
    genuine = arms.pretrain_layers
    monkeypatch.setattr(arms, "pretrain_layers", lambda *given: seen.append(given[1]) or genuine(*given))
    others = 1 - INPUTS[:250]
    found = lw.compare(INPUTS, LABELS, pretrain_inputs=others, run_dir=tmp_path / "run", **SMALL)
    assert len(seen) == 1 and seen[0].targets is None and torch.equal(seen[0].inputs.rows, torch.from_numpy(others))
    plain = lw.compare(INPUTS, LABELS, **SMALL)
    assert torch.equal(seen[1].inputs.rows, gathered(test=0.2).inputs)
    assert found.results["data"]["pretraining_rows"] == 250 and plain.results["data"]["pretraining_rows"] == 1438
    assert found.results["data"]["training_rows"] == plain.results["data"]["training_rows"] == 1438
    assert found.results["budgets"][0]["random_errors"] == plain.results["budgets"][0]["random_errors"]
    assert found.results["budgets"][0]["pretrained_errors"] != plain.results["budgets"][0]["pretrained_errors"]
    assert 'pretrain_inputs = "arrays"' in (tmp_path / "run" / "recipe.toml").read_text()
    with pytest.raises(lw.errors.RunError, match="other settings, data or seed"):
        lw.compare(INPUTS, LABELS, pretrain_inputs=others / 2, run_dir=tmp_path / "run", resume=True, **SMALL)


def test_other_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pretrain_inputs have 63 features, training rows have 64") as caught:
        lw.compare(INPUTS, LABELS, pretrain_inputs=INPUTS[:, :-1], run_dir=tmp_path / "run", **SMALL)
    assert "same columns" in caught.value.hint and not (tmp_path / "run").exists()
    with pytest.raises(DataError, match="pretrain_inputs have 1 x 8 x 8 features, training rows have 8 x 8"):
        gathered(DIGITS.images, pretrain_inputs=DIGITS.images[:, None], flat=False)
    assert gathered(DIGITS.images, pretrain_inputs=DIGITS.images[:, None]).pretrain_inputs.shape == (1797, 64)


def test_other_rows_are_no_help_to_an_objective_that_learns_from_labels() -> None:
    with pytest.raises(PlanError, match="pretrain_inputs are rows without labels"):
        lw.compare(INPUTS, LABELS, pretrain_inputs=INPUTS, objective="supervised", **SMALL)


@pytest.mark.parametrize("scale, expected", [("auto", (1.0, 240 / 255)), (2.0, (0.5, 120.0))])
def test_pixels_are_scaled_wherever_they_are(scale: Any, expected: tuple[float, float]) -> None:
    """Training rows that are in [0, 1] already, other rows of 8-bit pixels, and the other way round."""
    rows = gathered(INPUTS, pretrain_inputs=PIXELS, scale=scale)
    largest = max(rows.inputs.max(), rows.test_inputs.max())
    assert (float(largest), float(rows.pretrain_inputs.max())) == pytest.approx(expected)
    rows = gathered(PIXELS, pretrain_inputs=INPUTS, scale=scale)
    largest = max(rows.inputs.max(), rows.test_inputs.max())
    assert (float(rows.pretrain_inputs.max()), float(largest)) == pytest.approx(expected)


def test_a_recipe_of_files_is_read_with_its_other_rows(tmp_path: Path) -> None:
    for name, rows in (("digits", INPUTS), ("others", INPUTS[:200] / 2)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["data"], file["label"] = rows, LABELS[: len(rows)]
    plan = DataPlan(inputs=str(tmp_path / "digits.h5"), pretrain_inputs=str(tmp_path / "others.h5"))
    rows = gather_files(plan, 0)
    assert torch.equal(rows.pretrain_inputs, torch.from_numpy(INPUTS[:200] / 2))  # type: ignore[arg-type]
    for part in ("inputs", "targets", "test", "test_targets", "pretrain_inputs"):
        with pytest.raises(DataError, match="arrays in Python"):
            gather_files(plan.model_copy(update={part: "arrays"}), 0)


def test_rows_that_were_in_memory_are_said_to_be(tmp_path: Path) -> None:
    """Labels in memory beside rows in a file: the recipe cannot be run again either, and says why."""
    with h5py.File(tmp_path / "digits.h5", "w") as file:
        file["data"] = INPUTS
    run_dir = tmp_path / "run"
    lw.compare(str(tmp_path / "digits.h5"), LABELS, run_dir=run_dir, **SMALL)
    plan = lw.recipe.read_recipe(run_dir / "recipe.toml")
    with pytest.raises(DataError, match="arrays in Python"):
        gather_files(plan.data, 0)
