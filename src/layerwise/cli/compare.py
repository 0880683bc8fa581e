"""``layerwise compare``: say whether pre-training helps, on this data."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import PlanError

Data = Annotated[
    str | None,
    typer.Argument(
        help="CSV, TSV, Parquet, HDF5, .npy, .npz or IDX file; file.h5::dataset; a text file listing HDF5 files; "
        "a pattern in quotes: 'part-*.csv'."
    ),
]
Target = Annotated[str | None, typer.Option(help="Column or data set of the labels, or a file of its own.")]
Test = Annotated[str | None, typer.Option(help="File of test rows, or the fraction of labelled rows to test on.")]
PretrainData = Annotated[str | None, typer.Option(help="File of other rows to pre-train on, with the same columns.")]
Recipe = Annotated[
    str | None, typer.Option(help="Shipped recipe or TOML file. Without it: table for tables, mnist without DATA.")
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting of the recipe.")]
Budgets = Annotated[str | None, typer.Option(help="Label budgets, for example 100,1000.")]
Impute = Annotated[
    str | None, typer.Option(help="Where a number is missing: median, mean, most_frequent, zero or none.")
]
Encode = Annotated[str | None, typer.Option(help="What text becomes: onehot or ordinal.")]
Scale = Annotated[
    str | None, typer.Option(help="Numbers to: standard, range, quantile or none; a number divides them.")
]
Seeds = Annotated[int | None, typer.Option(help="Repetitions; below 3 there is no verdict.")]
RandomState = Annotated[int | None, typer.Option(help="Seed of everything random.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; runs/NAME when not given.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print results.json on standard output.")]


def compare(
    data: Data = None,
    target: Target = None,
    test: Test = None,
    pretrain_data: PretrainData = None,
    impute: Impute = None,
    encode: Encode = None,
    scale: Scale = None,
    recipe: Recipe = None,
    settings: Set = None,
    budgets: Budgets = None,
    seeds: Seeds = None,
    random_state: RandomState = None,
    out: Out = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Compare the same network pre-trained and random, over seeds and label budgets, and say whether it was worth it.

    Without DATA it runs on the MNIST that comes with the package.
    """
    # imported here, because they bring torch: the help and a misspelt option should not wait for it
    from ..comparison.compare import open_run, run_comparison
    from ..comparison.estimate import estimate
    from ..comparison.experiment import Experiment
    from ..comparison.rows import gather_files
    from ..recipe import read_recipe
    from ..write import plain
    from .progress import describe, watching
    from .summary import print_plan, print_results

    values = {
        "data.inputs": data, "data.targets": target, "data.test": test, "data.pretrain_inputs": pretrain_data,
        "data.impute": impute, "data.encode": encode, "data.scale": number_or_text(scale),
        "compare.budgets": _budgets(budgets), "compare.seeds": seeds, "compare.random_state": random_state,
    }  # fmt: skip
    plan = read_recipe(recipe or default_recipe(data), overridden(settings, values, data, recipe))
    experiment = Experiment(plan, gather_files(plan.data, plan.compare.random_state))
    expected = estimate(experiment)
    folder = open_run(experiment, out or Path("runs") / plan.name, resume)
    print_plan(experiment, expected, folder.path)
    with watching(plan, expected, lambda told: describe(told, experiment)) as callback:
        found = run_comparison(experiment, folder, [callback])
    print_results(found.results, folder.path)
    if as_json:
        json.dump(plain(found.results), sys.stdout, indent=1)
        print()


def default_recipe(data: str | None) -> str:
    """Return the name of the recipe for data when none was given: tables have one of their own."""
    from ..data.tables import is_table

    if data is None:
        return "mnist"
    return "table" if is_table(data) else "default"


def overridden(settings: list[str] | None, values: dict[str, Any], data: str | None, recipe: str | None) -> list[str]:
    """Return the ``--set`` overrides with those that options stand for, and a name from the data without a recipe."""
    given = {**values, "data.test": number_or_text(values["data.test"])}
    if data is not None and recipe is None:
        stem = Path(data.partition("::")[0]).name.partition(".")[0]
        given["name"] = re.sub(r"[^\w-]+", "", stem).strip("-_") or "data"
    told = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items() if value is not None]
    return [*(settings or []), *told]


def number_or_text(text: str | None) -> float | str | None:
    """Return the value of an option that takes a number or a word."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _budgets(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise PlanError(f"--budgets {text!r} is no list of whole numbers", "for example --budgets 100,1000") from error
