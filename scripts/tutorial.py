"""The Mocha tutorial's whole experiment: both arms, the early initialiser for 1,000 epochs, the fixed one for 167.

    python scripts/tutorial.py measure RUNS    train the four arms, two at a time: docs/results/tutorial/
    python scripts/tutorial.py page            write the pictures and the tables from what was measured

All settings are those of the recipe mocha-tutorial. Pre-training and the early arms' first 100,200 updates of
fine-tuning are made in float32: with weights that small, rows differ by less than bfloat16 can tell. The early arms'
other 499,800 updates and the fixed arms' 100,200 are made in bfloat16. All is resumable. Needs matplotlib (the extra
``docs``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib

import layerwise as lw
from layerwise.nn.networks import build_network
from layerwise.randomness import Randomness
from layerwise.recipe import read_recipe
from layerwise.write import write_json, write_text

matplotlib.use("svg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent.parent / "docs"
OUT = DOCS / "results" / "tutorial"
INITIALIZERS = {"early": "mocha-early", "fixed": "xavier"}
# Of each initialiser's fine-tuning: name, epochs and precision of the parts.
PARTS = {
    "early": (("first", 167, None), ("rest", 833, "bfloat16")),
    "fixed": (("first", 167, "bfloat16"),),
}  # fmt: skip
# In this order: what the published curves show best comes first.
ORDER = [
    ("early-random", 1), ("early-pretrained", 1), ("fixed-random", 1), ("fixed-pretrained", 1),
    ("early-random", 2), ("early-pretrained", 2),
]  # fmt: skip
COLOURS = {"pretrained": "#0072b2", "random": "#d55e00"}
NAMES = {"pretrained": "pre-trained", "random": "random"}
SIDES = {"early": "as published: weights about 30 times too small", "fixed": "initialiser corrected"}
TITLES = {f"{side}-{arm}": f"{name}, `{INITIALIZERS[side]}`" for side in SIDES for arm, name in NAMES.items()}
TITLES |= {arm: f"{title} (published)" for arm, title in TITLES.items() if arm.startswith("early")}
# What the tutorial published (its figures, read off): update, accuracy, loss.
PUBLISHED = {
    "early-pretrained": [
        (5000, 0.292, 1.90), (10_000, 0.599, 1.27), (20_000, 0.911, 0.35), (30_000, 0.946, 0.15), (50_000, 0.967, 0.05),
        (100_000, 0.974, 0.009), (600_000, 0.9752, 0.0),
    ],
    "early-random": [
        (5000, 0.096, 2.27), (10_000, 0.261, 2.04), (20_000, 0.487, 1.38), (30_000, 0.624, 1.14), (50_000, 0.761, 0.71),
        (100_000, 0.963, 0.05), (600_000, 0.9697, 0.0),
    ],
}  # fmt: skip
TABLE = (2500, 5000, 7500, 10_000, 20_000, 30_000, 50_000, 100_000, 200_000, 300_000, 400_000, 500_000, 600_000)
BEGIN, END = "<!-- the curves -->", "<!-- end of the curves -->"


def measure(runs: Path) -> None:
    """Train every part of every arm, each in a process of its own."""

    def run(job: tuple[str, int]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        command = [sys.executable, __file__, "arm", str(runs), job[0], str(job[1])]
        subprocess.run(command, check=True, env=environment)

    workers = int(os.environ.get("WORKERS", "2"))
    for start in range(0, len(ORDER), workers):
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(run, ORDER[start : start + workers]))


def measure_arm(runs: Path, arm: str, parts: int) -> None:
    """Train an arm as far as its first parts go, and write down its curve."""
    plan = read_recipe("mocha-tutorial")
    initializer, kind = arm.split("-")
    mnist = lw.load_mnist(scale=256.0)
    sizes = plan.network.hidden_layer_sizes
    network = build_network(
        784, sizes, 10, activation="sigmoid", initializer=INITIALIZERS[initializer], randomness=Randomness(0)
    )
    stages: list[dict[str, Any]] = []
    if (OUT / f"{arm}.json").exists() and (runs / arm / PARTS[initializer][0][0]).exists():
        # the weights that fine-tuning began with are in its own folder
        stages = json.loads((OUT / f"{arm}.json").read_text())["stages"]
    elif kind == "pretrained":
        result = lw.pretrain(
            network, mnist.inputs, random_state=0, **dict(plan.pretrain), **_at(runs / arm / "pretrain")
        )
        stages = [{"layer": stage.layer, "loss": stage.loss, "seconds": stage.seconds} for stage in result.history]
    records: list[dict[str, Any]] = []
    for number, (name, epochs, precision) in enumerate(PARTS[initializer][:parts]):
        own = {**dict(plan.finetune), "epochs": epochs, "precision": precision, **_at(runs / arm / name)}
        made = records[-1]["update"] if records else 0
        found = lw.finetune(
            network, mnist.inputs, mnist.targets, validation=(mnist.test_inputs, mnist.test_targets),
            random_state=number, **own,
        )  # fmt: skip
        records += [{**record, "update": record["update"] + made} for record in found.history if record["update"]]
    keys = ("update", "training_loss", "validation_error")
    curve = [{key: record[key] for key in keys if key in record} for record in records]
    write_json(OUT / f"{arm}.json", {"layerwise": version("layerwise"), "stages": stages, "curve": curve})


def _at(folder: Path) -> dict[str, Any]:
    return {"run_dir": folder, "resume": folder.exists()}


def page() -> None:
    """Draw both pictures, and write the table of the document, from the curves that were measured."""
    curves = {path.stem: json.loads(path.read_text())["curve"] for path in sorted(OUT.glob("*.json"))}
    plt.rcParams["svg.hashsalt"] = "layerwise"
    _draw(curves, "tutorial-loss", "training loss (cross-entropy)", lambda found: found.get("training_loss"))
    _draw(curves, "tutorial-accuracy", "test accuracy", _accuracy)
    lines = [
        "| updates of fine-tuning | " + " | ".join(TITLES[arm] for arm in curves) + " |",
        "|---" * (1 + len(curves)) + "|",
    ]
    for update in TABLE:
        if any(record["update"] == update for curve in curves.values() for record in curve):
            cells = [_cell(arm, curve, update) for arm, curve in curves.items()]
            lines.append(f"| {update:,} | " + " | ".join(cells) + " |")
    document = DOCS / "mocha-tutorial.md"
    before, rest = document.read_text().split(BEGIN)
    write_text(document, before + BEGIN + "\n".join(["", *lines, ""]) + END + rest.split(END)[1])


def _accuracy(record: dict[str, float]) -> float | None:
    error = record.get("validation_error")
    return None if error is None else 1 - error / 100


def _cell(arm: str, curve: list[dict[str, float]], update: int) -> str:
    found = next((_accuracy(record) for record in curve if record["update"] == update), None)
    published = next((accuracy for at, accuracy, _ in PUBLISHED.get(arm, ()) if at == update), None)
    shown = "" if found is None else f"{found:.3f}".lstrip("0")
    return f"{shown} ({f'{published:.4g}'.lstrip('0')})" if published is not None else shown


def _draw(
    curves: dict[str, list[dict[str, float]]], name: str, label: str, value: Callable[[dict[str, float]], float | None]
) -> None:
    """Draw one picture: the tutorial's initialiser on the left, the corrected one on the right."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    for axis, (kind, title) in zip(axes, SIDES.items(), strict=True):
        for arm, colour in COLOURS.items():
            points = [(record["update"], value(record)) for record in curves.get(f"{kind}-{arm}", ())]
            seen = [(update, found) for update, found in points if found is not None]
            axis.plot(*zip(*seen, strict=True), color=colour, label=NAMES[arm])
            if published := PUBLISHED.get(f"{kind}-{arm}"):
                column = 1 if name == "tutorial-accuracy" else 2
                axis.plot([point[0] for point in published], [point[column] for point in published], "o", mfc="none",
                          color=colour, label=f"{NAMES[arm]}, published")  # fmt: skip
        axis.set(title=title, xlabel="updates of fine-tuning", xscale="log", xlim=(1000, None))
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel(label)
    axes[0].legend(frameon=False, fontsize="small")
    figure.savefig(DOCS / "images" / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", folder]:
            measure(Path(folder))
        case ["arm", folder, arm, parts]:
            measure_arm(Path(folder), arm, int(parts))
        case ["page"]:
            page()
        case _:
            sys.exit(__doc__)
