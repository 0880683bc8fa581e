"""Schedules against NumPy, and what they refuse."""

from __future__ import annotations

import math
import tomllib

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from layerwise import finetune, pretrain
from layerwise.errors import PlanError
from layerwise.plan import FinetunePlan, Plan, PretrainPlan, TrainingPlan
from layerwise.recipe import check, to_toml
from layerwise.settings import EarlyStopping, Exponential, Inverse, InverseTime, Linear, OnValidation, Staged, Step
from layerwise.training.schedules import Scheduled, value_at

UPDATES = np.arange(41)
TOTAL = 40
REFERENCES = {
    "fixed": (None, np.full(41, 0.8)),
    "step": (Step(every=7, factor=0.5), 0.8 * 0.5 ** np.floor(UPDATES / 7)),
    "step to an end": (Step(every=7, factor=0.5, end=0.15), np.maximum(0.8 * 0.5 ** np.floor(UPDATES / 7), 0.15)),
    "step up": (Step(every=10, factor=1.05, end=0.9), np.minimum(0.8 * 1.05 ** np.floor(UPDATES / 10), 0.9)),
    "exponential": (Exponential(factor=0.97), 0.8 * np.exp(UPDATES * np.log(0.97))),
    "inverse": (Inverse(gamma=0.1, power=0.75), 0.8 * (1 + 0.1 * UPDATES) ** -0.75),
    "staged": (Staged(stages=((5, 0.4), (20, 0.6))), np.select([UPDATES < 5, UPDATES < 20], [0.8, 0.4], 0.6)),
    "inverse time": (InverseTime(tau=10), 0.8 * 10 / np.maximum(UPDATES, 10)),
    "linear": (Linear(), np.linspace(0.8, 0.0, 41)),
    "linear up": (Linear(end=0.95), np.linspace(0.8, 0.95, 41)),
    "linear, then fixed": (Linear(end=0.9, updates=10), np.interp(UPDATES, [0, 10], [0.8, 0.9])),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_equals_numpy(name):
    schedule, expected = REFERENCES[name]
    found = [value_at(schedule, 0.8, int(update), TOTAL) for update in UPDATES]
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (InverseTime(tau=2), [0.8, 0.8, 0.8, 0.8 * 2 / 3, 0.4, 0.8 * 2 / 8]),
        (InverseTime(tau=1), [0.8, 0.8, 0.4, 0.8 / 3, 0.2, 0.1]),
        (Linear(), [0.8, 0.7, 0.6, 0.5, 0.4, 0.0]),
        (Step(every=2, factor=0.5), [0.8, 0.8, 0.4, 0.4, 0.2, 0.05]),
        (Staged(stages=((3, 0.1), (4, 0.3))), [0.8, 0.8, 0.8, 0.1, 0.3, 0.3]),
        (Inverse(gamma=1.0), [0.8, 0.4, 0.8 / 3, 0.2, 0.16, 0.8 / 9]),
    ],
    ids=["inverse-time", "inverse-time-at-once", "linear", "step", "staged", "inverse"],
)
def test_by_hand(schedule, expected):
    found = [value_at(schedule, 0.8, update, total=8) for update in (0, 1, 2, 3, 4, 8)]
    assert found == pytest.approx(expected)


def test_the_last_update_of_a_linear_schedule_still_moves():
    assert value_at(Linear(), 1.0, 99, total=100) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("schedule", "start", "expected"),
    [
        (Step(every=1, factor=0.5, end=0.5), 0.1, 0.1),
        (Step(every=1, factor=2.0, end=0.5), 0.7, 0.7),
        (OnValidation(factor=0.5, end=0.5), 0.1, 0.1),
    ],
)
def test_a_value_that_starts_beyond_its_end_stays(schedule, start, expected):
    """An automatic learning rate may lie below the end that a recipe gives."""
    assert [value_at(schedule, start, update, 10, decays=update) for update in range(5)] == [expected] * 5


