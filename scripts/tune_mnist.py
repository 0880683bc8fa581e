"""How the recipes `mnist` and `mnist-full` were chosen: candidates compared on training rows alone.

The last 10,000 of MNIST's training rows stand in for test rows; all other rows come from the first 50,000.
MNIST's own test rows are not read.

    python scripts/tune_mnist.py runs/tuning few         1,000 labels, both arms tuned; about 3 minutes a candidate
    python scripts/tune_mnist.py runs/tuning full        50,000 labels; about 15 minutes a candidate

One seed a candidate; finished candidates are not repeated. Prints a table of errors.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import layerwise as lw

Settings = dict[str, dict[str, Any]]
BASE: Settings = {
    "network": {"activation": "relu", "input_dropout": 0.2, "dropout": 0.5},
    "pretrain": {"epochs": 6, "learning_rate": (0.02, 0.005), "schedule": {"kind": "linear"}},
    "finetune": {"epochs": 80},
}
RATES = {"relu": (0.01, 0.02, 0.04), "sigmoid": (0.05, 0.1, 0.2)}
SIGMOID: Settings = {
    "network": {"activation": "sigmoid"},
    "pretrain": {"learning_rate": 0.1},
}
MASKING = lw.DenoisingAutoencoder(lw.Masking(0.4))
CANDIDATES: dict[str, tuple[Any, Settings]] = {
    "as shipped: ReLU, masking 0.4, 6 epochs": (MASKING, {}),
    "sigmoid": (MASKING, SIGMOID),
    "masking 0.25": (lw.DenoisingAutoencoder(lw.Masking(0.25)), {}),
    "12 epochs": (MASKING, {"pretrain": {"epochs": 12}}),
    "learning rate auto": (MASKING, {"pretrain": {"learning_rate": "auto"}}),
    "no dropout": (MASKING, {"network": {"input_dropout": 0.0, "dropout": 0.0}}),
}


FULL: Settings = {
    "network": {"activation": "relu", "initializer": "glorot", "input_dropout": 0.2, "dropout": 0.5},
    "pretrain": {"epochs": 6, "learning_rate": (0.02, 0.005), "schedule": {"kind": "linear"}},
    "finetune": {"epochs": 40, "batch_size": 100, "learning_rate": 0.05, "schedule": {"kind": "linear"}},
}
LIGHT = lw.DenoisingAutoencoder(lw.Masking(0.3))
FULL_CANDIDATES: dict[str, tuple[Any, Settings]] = {
    "as shipped: rate 0.05": (LIGHT, {}),
    "rate 0.025": (LIGHT, {"finetune": {"learning_rate": 0.025}}),
    "rate 0.1, norms at most 2": (LIGHT, {"finetune": {"learning_rate": 0.1, "max_norm": 2.0}}),
}
STUDIES: dict[str, tuple[Settings, dict[str, tuple[Any, Settings]], dict[str, Any]]] = {
    "few": (BASE, CANDIDATES, {"budgets": [1000]}),
    "full": (FULL, FULL_CANDIDATES, {"budgets": [50_000], "tune": False}),
}


def main(out: str, study: str) -> None:
    """Run every candidate that is not finished, and print the table."""
    base, candidates, words = STUDIES[study]
    mnist = lw.load_mnist()
    print("| candidate | pre-trained | random |\n|---|---|---|")
    for name, (objective, changes) in candidates.items():
        folder = Path(out) / f"{study}-{name}".replace(":", "").replace(",", "").replace(" ", "-")
        results = folder / "results.json"
        if not results.exists():
            settings = {table: {**values, **changes.get(table, {})} for table, values in base.items()}
            lw.compare(
                mnist.inputs[:50_000],
                mnist.targets[:50_000],
                test=(mnist.inputs[50_000:], mnist.targets[50_000:]),
                objective=objective,
                seeds=1,
                baselines=[],
                learning_rates=RATES[settings["network"]["activation"]],
                settings=settings,
                run_dir=folder,
                resume=folder.exists(),
                **words,
            )
        found = json.loads(results.read_text())["budgets"][0]
        print(f"| {name} | {found['pretrained_error']:.2f} | {found['random_error']:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
