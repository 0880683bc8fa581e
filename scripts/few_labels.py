"""MNIST with 100, 1,000 and 3,000 labels by the recipe `mnist-few`: pre-training, pseudo-labels, and what each brings.

    python scripts/few_labels.py choose RUNS          try settings on 1,000 held-out training rows, no test row
    python scripts/few_labels.py measure RUNS         five seeds of each arm: docs/results/few-labels/, then the page
    python scripts/few_labels.py measure RUNS PART    one of them, such as random-3: to have one run on each core
    python scripts/few_labels.py page                 write the tables of docs/few-labels.md from what was measured

A finished part (an arm of one seed, all budgets) has its file and is not repeated; an unfinished one goes on from its
run folder, RUNS. One thread suffices. `measure` does one arm of one seed after the other, the pre-trained ones first.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import layerwise as lw
from layerwise.comparison.arms import arms_of
from layerwise.comparison.experiment import Experiment
from layerwise.comparison.rows import Rows, gather, gather_files
from layerwise.comparison.statistics import FEWEST_SEEDS, gain
from layerwise.intervals import mean_interval
from layerwise.plan import Plan
from layerwise.recipe import read_recipe
from layerwise.runs.folder import RunFolder
from layerwise.write import write_json, write_text

DOCS = Path(__file__).parent.parent / "docs"
OUT = DOCS / "results" / "few-labels"
SEEDS = 5
ARMS = {"pretrained": "pre-trained, pseudo-labels", "random": "random, pseudo-labels"}
PUBLISHED = {100: 10.49, 1000: 3.46, 3000: 2.69}  # Lee (2013), denoising auto-encoder, dropout and pseudo-labels
VALIDATION_LABELS, CHOOSING_SEED = 1000, 100
CANDIDATES: dict[str, list[str]] = {
    "as shipped": [],
    "rate 0.1": ["finetune.learning_rate=0.1"],
    "rate 0.05": ["finetune.learning_rate=0.05"],
    "input dropout 0.4": ["network.input_dropout=0.4"],
    "pseudo-labels above 0.95 only": ["finetune.pseudo_labels.threshold=0.95"],
    "pseudo-labels count three times": ["finetune.pseudo_labels.weight=3.0"],
}


def parts() -> Iterator[tuple[str, int]]:
    """Yield each arm and seed in the order in which they are measured."""
    for arm in ARMS:
        for seed in range(SEEDS):
            yield arm, seed


def measure(runs: Path, part: str | None = None) -> None:
    """Measure what has no file yet, each with the recipe's settings and its own labels and initial weights."""
    for arm, seed in parts():
        file = OUT / f"{arm}-{seed}.json"
        if file.exists() or part not in (None, file.stem):
            continue
        plan = read_recipe("mnist-few", ["compare.seeds=1", f"compare.random_state={seed}"])
        found = reached(plan, gather_files(plan.data, seed), arm, runs / f"{arm}-{seed}")
        write_json(file, found)
        told = {budget["labels"]: budget["error"] for budget in found["budgets"]}
        print(f"{arm} {seed}: {told} in {found['seconds']:.0f} s", flush=True)
    page()


def reached(plan: Plan, rows: Rows, name: str, folder: Path) -> dict[str, Any]:
    """Train one arm on one seed's budgets, and return what it reached on the test rows of each."""
    began = time.perf_counter()
    (arm,) = (arm for arm in arms_of(plan) if arm.name == name)
    experiment = Experiment(plan, rows, arms=[arm])
    found = experiment.run(RunFolder.open(folder, folder.exists(), f"{name} {plan}"))
    budgets = []
    for labels in experiment.budgets:
        outcome = found.outcomes[0, labels, arm.name]
        budgets.append(
            {
                "labels": labels,
                "error": outcome.error,
                "wrong": outcome.wrong.nonzero()[0].tolist(),
                "finetuning_seconds": outcome.seconds,
                "pretraining_seconds": sum(stage.seconds for stage in found.stages.get((0, labels, name), ())),
            }
        )
    return {
        "arm": name,
        "layerwise": version("layerwise"),
        "threads": torch.get_num_threads(),
        "test_rows": len(rows.test_inputs),
        "budgets": budgets,
        "seconds": time.perf_counter() - began,
    }


def choose(runs: Path) -> None:
    """Try every candidate on the pre-trained arm, tested on the held-out training rows; print and keep the errors."""
    rows = held_out_rows()
    tried: dict[str, Any] = {}
    for name, changes in CANDIDATES.items():
        folder = runs / "choose" / name.replace(" ", "-")
        file = folder.with_suffix(".json")
        if not file.exists():
            seed = f"compare.random_state={CHOOSING_SEED}"
            plan = read_recipe("mnist-few", ["compare.seeds=1", seed, *changes])
            write_json(file, reached(plan, rows, "pretrained", folder))
        tried[name] = {budget["labels"]: budget["error"] for budget in json.loads(file.read_text())["budgets"]}
        print(f"| {name} | {' | '.join(f'{error:.1f}' for error in tried[name].values())} |", flush=True)
    write_json(OUT / "choice.json", tried)


