"""Synthetic run folders: a comparison of five seeds and two budgets, and the tutorial's run of one seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerwise.report import Summary, read_summary

ERRORS = {  # budget -> arm -> test error of each seed, percent
    100: {"pretrained": [16.9, 17.8, 17.1, 18.2, 16.6], "random": [22.1, 23.0, 21.7, 22.9, 23.4]},
    1000: {"pretrained": [5.83, 5.97, 5.71, 6.12, 5.88], "random": [8.05, 7.82, 8.31, 8.14, 7.77]},
}
Line = dict[str, Any]

RECIPE = """name = "mnist"

[data]
source = "mnist"

[network]
hidden = [1000, 1000]
initializer = "glorot_sigmoid"

[pretrain]
objective = { kind = "denoising", corruption = { kind = "masking", rate = 0.4 } }
epochs = 15

[compare]
budgets = [100, 1000]
seeds = 5
"""


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """Return a function that writes a run folder of five seeds; its keyword changes what results.json says."""

    def make(folder: Path, **changes: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.toml").write_text(RECIPE)
        environment = {
            "layerwise": "0.1.0",
            "python": "3.11.7",
            "torch": "2.13.0",
            "numpy": "2.4.0",
            "scikit_learn": "1.9.0",
            "platform": "Linux-6.1-x86_64",
            "cpu": "AMD EPYC",
            "threads": 2,
            "matmul_route": "onednn",
            "started": "2026-11-22T00:00:00+00:00",
        }
        (folder / "environment.json").write_text(json.dumps(environment))
        (folder / "results.json").write_text(json.dumps({**_results(), **changes}))
        (folder / "tuning.json").write_text(json.dumps(_tuning()))
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in _history()))
        np.savez(folder / "arrays.npz", **_arrays())
        return folder

    return make


@pytest.fixture(scope="session")
def make_tutorial() -> Callable[[Path], Path]:
    """Return a function that writes the folder of a one-seed run of the Mocha tutorial."""

    def make(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        recipe = 'name = "mocha-tutorial"\n[network]\nhidden = [1000, 1000, 1000]\ninitializer = "mocha_early"\n'
        (folder / "recipe.toml").write_text(recipe)
        (folder / "environment.json").write_text('{"layerwise": "0.1.0", "started": "2026-11-22T00:00:00+00:00"}')
        budget = {
            "labels": 60000,
            "pretrained_error": 39.4,
            "random_error": 71.2,
            "gain": 31.8,
            "low": None,
            "high": None,
            "wins": 1,
            "pretrained_errors": [39.4],
            "random_errors": [71.2],
            "p_value": None,
            "p_holm": None,
            "headline": True,
            "pretrained_settings": {"learning_rate": 0.1, "epochs": 17},
            "random_settings": {"learning_rate": 0.1, "epochs": 17},
        }
        results = {
            **_results(),
            "verdict": "NO VERDICT",
            "headline": 60000,
            "seeds": 1,
            "budgets": [budget],
            "explanation": "One seed cannot carry a verdict: pre-trained 39.40 %, random 71.20 % at 60,000 labels.",
            "convergence": None,
            "baselines": [],
            "layers": _layers(seeds=1, stages=3),
            "by_layer": None,
            "cost": {
                "pretraining_seconds": [181.0],
                "finetuning_seconds": {"pretrained": [92.0], "random": [95.0]},
                "tuning_seconds": {},
                "baseline_seconds": None,
                "total_seconds": 372.0,
            },
        }
        (folder / "results.json").write_text(json.dumps(results))
        lines = [
            *_pretraining(0, 3),
            *_fine_tuning("seed-0/labels-60000/pretrained", 11000, 10200, 600, 5),
            *_fine_tuning("seed-0/labels-60000/random", 30000, 10200, 600, 5),
        ]
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder

    return make


@pytest.fixture(scope="session")
def run_dir(make_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that tests read and do not change."""
    return make_run(tmp_path_factory.mktemp("run") / "mnist")


