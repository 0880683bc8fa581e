"""`compare`: the same network pre-trained and random, over seeds and label budgets, with an honest verdict."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from ..data.paths import paths_of
from ..errors import PlanError
from ..plan import ComparePlan, NetworkPlan, Plan, PretrainPlan
from ..preparation.choices import EncodeName, ImputeName, ScaleName
from ..preparation.columns import KindName
from ..randomness import as_seed
from ..recipe import check, to_toml
from ..runs.folder import RunFolder, identity_of
from ..training.device import matmul_route, processor
from ..training.loop import Callback
from ..training.verbose import with_printing
from ..write import write_json, write_text
from .arms import Factory
from .experiment import Experiment
from .results import results_of
from .rows import ARRAYS, DATA, gather

DEFAULTS = ComparePlan()
HIDDEN_LAYER_SIZES = NetworkPlan().hidden_layer_sizes
OBJECTIVE = PretrainPlan().objective


@dataclass(frozen=True)
class Comparison:
    """What `compare` returns.

    Attributes
    ----------
    verdict : str
        "WORTH IT", "DO NOT PRE-TRAIN", "CANNOT TELL", or "NO VERDICT" below 3 seeds.
    results : dict
        What ``results.json`` holds.
    run_dir : Path
        The run folder: recipe, history, results, report.
    """

    verdict: str
    results: dict[str, Any]
    run_dir: Path


def compare(
    inputs: Any,
    targets: Any = None,
    *,
    pretrain_inputs: Any = None,
    network: Sequence[int] | Factory = HIDDEN_LAYER_SIZES,
    objective: Any = OBJECTIVE,
    budgets: Literal["auto"] | Sequence[int] = DEFAULTS.budgets,
    headline: int | None = DEFAULTS.headline,
    test: Any = DATA.test,
    impute: ImputeName = DATA.impute,
    encode: EncodeName = DATA.encode,
    scale: ScaleName | float = DATA.scale,
    kinds: Mapping[str, KindName] = DATA.kinds,
    seeds: int = DEFAULTS.seeds,
    min_gain: float = DEFAULTS.min_gain,
    tune: bool = DEFAULTS.tune,
    learning_rates: Sequence[float] = DEFAULTS.learning_rates,
    max_updates: int | None = DEFAULTS.max_updates,
    baselines: Literal["auto"] | Sequence[str] = DEFAULTS.baselines,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "auto",
    random_state: int = DEFAULTS.random_state,
    run_dir: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    verbose: int = 0,
) -> Comparison:
    """Measure whether pre-training lowers the test error of a network on your data.

    For each seed: draw labels, initial weights and batch order anew; pre-train one copy of the network on all training
    rows; fine-tune both copies on the same labelled rows of every budget, each with the learning rate and epochs chosen
    for it on validation rows of the first seed's budget. The difference in test error is paired by seed.

    Parameters
    ----------
    inputs : array, tensor, frame, path, sequence of paths, PyTorch data set or Source
        Rows (n, ...), flattened. Of a table, a frame or a CSV, TSV or Parquet file, columns of any kind.
    targets : array, tensor, path, Source or str, optional
        One label a row; -1, NaN, None or an empty cell is no label: such rows are pre-trained on. Or the name of the
        table's column, or of a data set in the file of inputs. None: what has a usual name (label, target, y ...), or
        comes with the inputs in a PyTorch data set.
    pretrain_inputs : as inputs, optional
        Rows (n, ...) to pre-train on in place of ``inputs``: another data set with the same columns.
    network : sequence of int, or callable
        Units of each hidden layer. Or what makes a network of your own, called without arguments for every seed: a
        class or a function that returns an ``nn.Module`` with one output per class. It may draw its initial weights
        from torch's global generator, which is seeded for it and put back. Rows then keep their shape.
    objective : str, Objective, sequence of them, or None
        As in `layerwise.pretrain`. None is the A/A control: both arms random.
    budgets : "auto" or sequence of int
        Labelled rows that an arm may see; "auto": 10 and 100 per class, as far as there are.
    headline : int or None
        The budget the verdict is about; None: the largest.
    test : float, (inputs, targets), path or frame
        Fraction of the labelled rows to test on, or the test rows. They choose nothing.
    impute, encode, scale, kinds
        How columns become numbers, by the training rows: see `layerwise.Preparation.fit`. "auto" prepares tables,
        divides 8-bit pixels by 255, and leaves all other arrays as they are.
    seeds : int
        Repetitions; below 3 there is no verdict.
    min_gain : float
        The smallest gain worth having, in points of test error.
    tune : bool
        Whether each arm chooses its learning rate and epochs.
    learning_rates : sequence of float
        The grid.
    max_updates : int or None
        The most updates of fine-tuning: a large budget gets fewer epochs than ``finetune.epochs``.
    baselines : "auto" or sequence of str
        "logistic regression", "gradient boosting", "modern network", which "auto" takes; and the same network, random
        and tuned alike, trained by "momentum", "adagrad", "rmsprop" or "adam".
    settings : mapping, optional
        Further settings by table, as in a recipe: ``{"pretrain": {"epochs": 10}, "network": {"dropout": 0.5}}``.
    device, random_state, run_dir, resume, callbacks, verbose
        As in `layerwise.pretrain`; without ``run_dir`` the run goes to a temporary folder.

    Returns
    -------
    Comparison
        ``.verdict``, ``.results`` and ``.run_dir``.

    Raises
    ------
    PlanError, DataError, NetworkError, RunError, DivergenceError
        Each says what was found, where, and what cures it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()
    >>> found = compare(
    ...     digits.data / 16, digits.target, network=(32,), budgets=[100], seeds=3, baselines=[], tune=False,
    ...     settings={"pretrain": {"epochs": 2}, "finetune": {"epochs": 2}},
    ... )
    >>> found.results["budgets"][0]["labels"]
    100
    """
    seed = as_seed(random_state)
    factory = _factory(network, settings or {})
    preparing: dict[str, Any] = {"impute": impute, "encode": encode, "scale": scale, "kinds": kinds}
    own = {
        "data": data_table(inputs, targets, test, pretrain_inputs, preparing),
        "network": {"factory": _name_of(factory)} if factory else {"hidden_layer_sizes": tuple(network)},  # type: ignore[arg-type]
        "pretrain": {"objective": objective},
        "compare": {
            "budgets": budgets if budgets == "auto" else tuple(budgets), "headline": headline, "seeds": seeds,
            "min_gain": min_gain, "tune": tune, "learning_rates": tuple(learning_rates),
            "max_updates": max_updates,
            "baselines": baselines if baselines == "auto" else tuple(baselines), "random_state": seed,
        },
    }  # fmt: skip
    plan = check(Plan, merged(own, settings or {}), "compare")
    rows = gather(
        inputs, targets, name="your data", test=test, random_state=seed, pretrain_inputs=pretrain_inputs,
        flat=factory is None, **preparing,
    )  # fmt: skip
    experiment = Experiment(plan, rows, device, factory)
    folder = open_run(experiment, run_dir or Path(tempfile.mkdtemp(prefix="layerwise-")) / "run", resume)
    return run_comparison(experiment, folder, with_printing(callbacks, verbose))


def _factory(network: Any, settings: Mapping[str, Any]) -> Factory | None:
    """Return what makes the network, None where it is given as the sizes of layers."""
    if isinstance(network, nn.Module):
        raise PlanError(
            f"network is one {type(network).__name__}, but every seed needs new initial weights",
            "give the class, or a function that makes it: network=lambda: MyNetwork(...)",
        )
    if not callable(network):
        return None
    if settings.get("network"):
        raise PlanError(
            f"settings name network.{next(iter(settings['network']))}, but your network is made in Python",
            "leave the table network out, and make the network as you want it",
        )
    made: Factory = network
    return made


def _name_of(factory: Factory) -> str:
    return str(getattr(factory, "__qualname__", type(factory).__qualname__))


def data_table(
    inputs: Any, targets: Any, test: Any, pretrain_inputs: Any, preparing: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the recipe's table of the data: files by name, rows in memory as what they are."""

    def named(source: Any) -> str:
        return str(source) if isinstance(source, (str, Path)) else ARRAYS

    several = bool(isinstance(inputs, (tuple, list)) and paths_of(inputs))
    table = {"inputs": tuple(map(str, inputs)) if several else named(inputs), "test": test, **preparing}
    if targets is not None:
        table["targets"] = named(targets)
    if pretrain_inputs is not None:
        table["pretrain_inputs"] = named(pretrain_inputs)
    if isinstance(test, (tuple, list)):
        table |= {"test": named(test[0]), "test_targets": named(test[1])}
    elif not isinstance(test, (int, float)):
        table["test"] = named(test)
    return table


