"""Result files of many runs, small and made up."""

from __future__ import annotations

from typing import Any

INTERVAL = {"mean": -0.1, "low": -0.2, "high": -0.05, "p_value": 0.01}
REGIONS = {
    "within": {"pretrained": 0.2, "random": 0.3},
    "between": 0.5,
    "purity": 1.0,
    "chance": 0.4,
    "silhouette": 0.6,
}
SPREAD = {"seeds": 3, "mean": 8.0, "low": 7.0, "high": 9.0, "std": 0.5, "std_low": 0.3, "std_high": 1.2,
          "quartiles": [7.5, 8.0, 8.5]}  # fmt: skip
TRAJECTORIES: dict[str, Any] = {
    "layerwise": "1.2.3", "updates": [0, 10, 100], "epochs": [0, 0.5, 5], "watched": 1000,
    "runs": [
        {"arm": arm, "seed": seed, "isomap": [[at, seed] for at in (0, 1, 2)], "tsne": [[at, seed] for at in (5, 6, 7)]}
        for arm in ("pretrained", "random") for seed in range(2)
    ],
    "regions": [REGIONS] * 3, "end": REGIONS, "sentence": "The two regions do not overlap.",
}  # fmt: skip
EQUAL: dict[str, Any] = {
    "levels": [1.0, 0.1], "pretrained": [1.0, 0.4], "random": [1.1, 0.5], "differences": [INTERVAL, INTERVAL],
    "seeds": [2, 2], "sentence": "That speaks for regularisation.",
    "curves": [{"arm": "random", "seed": 0, "training": [1.0, 0.1], "test": [1.1, 0.5]},
               {"arm": "pretrained", "seed": 0, "training": [1.0, 0.05], "test": [1.0, 0.4]}],
}  # fmt: skip
DEPTH: dict[str, Any] = {
    "initializers": [
        {"initializer": "glorot", "sentence": "It does not show.", "depths": [
            {"depth": depth, "errors": {"pretrained": [7.0, 8.0, 9.0], "random": [8.0, 9.0, 80.0]},
             "spread": {"pretrained": SPREAD, "random": SPREAD}, "equal_spreads": {"ratio": None, "p_value": 0.5},
             "gain": INTERVAL} for depth in (1, 2)
        ]}
    ]
}  # fmt: skip
LAYERS: dict[str, Any] = {
    "initializers": [
        {"initializer": "glorot", "arms": [
            {"name": "random", "errors": [9.0, 10.0], "error": INTERVAL, "gain": None},
            {"name": "layers 2, 3<b>", "errors": [8.0, 9.0], "error": INTERVAL, "gain": INTERVAL},
        ]}
    ]
}  # fmt: skip
FILES = {"trajectories": TRAJECTORIES, "equal-loss": EQUAL, "depth": DEPTH, "layers": LAYERS}