def test_a_rising_step_does_not_overflow():
    assert value_at(Step(every=1, factor=10.0, end=0.99), 0.5, 10**6, 10**7) == 0.99


def test_on_validation_by_hand():
    """Two validations in a row without a better result: 5 4 | 4 6 | 3 7 nan | 2.9 3 3 3 3."""
    rate = Scheduled(OnValidation(factor=0.5, patience=2), 0.8, total=100)
    found = []
    for result in [5.0, 4.0, 4.0, 6.0, 3.0, 7.0, math.nan, 2.9, 3.0, 3.0, 3.0, 3.0]:
        rate.seen(result)
        found.append(rate.at(1))
    assert found == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1, 0.1, 0.05]


def test_on_validation_ends():
    rate = Scheduled(OnValidation(factor=0.1, end=0.03), 0.8, total=100)
    for _ in range(4):
        rate.seen(1.0)
    assert rate.at(1) == 0.03


def test_what_is_remembered_round_trips():
    one = Scheduled(OnValidation(factor=0.5, patience=3), 0.8, total=100)
    assert one.state() == {"best": None, "waited": 0, "decays": 0}
    for result in [3.0, 4.0, 4.0, 4.0, 4.0]:
        one.seen(result)
    other = Scheduled(one.schedule, 0.8, total=100)
    other.load_state(one.state())
    for scheduled in (one, other):
        scheduled.seen(3.5)
        scheduled.seen(3.5)
    assert one.at(1) == other.at(1) == 0.2
    fresh = Scheduled(one.schedule, 0.8, total=100)
    fresh.load_state(Scheduled(one.schedule, 0.8, total=100).state())
    fresh.seen(1e9)
    assert fresh.waited == 0, "the first result is the best so far"


def test_other_schedules_do_not_mind_the_validation():
    rate = Scheduled(Linear(), 0.8, total=4)
    for _ in range(9):
        rate.seen(1.0)
    assert (rate.at(2), rate.state()["decays"]) == (0.4, 0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "step", "every": 0, "factor": 0.5}, "schedule.every found 0"),
        ({"kind": "step", "every": 1, "factor": 0.0}, "schedule.factor found 0.0"),
        ({"kind": "step", "every": 1, "factor": 2.0}, "a factor above 1 needs an end"),
        ({"kind": "exponential", "factor": 1.1}, "schedule.factor found 1.1"),
        ({"kind": "inverse", "gamma": 0.0}, "schedule.gamma found 0.0"),
        ({"kind": "staged", "stages": []}, "schedule.stages found"),
        ({"kind": "staged", "stages": [[0, 0.1]]}, "schedule.stages.0.0 found 0"),
        ({"kind": "staged", "stages": [[5, 0.1], [5, 0.2]]}, "each stage begin after the one before"),
        ({"kind": "staged", "stages": [[5, -0.1]]}, "schedule.stages.0.1 found -0.1"),
        ({"kind": "linear", "end": -0.1}, "schedule.end found -0.1"),
        ({"kind": "linear", "updates": 0}, "schedule.updates found 0"),
        ({"kind": "on-validation", "factor": 1.0}, "schedule.factor found 1.0"),
        ({"kind": "on-validation", "factor": 0.5, "patience": 0}, "schedule.patience found 0"),
        ({"kind": "on-validaton", "factor": 0.5}, "did you mean 'on-validation'?"),
        ({"kind": "stage", "stages": [[5, 0.1]]}, "did you mean 'staged'?"),
        ({"kind": "step", "every": 1, "factr": 0.5}, "did you mean 'factor'?"),
    ],
)
def test_faults_are_named(values, said):
    with pytest.raises(PlanError) as caught:
        check(PretrainPlan, {"schedule": values}, "pretrain")
    assert said in caught.value.message


