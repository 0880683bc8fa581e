"""What makes a comparison fair: equal starts, nothing chosen by test rows, no gain where there is none."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_comparison import small_plan

from layerwise.comparison import arms, experiment
from layerwise.comparison.experiment import Experiment, Measured
from layerwise.comparison.results import results_of
from layerwise.comparison.rows import Rows
from layerwise.errors import DataError, DivergenceError, PlanError
from layerwise.plan import Plan
from layerwise.randomness import Randomness
from layerwise.runs.folder import RunFolder


def run(plan: Plan, rows: Rows, folder: Path) -> Measured:
    return Experiment(plan, rows).run(RunFolder.open(folder, False, "test"))


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(one.state_dict()[name], value) for name, value in other.state_dict().items())


def test_the_random_arm_starts_from_the_weights_before_pre_training(
    digits: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = []
    genuine = arms.pretrain_layers

    def watched(network: Any, *rest: Any) -> Any:
        before.append(copy.deepcopy(network))
        return genuine(network, *rest)

    monkeypatch.setattr(arms, "pretrain_layers", watched)
    found: dict[str, Any] = {}
    fine = experiment.run_arm

    def started(arm: Any, network: Any, *rest: Any) -> Any:
        found[arm.name] = copy.deepcopy(network)
        return fine(arm, network, *rest)

    monkeypatch.setattr(experiment, "run_arm", started)
    Experiment(small_plan(), digits).run(RunFolder.open(tmp_path / "run", False, "test"))
    assert same(before[-1], found["random"])
    assert not same(found["pretrained"], found["random"])
    head = "2.weight"
    assert torch.equal(found["pretrained"].state_dict()[head], found["random"].state_dict()[head])


def test_fine_tuning_one_arm_leaves_the_other_where_it_starts(digits: Rows) -> None:
    plan = small_plan()
    random = arms.draw_network(arms.arms_of(plan)[1], digits, Randomness(0))
    kept = copy.deepcopy(random)
    network = arms.started(random, digits.inputs[:100], digits.codes[:100])
    assert not same(network, kept), "the output bias is set from the labels"
    with torch.no_grad():
        network[0].weight.add_(1.0)
    assert same(random, kept)


def test_both_arms_see_the_same_batches_and_the_same_labels(
    digits: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, list[Any]] = {}
    genuine = arms.finetune_network

    def watched(network: Any, rows: Any, codes: Any, plan: Any, around: Any, *rest: Any) -> Any:
        seen.setdefault(around.name.rpartition("/")[2], []).append((rows, codes, around.randomness.seed("order", 0)))
        return genuine(network, rows, codes, plan, around, *rest)

    monkeypatch.setattr(arms, "finetune_network", watched)
    run(small_plan(), digits, tmp_path / "run")
    for one, other in zip(seen["pretrained"], seen["random"], strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1]) and one[2] == other[2]
    orders = [order for _, _, order in seen["random"]]
    assert len(set(orders)) == len(orders)


def test_no_test_row_reaches_any_choice(digits: Rows, tmp_path: Path) -> None:
    """Other test rows, other test labels: every choice, weight and curve stays; only the test errors change."""
    plan = small_plan(
        compare={
            "tune": True,
            "seeds": 3,
            "learning_rates": (0.1, 0.3),
            "baselines": ("logistic regression", "modern network"),
        }
    )
    noise = torch.rand(digits.test_inputs.shape, generator=torch.Generator().manual_seed(1))
    other = replace(digits, test_inputs=noise, test_codes=digits.test_codes.roll(1))
    one, two = run(plan, digits, tmp_path / "one"), run(plan, other, tmp_path / "two")
    assert one.settings == two.settings
    for row, twin in zip(one.tuning, two.tuning, strict=True):
        assert {**row, "seconds": 0} == {**twin, "seconds": 0}
    for key, outcome in one.outcomes.items():
        assert outcome.curve.errors == two.outcomes[key].curve.errors
        assert outcome.error != two.outcomes[key].error
    for file in (tmp_path / "one" / "checkpoints").rglob("*.safetensors"):
        twin_file = tmp_path / "two" / file.relative_to(tmp_path / "one")
        assert _tensors(file) == _tensors(twin_file), file


def _tensors(file: Path) -> dict[str, bytes]:
    from safetensors.numpy import load_file

    return {name: value.tobytes() for name, value in load_file(file).items() if name.startswith("learner/")}


def test_curves_on_test_rows_choose_nothing_either(digits: Rows, tmp_path: Path) -> None:
    """Where no labelled row lies outside the budgets the curves are of test rows, and still choose nothing."""
    labelled = int((digits.codes >= 0).sum())
    plan = small_plan(compare={"budgets": (labelled,), "seeds": 1})
    measured = run(plan, digits, tmp_path / "run")
    assert measured.monitored_on == "test rows"
    curve = measured.outcomes[0, labelled, "random"].curve
    assert curve.errors[-1] == pytest.approx(measured.outcomes[0, labelled, "random"].error)


@pytest.fixture(scope="module")
def controls(digits: Rows, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Plan, Measured]]:
    """Forty comparisons of a random arm with a random arm."""
    folder = tmp_path_factory.mktemp("controls")
    found = []
    for number in range(40):
        plan = small_plan(
            pretrain={"objective": "none"},
            finetune={"epochs": 25, "learning_rate": 0.3},
            compare={"budgets": (100,), "seeds": 5, "random_state": number, "min_gain": 0.0},
        )
        found.append((plan, run(plan, digits, folder / str(number))))
    return found


def test_the_control_finds_no_gain(controls: list[tuple[Plan, Measured]], digits: Rows) -> None:
    """A random arm against a random arm is WORTH IT at most 4 times of 40.

    A valid 95 % interval lies above zero by chance in at most 2.5 % of comparisons: more than 4 of 40 in 0.3 % of
    test runs, were the seeds not fixed. ``min_gain`` is 0, so that nothing but the interval stands in the way.
    """
    verdicts = [results_of(plan, digits, measured)["verdict"] for plan, measured in controls]
    assert verdicts.count("WORTH IT") <= 4, verdicts
    assert all(results_of(plan, digits, measured)["control"] for plan, measured in controls)


def test_a_planted_gain_of_five_points_is_found(controls: list[tuple[Plan, Measured]], digits: Rows) -> None:
    """Five of a hundred test rows are put right in one arm of each control: at least 38 of 40 say WORTH IT.

    The arms of a control differ by about a point, so five points are missed less than once in a hundred.
    """
    found = 0
    for plan, measured in controls:
        planted = replace_outcomes(measured, int(plan.compare.random_state))
        verdict = results_of(
            plan.model_copy(update={"compare": plan.compare.model_copy(update={"min_gain": 0.5})}), digits, planted
        )
        assert verdict["budgets"][0]["gain"] > results_of(plan, digits, measured)["budgets"][0]["gain"] + 4.9
        found += verdict["verdict"] == "WORTH IT"
    assert found >= 38


def replace_outcomes(measured: Measured, number: int) -> Measured:
    draw = np.random.default_rng(number)
    planted = copy.copy(measured)
    planted.outcomes = dict(measured.outcomes)
    for (seed, labels, arm), outcome in measured.outcomes.items():
        if arm == "pretrained":
            wrong = outcome.wrong.copy()
            right = draw.choice(np.flatnonzero(wrong), round(0.05 * len(wrong)), replace=False)
            wrong[right] = False
            planted.outcomes[seed, labels, arm] = replace(outcome, wrong=wrong)
    return planted


def test_a_resumed_comparison_repeats_nothing(digits: Rows, tmp_path: Path) -> None:
    plan = small_plan(compare={"tune": True, "learning_rates": (0.1,), "baselines": ("logistic regression",)})
    one = run(plan, digits, tmp_path / "run")
    told: list[Any] = []
    two = Experiment(plan, digits).run(RunFolder.open(tmp_path / "run", True, "test"), [told.append])
    assert told == []
    assert results_of(plan, digits, one) == results_of(plan, digits, two)


def test_the_run_says_what_was_pre_trained(digits: Rows, tmp_path: Path) -> None:
    measured = run(small_plan(compare={"seeds": 1}), digits, tmp_path / "run")
    hidden, head = ("0.weight", "0.bias"), ("2.weight", "2.bias")
    assert measured.parameters == {
        "pretrained": dict.fromkeys(hidden, "pre-trained") | dict.fromkeys(head, "initialised"),
        "random": dict.fromkeys(hidden + head, "initialised"),
    }


@pytest.mark.parametrize(
    ("compare", "error", "message"),
    [
        ({"budgets": (5000,)}, DataError, "label budget 5000 exceeds"),
        ({"budgets": (3,)}, DataError, "label budget 3 is smaller than the number of classes"),
        ({"headline": 70}, PlanError, "headline is 70, which is not one of the label budgets"),
    ],
)
def test_budgets_that_do_not_fit_are_refused_before_anything_is_written(
    digits: Rows, compare: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Experiment(small_plan(compare=compare), digits)


def test_a_learning_rate_that_diverges_is_out_and_the_others_are_chosen_from(digits: Rows, tmp_path: Path) -> None:
    tables = {"network": {"activation": "identity"}, "finetune": {"summary_every": 3, "epochs": 8}}
    compare = {"budgets": (50,), "seeds": 1, "tune": True}
    rows = replace(digits, inputs=digits.inputs * 1000, test_inputs=digits.test_inputs * 1000)
    plan = small_plan(**tables, pretrain={"objective": "none"}, compare={**compare, "learning_rates": (1e-6, 1e6)})
    measured = run(plan, rows, tmp_path / "run")
    errors = {row["settings"]["learning_rate"]: row["validation_error"] for row in measured.tuning}
    assert errors[1e6] is None and errors[1e-6] is not None
    assert measured.settings[50, "random"]["learning_rate"] == 1e-6
    plan = small_plan(**tables, pretrain={"objective": "none"}, compare={**compare, "learning_rates": (1e6,)})
    with pytest.raises(DivergenceError, match="diverged with every learning rate"):
        run(plan, rows, tmp_path / "other")
