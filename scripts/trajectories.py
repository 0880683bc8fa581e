"""Why pre-training works: the experiments of Erhan et al. (2010) on small networks.

    python scripts/trajectories.py tune RUNS       choose each arm's learning rate on training rows held out for that
    python scripts/trajectories.py measure RUNS    everything; or one part: trajectories, depth
    python scripts/trajectories.py page            write the pictures and the tables from what was measured

`measure` leaves docs/results/trajectories/*.json and RUNS/report.html. All is resumable: a finished run has its file
and is not repeated. It runs as many processes as the environment variable WORKERS says (2), one thread each. `page`
needs matplotlib (the extra ``docs``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import layerwise as lw
from layerwise.analysis import (
    ManyRuns,
    Run,
    depth_results,
    equal_loss_results,
    layer_results,
    many_runs,
    read_runs,
    trajectory_results,
    write_page,
)
from layerwise.write import write_json

DOCS = Path(__file__).parent.parent / "docs"
SHRINK = int(os.environ.get("SHRINK", "1"))  # for a trial: fewer rows, epochs, seeds and units, and results elsewhere
OUT = DOCS / "results" / "trajectories" if SHRINK == 1 else Path(tempfile.gettempdir()) / "trajectories-trial"
UNITS, DEPTHS = 100, (1, 2, 3, 4, 5)
INITIALIZERS = ("glorot", "glorot-sigmoid")
UNLABELLED, LABELLED = 10_000, 2000
VALIDATION = slice(50_000, 60_000)  # rows of the training set that the learning rates are chosen on
RATES, TUNING_SEED = (0.3, 1.0, 3.0), 1000  # a seed that nothing is measured with
SEEDS = {"trajectories": 20, "depth": 10}
EPOCHS = {"trajectories": 60, "depth": 30}
# Of the trajectories, the same for both arms, because it shapes them; in the depth experiment each arm has the rate
# that `tune` chose for it (docs/results/trajectories/tuning.json).
LEARNING_RATE = 1.0
# Which layers start from pre-trained weights, in the network of LAYERS hidden layers.
LAYERS = 3
PARTS: dict[str, dict[str, Any]] = {
    "random": {"layers": ()}, "layer 1": {"layers": (1,)}, "layers 1, 2": {"layers": (1, 2)},
    "pretrained": {"layers": "all"}, "layer 2": {"layers": (2,)}, "layer 3": {"layers": (3,)},
    "layers 2, 3": {"layers": (2, 3)},
}  # fmt: skip
BOTH = {arm: PARTS[arm] for arm in ("pretrained", "random")}


def plan_of(depth: int, initializer: str, arms: dict[str, dict[str, Any]], epochs: int, watched: int = 0) -> ManyRuns:
    """Return the settings of one network's runs."""
    return ManyRuns.model_validate({
        "network": {
            "hidden_layer_sizes": (UNITS // SHRINK,) * depth, "activation": "sigmoid", "initializer": initializer
        },
        "pretrain": {"epochs": -(-5 // SHRINK), "batch_size": 20, "learning_rate": 0.1},
        "finetune": {
            "epochs": -(-epochs // SHRINK), "batch_size": 20, "momentum": 0.0, "learning_rate": LEARNING_RATE
        },
        "arms": arms, "checkpoints": 40 if watched else 15, "watched": watched,
    })  # fmt: skip


def plans() -> dict[str, ManyRuns]:
    """Return every set of runs by name."""
    found = {"trajectories": plan_of(2, "glorot", BOTH, EPOCHS["trajectories"], watched=1000)}
    for initializer in INITIALIZERS:
        for depth in DEPTHS:
            rates = chosen_rates(f"{initializer}-{depth}")
            arms = {arm: {**start, "learning_rate": rates.get(arm)} for arm, start in arms_at(depth).items()}
            found[f"depth-{initializer}-{depth}"] = plan_of(depth, initializer, arms, EPOCHS["depth"])
    return found


def tuning_plans() -> dict[str, ManyRuns]:
    """Return the plans of the search: every arm with every rate."""
    found = {}
    for initializer in INITIALIZERS:
        for depth in DEPTHS:
            arms = {f"{arm} {rate:g}": {**start, "learning_rate": rate}
                    for arm, start in arms_at(depth).items() for rate in RATES}  # fmt: skip
            found[f"tune-{initializer}-{depth}"] = plan_of(depth, initializer, arms, EPOCHS["depth"])
    return found


def arms_at(depth: int) -> dict[str, dict[str, Any]]:
    return PARTS if depth == LAYERS else BOTH


def chosen_rates(name: str) -> dict[str, float]:
    """Return the rate of the lowest validation error for every arm, where they have been tuned."""
    file = OUT / "tuning.json"
    if not file.exists():
        return {}
    errors = json.loads(file.read_text())["validation_error"][name]
    return {arm: min(RATES, key=lambda rate: errors[f"{arm} {rate:g}"]) for arm in arms_at(int(name[-1]))}


def run(runs: Path, name: str, seeds: list[int]) -> None:
    """Make some seeds of one set of runs, in this process."""
    mnist = lw.load_mnist()
    few = slice(0, LABELLED // SHRINK)
    test = (mnist.test_inputs, mnist.test_targets)
    if name.startswith("tune"):
        test = (mnist.inputs[VALIDATION], mnist.targets[VALIDATION])
    many_runs(
        mnist.inputs[few], mnist.targets[few], test, {**plans(), **tuning_plans()}[name], run_dir=runs / name,
        pretrain_inputs=mnist.inputs[: UNLABELLED // SHRINK], seeds=seeds, resume=True,
    )  # fmt: skip


def shared_out(runs: Path, jobs: list[tuple[str, list[int]]]) -> None:
    """Make sets of runs in processes of one thread each; each takes a share of every set's seeds."""
    workers = int(os.environ.get("WORKERS", "2"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

    def start(job: tuple[str, list[int]]) -> None:
        began = time.perf_counter()
        command = [sys.executable, __file__, "run", str(runs), job[0], *map(str, job[1])]
        subprocess.run(command, check=True, env=environment)
        print(f"{job[0]}, seeds {job[1]}: {time.perf_counter() - began:.0f} s", flush=True)

    shares = [(name, seeds[k::workers]) for name, seeds in jobs for k in range(min(workers, len(seeds)))]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(start, shares))


def tune(runs: Path) -> None:
    """Print, and keep, the validation error of every arm at every rate."""
    shared_out(runs, [(name, [TUNING_SEED]) for name in tuning_plans()])
    table = {
        name.removeprefix("tune-"): {run.arm: float(run.test_error[-1]) for run in read_runs(runs / name)}
        for name in tuning_plans()
    }
    write_json(OUT / "tuning.json", {"layerwise": version("layerwise"), "validation_error": table})
    for name in table:
        print(name, chosen_rates(name))


def measure(runs: Path, part: str) -> None:
    """Make all runs of a part, and write down what they came to."""
    began = time.perf_counter()
    names = [name for name in plans() if name.startswith(part)]
    shared_out(
        runs, [(name, list(range(-(-SEEDS[name.split("-")[0]] // SHRINK) + (SHRINK > 1) * 2))) for name in names]
    )
    minutes, used = (time.perf_counter() - began) / 60, sum(os.times()[2:4]) / 60
    print(f"{part}: {minutes:.1f} minutes, {used:.1f} of one core; what was there already not counted")
    if part == "trajectories":
        found = read_runs(runs / "trajectories")
        keep("trajectories", trajectory_results(found))
        keep("equal-loss", equal_loss_results(found))
    else:
        read = {name: read_runs(runs / name) for name in names}
        keep("depth", {"initializers": [
            {"initializer": initializer,
             **depth_results({depth: of(read[f"depth-{initializer}-{depth}"], BOTH) for depth in DEPTHS})}
            for initializer in INITIALIZERS
        ]})  # fmt: skip
        keep("layers", {"initializers": [
            {"initializer": initializer, **layer_results(read[f"depth-{initializer}-{LAYERS}"], list(PARTS))}
            for initializer in INITIALIZERS
        ]})  # fmt: skip
    print(write_page(OUT, runs / "report.html"))


def of(runs: list[Run], arms: dict[str, Any]) -> list[Run]:
    return [run for run in runs if run.arm in arms]


def keep(name: str, found: dict[str, Any]) -> None:
    write_json(OUT / f"{name}.json", {"layerwise": version("layerwise"), **found})
    print(found.get("sentence", name))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["tune", folder]:
            tune(Path(folder))
        case ["measure", folder]:
            for each in ("trajectories", "depth"):
                measure(Path(folder), each)
        case ["measure", folder, ("trajectories" | "depth") as each]:
            measure(Path(folder), each)
        case ["run", folder, name, *numbers]:
            run(Path(folder), name, [int(number) for number in numbers])
        case ["page"]:
            from trajectories_page import page  # needs matplotlib

            page()
        case _:
            sys.exit(__doc__)
