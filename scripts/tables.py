"""Real tables: our classifier pre-trained and random beside four others, at three label budgets, each tuned alike.

    python scripts/tables.py measure RUNS           all tables: three seeds of each, then the two that are left
    python scripts/tables.py measure RUNS TABLE     one of them, all seeds
    python scripts/tables.py page                   docs/results.md and the picture, from what was measured

Resumable: each seed, budget and method of a table has its file in RUNS and is not repeated; docs/results/tables/ has a
file for each table, of the seeds that are finished. Every method chooses among six settings by the same folds of the
budget's labelled rows, and is fitted again on all of them; the test rows are predicted once. Takes the packages of
`tables_data.INSTALL`; without them the tables they hold are left out, and it says so. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tables_data import TABLES, RealTable, facts, missing
from tables_methods import Candidate, Known, Method, Predict, methods

import layerwise as lw
from layerwise.comparison.budgets import nested_budgets, split_test, validation_folds
from layerwise.comparison.statistics import gain
from layerwise.comparison.verdict import decide
from layerwise.errors import DivergenceError
from layerwise.plan import ComparePlan
from layerwise.randomness import Randomness
from layerwise.write import write_json

OUT = Path(__file__).parent.parent / "docs" / "results" / "tables"
BUDGETS = (50, 200, 1000)
SEEDS, FIRST_SEEDS = 5, 3
MIN_GAIN = ComparePlan().min_gain
TEST_SHARE, MOST_TESTED, MOST_TRAINED = 0.3, 5000, 20_000
FOLDS = 3  # the first of `validation_folds`: of five below 500 labels, of the only one from there on
METHODS = tuple(methods())


@dataclass(frozen=True)
class Split:
    """A table's prepared rows: those to train on, those to test on, and their classes as numbers."""

    inputs: np.ndarray
    codes: np.ndarray
    test_inputs: np.ndarray
    test_codes: np.ndarray
    classes: int