def merged(own: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Add further settings to those given as keywords; naming one twice is an error."""
    twice = [f"{name}.{key}" for name, table in own.items() for key in table if key in settings.get(name, {})]
    if twice or "data" in settings:
        raise PlanError(
            f"settings name {', '.join(twice or ['data'])}, which are taken as keywords",
            "give them as keywords: network=, objective=, test= and so on",
        )
    return {name: {**settings.get(name, {}), **own.get(name, {})} for name in {**settings, **own}}


def open_run(experiment: Experiment, run_dir: str | Path, resume: bool = False) -> RunFolder:
    """Start the run folder of a checked experiment, or continue it."""
    plan, rows = experiment.plan, experiment.rows
    identity = identity_of(
        plan,
        plan.compare.random_state,
        rows.inputs,
        rows.codes,
        rows.test_inputs,
        rows.test_codes,
        rows.pretrain_inputs,
    )
    folder = RunFolder.open(run_dir, resume, identity)
    folder.write_environment(matmul_route(), processor()[1])
    write_text(folder.path / "recipe.toml", to_toml(plan))
    return folder


def run_comparison(experiment: Experiment, folder: RunFolder, callbacks: Sequence[Callback] = ()) -> Comparison:
    """Measure an experiment and leave the run folder; `compare` and the command are the doors to it."""
    measured = experiment.run(folder, callbacks)
    results = results_of(experiment.plan, experiment.rows, measured)
    write_json(folder.path / "tuning.json", measured.tuning)
    write_json(folder.path / "results.json", results)
    write_text(folder.path / "results.csv", _csv(results))
    from ..report import write_report  # plotly takes a second to import, and only the report needs it

    write_report(folder.path)
    return Comparison(results["verdict"], results, folder.path)


def _csv(results: Mapping[str, Any]) -> str:
    """Return one line per budget, seed and arm."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["labels", "seed", "arm", "test_error_percent"])
    for budget in results["budgets"]:
        for arm in ("pretrained", "random"):
            for seed, error in enumerate(budget[f"{arm}_errors"]):
                writer.writerow([budget["labels"], seed, arm, error])
    for baseline in results["baselines"]:
        for seed, error in enumerate(baseline["errors"]):
            writer.writerow([baseline["labels"], seed, baseline["name"], error])
    return text.getvalue()
