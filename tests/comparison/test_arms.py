"""Arms and rivals: where each starts, what it is trained on, and for how long."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from small_comparison import small_plan
from torch import Tensor, nn

import layerwise as lw
from layerwise import SupervisedLayer
from layerwise.cli.progress import describe
from layerwise.comparison import arms, experiment
from layerwise.comparison.arms import RIVALS, arms_of, pretraining_rows, started
from layerwise.comparison.compare import open_run, run_comparison
from layerwise.comparison.experiment import Experiment
from layerwise.comparison.results import results_of
from layerwise.comparison.rows import Rows
from layerwise.errors import PlanError
from layerwise.report import write_report
from layerwise.runs.folder import RunFolder
from layerwise.training.loop import Progress

OPTIMISERS = ("momentum", "adagrad", "rmsprop", "adam")


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, nn.Module, Any]]:
    """Record (arm, the network it is fine-tuned from, plan) of each fine-tuning on a whole budget."""
    found: list[tuple[str, nn.Module, Any]] = []
    genuine = experiment.run_arm

    def run(arm: Any, network: nn.Module, budget: Any, plan: Any, *rest: Any) -> Any:
        found.append((arm.name, copy.deepcopy(network), plan))
        return genuine(arm, network, budget, plan, *rest)

    monkeypatch.setattr(experiment, "run_arm", run)
    return found


def test_rivals_start_from_the_random_arms_weights_and_stand_in_the_results_and_the_report(
    digits: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = watched(monkeypatch)
    compare = {"baselines": OPTIMISERS, "budgets": (50, 100), "seeds": 2}
    plan = small_plan(compare=compare, finetune={"epochs": 2, "l2": 0.01, "schedule": lw.Linear()})
    work = Experiment(plan, digits)
    results = run_comparison(work, open_run(work, tmp_path / "run")).results
    for number in range(4):  # two seeds of two budgets
        names = [name for name, _, _ in found[6 * number : 6 * number + 6]]
        assert names == ["pretrained", "random", *OPTIMISERS]
        networks = {name: network for name, network, _ in found[6 * number : 6 * number + 6]}
        assert all(same(networks[name], networks["random"]) for name in OPTIMISERS)
        assert not same(networks["pretrained"], networks["random"])
    assert not same(found[1][1], found[13][1]), "each seed has weights of its own"
    trained = {name: (one.optimizer, one.momentum, one.l2, one.schedule) for name, _, one in found}
    assert trained["random"] == ("sgd", 0.9, 0.01, lw.Linear())
    assert {name: trained[name] for name in OPTIMISERS} == {
        "momentum": ("sgd", 0.9, 0.0, None), "adagrad": ("adagrad", 0.0, 0.0, None),
        "rmsprop": ("rmsprop", 0.0, 0.0, None), "adam": ("adam", 0.0, 0.0, None),
    }  # fmt: skip
    told = {(entry["name"], entry["labels"]) for entry in results["baselines"]}
    assert told == {(name, labels) for name in OPTIMISERS for labels in (50, 100)}
    errors = {entry["name"]: entry["errors"] for entry in results["baselines"] if entry["labels"] == 100}
    assert len({tuple(row) for row in errors.values()}) == 4, "each is trained by its own optimiser"
    write_report(tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(name in page for name in OPTIMISERS)


def test_a_rival_keeps_its_own_grid_where_nothing_is_tuned(digits: Rows, monkeypatch: pytest.MonkeyPatch,
                                                            tmp_path: Path) -> None:  # fmt: skip
    """The plan's rate is for the plan's optimiser: with momentum 0.9 in place of 0 it would be ten times too high."""
    found = watched(monkeypatch)
    finetune = {"epochs": 1, "momentum": 0.0, "learning_rate": 0.7}
    plan = small_plan(finetune=finetune, compare={"baselines": ("momentum", "adam"), "budgets": (50,), "seeds": 1})
    Experiment(plan, digits).run(RunFolder.open(tmp_path / "run", False, "test"))
    rates = {name: one.learning_rate for name, _, one in found}
    assert rates == {"pretrained": 0.7, "random": 0.7, "momentum": 0.03, "adam": 0.001}


def test_every_rival_is_tuned_on_its_grid(digits: Rows, tmp_path: Path) -> None:
    compare = {"baselines": OPTIMISERS, "budgets": (50,), "seeds": 1, "tune": True, "learning_rates": (0.1,)}
    work = Experiment(small_plan(compare=compare, finetune={"epochs": 1}), digits)
    measured = work.run(RunFolder.open(tmp_path / "run", False, "test"))
    for name in OPTIMISERS:
        rows = [row for row in measured.tuning if row["arm"] == name]
        assert [row["settings"]["learning_rate"] for row in rows] == list(RIVALS[name].learning_rates)
        assert measured.settings[50, name] in [row["settings"] for row in rows if row["chosen"]]
    cost = results_of(work.plan, digits, measured)["cost"]
    assert all(cost["tuning_seconds"][name] > 0 for name in OPTIMISERS)
    assert cost["baseline_seconds"] > 0


def test_the_last_dense_module_is_given_the_classes_frequencies_only_where_it_is_the_head(digits: Rows) -> None:
    class Backwards(nn.Module):
        """Its last registered dense module is a hidden layer, wide enough to be a head."""

        def __init__(self) -> None:
            super().__init__()
            self.head, self.hidden = nn.Linear(16, 10), nn.Linear(64, 16)

        def forward(self, rows: Tensor) -> Tensor:
            return self.head(torch.sigmoid(self.hidden(rows)))

    codes = digits.codes[:100]
    backwards, plain = Backwards(), nn.Sequential(nn.Linear(64, 16), nn.Sigmoid(), nn.Linear(16, 10))
    assert same(started(backwards, digits.inputs[:100], codes), backwards)
    copied = started(plain, digits.inputs[:100], codes)
    assert not same(copied, plain) and torch.equal(copied[0].bias, plain[0].bias)  # type: ignore[index]
    shares = torch.bincount(codes, minlength=10) / 100
    torch.testing.assert_close(copied[2].bias.exp(), shares)  # type: ignore[index]


@pytest.mark.parametrize("most, expected", [(None, [6, 6, 6]), (12, [4, 3, 1]), (1, [1, 1, 1]), (1000, [6, 6, 6])])
def test_max_updates_cuts_epochs_where_the_budget_is_large(
    most: int | None, expected: list[int], digits: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Batches of 25, the last one smaller: 60, 100 and 310 labels are 3, 4 and 13 updates an epoch."""
    found = watched(monkeypatch)
    plan = small_plan(compare={"max_updates": most, "budgets": (60, 100, 310), "seeds": 2})
    Experiment(plan, digits).run(RunFolder.open(tmp_path / "run", False, "test"))
    assert [one.epochs for name, _, one in found if name == "random"] == 2 * expected
    assert [one.epochs for name, _, one in found if name == "pretrained"] == 2 * expected