@pytest.mark.parametrize("schedule", [*(one for one, _ in REFERENCES.values()), OnValidation(factor=0.5, patience=3)])
def test_recipes_hold_every_schedule(schedule):
    plan = Plan(pretrain=PretrainPlan(schedule=schedule), finetune=FinetunePlan(momentum_schedule=schedule))
    assert check(Plan, tomllib.loads(to_toml(plan)), "text") == plan


@pytest.mark.parametrize("name", ["schedule", "momentum_schedule"])
@pytest.mark.parametrize("door", [pretrain, finetune])
def test_on_validation_without_validation_is_refused_before_any_file_is_written(door, name, tmp_path):
    network = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    targets = [torch.arange(20) % 2] if door is finetune else []
    words = {"momentum": 0.5, name: OnValidation(factor=0.5), "run_dir": tmp_path / "run"}
    with pytest.raises(PlanError, match=f"^{name} needs rows to validate on"):
        door(network, torch.rand(20, 4), *targets, **words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"optimizer": "adam"}, "optimiser 'adam' has no momentum"),
        ({"momentum_schedule": {"kind": "linear", "end": 1.0}}, "should stay below 1, this one reaches 1"),
        ({"momentum_schedule": {"kind": "staged", "stages": [[5, 0.5], [9, 1.5]]}}, "this one reaches 1.5"),
        ({"momentum_schedule": {"kind": "step", "every": 1, "factor": 1.1, "end": 1.0}}, "this one reaches 1"),
        ({"momentum": 0.0, "momentum_schedule": {"kind": "step", "every": 1, "factor": 1.1, "end": 0.9}}, "stays 0"),
        ({"momentum": 0.0, "momentum_schedule": {"kind": "linear"}}, "the momentum stays 0"),
    ],
)
def test_a_momentum_that_cannot_be_is_refused_with_the_plan(words, said):
    words = {"momentum": 0.5, "momentum_schedule": {"kind": "linear", "end": 0.9}, **words}
    with pytest.raises(PlanError) as caught:
        check(FinetunePlan, words, "finetune")
    assert "1 fault" in caught.value.message and "momentum_schedule found" in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_momentum_schedules_that_are_sound(optimizer):
    for schedule in (
        Linear(end=0.9, updates=10),
        Staged(stages=((5, 0.0), (6, 0.99))),
        Step(every=5, factor=1.1, end=0.9),
        Step(every=5, factor=0.5),
    ):
        plan = TrainingPlan(epochs=1, batch_size=1, optimizer=optimizer, momentum=0.5, momentum_schedule=schedule)
        assert plan.momentum_schedule == schedule


def test_an_unknown_optimizer_is_one_fault():
    with pytest.raises(ValidationError) as caught:
        TrainingPlan(epochs=1, batch_size=1, optimizer="sdg", momentum_schedule=Linear(end=0.9))
    assert [error["loc"] for error in caught.value.errors()] == [("optimizer",)]


def test_which_setting_needs_validation():
    assert PretrainPlan().needs_validation is None
    assert PretrainPlan(schedule=Linear()).needs_validation is None
    assert PretrainPlan(early_stopping=EarlyStopping()).needs_validation == "early_stopping"
    assert PretrainPlan(schedule=OnValidation(factor=0.5)).needs_validation == "schedule"
    words = {"momentum": 0.9, "momentum_schedule": OnValidation(factor=0.5)}
    assert PretrainPlan(**words).needs_validation == "momentum_schedule"


@pytest.mark.parametrize("given", [{}, {"learning_rate": "auto"}])
def test_scaling_by_fan_in_needs_a_learning_rate(given):
    with pytest.raises(PlanError, match=r"found 'auto', fan_in_scaling needs a learning_rate that is a number"):
        check(PretrainPlan, {"fan_in_scaling": True, **given}, "pretrain")
    assert PretrainPlan(fan_in_scaling=True, learning_rate=0.1).fan_in_scaling