def hold_out(codes: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows of a table train and which test, the same for every seed; the latter are of every class."""
    randomness = Randomness(0, "real tables", name)
    share = min(TEST_SHARE, MOST_TESTED / len(codes))
    training, test = (rows.numpy() for rows in split_test(torch.from_numpy(codes), share, randomness))
    return np.sort(randomness.numpy("training").permutation(training)[:MOST_TRAINED]), test


def split(frame: pd.DataFrame, target: str, name: str) -> Split:
    """Hold out test rows, and prepare all rows by what the training rows say."""
    classes, codes = np.unique(frame[target].to_numpy(dtype=str), return_inverse=True)
    training, test = hold_out(codes, name)
    source = lw.Preparation.fit(frame, rows=training, target=target).transform(frame)
    rows = source.read(0, source.shape[0])
    return Split(rows[training], codes[training], rows[test], codes[test], len(classes))


def labelled_rows(codes: np.ndarray, seed: int) -> dict[int, np.ndarray]:
    """Draw the positions of each budget's labelled rows, those of a smaller budget among those of a larger."""
    drawn = nested_budgets(torch.from_numpy(codes), BUDGETS, Randomness(seed))
    return {labels: rows.numpy() for labels, rows in drawn.items()}


def tune(method: Method, known: Known) -> tuple[list[Candidate], list[float]]:
    """Return the candidates from the least validation error on, of equals the first, and each error in percent."""
    folds = validation_folds(torch.from_numpy(known.codes), Randomness(known.seed))[:FOLDS]
    errors = []
    for candidate in method.candidates:
        wrong = total = 0
        for training, held in folds:
            wrong += wrong_of(method, candidate, known.part(training.numpy()), known.part(held.numpy()))
            total += len(held)
        errors.append(100 * wrong / total)
    return [method.candidates[place] for place in np.argsort(errors, kind="stable")], errors


def wrong_of(method: Method, candidate: Candidate, training: Known, held: Known) -> int:
    """Return how many held-out labelled rows a candidate gets wrong: all of them where it diverges."""
    try:
        predicted = method.fit(training, candidate)(held.inputs[held.labelled])
    except DivergenceError:
        return len(held.codes)
    return int((predicted != held.codes).sum())


def measure_part(method: Method, known: Known, data: Split) -> dict[str, Any]:
    """Tune a method, fit it on all labelled rows, and say which test rows it gets wrong."""
    began = time.process_time()
    with warnings.catch_warnings():
        # scikit-learn's networks and graphs that have not converged are what their limits give
        warnings.simplefilter("ignore")
        order, errors = tune(method, known)
        candidate, predict = first_that_converges(method, known, order)
        wrong = predict(data.test_inputs) != data.test_codes
    return {
        "error": 100 * float(wrong.mean()),
        "wrong": np.flatnonzero(wrong).tolist(),
        "settings": str(candidate),
        "validation_errors": errors,
        "cpu_seconds": time.process_time() - began,
    }


def first_that_converges(method: Method, known: Known, order: list[Candidate]) -> tuple[Candidate, Predict]:
    """Fit the best candidate to all labelled rows, or the next one where it diverges on them."""
    for candidate in order[:-1]:
        try:
            return candidate, method.fit(known, candidate)
        except DivergenceError:
            continue
    return order[-1], method.fit(known, order[-1])


def measure_table(name: str, frame: pd.DataFrame, target: str, runs: Path, seeds: Iterable[int]) -> None:
    """Measure every part of a table that has no file yet."""
    missing_parts = [
        (seed, labels, method) for seed in seeds for labels in BUDGETS for method in METHODS
        if not part_file(runs, name, seed, labels, method).exists()
    ]  # fmt: skip
    if not missing_parts:
        return
    frame = frame.drop_duplicates(ignore_index=True)
    data = split(frame, target, name)
    shape = {"training": len(data.inputs), "test": len(data.test_inputs), "features": data.inputs.shape[1]}
    write_json(runs / name / "rows.json", {**facts(frame, target), **shape})
    for seed in sorted({part[0] for part in missing_parts}):
        own, labelled = methods(), labelled_rows(data.codes, seed)
        for _, labels, method in (part for part in missing_parts if part[0] == seed):
            rows = labelled[labels]
            known = Known(data.inputs, rows, data.codes[rows], data.classes, seed)
            found = measure_part(own[method], known, data)
            write_json(part_file(runs, name, seed, labels, method), found)
            print(f"{name}, seed {seed}, {labels} labels, {method}: {found['error']:.2f} %, "
                  f"{found['cpu_seconds']:.0f} s of processor time", flush=True)  # fmt: skip


def part_file(runs: Path, name: str, seed: int, labels: int, method: str) -> Path:
    return runs / name / f"{seed}-{labels}-{method.replace(' ', '-')}.json"


def gathered(name: str, runs: Path) -> dict[str, Any]:
    """Return what the finished seeds of a table come to."""

    def is_done(seed: int) -> bool:
        return all(part_file(runs, name, seed, labels, method).exists() for labels in BUDGETS for method in METHODS)

    seeds = [seed for seed in range(SEEDS) if is_done(seed)]
    rows = json.loads((runs / name / "rows.json").read_text())
    budgets = []
    for labels in BUDGETS:
        parts = {
            method: [json.loads(part_file(runs, name, seed, labels, method).read_text()) for seed in seeds]
            for method in METHODS
        }
        budgets.append({"labels": labels, **of_budget(parts, labels, rows["test"])})
    return {"table": name, "layerwise": version("layerwise"), "seeds": seeds, "rows": rows, "budgets": budgets}


def of_budget(parts: dict[str, list[dict[str, Any]]], labels: int, tested: int) -> dict[str, Any]:
    """Return each method's errors, and the gain of pre-training with the verdict on it."""
    wrong = {arm: wrong_rows(parts[arm], tested) for arm in ("random", "pre-trained")}
    found = gain(wrong["random"], wrong["pre-trained"])
    verdict = decide(
        found.gain, found.low, found.high, seeds=len(wrong["random"]), min_gain=MIN_GAIN, se_seeds=found.se_seeds,
        se_rows=found.se_rows, test_rows=tested, labels=labels,
    )  # fmt: skip
    own = {
        method: {key: [part[key] for part in every] for key in ("error", "settings")}
        | {"cpu_seconds": sum(part["cpu_seconds"] for part in every)}
        for method, every in parts.items()
    }
    return {"methods": own, "gain": found.fields(), "verdict": asdict(verdict)}


def wrong_rows(parts: list[dict[str, Any]], tested: int) -> np.ndarray:
    """Return which test rows each seed gets wrong, shape (seeds, rows)."""
    wrong = np.zeros((len(parts), tested), dtype=bool)
    for own, part in zip(wrong, parts, strict=True):
        own[part["wrong"]] = True
    return wrong


def measure(runs: Path, names: Iterable[str], rounds: Iterable[int]) -> None:
    """Measure tables, as far as their packages are there, until each has so many seeds, one round after the other."""
    tables: dict[str, RealTable] = {}
    for name in names:
        if command := missing(TABLES[name]):
            print(f"{name} is left out: {command} brings it", flush=True)
        else:
            tables[name] = TABLES[name]
    for seeds in rounds:
        for name, table in tables.items():
            measure_table(name, table.load(), table.target, runs, range(seeds))
            write_json(OUT / f"{name}.json", gathered(name, runs))


if __name__ == "__main__":
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["measure", folder]:
            measure(Path(folder), TABLES, (FIRST_SEEDS, SEEDS))
        case ["measure", folder, name] if name in TABLES:
            measure(Path(folder), [name], (SEEDS,))
        case ["page"]:
            from tables_page import page  # needs matplotlib

            page()
        case _:
            sys.exit(__doc__)