def test_tuning_tries_no_more_epochs_than_max_updates_allows(digits: Rows, tmp_path: Path) -> None:
    compare = {"max_updates": 8, "budgets": (100,), "seeds": 1, "tune": True, "learning_rates": (0.1,)}
    work = Experiment(small_plan(compare=compare), digits)
    folder = RunFolder.open(tmp_path / "run", False, "test")
    measured = work.run(folder)
    assert all(1 <= row["settings"]["epochs"] <= 2 for row in measured.tuning)
    assert {round(line["epoch"]) for line in folder.history.lines if "/tune/" in line["fit"]} == {0, 1, 2}


def test_labels_outside_the_budget_are_hidden_from_pre_training(digits: Rows) -> None:
    denoising, supervised = (
        arms_of(small_plan(pretrain={"objective": name}))[0] for name in ("denoising", "supervised")
    )
    seen = torch.tensor([3, 5, 8])
    assert pretraining_rows(denoising, digits, seen).targets is None
    found = pretraining_rows(supervised, digits, seen)
    assert found.targets is not None and torch.equal(found.inputs.read(0, len(found)), digits.inputs)
    assert (found.targets >= 0).nonzero().flatten().tolist() == [3, 5, 8]
    assert torch.equal(found.targets[seen], digits.codes[seen])


