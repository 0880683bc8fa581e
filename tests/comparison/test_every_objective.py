"""Every objective in a whole comparison, with its report; and convolutions from the recipe's table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_comparison import small_plan

from layerwise.comparison.compare import open_run, run_comparison
from layerwise.comparison.estimate import Estimate, estimate
from layerwise.comparison.experiment import Experiment
from layerwise.comparison.rows import Rows
from layerwise.errors import PlanError
from layerwise.objectives import BY_NAME
from layerwise.recipe import read_recipe
from layerwise.report import write_report

TINY: dict[str, Any] = {
    "network": {"hidden_layer_sizes": (16, 12)},
    "finetune": {"epochs": 2},
    "compare": {"budgets": (100,), "seeds": 1},
}
CONVOLUTIONS = {"convolutions": [{"channels": 4, "kernel": 3, "pool": 2}], "hidden_layer_sizes": (12,)}
LOSS_NAMES = {"supervised": "classification", "ranking": "ranking", "psd": "squared"}


def compare(plan: Any, rows: Rows, path: Path) -> dict[str, Any]:
    work = Experiment(plan, rows, "cpu")
    return run_comparison(work, open_run(work, path)).results


@pytest.mark.parametrize("kind", BY_NAME)
def test_every_objective_is_compared_and_reported(kind: str, digits: Rows, tmp_path: Path) -> None:
    plan = small_plan(**TINY, pretrain={"objective": kind, "epochs": 2})
    results = compare(plan, digits, tmp_path / "run")
    assert [(stage["stage"], stage["objective"], stage["units"]) for stage in results["layers"]] == [
        (1, kind, 16), (2, kind, 12)
    ]  # fmt: skip
    for stage in results["layers"]:
        assert stage["loss_name"] == LOSS_NAMES.get(kind, stage["loss_name"])
        assert np.isfinite([stage["loss"], stage["mean_predictor_loss"]]).all()
    budget = results["budgets"][0]
    assert budget["pretrained_errors"] != budget["random_errors"], "pre-training changes what comes of it"
    assert {origin for name, origin in results["parameters"]["pretrained"].items() if name.startswith(("0", "2"))} == {
        "pre-trained"
    }
    page = write_report(tmp_path / "run").read_text()
    assert kind in page
    assert read_recipe(tmp_path / "run" / "recipe.toml") == plan
    arrays = tmp_path / "run" / "arrays.npz"
    if kind == "supervised":
        assert not arrays.exists(), "pre-trained for each budget: there is no one stack to picture"
    else:
        with np.load(arrays) as found:
            assert ("reconstruction_output" in found.files) == (kind != "ranking")


@pytest.mark.parametrize("objective", ["denoising", "rbm", "supervised", "ranking"])
def test_convolutions_of_the_table_are_compared_and_reported(objective: str, digits: Rows, tmp_path: Path) -> None:
    baselines = ("modern network",) if objective == "denoising" else ()
    plan = small_plan(
        network=CONVOLUTIONS, finetune={"epochs": 2}, pretrain={"objective": objective, "epochs": 1},
        compare={"budgets": (100,), "seeds": 1, "baselines": baselines},
    )  # fmt: skip
    results = compare(plan, digits, tmp_path / "run")
    assert [(stage["layer"], stage["units"]) for stage in results["layers"]] == [("1", 4), ("5", 12)]
    assert results["parameters"]["random"].keys() == {f"{n}.{part}" for n in (1, 5, 7) for part in ("weight", "bias")}
    page = write_report(tmp_path / "run").read_text()
    assert ("first-layer filters" in page) == (objective != "supervised")
    assert "rows as images" not in page
    assert [entry["name"] for entry in results["baselines"]] == list(baselines)


def test_convolutions_need_images(digits: Rows) -> None:
    from dataclasses import replace

    with pytest.raises(PlanError, match="rows of 64 features are no grey images"):
        Experiment(small_plan(network=CONVOLUTIONS), replace(digits, image_shape=None))


def test_noise_on_the_networks_rows_is_compared(digits: Rows, tmp_path: Path) -> None:
    errors = {}
    for corrupt in ("layer", "input"):
        plan = small_plan(**TINY, pretrain={"corrupt": corrupt, "epochs": 2})
        results = compare(plan, digits, tmp_path / corrupt)
        errors[corrupt] = [stage["loss"] for stage in results["layers"]]
    assert errors["layer"][0] == errors["input"][0] and errors["layer"][1] != errors["input"][1]


KINDS: dict[str, dict[str, Any]] = {
    **{kind: {**TINY, "pretrain": {"objective": kind}} for kind in BY_NAME},
    "convolutions": {"network": CONVOLUTIONS},
    "noise on the network's rows": {**TINY, "pretrain": {"corrupt": "input"}},
    "the control": {**TINY, "pretrain": {"objective": "none"}},
    "rivals": {**TINY, "compare": {"budgets": (50, 100), "baselines": ("modern network", "adam", "momentum")}},
    "dropout and norms": {"network": {"dropout": 0.5, "batch_norm": True}, "finetune": {"max_norm": 1.0}},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimate_measures_every_arm_and_changes_nothing(kind: str, digits: Rows) -> None:
    work = Experiment(small_plan(**KINDS[kind]), digits)
    torch.manual_seed(3)
    np.random.seed(3)
    kept = [digits.inputs.clone(), digits.codes.clone(), digits.test_inputs.clone()]
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads(), torch.is_grad_enabled()
    expected = estimate(work, "cpu")
    assert torch.equal(torch.get_rng_state(), before[0]) and np.array_equal(np.random.get_state()[1], before[1])
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == before[2:]
    assert all(map(torch.equal, kept, [digits.inputs, digits.codes, digits.test_inputs]))
    layers = 0 if kind == "the control" else 1 if kind == "dropout and norms" else 2
    assert len(expected.pretrain_update) == layers and all(seconds > 0 for seconds in expected.pretrain_update)
    assert expected.finetune_update > 0 and (expected.pretraining > 0) == (layers > 0)


def test_the_estimate_multiplies_by_the_plan(digits: Rows) -> None:
    """Updates by hand, for a plan with rivals, tuning, and a cut number of updates."""
    plan = small_plan(
        network={"hidden_layer_sizes": (16,)},
        pretrain={"epochs": 3, "batch_size": 100}, finetune={"epochs": 10, "batch_size": 25},
        compare={"budgets": (50, 200), "seeds": 2, "tune": True, "learning_rates": (0.1, 0.2), "max_updates": 40,
                 "baselines": ("logistic regression", "adam")},
    )  # fmt: skip
    found = estimate(Experiment(plan, digits), "cpu")
    # 1,078 training rows are 11 updates an epoch; three arms; 200 labels are 8 an epoch, so 5 epochs of 40 updates
    assert found.pretraining == pytest.approx(2 * 3 * 11 * found.pretrain_update[0])
    assert found.finetuning == pytest.approx(2 * 3 * (10 * 2 + 5 * 8) * found.finetune_update)
    # five folds of 40 and of 160 rows are 2 and 7 updates an epoch; grids of 2, 2 and 3 rates
    assert found.tuning == pytest.approx(5 * 7 * (10 * 2 + 5 * 7) * found.finetune_update)
    labelled = estimate(Experiment(small_plan(**TINY, pretrain={"objective": "supervised", "batch_size": 30}), digits))
    assert labelled.pretraining == pytest.approx(2 * 4 * sum(labelled.pretrain_update))


def test_the_estimate_is_of_the_rows_that_are_pre_trained_on(digits: Rows) -> None:
    """Where the training rows are no rows for the objective, but the others are."""
    from dataclasses import replace

    rows = replace(digits, inputs=4 * digits.inputs - 1, pretrain_inputs=digits.inputs[:300])
    objective = {"kind": "autoencoder", "loss": "cross_entropy"}
    work = Experiment(small_plan(pretrain={"objective": objective, "epochs": 2, "batch_size": 100}), rows)
    found = estimate(work, "cpu")
    assert found.pretraining == pytest.approx(3 * 2 * 3 * found.pretrain_update[0])


def test_the_estimate_knows_each_fit_by_its_name() -> None:
    found = Estimate(0.0, 0.0, 0.0, (1.0, 2.0), 5.0)
    assert found.update_seconds("seed-0/pretrain/1") == 1.0
    assert found.update_seconds("seed-2/labels-100/pretrain/2") == 2.0
    assert found.update_seconds("seed-2/labels-100/pretrained") == 5.0
    assert found.update_seconds("seed-0/labels-100/tune/adam/lr-0.1/fold-1") == 5.0


def test_results_are_plain_json(digits: Rows, tmp_path: Path) -> None:
    results = compare(small_plan(**TINY, pretrain={"objective": "supervised"}), digits, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "results.json").read_text())["layers"] == results["layers"]
