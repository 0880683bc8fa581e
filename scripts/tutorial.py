"""The Mocha tutorial's whole experiment: both arms, the early initialiser for 1,000 epochs, the fixed one for 167.

    python scripts/tutorial.py measure RUNS    train the four arms, two at a time: docs/results/tutorial/
    python scripts/tutorial.py page            write the pictures and the tables from what was measured

All settings are those of the recipe mocha-tutorial. The first 100,200 updates of fine-tuning and all of pre-training
are made in float32: with weights as small as the early initialiser's, rows differ by less than bfloat16 can tell. The
early arms' other 499,800 updates are made in bfloat16. All is resumable.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import layerwise as lw
from layerwise.nn.networks import build_network
from layerwise.randomness import Randomness
from layerwise.recipe import read_recipe
from layerwise.write import write_json

OUT = Path(__file__).parent.parent / "docs" / "results" / "tutorial"
INITIALIZERS = {"early": "mocha-early", "fixed": "xavier"}
EPOCHS = {"first": 167, "rest": 833}
# In this order: what the published curves show best comes first.
PARTS = [
    ("early-random", "first"), ("early-pretrained", "first"), ("fixed-random", "first"), ("fixed-pretrained", "first"),
    ("early-random", "rest"), ("early-pretrained", "rest"),
]  # fmt: skip


def measure(runs: Path) -> None:
    """Train every part of every arm, each in a process of its own."""

    def run(part: tuple[str, str]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        subprocess.run([sys.executable, __file__, "arm", str(runs), *part], check=True, env=environment)

    for pair in (PARTS[:2], PARTS[2:4], PARTS[4:]):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, pair))


def measure_part(runs: Path, arm: str, part: str) -> None:
    """Train one part of an arm, after those before it, and write down its curve."""
    plan = read_recipe("mocha-tutorial")
    initializer, kind = arm.split("-")
    mnist = lw.load_mnist(scale=256.0)
    sizes = plan.network.hidden_layer_sizes
    network = build_network(
        784, sizes, 10, activation="sigmoid", initializer=INITIALIZERS[initializer], randomness=Randomness(0)
    )
    stages: list[dict[str, Any]] = []
    if kind == "pretrained":
        result = lw.pretrain(
            network, mnist.inputs, random_state=0, **dict(plan.pretrain), **_at(runs / arm / "pretrain")
        )
        stages = [{"layer": stage.layer, "loss": stage.loss, "seconds": stage.seconds} for stage in result.history]
    records: list[dict[str, Any]] = []
    for name in list(EPOCHS)[: list(EPOCHS).index(part) + 1]:
        precision = "bfloat16" if name == "rest" else None
        own = {**dict(plan.finetune), "epochs": EPOCHS[name], "precision": precision, **_at(runs / arm / name)}
        made = records[-1]["update"] if records else 0
        found = lw.finetune(
            network, mnist.inputs, mnist.targets, validation=(mnist.test_inputs, mnist.test_targets),
            random_state=list(EPOCHS).index(name), **own,
        )  # fmt: skip
        records += [{**record, "update": record["update"] + made} for record in found.history if record["update"]]
    keys = ("update", "training_loss", "validation_error")
    curve = [{key: record[key] for key in keys if key in record} for record in records]
    write_json(OUT / f"{arm}.json", {"layerwise": version("layerwise"), "stages": stages, "curve": curve})


def _at(folder: Path) -> dict[str, Any]:
    return {"run_dir": folder, "resume": folder.exists()}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", folder]:
            measure(Path(folder))
        case ["arm", folder, arm, part]:
            measure_part(Path(folder), arm, part)
        case _:
            sys.exit(__doc__)