def held_out_rows() -> Rows:
    """Return the training rows with 1,000 of the last 10,000 as test rows; all 60,000 are there without a label."""
    mnist = lw.load_mnist()
    order = torch.randperm(10_000, generator=torch.Generator().manual_seed(7))
    held = (50_000 + order[:VALIDATION_LABELS]).numpy()
    targets = np.asarray(mnist.targets).copy()
    inputs, validation = mnist.inputs, (mnist.inputs[held], targets[held])
    targets[50_000:] = -1  # no label budget draws from where the held-out rows are
    return gather(inputs, targets, name="mnist", scale="auto", test=validation, random_state=CHOOSING_SEED)


def page() -> None:
    """Write the tables of docs/few-labels.md from the parts that are measured."""
    found = {arm: _measured(arm) for arm in ARMS}
    file = DOCS / "few-labels.md"
    text = _between(file.read_text(), "table", _errors(found))
    text = _between(text, "gain", _gains(found))
    choice = OUT / "choice.json"
    if choice.exists():
        text = _between(text, "choice", _choice(json.loads(choice.read_text())))
    write_text(file, text)


Measured = dict[int, dict[str, Any]]  # what a seed came to


def _measured(arm: str) -> Measured:
    files = {seed: OUT / f"{arm}-{seed}.json" for seed in range(SEEDS)}
    return {seed: json.loads(file.read_text()) for seed, file in files.items() if file.exists()}


def _errors(found: dict[str, Measured]) -> str:
    lines = ["| labels | arm | test error %, mean | 95 % interval | each seed | s a seed and budget | published |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for position, (labels, published) in enumerate(PUBLISHED.items()):
        for arm, runs in found.items():
            budgets = [run["budgets"][position] for run in runs.values()]
            if not budgets:
                continue
            interval = mean_interval([budget["error"] for budget in budgets])
            ends = f"{interval.low:.2f} to {interval.high:.2f}" if len(budgets) >= FEWEST_SEEDS else ""
            each = ", ".join(f"{budget['error']:.2f}" for budget in budgets)
            seconds = [budget["pretraining_seconds"] + budget["finetuning_seconds"] for budget in budgets]
            beside = f"{published:.2f}" if arm == "pretrained" else ""
            lines.append(
                f"| {labels:,} | {ARMS[arm]} | {interval.mean:.2f} | {ends} | {each} | "
                f"{min(seconds):.0f} to {max(seconds):.0f} | {beside} |"
            )
    return "\n".join(lines)


def _gains(found: dict[str, Measured]) -> str:
    lines = ["| labels | seeds | gain of pre-training, points | 95 % interval | wins |", "|---|---|---|---|---|"]
    seeds = sorted(set.intersection(*map(set, found.values())))
    if not seeds:
        return "Not measured yet."
    for position, labels in enumerate(PUBLISHED):
        wrong = {arm: _wrong([runs[seed] for seed in seeds], position) for arm, runs in found.items()}
        own = gain(wrong["random"], wrong["pretrained"])
        ends = "" if own.low is None else f"{own.low:.2f} to {own.high:.2f}"
        lines.append(f"| {labels:,} | {len(seeds)} | {own.gain:.2f} | {ends} | {own.wins} |")
    return "\n".join(lines)


def _wrong(runs: list[dict[str, Any]], position: int) -> np.ndarray:
    wrong = np.zeros((len(runs), runs[0]["test_rows"]), dtype=bool)
    for seed, run in enumerate(runs):
        wrong[seed, run["budgets"][position]["wrong"]] = True
    return wrong


def _choice(tried: dict[str, dict[str, float]]) -> str:
    lines = [f"| settings | {' | '.join(f'{labels:,} labels' for labels in PUBLISHED)} |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {' | '.join(f'{error:.1f}' for error in errors.values())} |" for name, errors in tried.items()
    ]
    return "\n".join(lines)


def _between(text: str, name: str, inner: str) -> str:
    """Return a text with what stands between two markers replaced."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = text.partition(start)
    return f"{before}{start}\n\n{inner}\n\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["choose", folder]:
            choose(Path(folder))
        case ["measure", folder, *part] if len(part) < 2:
            measure(Path(folder), *part)
        case ["page"]:
            page()
        case _:
            sys.exit(__doc__)
