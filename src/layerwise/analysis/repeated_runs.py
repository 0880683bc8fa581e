"""The same network fine-tuned many times, from pre-trained weights and from those it had before, seed by seed."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from ..checks import check_pretraining
from ..data.batches import Batches
from ..data.dataset import open_pair
from ..data.features import as_features
from ..data.rowset import RowSet
from ..data.source import load_rows, open_source
from ..data.targets import load_targets
from ..errors import DataError, PlanError, RunError
from ..finetuning import check_finetuning, finetune_network
from ..nn.networks import build_network
from ..plan import FinetunePlan, NetworkPlan, PretrainPlan
from ..pretraining import pretrain_layers
from ..randomness import Randomness
from ..runs.folder import RunFolder, identity_of
from ..settings import Count, Positive, Table
from ..training.device import matmul_route, processor
from ..training.loop import Callback, Surroundings
from ..write import write_arrays
from .partial import partly_pretrained
from .recording import record, spaced
from .run import Run, read_run

RECORDS = 1000  # history records of a fine-tuning, at most: checkpoints are taken at some of them


class Start(Table):
    """What an arm starts from: which layers are pre-trained (none: the random arm), and its own learning rate."""

    layers: Literal["all"] | tuple[Count, ...] = "all"
    learning_rate: Positive | None = None


class ManyRuns(Table):
    """Settings of many runs; all arms of a seed share its initial weights, its pre-training and its batch order.

    Parameters
    ----------
    network, pretrain, finetune : NetworkPlan, PretrainPlan, FinetunePlan
        As in a recipe.
    arms : mapping of str to Start
        By name; the default is the pre-trained and the random one.
    checkpoints : int
        About how often a run is looked at, spaced logarithmically over its updates.
    watched : int
        The first so many test rows whose outputs are kept; 0 keeps none.

    Examples
    --------
    >>> ManyRuns(arms={"layer 1": {"layers": [1]}, "random": {"layers": []}}).arms["layer 1"].layers
    (1,)
    """

    network: NetworkPlan = NetworkPlan(hidden_layer_sizes=(100, 100))
    pretrain: PretrainPlan = PretrainPlan()
    finetune: FinetunePlan = FinetunePlan()
    arms: dict[str, Start] = Field({"pretrained": Start(), "random": Start(layers=())}, min_length=1)
    checkpoints: Count = 40
    watched: int = Field(1000, ge=0)


@dataclass(frozen=True)
class _Rows:
    """The rows that all runs share."""

    inputs: Tensor
    codes: Tensor
    test_inputs: Tensor
    test_codes: Tensor
    unlabelled: Tensor


def many_runs(
    inputs: Any,
    targets: Any,
    test: tuple[Any, Any],
    plan: ManyRuns,
    *,
    run_dir: str | Path,
    pretrain_inputs: Any = None,
    seeds: int | Iterable[int] = 20,
    random_state: int = 0,
    resume: bool = False,
    callbacks: Iterable[Callback] = (),
) -> list[Run]:
    """Fine-tune every arm of every seed on the same rows, and keep what each gave at its checkpoints.

    A seed draws the initial weights, the order of batches and the noise of pre-training; the rows stay. It pre-trains
    once, which serves all its arms. Test rows are looked at and choose nothing.

    Parameters
    ----------
    inputs, targets : array, tensor, path or Source
        Labelled rows (n, features), as `layerwise.open_source` takes them; all are trained on.
    test : (inputs, targets)
        Test rows with their labels.
    plan : ManyRuns
        Network, training and arms.
    run_dir : path
        Each seed has a folder in it, ``seed-000``, with its history, its pre-training and one ``.npz`` for each arm.
    pretrain_inputs : array, tensor, path or Source, optional
        Rows to pre-train on, ``inputs`` when left out.
    seeds : int or iterable of int
        How many, or which numbers: several processes can share a run folder if each takes other seeds.
    random_state : int
        What the seeds' numbers are counted from.
    resume : bool
        Keep the runs that are finished and make the others; a pre-training that was stopped is continued.
    callbacks : iterable of callables
        Each is called with a `Progress`.

    Returns
    -------
    list of Run
        By seed, then by arm.

    Raises
    ------
    PlanError, DataError, NetworkError, RunError, DivergenceError
        Each says what was found, where, and what cures it.

    Examples
    --------
    >>> import tempfile, torch
    >>> rows = torch.rand(60, 8)
    >>> plan = ManyRuns(
    ...     network={"hidden_layer_sizes": (4,)}, pretrain={"epochs": 1}, finetune={"epochs": 2, "batch_size": 20}
    ... )
    >>> runs = many_runs(
    ...     rows, rows[:, 0] > 0.5, (rows[:10], rows[:10, 0] > 0.5), plan, seeds=2, run_dir=tempfile.mkdtemp()
    ... )
    >>> [(run.seed, run.arm, run.updates[-1].item()) for run in runs]
    [(0, 'pretrained', 6), (0, 'random', 6), (1, 'pretrained', 6), (1, 'random', 6)]
    """
    rows, classes = _gather(inputs, targets, test, pretrain_inputs)
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    folder = Path(run_dir)
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise RunError(f"{folder} is not empty", "resume it, or give another folder")
    _check(plan, rows, classes, random_state)
    identity = identity_of(
        plan, random_state, rows.inputs, rows.codes, rows.test_inputs, rows.test_codes, rows.unlabelled
    )
    found = []
    for seed in numbers:
        place = folder / f"seed-{seed:03d}"
        own = RunFolder.open(place, (place / "history.jsonl").exists(), identity, seed)
        own.write_environment(matmul_route(), processor()[1])
        found += _run_seed(seed, rows, classes, plan, random_state, own, list(callbacks))
    return found


def _run_seed(
    seed: int,
    rows: _Rows,
    classes: int,
    plan: ManyRuns,
    random_state: int,
    folder: RunFolder,
    callbacks: list[Callback],
) -> list[Run]:
    files = {arm: folder.path / f"{arm}.npz" for arm in plan.arms}
    missing = [arm for arm, file in files.items() if not file.exists()]
    if missing:
        randomness = Randomness(random_state).child("seed", seed)
        around = Surroundings(f"seed-{seed:03d}", randomness, folder, callbacks)
        initial = _network(plan, rows, classes, randomness)
        pretrained = copy.deepcopy(initial)
        if any(start.layers for start in plan.arms.values()):
            pretrain_layers(pretrained, RowSet(as_features(rows.unlabelled)), plan.pretrain, around.child("pretrain"))
        for arm in missing:
            start = plan.arms[arm]
            network = partly_pretrained(initial, pretrained, start.layers)
            write_arrays(files[arm], _fine_tuned(arm, network, rows, plan, around))
    return [read_run(files[arm]) for arm in plan.arms]


def _fine_tuned(
    arm: str, network: nn.Module, rows: _Rows, plan: ManyRuns, around: Surroundings
) -> dict[str, np.ndarray]:
    """Fine-tune one arm and return what its file holds."""
    finetune = _finetune_plan(plan, arm)
    updates = finetune.epochs * Batches(rows.inputs, rows.codes, finetune.batch_size, around.randomness).per_epoch
    every = max(1, updates // RECORDS)
    wanted = spaced(updates, plan.checkpoints, every)
    training, test = record(network, rows.inputs, wanted), record(network, rows.test_inputs, wanted)
    own = around.child(arm, "arm")
    # repeated whole when it was stopped: the checkpoints before the stop would be missing
    own = replace(own, folder=None, callbacks=[*own.callbacks, training, test])
    finetune_network(network, rows.inputs, rows.codes, finetune.model_copy(update={"summary_every": every}), own)
    return {
        "updates": np.array(test.updates),
        "epochs": np.array(test.epochs),
        "training_loss": training.losses(rows.codes),
        "test_loss": test.losses(rows.test_codes),
        "test_error": test.errors(rows.test_codes),
        "outputs": test.probabilities()[:, : plan.watched],
    }


def _finetune_plan(plan: ManyRuns, arm: str) -> FinetunePlan:
    rate = plan.arms[arm].learning_rate
    return plan.finetune if rate is None else plan.finetune.model_copy(update={"learning_rate": rate})


def _network(plan: ManyRuns, rows: _Rows, classes: int, randomness: Randomness) -> nn.Module:
    settings = {key: value for key, value in dict(plan.network).items() if key != "factory"}
    return build_network(rows.inputs.shape[1], outputs=classes, randomness=randomness, **settings)


def _gather(inputs: Any, targets: Any, test: Any, pretrain_inputs: Any) -> tuple[_Rows, int]:
    """Read all rows; every one of the training and test rows must have a label."""
    if not isinstance(test, (tuple, list)) or len(test) != 2:
        raise PlanError(
            f"test is {type(test).__name__}, expected (inputs, targets)", "give test rows with their labels"
        )
    pairs = [open_pair(inputs, targets), open_pair(*test)]
    read = [load_rows(source) for source, _ in pairs]
    unlabelled = read[0] if pretrain_inputs is None else load_rows(open_source(pretrain_inputs))
    codes, classes = load_targets(pairs[0][1], len(read[0]))
    test_codes, _ = load_targets(pairs[1][1], len(read[1]), classes=classes)
    for name, part in (("", codes), ("test ", test_codes)):
        if not len(part) or int(part.min()) < 0:
            raise DataError(f"{int((part < 0).sum())} {name}rows have no label", "give labelled rows alone")
    widths = {tuple(part.shape[1:]) for part in (*read, unlabelled)}
    if len(widths) > 1 or read[0].ndim != 2:
        raise DataError(
            f"the rows have shapes {sorted(widths)}, expected one width", "give flat rows of the same columns"
        )
    return _Rows(read[0], codes, read[1], test_codes, unlabelled), len(classes)


def _check(plan: ManyRuns, rows: _Rows, classes: int, random_state: int) -> None:
    """Find what would stop the runs half-way before any file is written."""
    network = _network(plan, rows, classes, Randomness(random_state).child("check"))
    if any(start.layers for start in plan.arms.values()):
        check_pretraining(network, plan.pretrain, RowSet(as_features(rows.unlabelled)), None)
    for arm, start in plan.arms.items():
        if set(arm) & set("/\\") or arm.startswith(".") or arm != arm.strip() or not arm:
            raise PlanError(f"an arm is named {arm!r}, which cannot be a file's name", "use letters, digits and spaces")
        partly_pretrained(network, network, start.layers)
        finetune = _finetune_plan(plan, arm)
        if finetune.head_first or finetune.early_stopping is not None:
            raise PlanError(
                "many runs are trained whole: head_first and early_stopping are not for them", "leave it out"
            )
        check_finetuning(network, rows.inputs, rows.codes, finetune, None)
