"""Every objective on MNIST at 1,000 and 10,000 labels, beside the random arm, every arm tuned alike.

    python scripts/objectives.py tune RUNS       choose each objective's settings on training rows held out for that
    python scripts/objectives.py measure RUNS    measure the chosen ones on the test rows: docs/results/objectives/
    python scripts/objectives.py page            write docs/results.md from what was measured

All is resumable: a finished arm or candidate has its file and is not repeated, an unfinished one continues from its run
folder. `measure` trains two arms at a time, one thread each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import layerwise as lw
from layerwise.comparison.arms import Arm
from layerwise.comparison.experiment import Experiment
from layerwise.comparison.rows import Rows, gather
from layerwise.comparison.statistics import gain
from layerwise.plan import Plan, PretrainPlan
from layerwise.recipe import check
from layerwise.runs.folder import RunFolder
from layerwise.write import write_json, write_text

DOCS = Path(__file__).parent.parent / "docs"
OUT = DOCS / "results" / "objectives"
LINEAR = {"kind": "linear"}
# The settings that `tune` chose; each objective's candidates are below.
CHOSEN: dict[str, dict[str, Any] | None] = {
    "random": None,
    "autoencoder": {"objective": "autoencoder", "learning_rate": 0.1},
    "denoising": {"objective": lw.DenoisingAutoencoder(lw.Masking(0.4)), "learning_rate": 0.1},
    "contractive": {"objective": lw.ContractiveAutoencoder(0.5), "learning_rate": 0.1},
    "sparse": {"objective": lw.SparseAutoencoder(lw.KLSparsity(1.0, target=0.1)), "learning_rate": 0.1},
    "rbm": {"objective": lw.RBM(), "learning_rate": 0.1, "momentum": 0.5},
    "psd": {"objective": lw.PredictiveSparseDecomposition(steps=5), "learning_rate": 0.01},
    "supervised": {"objective": "supervised", "learning_rate": 0.1, "momentum": 0.9, "epochs": 60},
    "ranking": {"objective": lw.RankingLayer(negatives=4), "optimizer": "adam", "learning_rate": 0.003},
}
CANDIDATES: dict[str, dict[str, Any] | None] = {
    "random": None,
    "autoencoder, rate 0.1": {"objective": "autoencoder", "learning_rate": 0.1},
    "contractive, 0.1, rate 0.1": {"objective": lw.ContractiveAutoencoder(0.1), "learning_rate": 0.1},
    "rbm, CD-1, rate 0.1": {"objective": lw.RBM(), "learning_rate": 0.1, "momentum": 0.5},
    "sparse, 1 to 0.1, rate 0.1": {
        "objective": lw.SparseAutoencoder(lw.KLSparsity(1.0, target=0.1)), "learning_rate": 0.1
    },
    "psd, rate 0.01": {"objective": lw.PredictiveSparseDecomposition(steps=5), "learning_rate": 0.01},
    "ranking, Adam 0.003": {
        "objective": lw.RankingLayer(negatives=4), "optimizer": "adam", "learning_rate": 0.003
    },
    "supervised, rate 0.1": {"objective": "supervised", "learning_rate": 0.1, "momentum": 0.9, "epochs": 60},
    "denoising, masking 0.4, rate 0.1": {"objective": lw.DenoisingAutoencoder(lw.Masking(0.4)), "learning_rate": 0.1},
    "contractive, 0.5, rate 0.1": {"objective": lw.ContractiveAutoencoder(0.5), "learning_rate": 0.1},
}  # fmt: skip


def plan_of(budgets: list[int], seeds: int) -> Plan:
    """Return what all arms share."""
    return check(
        Plan,
        {
            "name": "objectives",
            "network": {"hidden_layer_sizes": (1000, 1000), "activation": "sigmoid"},
            "pretrain": {"objective": "none"},
            "finetune": {"epochs": 60, "batch_size": 50, "momentum": 0.9},
            "compare": {
                "budgets": budgets, "seeds": seeds, "learning_rates": (0.03, 0.1, 0.3), "max_updates": 3000,
                "baselines": [],
            },
        },
        "the study",
    )  # fmt: skip


def measured(name: str, settings: dict[str, Any] | None, rows: Rows, plan: Plan, folder: Path) -> dict[str, Any]:
    """Train one arm on every seed and budget, and return what it reached."""
    began = time.perf_counter()
    pretrain = None
    if settings is not None:
        pretrain = check(PretrainPlan, {"epochs": 4, "batch_size": 100, "schedule": LINEAR, **settings}, name)
    rates = plan.compare.learning_rates
    arm = Arm("pretrained" if pretrain else "random", "network", pretrain, plan.network, plan.finetune, rates)
    experiment = Experiment(plan, rows, arms=[arm])
    found = experiment.run(RunFolder.open(folder, folder.exists(), f"{name} {settings} {plan}"))
    keys = {labels: [(seed, labels, arm.name) for seed in range(plan.compare.seeds)] for labels in experiment.budgets}
    return {
        "name": name,
        "layerwise": version("layerwise"),
        "pretrain": pretrain.model_dump(mode="json") if pretrain else None,
        "test_rows": len(rows.test_inputs),
        "budgets": [
            {
                "labels": labels,
                "errors": [found.outcomes[key].error for key in own],
                "wrong": [found.outcomes[key].wrong.nonzero()[0].tolist() for key in own],
                "settings": found.settings[labels, arm.name],
                "pretraining_seconds": [sum(stage.seconds for stage in found.stages.get(key, ())) for key in own],
            }
            for labels, own in keys.items()
        ],
        "seconds": time.perf_counter() - began,
    }


def tune(out: Path) -> None:
    """Try every candidate on 20,000 training rows and 1,000 labels; rows 50,000 to 60,000 stand in for test rows."""
    mnist = lw.load_mnist()
    rows = gather(
        mnist.inputs[:20_000], mnist.targets[:20_000], name="mnist", scale="auto",
        test=(mnist.inputs[50_000:], mnist.targets[50_000:]), random_state=0,
    )  # fmt: skip
    tried: dict[str, float] = {}
    print("| candidate | error % |\n|---|---|", flush=True)
    for name, settings in CANDIDATES.items():
        file = out / f"{name.replace(', ', '-').replace(' ', '-')}.json"
        if not file.exists():
            write_json(file, measured(name, settings, rows, plan_of([1000], 1), file.with_suffix("")))
        tried[name] = json.loads(file.read_text())["budgets"][0]["errors"][0]
        print(f"| {name} | {tried[name]:.2f} |", flush=True)
    write_json(DOCS / "results" / "tuning.json", tried)


def measure(runs: Path) -> None:
    """Measure every chosen arm that has no file yet, two at a time, each in a process of its own."""
    missing = [name for name in CHOSEN if not (OUT / f"{name}.json").exists()]

    def run(name: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        subprocess.run([sys.executable, __file__, "arm", str(runs), name], check=True, env=environment)

    with ThreadPoolExecutor(int(os.environ.get("WORKERS", "2"))) as pool:
        list(pool.map(run, missing))
    page()


def measure_arm(runs: Path, name: str) -> None:
    """Measure one arm."""
    mnist = lw.load_mnist()
    rows = gather(
        mnist.inputs, mnist.targets, name="mnist", scale="auto", test=(mnist.test_inputs, mnist.test_targets),
        random_state=0,
    )  # fmt: skip
    found = measured(name, CHOSEN[name], rows, plan_of([1000, 10_000], 3), runs / name)
    write_json(OUT / f"{name}.json", found)
    errors = {budget["labels"]: budget["errors"] for budget in found["budgets"]}
    print(f"{name}: {errors} in {found['seconds'] / 60:.1f} min", flush=True)


def page() -> None:
    """Write docs/results.md from the arms that are measured."""
    found = {name: json.loads((OUT / f"{name}.json").read_text()) for name in CHOSEN if (OUT / f"{name}.json").exists()}
    text = (DOCS / "results" / "page.md").read_text()
    filled = {"minutes": f"{sum(arm['seconds'] for arm in found.values()) / 60:.0f}"}
    for position, labels in enumerate((1000, 10_000)):
        lines = ["| objective | test error % | gain over random | 95 % interval | wins | pre-training, s a seed |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [
            _line(name, arm["budgets"][position], found["random"]["budgets"][position], arm["test_rows"])
            for name, arm in found.items()
        ]
        filled[f"table {labels}"] = "\n".join(lines)
    for key, folder in (("full", "mnist-full"), ("conv", "conv-autoencoder"), ("own", "any-network")):
        filled[key] = _compared(DOCS / "results" / folder / "results.json")
    tried = json.loads((DOCS / "results" / "tuning.json").read_text())
    rows = [f"| {name} | {error:.2f} |" for name, error in tried.items()]
    filled["tuning"] = "\n".join(["| candidate | error % |", "|---|---|", *rows])
    for key, value in filled.items():
        text = text.replace(f"<!-- {key} -->", value)
    write_text(DOCS / "results.md", text)


def _compared(file: Path) -> str:
    """Say what a comparison found."""
    (budget,) = json.loads(file.read_text())["budgets"]
    arms = [
        f"{name} {budget[f'{arm}_error']:.2f} % ({', '.join(f'{error:.2f}' for error in budget[f'{arm}_errors'])})"
        for arm, name in (("pretrained", "pre-trained"), ("random", "random"))
    ]
    return f"{', '.join(arms)}; gain {budget['gain']:.2f} ({budget['low']:.2f} to {budget['high']:.2f})."


def _line(name: str, own: dict[str, Any], random: dict[str, Any], rows: int) -> str:
    error = f"{sum(own['errors']) / len(own['errors']):.2f} ({', '.join(f'{e:.2f}' for e in own['errors'])})"
    if name == "random":
        return f"| random | {error} | | | | |"
    found = gain(_wrong(random, rows), _wrong(own, rows))
    seconds = sum(own["pretraining_seconds"]) / len(own["pretraining_seconds"])
    return (
        f"| [{name}](objectives/{name}.md) | {error} | {found.gain:.2f} | "
        f"{found.low:.2f} to {found.high:.2f} | {found.wins} of {len(own['errors'])} | {seconds:.0f} |"
    )


def _wrong(budget: dict[str, Any], rows: int) -> np.ndarray:
    wrong = np.zeros((len(budget["wrong"]), rows), dtype=bool)
    for seed, positions in enumerate(budget["wrong"]):
        wrong[seed, positions] = True
    return wrong


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["tune", folder]:
            tune(Path(folder))
        case ["measure", folder]:
            measure(Path(folder))
        case ["arm", folder, name]:
            measure_arm(Path(folder), name)
        case ["page"]:
            page()
        case _:
            sys.exit(__doc__)
