"""What is printed before a training, its plan with an estimate, and after it, what came out and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from ..comparison.budgets import class_counts
from ..comparison.estimate import Estimate
from ..models.model import Model
from ..models.training import Training
from ..training.verbose import roughly


def print_training(training: Training, expected: Estimate, folder: Path) -> None:
    """Say on standard error what will be trained on what, and how long it should take."""
    plan, rows = training.plan, training.rows
    say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print
    labels = "quantities" if training.quantities else f"{len(rows.classes)} classes"
    say(f"data      {rows.name}: {rows.source.shape[0]:,} rows, {len(training.inputs):,} of them labelled, {labels}")
    if rows.preparation is not None:
        say(f"prepare   {rows.preparation.describe()}")
    convolutions = (f"{layer.channels}c{layer.kernel}" for layer in plan.network.convolutions)
    sizes = "-".join(map(str, (rows.width, *convolutions, *plan.network.hidden_layer_sizes, training.outputs)))
    say(f"network   {sizes}, {plan.network.activation}")
    if training.arm.pretrain is None:
        say("pretrain  no: random weights")
    else:
        given = training.arm.pretrain.objective
        kinds = [one.kind for one in (given if isinstance(given, tuple) else (given,)) if one is not None]
        count = len(training.inputs) if training.arm.needs_targets else len(training.pretraining_rows)
        what = "labelled rows" if training.arm.needs_targets else "rows"
        say(f"pretrain  {', '.join(kinds)}, {training.arm.pretrain.epochs} epochs a layer on {count:,} {what}")
    for note in _doubts(training):
        say(f"note      {note}")
    say(f"finetune  {_finetuning(training)}")
    if training.unlabelled is not None:
        say(f"          pseudo-labels for the {training.unlabelled.shape[0]:,} rows without a label")
    parts = {"pre-training": expected.pretraining, "choosing": expected.tuning, "fine-tuning": expected.finetuning}
    spent = ", ".join(f"{name} {roughly(seconds)}" for name, seconds in parts.items() if seconds)
    say(f"estimate  {roughly(expected.total)}: {spent}")
    say(f"model     {folder}\n")


def _doubts(training: Training) -> Iterator[str]:
    """Yield what is doubtful about the labels: too few of a class, or so many that there is nothing to pre-train on."""
    rows = training.rows
    if not training.quantities:
        counts = class_counts(rows.targets, len(rows.classes)).tolist()
        lone = [str(label) for label, count in zip(rows.classes, counts, strict=True) if count == 1]
        if lone:
            which = f"class {lone[0]} has" if len(lone) == 1 else f"classes {', '.join(lone)} have"
            yield f"{which} one labelled row only; label more: none can be held out to tell the error of it"
    if training.arm.pretrain is not None and rows.pretrain is None and len(training.inputs) == rows.source.shape[0]:
        yield (
            "there are no unlabelled rows, so pre-training sees the labelled ones alone; add rows whose label is "
            "empty, or name some with --pretrain-data, or train without: --set pretrain.objective=none"
        )


def _finetuning(training: Training) -> str:
    held, plan = training.folds, training.finetune_plan
    if not held:
        return f"{plan.epochs} epochs, learning rate {plan.learning_rate:g}; no class has a row to hold out"
    parts = f" in {len(held)} parts" if len(held) > 1 else ""
    rows = f"{sum(len(part) for _, part in held):,} held-out rows{parts}"
    if not training.plan.compare.tune:
        return f"{plan.epochs} epochs, learning rate {plan.learning_rate:g}; measured on {rows}"
    rates = ", ".join(f"{rate:g}" for rate in training.learning_rates)
    return f"learning rate of {rates} and at most {plan.epochs} epochs, chosen on {rows}"


def print_model(model: Model, folder: Path, data: str | None) -> None:
    """Say on standard error how large the error is, where the model is, and which command comes next."""
    say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print
    facts, held = model.facts, model.facts.validation
    assert facts.finetuning is not None
    if held is None:
        say("error     not measured: no class has a row to hold out")
    else:
        said = f"{held.error:.2f} %" if held.spread is None else f"{held.error:.4g}, of a spread of {held.spread:.4g},"
        parts = f" in {held.folds} parts" if held.folds > 1 else ""
        say(f"error     {said} on {held.rows:,} held-out rows{parts}, trained on {held.trained_rows:,} each time")
        if held.tried > 1:
            say(f"          the smallest of {held.tried} learning rates and all epochs: expect more on other rows")
        if held.labels_seen:
            say("          pre-training learnt from the labels of held-out rows: the error is too small")
    for stage in facts.poor():
        say(
            f"note      layer {stage.layer} reconstructs rows worse ({stage.loss:.3g}) than their mean does "
            f"({stage.mean_predictor_loss:.3g}): pre-train for longer, --set pretrain.epochs={10 * stage.epochs}"
        )
    tuned = facts.finetuning
    say(f"model     fine-tuned on all {tuned.rows:,} labelled rows, {tuned.epochs} epochs at {tuned.learning_rate:g}")
    say(f"          {folder}; {folder / 'README.md'} says how it was made")
    rows = shlex.quote(data) if data else "ROWS"
    say(f"next      layerwise predict {shlex.quote(str(folder))} {rows} --out predictions{_ending(data)}")


def _ending(data: str | None) -> str:
    suffix = Path((data or "").partition("::")[0]).suffix.lower()
    return {".h5": ".h5", ".hdf5": ".h5", ".parquet": ".parquet", ".npy": ".npz", ".npz": ".npz"}.get(suffix, ".csv")
