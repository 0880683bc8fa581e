"""`search`: look for the settings of pre-training and fine-tuning that validate best, and say what that has cost."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..comparison.compare import HIDDEN_LAYER_SIZES, OBJECTIVE, data_table, merged
from ..comparison.rows import DATA, gather
from ..plan import ComparePlan, MethodName, Plan, SearchPlan
from ..preparation.choices import EncodeName, ImputeName, ScaleName
from ..preparation.columns import KindName
from ..randomness import as_seed
from ..recipe import check, to_toml
from ..runs.folder import RunFolder, identity_of
from ..training.device import matmul_route, processor
from ..training.loop import Callback
from ..training.verbose import with_printing
from ..write import write_json, write_text
from .searcher import Searcher
from .winner import recipe_of, results_of

DEFAULTS = SearchPlan()


@dataclass(frozen=True)
class Search:
    """What `search` returns.

    Attributes
    ----------
    best : dict
        The winner's settings by dotted name; empty where the recipe as it is won.
    recipe : Path
        The winner as a complete recipe, ``best.toml``.
    results : dict
        What ``results.json`` holds: every trial, edges, importances, cost.
    run_dir : Path
        The run folder.
    """

    best: dict[str, Any]
    recipe: Path
    results: dict[str, Any]
    run_dir: Path


def search(
    inputs: Any,
    targets: Any = None,
    *,
    domains: Mapping[str, Any] = DEFAULTS.domains,
    trials: int = DEFAULTS.trials,
    method: MethodName = DEFAULTS.method,
    keep: int = DEFAULTS.keep,
    budget: int | None = DEFAULTS.budget,
    pretrain_inputs: Any = None,
    network: Sequence[int] = HIDDEN_LAYER_SIZES,
    objective: Any = OBJECTIVE,
    test: Any = DATA.test,
    impute: ImputeName = DATA.impute,
    encode: EncodeName = DATA.encode,
    scale: ScaleName | float = DATA.scale,
    kinds: Mapping[str, KindName] = DATA.kinds,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "auto",
    random_state: int = ComparePlan().random_state,
    run_dir: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    verbose: int = 0,
) -> Search:
    """Search for the settings with which the pre-trained network validates best on your data.

    A trial draws settings, pre-trains on all training rows, fine-tunes on the labels of one budget, and is judged by
    the validation error on rows held out of those labels. Test rows are put aside first and play no part.

    Parameters
    ----------
    inputs, targets
        As in `layerwise.compare`.
    domains : mapping
        Where each setting is looked for, by dotted name: ``{"low": 0.001, "high": 1.0, "log": True}`` or a list of
        choices. Empty: default domains, as far as they fit the objective.
    trials : int
        How many settings are tried, whoever tries them; the recipe as it is comes on top, as trial 0.
    method : {"random", "halving", "greedy", "grid", "tpe"}
        Independent draws; the same, given up early by successive halving over the epochs of fine-tuning; layer by
        layer, each put on the best stacks so far; all combinations of a few values each; Optuna's TPE sampler.
    keep : int
        Of a greedy search: the stacks that are kept of each depth.
    budget : int or None
        Labelled rows; None: the comparison's headline, or its largest budget.
    pretrain_inputs, network, objective, test, impute, encode, scale, kinds, settings, device
        As in `layerwise.compare`; ``network`` is the sizes of hidden layers.
    random_state : int
        Draws the rows, the weights and the settings that are tried.
    run_dir : path or None
        The run folder; None: a temporary one.
    resume : bool
        Go on with the search in ``run_dir``, or join the workers that are at it.
    callbacks, verbose
        As in `layerwise.pretrain`.

    Returns
    -------
    Search
        ``.best``, ``.recipe``, ``.results`` and ``.run_dir``.

    Raises
    ------
    PlanError, DataError, NetworkError, RunError
        Each says what was found, where, and what cures it; without Optuna a PlanError says how to install it.

    References
    ----------
    Bergstra and Bengio (2012), Random search for hyper-parameter optimization. Bengio (2012), Practical recommendations
    for gradient-based training of deep architectures.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()
    >>> found = search(
    ...     digits.data / 16, digits.target, network=(16,), budget=100, trials=2,
    ...     domains={"pretrain.learning_rate": {"low": 0.01, "high": 1.0, "log": True}},
    ...     settings={"pretrain": {"epochs": 1}, "finetune": {"epochs": 2}},
    ... )
    >>> len(found.results["tried"]), found.recipe.name
    (3, 'best.toml')
    """
    seed = as_seed(random_state)
    preparing: dict[str, Any] = {"impute": impute, "encode": encode, "scale": scale, "kinds": kinds}
    own = {
        "data": data_table(inputs, targets, test, pretrain_inputs, preparing),
        "network": {"hidden_layer_sizes": tuple(network)},
        "pretrain": {"objective": objective},
        "compare": {"random_state": seed},
        "search": {"trials": trials, "method": method, "keep": keep, "budget": budget, **domains},
    }
    plan = check(Plan, merged(own, settings or {}), "search")
    rows = gather(
        inputs, targets, name="your data", test=test, random_state=seed, pretrain_inputs=pretrain_inputs, **preparing
    )
    searcher = Searcher(plan, rows, device)
    folder = open_search(searcher, run_dir or Path(tempfile.mkdtemp(prefix="layerwise-")) / "run", resume)
    return run_search(searcher, folder, with_printing(callbacks, verbose))


def open_search(searcher: Searcher, run_dir: str | Path, resume: bool = False) -> RunFolder:
    """Start the run folder of a checked search, continue it, or join those that are at it.

    A search that draws its trials independently may be resumed with more of them.
    """
    plan, rows = searcher.plan, searcher.rows
    extensible = searcher.search.method not in ("grid", "greedy")
    search = searcher.search.model_copy(update={"trials": 1} if extensible else {})
    identity = identity_of(
        plan.model_copy(update={"search": search}), plan.compare.random_state,
        rows.inputs, rows.codes, rows.pretrain_inputs,
    )  # fmt: skip
    folder = RunFolder.open(run_dir, resume, identity)
    folder.write_environment(matmul_route(), processor()[1])
    write_text(folder.path / "recipe.toml", to_toml(plan))
    return folder


def run_search(searcher: Searcher, folder: RunFolder, callbacks: Sequence[Callback] = ()) -> Search:
    """Make the trials of a search and leave its run folder; `search` and the command are the doors to it."""
    trials = searcher.run(folder, callbacks)
    results = results_of(searcher, trials)
    write_text(folder.path / "best.toml", to_toml(recipe_of(searcher, trials)))
    write_json(folder.path / "results.json", results)
    from ..report.search import write_search_report  # plotly takes a second to import, and only the report needs it

    write_search_report(folder.path)
    return Search(results["best"]["settings"], folder.path / "best.toml", results, folder.path)
