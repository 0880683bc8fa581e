"""Recipes: all faults reported together with the nearest valid key; what is written is read back the same."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from layerwise import (
    Autoencoder,
    DenoisingAutoencoder,
    EarlyStopping,
    GaussianNoise,
    InverseTime,
    Linear,
    SaltAndPepper,
)
from layerwise.errors import PlanError
from layerwise.plan import ComparePlan, DataPlan, FinetunePlan, NetworkPlan, Plan, PretrainPlan
from layerwise.recipe import check, read_recipe, shipped, to_toml, with_settings


def faults(values: dict[str, Any], table: Any = Plan) -> str:
    with pytest.raises(PlanError) as caught:
        check(table, values, "recipe x")
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    "values, said",
    [
        ({"pretrain": {"epoch": 3}}, "pretrain.epoch is unknown (did you mean 'epochs'?)"),
        ({"netwrok": {}}, "netwrok is unknown (did you mean 'network'?)"),
        ({"compare": {"xyzzy": 1}}, "compare.xyzzy is unknown"),
        ({"pretrain": {"objective": {"kind": "denoising", "los": "squared"}}},
         "pretrain.objective.los is unknown (did you mean 'loss'?)"),
        ({"pretrain": {"objective": {"kind": "denoising", "corruption": {"kind": "masking", "rat": 0.1}}}},
         "pretrain.objective.corruption.rat is unknown (did you mean 'rate'?)"),
        ({"pretrain": {"objective": {"kind": "denoising", "corruption": {"kind": "gaussian", "sdt": 0.1}}}},
         "pretrain.objective.corruption.sdt is unknown (did you mean 'std'?)"),
        ({"pretrain": {"objective": {"kind": "denoising", "corruption": {"kind": "maskin"}}}},
         "pretrain.objective.corruption found kind 'maskin', should be one of masking, gaussian, salt-and-pepper, swap "
         "(did you mean 'masking'?)"),
        ({"pretrain": {"objective": {"kind": "denoising", "corruption": {"kind": "masking", "rate": 2}}}},
         "pretrain.objective.corruption.rate found 2, should be less than or equal to 1"),
        ({"pretrain": {"objective": {"kind": "denoisin"}}},
         "pretrain.objective found kind 'denoisin', should be one of autoencoder, denoising, contractive, "
         "sparse, rbm, psd, supervised, ranking "
         "(did you mean 'denoising'?)"),
        ({"pretrain": {"objective": "denoisin"}}, "did you mean 'denoising'?"),
        ({"pretrain": {"objective": {"loss": "squared"}}}, "should have a kind"),
        ({"pretrain": {"objective": [{"kind": "autoencoder"}, {"kind": "autoencoder", "lose": "squared"}]}},
         "pretrain.objective.1.lose is unknown (did you mean 'loss'?)"),
        ({"pretrain": {"schedule": {"kind": "inverse-time", "tau": 3, "ta": 1}}},
         "pretrain.schedule.ta is unknown (did you mean 'tau'?)"),
        ({"pretrain": {"schedule": {"kind": "inverse-time"}}}, "pretrain.schedule.tau is missing"),
        ({"pretrain": {"schedule": {"kind": "inverse-tim", "tau": 3}}}, "(did you mean 'inverse-time'?)"),
        ({"finetune": {"early_stopping": {"patients": 3}}},
         "finetune.early_stopping.patients is unknown (did you mean 'patience'?)"),
        ({"network": {"activation": "sigmoidd"}}, "(did you mean 'sigmoid'?)"),
        ({"network": 3}, "network found 3"),
        ({"pretrain": {"optimizer": "sdg"}}, "did you mean 'sgd'?"),
        ({"compare": {"baselines": ["logistic regresion"]}}, "(did you mean 'logistic regression'?)"),
        ({"pretrain": {"learning_rate": -1}},
         "pretrain.learning_rate found -1, should be 'auto' or should be greater than 0"),
    ],
)  # fmt: skip
def test_one_fault_is_said_once_with_the_nearest_key(values: dict[str, Any], said: str) -> None:
    message = faults(values)
    assert message.startswith("recipe x has 1 fault: ")
    assert said in message


def test_all_faults_of_one_recipe_are_reported_together() -> None:
    message = faults(
        {
            "data": {"tets": 0.2},
            "network": {"hidden_layer_sizes": [0]},
            "pretrain": {
                "epochs": 0,
                "objective": {"kind": "denoising", "corruption": {"kind": "masking", "rat": 0.1}, "decodr": "linear"},
                "schedule": {"kind": "inverse-time", "tau": 0},
            },
            "compare": {"seeds": -1, "budgets": [100, 0]},
        }
    )
    assert message.startswith("recipe x has 8 faults: ")
    for said in (
        "data.tets is unknown (did you mean 'test'?)",
        "network.hidden_layer_sizes.0 found 0, should be greater than or equal to 1",
        "pretrain.epochs found 0",
        "pretrain.objective.corruption.rat is unknown (did you mean 'rate'?)",
        "pretrain.objective.decodr is unknown (did you mean 'decoder'?)",
        "pretrain.schedule.tau found 0",
        "compare.seeds found -1",
        "compare.budgets.1 found 0",
    ):
        assert message.count(said) == 1, (said, message)


def test_a_single_table_is_checked_the_same_way() -> None:
    message = faults({"epoch": 1, "batch_size": 0}, PretrainPlan)
    assert "2 faults" in message and "(did you mean 'epochs'?)" in message and "batch_size found 0" in message


def test_read_by_name_by_file_and_with_overrides(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\n[pretrain]\nepochs = 4\nobjective = "autoencoder"\n')
    assert read_recipe("mnist").name == "mnist"
    assert read_recipe(str(file)).pretrain.epochs == 4
    plan = read_recipe(
        file,
        [
            "pretrain.epochs=7",
            "compare.budgets=[10, 20]",
            "network.initializer=xavier",
            'network.activation="tanh"',
            "compare.tune=false",
        ],
    )
    assert plan.pretrain.epochs == 7 and plan.pretrain.objective == Autoencoder()
    assert plan.compare.budgets == (10, 20) and plan.compare.tune is False
    assert plan.network.initializer == "xavier" and plan.network.activation == "tanh"
    assert read_recipe(file, ["data.inputs=a=b.h5"]).data.inputs == "a=b.h5"


def test_an_override_reaches_into_a_nested_table() -> None:
    plan = read_recipe("mnist", ["pretrain.objective.corruption.rate=0.1"])
    assert plan.pretrain.objective.corruption.rate == 0.1  # type: ignore[union-attr]
    assert plan == read_recipe("mnist").model_copy(update={"pretrain": plan.pretrain})


@pytest.mark.parametrize(
    "override, said",
    [
        ("pretrain.epochs", "is not KEY=VALUE"),
        ("=3", "is not KEY=VALUE"),
        ("pretrain..epochs=3", "is not KEY=VALUE"),
        ("name.epochs=3", "'name' is not a table"),
        ("pretrain.epoch=3", r"pretrain.epoch is unknown \(did you mean 'epochs'\?\)"),
        ("pretrain.epochs=many", "pretrain.epochs found 'many'"),
    ],
)
def test_bad_overrides(override: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        read_recipe("mnist", [override])


def test_no_such_recipe() -> None:
    with pytest.raises(PlanError, match="there is no recipe 'mnst'") as caught:
        read_recipe("mnst")
    assert "did you mean 'mnist'?" in caught.value.hint and "mocha-tutorial" in caught.value.hint


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="there is no recipe"):
        read_recipe(tmp_path)


@pytest.mark.parametrize("content", [b"epochs = \n", b"\xff\xfe\x00junk", b"[pretrain\nepochs=3"])
def test_not_toml(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(content)
    with pytest.raises(PlanError, match="is not TOML"):
        read_recipe(file)


def test_the_shipped_recipes_are_these() -> None:
    assert {"mnist", "mocha-tutorial"} <= set(shipped())


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_shipped_recipe_is_valid_and_round_trips(name: str, tmp_path: Path) -> None:
    plan = read_recipe(name)
    assert plan.name == name
    file = tmp_path / "recipe.toml"
    file.write_text(to_toml(plan))
    assert read_recipe(file) == plan


PLANS = [
    Plan(),
    Plan(pretrain=PretrainPlan(objective=None)),
    Plan(pretrain=PretrainPlan(objective=(Autoencoder(loss="squared"), DenoisingAutoencoder(GaussianNoise(0.3))))),
    Plan(pretrain=PretrainPlan(objective=(DenoisingAutoencoder(SaltAndPepper(0.2), tied=False),))),
    Plan(pretrain=PretrainPlan(schedule=InverseTime(tau=7), learning_rate=(0.1, 0.2), layers=("0", "2"))),
    Plan(finetune=FinetunePlan(schedule=Linear(), early_stopping=EarlyStopping(patience=3), freeze=("0.weight",))),
    Plan(data=DataPlan(inputs='a "quoted"\\path.h5', test="test.h5", scale=256.0)),
    Plan(
        network=NetworkPlan(hidden_layer_sizes=(3,)), compare=ComparePlan(budgets=(10, 20), headline=10, baselines=())
    ),
    Plan(pretrain=PretrainPlan(learning_rate=1 / 3, l2=1e-300)),
]


@pytest.mark.parametrize("plan", PLANS, ids=range(len(PLANS)))
def test_round_trip(plan: Plan) -> None:
    assert check(Plan, tomllib.loads(to_toml(plan)), "text") == plan


def test_a_written_recipe_is_complete() -> None:
    """Every setting is written, defaults included; only what is None has no line (TOML has no null)."""
    tables = tomllib.loads(to_toml(Plan()))
    for name, table in Plan():
        if name != "name" and table is not None:
            assert set(tables[name]) == {key for key, value in table if value is not None}, name


DOMAINS = {
    "pretrain.learning_rate": {"low": 0.001, "high": 1.0, "log": True},
    "pretrain.objective.corruption.rate": {"low": 0.0, "high": 0.6},
    "network.hidden_layer_sizes": [[250], [500, 500]],
    "finetune.l2": [0.0, 0.001],
}


def nested(domains: dict[str, Any]) -> dict[str, Any]:
    """Write dotted names as tables within tables, as TOML reads a name without quotes."""
    found: dict[str, Any] = {}
    for name, domain in domains.items():
        *path, key = name.split(".")
        table = found
        for piece in path:
            table = table.setdefault(piece, {})
        table[key] = domain
    return found


def test_domains_mean_the_same_however_they_are_written() -> None:
    quoted = check(Plan, {"search": {"trials": 9, **DOMAINS}}, "x")
    assert check(Plan, {"search": {"trials": 9, **nested(DOMAINS)}}, "x") == quoted
    backwards = dict(reversed(DOMAINS.items()))
    assert to_toml(check(Plan, {"search": {**backwards, "trials": 9}}, "x")) == to_toml(quoted)
    again = check(Plan, tomllib.loads(to_toml(quoted)), "x")
    assert again == quoted and list(again.search.domains) == sorted(DOMAINS)  # type: ignore[union-attr]


DOMAIN_FAULTS = [
    ({"pretrain.learnin_rate": [1]}, "search.pretrain.learnin_rate is unknown (did you mean 'learning_rate'?)"),
    ({"pretrain.objective.rate": [1]}, "search.pretrain.objective.rate is unknown"),
    ({"pretrain.early_stopping.patience": [1]}, "search.pretrain.early_stopping.patience is unknown"),
    ({"pretain.epochs": [1]}, "is no setting of network, pretrain or finetune (did you mean 'pretrain'?)"),
    ({"compare.seeds": [1]}, "search.compare.seeds is no setting of network, pretrain or finetune"),
    ({"trails": 5}, "search.trails is no setting of network, pretrain or finetune (did you mean 'trials'?)"),
    ({"finetune.l2": []}, "search.finetune.l2 has no choices"),
    ({"finetune.l2": 0.1}, "search.finetune.l2 found 0.1, should be a list of choices or a table of low and high"),
    ({"finetune.l2": [0.1, -1.0]}, "search.finetune.l2 has a choice that cannot be: found -1.0, should be"),
    ({"network.activation": ["relu", "rleu"]}, "a choice that cannot be: found 'rleu', should be 'sigmoid'"),
    ({"finetune.l2": {"low": 0.1}}, "search.finetune.l2 high is missing"),
    ({"finetune.l2": {"low": 0.1, "high": 1.0, "step": 2}}, "search.finetune.l2 step is unknown"),
    ({"finetune.l2": {"low": 0.1, "high": 0.1}}, "low 0.1 should be below high 0.1"),
    ({"finetune.l2": {"low": 0.0, "high": 0.1, "log": True}}, "low 0 has no logarithm"),
    ({"pretrain.epochs": {"low": 0, "high": 9}}, "search.pretrain.epochs has an end that cannot be: found 0.0, should"),
    ({"pretrain.learning_rate": {"low": 0.1, "high": float("inf")}}, "should be a finite number"),
]  # fmt: skip


@pytest.mark.parametrize("search, message", DOMAIN_FAULTS)
def test_a_domain_that_does_not_fit_is_a_fault_of_the_recipe(search: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as caught:
        check(Plan, {"search": search}, "recipe x")
    assert caught.value.message.startswith("recipe x has 1 fault: ") and message in caught.value.message


def test_the_faults_of_domains_are_told_with_all_others() -> None:
    search = {"trials": 0, "pretrain.epoch": [1], "finetune.l2": {"low": 2.0, "high": 1.0}}
    with pytest.raises(PlanError) as caught:
        check(Plan, {"search": search, "pretrain": {"epochs": 0}, "finetune": {"loss": "x"}}, "recipe x")
    assert caught.value.message.startswith("recipe x has 5 faults: ")
    for name in ("pretrain.epochs", "finetune.loss", "search.trials", "search.pretrain.epoch", "search.finetune.l2"):
        assert f"{name} " in caught.value.message


def test_settings_are_put_where_they_belong() -> None:
    plan = Plan(pretrain={"objective": ("denoising", "denoising")}, search=DOMAINS)
    every = with_settings(plan, {"pretrain.objective.corruption.rate": 0.4}).pretrain.objective
    one = with_settings(plan, {"pretrain.objective.1.corruption.rate": 0.4}).pretrain.objective
    assert [layer.corruption.rate for layer in every] == [0.4, 0.4]  # type: ignore[union-attr]
    assert [layer.corruption.rate for layer in one] == [0.25, 0.4]  # type: ignore[union-attr]
    both = {"pretrain.objective.corruption.rate": 0.4, "pretrain.objective": "denoising"}
    with pytest.raises(PlanError, match=r"corruption\.rate is unknown"):
        with_settings(plan, both)  # a name has no table to reach into
    assert with_settings(plan, {}).search is None and plan.search is not None
    with pytest.raises(PlanError, match="is unknown"):
        with_settings(plan, {"pretrain.epoch": 3})


def test_a_column_named_with_dots_can_be_given_a_kind() -> None:
    plan = read_recipe("table", ["data.kinds.capital.gain=text", "data.kinds.age=number"])
    assert dict(plan.data.kinds) == {"capital.gain": "text", "age": "number"}