@pytest.fixture(scope="session")
def tutorial_dir(make_tutorial: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tutorial's run folder, which tests read and do not change."""
    return make_tutorial(tmp_path_factory.mktemp("run") / "tutorial")


@pytest.fixture(scope="session")
def summary(run_dir: Path) -> Summary:
    """The five-seed run, read."""
    return read_summary(run_dir)


@pytest.fixture(scope="session")
def tutorial(tutorial_dir: Path) -> Summary:
    """The tutorial's run, read."""
    return read_summary(tutorial_dir)


def _results() -> dict[str, Any]:
    baselines = [
        ("logistic regression", 26.2, 10.2, {"C": 0.01}, 3.1),
        ("gradient boosting", 31.5, 9.1, {"rate": 0.1}, 41.0),
        ("nearest neighbours", 27.9, 11.4, {"k": 1}, 0.8),
        ("modern network", 21.4, 7.1, {"learning_rate": 0.001}, 20.0),
    ]
    return {
        "layerwise": "0.1.0",
        "verdict": "WORTH IT",
        "harmful": False,
        "preliminary": False,
        "control": False,
        "explanation": "At 1,000 labels pre-training takes the test error from 8.02 % to 5.90 %, a gain of 2.12 points "
        "(95 % interval 1.62 to 2.61), more than the 0.5 points asked for.",
        "headline": 1000,
        "seeds": 5,
        "min_gain": 0.5,
        "needed": None,
        "budgets": [_budget(100, 4.2, 6.4, 0.002, 0.002), _budget(1000, 1.62, 2.61, 0.0003, None)],
        "convergence": {
            "labels": 1000,
            "rows": 2000,
            "measured_on": "labelled rows outside every budget",
            "random_best_errors": [8.2, 8.0, 8.4, 8.1, 8.0],
            "pretrained_updates": [200, 240, 180, 220, 200],
            "random_updates": [1200, 1100, 1300, 1000, 1150],
            "pretrained_reached": [True] * 5,
            "pretrained_seconds": [2.1, 2.4, 1.9, 2.2, 2.1],
            "random_seconds": [12.2, 11.0, 13.1, 10.4, 11.8],
            "pretrained_seconds_with_pretraining": [92.1, 93.4, 91.9, 92.2, 94.1],
            "updates_saved": {"mean": 942.0, "low": 801.0, "high": 1083.0},
            "seconds_saved": {"mean": 9.6, "low": 8.2, "high": 11.0},
            "seconds_saved_with_pretraining": {"mean": -81.0, "low": -83.0, "high": -79.0},
            "statement": "converges faster",
        },
        "baselines": [
            {
                "name": name,
                "labels": labels,
                "error": error,
                "errors": [error - 0.3, error + 0.3, error, error - 0.1, error + 0.1],
                "settings": settings,
                "seconds": seconds,
            }
            for name, few, many, settings, seconds in baselines
            for labels, error in ((100, few), (1000, many))
        ],
        "cost": {
            "pretraining_seconds": [90.0, 91.0, 90.0, 90.0, 92.0],
            "finetuning_seconds": {"pretrained": [22.0] * 5, "random": [24.0] * 5},
            "tuning_seconds": {"pretrained": 30.0, "random": 31.0},
            "baseline_seconds": 80.0,
            "total_seconds": 812.0,
        },
        "layers": _layers(seeds=5, stages=2),
        "by_layer": _by_layer(),
        "data": {
            "name": "mnist",
            "training_rows": 60000,
            "labelled_rows": 60000,
            "test_rows": 10000,
            "features": 784,
            "image_shape": [28, 28],
            "classes": [str(digit) for digit in range(10)],
        },
    }


def _budget(labels: int, low: float, high: float, p: float, holm: float | None) -> dict[str, Any]:
    mine, theirs = ERRORS[labels]["pretrained"], ERRORS[labels]["random"]
    here, there = float(np.mean(mine)), float(np.mean(theirs))
    return {
        "labels": labels,
        "pretrained_error": here,
        "random_error": there,
        "gain": there - here,
        "low": low,
        "high": high,
        "wins": 5,
        "pretrained_errors": mine,
        "random_errors": theirs,
        "p_value": p,
        "p_holm": holm,
        "headline": labels == 1000,
        "pretrained_settings": {"learning_rate": 0.1, "epochs": 60},
        "random_settings": {"learning_rate": 0.1, "epochs": 80},
    }


def _layers(seeds: int, stages: int) -> list[dict[str, Any]]:
    return [
        {
            "seed": seed,
            "stage": stage,
            "layer": str(2 * stage - 2),
            "objective": "denoising",
            "units": 1000,
            "loss_name": "cross_entropy",
            "loss": 72.0 / stage + seed,
            "mean_predictor_loss": 206.0 / stage,
        }
        for seed in range(seeds)
        for stage in range(1, stages + 1)
    ]


def _by_layer() -> dict[str, Any]:
    def layer(name: str, moved: float, before: float, after: float) -> dict[str, Any]:
        return {
            "layer": name, "units": 1000, "distance": 40 * moved, "relative": moved, "cosine": 1 - moved**2 / 2,
            "gradient_norm": moved / 3, "probe_before": before, "probe_after": after, "saturated_before": 0.3,
            "saturated_after": 0.25, "dead_before": 0.012, "dead_after": 0.01,
        }  # fmt: skip

    def head(relative: float) -> dict[str, Any]:
        return {"layer": "4", "distance": 2.0, "relative": relative, "cosine": 0.9, "gradient_norm": 0.9}

    arms = {
        "pretrained": {
            "layers": [layer("0", 0.05, 8.5, 6.5), layer("2", 0.11, 9.25, 5.75), head(1.5)],
            "noise_errors": [5.9, 7.0, 12.0],
        },
        "random": {
            "layers": [layer("0", 0.08, 11.5, 9.5), layer("2", 0.09, 12.5, 8.25), head(1.7)],
            "noise_errors": [8.0, 10.0, 20.0],
        },
    }
    common = {"inputs_probe": 12.75, "left_out": [], "seconds": 3.0}
    return {
        "labels": 1000, "seed": 0, "rows": 2000, "measured_on": "labelled rows outside every budget",
        "strengths": [0.0, 0.2, 0.4], "arms": {arm: {**common, **own} for arm, own in arms.items()},
    }  # fmt: skip


def _tuning() -> list[dict[str, Any]]:
    return [
        {
            "labels": labels,
            "arm": arm,
            "settings": {"learning_rate": rate, "epochs": 60},
            "folds": 5 if labels == 100 else 1,
            "rows_trained": labels * 3 // 4,
            "rows_validated": labels // 4,
            "validation_error": 7.0 + abs(rate - 0.1) * 10,
            "chosen": rate == 0.1,
            "seconds": 11.0,
        }
        for labels in (100, 1000)
        for arm in ("pretrained", "random", "modern")
        for rate in (0.05, 0.1, 0.2)
    ]


def _history() -> Iterator[Line]:
    for seed in range(5):
        yield from _pretraining(seed, 2)
        for labels in (100, 1000):
            every = labels // 50
            yield from _fine_tuning(
                f"seed-{seed}/labels-{labels}/pretrained",
                (1.6 + 0.3 * seed) * every,
                60 * every,
                every,
                5.6 + seed / 10,
            )
            yield from _fine_tuning(
                f"seed-{seed}/labels-{labels}/random", (7 + 0.8 * seed) * every, 80 * every, every, 8.0 + seed / 10
            )


def _pretraining(seed: int, stages: int) -> Iterator[Line]:
    for stage in range(1, stages + 1):
        for epoch in range(1, 16):
            loss = (70 + 2 * seed + 120 * np.exp(-epoch / 2.5)) / stage
            yield {
                "fit": f"seed-{seed}/pretrain/{stage}",
                "update": 600 * epoch,
                "epoch": float(epoch),
                "training_loss": loss,
                "learning_rate": 0.1,
                "seconds": 3.2 * epoch,
            }


def _fine_tuning(fit: str, slowness: float, last: int, every: int, floor: float) -> Iterator[Line]:
    """Give lines of a fit that falls from 90 % error to a floor."""
    rough = np.random.default_rng(len(fit) + int(10 * floor))
    for update in range(0, last + 1, every):
        left = float(np.exp(-update / slowness))
        line: Line = {
            "fit": fit,
            "update": update,
            "epoch": update / every,
            "seconds": 0.01 * update,
            "validation_error": min(90.0, floor + (90 - floor) * left + float(rough.normal(0, 0.15))),
            "validation_loss": 2.3 * left + 0.2,
            "learning_rate": 0.1,
        }
        if update:
            line["training_loss"] = 2.3 * left + 0.003 + 0.4 / update
        yield line


def _arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(7)
    y, x = np.mgrid[0:28, 0:28]

    def blobs(n: int) -> np.ndarray:
        centre, width = draw.uniform(6, 22, (n, 2, 1, 1)), draw.uniform(2, 5, (n, 1, 1))
        return np.exp(-((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2) / (2 * width**2)).reshape(n, 784)

    clean = np.clip(blobs(16) + blobs(16), 0, 1)
    noise = draw.normal(0, 0.12, (100, 784))
    return {
        "filters": blobs(100) - 0.7 * blobs(100) + 0.3 * noise,
        "filters_random": noise,
        "reconstruction_input": clean,
        "reconstruction_noisy": clean * (draw.random(clean.shape) > 0.4),
        "reconstruction_output": np.clip(clean + draw.normal(0, 0.03, clean.shape), 0, 1),
    }
