"""``layerwise search``: look for the settings that validate best, on this data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .compare import (
    Data,
    Encode,
    Impute,
    Json,
    Out,
    PretrainData,
    RandomState,
    Recipe,
    Scale,
    Set,
    Target,
    Test,
    default_recipe,
    number_or_text,
    overridden,
)

Trials = Annotated[int | None, typer.Option(help="Settings to try, by all workers together; 60 when not given.")]
Method = Annotated[str | None, typer.Option(help="random, halving, greedy, grid or tpe; random when not given.")]
Budget = Annotated[int | None, typer.Option(help="Labelled rows; the comparison's headline when not given.")]
Keep = Annotated[int | None, typer.Option(help="Stacks that a greedy search keeps of each depth.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the search in the folder, or join those at it.")]


def search(
    data: Data = None,
    target: Target = None,
    test: Test = None,
    pretrain_data: PretrainData = None,
    impute: Impute = None,
    encode: Encode = None,
    scale: Scale = None,
    recipe: Recipe = None,
    settings: Set = None,
    trials: Trials = None,
    method: Method = None,
    budget: Budget = None,
    keep: Keep = None,
    random_state: RandomState = None,
    out: Out = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Search for the settings of pre-training and fine-tuning that validate best, and write the winner as a recipe.

    The recipe's table [search] says what is searched and where. Test rows play no part. The same command with --resume,
    in another terminal or on another machine that sees the folder, joins the search.
    """
    # imported here, because they bring torch: the help and a misspelt option should not wait for it
    from ..comparison.estimate import estimate
    from ..comparison.rows import gather_files
    from ..recipe import read_recipe
    from ..searching.search import open_search, run_search
    from ..searching.searcher import Searcher
    from ..write import plain
    from .search_progress import watching_search
    from .search_summary import print_search, print_trials

    values = {
        "data.inputs": data, "data.targets": target, "data.test": test, "data.pretrain_inputs": pretrain_data,
        "data.impute": impute, "data.encode": encode, "data.scale": number_or_text(scale),
        "search.trials": trials, "search.method": method, "search.budget": budget, "search.keep": keep,
        "compare.random_state": random_state,
    }  # fmt: skip
    plan = read_recipe(recipe or default_recipe(data), overridden(settings, values, data, recipe))
    searcher = Searcher(plan, gather_files(plan.data, plan.compare.random_state))
    folder = open_search(searcher, out or Path("runs") / f"{plan.name}-search", resume)
    print_search(searcher, estimate(searcher.measurement.check(searcher.plan)), folder.path)
    with watching_search(searcher) as callback:
        found = run_search(searcher, folder, [callback])
    print_trials(found)
    if as_json:
        json.dump(plain(found.results), sys.stdout, indent=1)
        print()