def test_an_objective_with_labels_is_pre_trained_once_a_budget_and_sees_its_labels_alone(
    digits: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Spied on where the greedy procedure is entered; the budgets are those that fine-tuning is given."""
    given: list[Any] = []
    began: list[nn.Module] = []
    genuine, tuned, budgets = arms.pretrain_layers, experiment.run_arm, []

    def spied(network: nn.Module, rows: Any, *rest: Any) -> Any:
        given.append(rows)
        began.append(copy.deepcopy(network))
        return genuine(network, rows, *rest)

    def run(arm: Any, network: nn.Module, budget: Any, *rest: Any) -> Any:
        if arm.name == "random":
            budgets.append((budget, copy.deepcopy(network)))
        return tuned(arm, network, budget, *rest)

    monkeypatch.setattr(arms, "pretrain_layers", spied)
    monkeypatch.setattr(experiment, "run_arm", run)
    plan = small_plan(pretrain={"objective": ("denoising", "supervised")}, network={"hidden_layer_sizes": (16, 12)},
                      compare={"seeds": 2})  # fmt: skip
    work = Experiment(plan, digits)
    measured = work.run(RunFolder.open(tmp_path / "run", False, "test"))
    assert len(given) == len(budgets) == 4  # two seeds, two budgets
    for rows, (budget, random), network in zip(given, budgets, began, strict=True):
        labelled = rows.targets >= 0
        assert int(labelled.sum()) == len(budget.codes)
        key = [tuple(row) for row in rows.select(labelled.nonzero().squeeze(1)).inputs.rows.tolist()]
        expected = dict(zip((tuple(row) for row in budget.inputs.tolist()), budget.codes.tolist(), strict=True))
        assert dict(zip(key, rows.targets[labelled].tolist(), strict=True)) == expected
        assert torch.equal(rows.inputs.rows, digits.inputs), "noise needs no label: all rows are there"
        assert same(network, random), "each budget begins with the random arm's weights, not with another's"
    histories = measured.stages
    assert set(histories) == {(seed, labels, "pretrained") for seed in (0, 1) for labels in (50, 100)}
    assert histories[0, 50, "pretrained"][1].loss != histories[0, 100, "pretrained"][1].loss
    cost = results_of(plan, digits, measured)["cost"]["pretraining_seconds"]
    assert cost[0] == pytest.approx(sum(s.seconds for labels in (50, 100) for s in histories[0, labels, "pretrained"]))


def test_an_objective_without_labels_is_pre_trained_once_a_seed(
    digits: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[Any] = []
    genuine = arms.pretrain_layers
    monkeypatch.setattr(arms, "pretrain_layers", lambda *one: given.append(one[1]) or genuine(*one))
    plan = small_plan(compare={"seeds": 2})
    measured = Experiment(plan, digits).run(RunFolder.open(tmp_path / "run", False, "test"))
    assert len(given) == 2 and all(rows.targets is None for rows in given)
    assert measured.stages[0, 50, "pretrained"] is measured.stages[0, 100, "pretrained"]
    cost = results_of(plan, digits, measured)["cost"]["pretraining_seconds"]
    assert cost[1] == pytest.approx(sum(stage.seconds for stage in measured.stages[1, 50, "pretrained"]))


@pytest.mark.parametrize(
    "tables, said",
    [
        ({"pretrain": {"early_stopping": {"patience": 5}}}, "pretrain.early_stopping is set, but a comparison reads"),
        ({"finetune": {"schedule": lw.OnValidation(factor=0.5)}}, "finetune.schedule is set, but a comparison reads"),
        ({"pretrain": {"momentum_schedule": lw.OnValidation(factor=0.5), "momentum": 0.5}},
         "pretrain.momentum_schedule is set"),
        ({"pretrain": {"objective": SupervisedLayer(grow_until=0.1)}}, "grow_until is set, but both arms must be"),
        ({"pretrain": {"objective": ("denoising", SupervisedLayer(grow_until=0.1))},
          "network": {"hidden_layer_sizes": (8, 8)}}, "grow_until is set, but both arms must be"),
        ({"pretrain": {"initializer": "glorot"}}, "both arms must start from the same weights"),
        ({"pretrain": {"objective": "autoencoder", "corrupt": "input"}}, "puts no noise on anything"),
        ({"network": {"factory": "Mine"}}, "was made in Python, by Mine, which a recipe cannot hold"),
    ],
)  # fmt: skip
def test_settings_that_make_no_fair_comparison_are_refused(tables: dict[str, Any], said: str, digits: Rows) -> None:
    with pytest.raises(PlanError, match=said) as caught:
        Experiment(small_plan(**tables), digits)
    assert caught.value.hint


def test_progress_says_which_fit_is_running(digits: Rows) -> None:
    work = Experiment(small_plan(), digits)

    def said(fit: str) -> str:
        return describe(Progress(fit, 1, 2, 3, 4.0), work)

    assert said("seed-1/pretrain/2") == "seed 2 of 3: pre-training layer 2"
    assert said("seed-0/labels-1000/pretrain/1") == "seed 1 of 3: 1,000 labels, pre-training layer 1"
    assert said("seed-0/labels-50/adam") == "seed 1 of 3: 50 labels, fine-tuning the adam arm"
    assert said("seed-0/labels-50/tune/random/lr-0.1/fold-2") == (
        "seed 1 of 3: 50 labels, tuning the random arm (lr-0.1)"
    )
