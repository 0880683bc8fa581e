"""``layerwise train``: make a model of all rows and the labels of some."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import PlanError, RunError
from .compare import (
    Data,
    Encode,
    Impute,
    PretrainData,
    RandomState,
    Recipe,
    Scale,
    Set,
    Target,
    default_recipe,
    number_or_text,
    overridden,
)

if TYPE_CHECKING:
    from ..training.loop import Progress

Out = Annotated[Path, typer.Option(help="Folder of the model; a new or empty one.")]
Task = Annotated[str | None, typer.Option(help="classification or regression; the recipe's, when not given.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue a training that was stopped.")]
Json = Annotated[bool, typer.Option("--json", help="Print how the model was made on standard output.")]
LOSSES = {"classification": "cross_entropy", "regression": "squared"}


def train(
    data: Data = None,
    *,
    target: Target = None,
    out: Out,
    task: Task = None,
    pretrain_data: PretrainData = None,
    impute: Impute = None,
    encode: Encode = None,
    scale: Scale = None,
    recipe: Recipe = None,
    settings: Set = None,
    random_state: RandomState = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Pre-train a network on all rows, fine-tune it on the labelled ones, and write a model that predict takes.

    Labelled rows are held out first, to choose the learning rate and epochs of fine-tuning and to say how large the
    error is; the model is then fine-tuned on all of them. Without DATA it trains on the MNIST that comes along.
    """
    # imported here, because they bring torch: the help and a misspelt option should not wait for it
    from ..models.training import Training, is_whole
    from ..recipe import read_recipe
    from ..write import plain
    from .progress import watching
    from .training_summary import print_model, print_training

    values = {
        "data.inputs": data, "data.targets": target, "data.test": None, "data.pretrain_inputs": pretrain_data,
        "data.impute": impute, "data.encode": encode, "data.scale": number_or_text(scale),
        "compare.random_state": random_state, "finetune.loss": _loss(task),
    }  # fmt: skip
    if is_whole(out):
        raise RunError(
            f"{out} holds a model whose training has ended",
            "nothing is left to resume" if resume else "give another folder",
        )
    plan = read_recipe(recipe or default_recipe(data), overridden(settings, values, data, recipe))
    training = Training(plan)
    folder = training.open(out, resume)
    expected = training.estimate()
    print_training(training, expected, folder.path)
    with watching(plan, expected, describe) as callback:
        model = training.run(folder, [callback])
    print_model(model, folder.path, data)
    if as_json:
        json.dump({"out": str(out), **plain(model.facts.model_dump())}, sys.stdout, indent=1)
        print()


def _loss(task: str | None) -> str | None:
    if task is not None and task not in LOSSES:
        raise PlanError(f"--task is {task!r}", f"give {' or '.join(LOSSES)}")
    return None if task is None else LOSSES[task]


def describe(told: Progress) -> str:
    """Say in words which fit is running.

    Examples
    --------
    >>> from layerwise.training.loop import Progress
    >>> [describe(Progress(f"train/{fit}", 1, 2, 3, 4.0)) for fit in ("pretrain/2", "tune/pretrained/lr-0.1/fold-0")]
    ['pre-training layer 2', 'choosing the learning rate: 0.1, part 1']
    """
    parts: list[Any] = told.fit.split("/")[1:]
    if parts[0] == "pretrain":
        return f"pre-training layer {parts[1]}"
    if parts[0] == "tune":
        rate, part = parts[2].removeprefix("lr-"), int(parts[3].removeprefix("fold-"))
        return f"choosing the learning rate: {rate}, part {part + 1}"
    return "fine-tuning on all labelled rows"
