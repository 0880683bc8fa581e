"""Random search against grids of the same number of trials, on 5,000 rows of MNIST with 400 labels.

    python scripts/search.py measure RUNS    make the searches, one after the other, and judge what they found
    python scripts/search.py others RUNS     the same with successive halving and a greedy search
    python scripts/search.py page            write the tables and pictures of docs/search.md from what was measured

The searches see the first 5,000 training rows and the labels of 400, all of which validate, in five folds. What they
found is judged on training rows 50,000 to 60,000, which no search was given; MNIST's test rows are not used. All is
resumable: finished trials are not repeated. `measure` takes half an hour on one free core; `page` needs matplotlib (the
extra ``docs``).
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: one core, one thread

import matplotlib
import numpy as np

import layerwise as lw
from layerwise.comparison.arms import arms_of
from layerwise.comparison.experiment import Experiment
from layerwise.comparison.rows import Rows, gather
from layerwise.comparison.statistics import gain
from layerwise.plan import Plan
from layerwise.recipe import check, with_settings
from layerwise.runs.folder import RunFolder
from layerwise.searching.expected import expected_best
from layerwise.searching.search import open_search, run_search
from layerwise.searching.searcher import Searcher
from layerwise.write import write_json, write_text

matplotlib.use("svg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent.parent / "docs"
OUT = DOCS / "results" / "search"
ROWS = int(os.environ.get("ROWS", "5000"))  # fewer for a look at whether the script runs
TRIALS = int(os.environ.get("TRIALS", "60"))
LABELS, SEEDS = 400, 5
FRESH = slice(50_000, 60_000)
SIZES = [[100], [200], [400], [100, 100], [200, 200], [400, 400]]
DOMAINS: dict[str, Any] = {
    "network.hidden_layer_sizes": SIZES,
    "pretrain.learning_rate": {"low": 0.001, "high": 0.5, "log": True},
    "pretrain.objective.corruption.rate": {"low": 0.0, "high": 0.6},
    "pretrain.epochs": {"low": 2, "high": 30, "log": True},
    "finetune.learning_rate": {"low": 0.003, "high": 0.5, "log": True},
    "finetune.l2": {"low": 1e-6, "high": 0.01, "log": True},
}
# Two values of each range, three sizes; the strength of l2 stays as in the recipe, or there would be too many.
COARSE = {**DOMAINS, "network.hidden_layer_sizes": [[200], [400], [400, 400]]}
del COARSE["finetune.l2"]
# As a person would lay it out: more values of three settings, the others as in the recipe.
FINER: dict[str, Any] = {
    "network.hidden_layer_sizes": [[200], [400], [400, 400]],
    "pretrain.learning_rate": [0.003, 0.01, 0.03, 0.1],
    "finetune.learning_rate": [0.01, 0.03, 0.1, 0.2, 0.5],
}
SEARCHES: dict[str, dict[str, Any]] = {
    "random": {"method": "random", "trials": TRIALS, **DOMAINS},
    "grid": {"method": "grid", "trials": TRIALS, **COARSE},
    "finer-grid": {"method": "grid", "trials": TRIALS, **FINER},
}
OTHERS: dict[str, dict[str, Any]] = {
    "halving": {"method": "halving", "trials": TRIALS, **DOMAINS},
    "greedy": {"method": "greedy", "trials": TRIALS, "keep": 3, **DOMAINS},
}
NAMES = {
    "recipe": "the default recipe",
    "random": "random",
    "grid": "grid over five settings",
    "finer-grid": "grid over three, finer",
    "halving": "successive halving",
    "greedy": "greedy, layer by layer",
}
PICTURES = """![Where two grids and the random trials looked](images/search-projections.svg)

The two rates of each trial; the colour is its validation error, the ring the best, the marks the projections. The
grids try few values of a rate, each again and again.

![The expected best of k random trials, and the grids' best so far](images/search-efficiency.svg)"""
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
COLOURS = {"random": "#0072b2", "grid": "#d55e00", "finer-grid": "#009e73", "recipe": "#5b6675"}


def rows_of() -> Rows:
    """Return the rows of all searches; rows that none of them is given stand in for test rows."""
    mnist = lw.load_mnist()
    fresh = mnist.inputs[FRESH], mnist.targets[FRESH]
    return gather(
        mnist.inputs[:ROWS], mnist.targets[:ROWS], name="mnist", scale="auto", test=fresh, random_state=0
    )  # fmt: skip


def plan_of(search: dict[str, Any]) -> Plan:
    """Return the default recipe with a search."""
    values = {"compare": {"budgets": (LABELS,)}, "search": {**search, "budget": LABELS}}
    return check(Plan, values, "the study")


def measure(runs: Path, searches: dict[str, dict[str, Any]]) -> None:
    """Make every search, then judge what each found."""
    rows = rows_of()
    for name, search in searches.items():
        searcher = Searcher(plan_of(search), rows)
        folder = open_search(searcher, runs / name, resume=(runs / name).exists())
        found = run_search(searcher, folder)
        kept = {key: found.results[key] for key in ("method", "labels", "validation_rows", "folds", "domains", "cost")}
        tried = [
            {key: one[key] for key in ("slot", "state", "values", "validation_error", "epochs", "seconds", "rows")}
            for one in found.results["tried"]
        ]
        others = {"layerwise": version("layerwise"), "importances": found.results["importances"], "tried": tried}
        write_json(OUT / f"{name}.json", {**others, **kept})
        best = found.results["best"]["validation_error"]
        print(f"{name}: best {best:.2f} % in {found.results['cost']['seconds'] / 60:.1f} min", flush=True)
    judge(runs, rows)


def judge(runs: Path, rows: Rows) -> None:
    """Train what each search found on all labels of several seeds, and test it on the fresh rows."""
    judged: dict[str, Any] = {}
    for name, (trial, search) in winners().items():
        searcher = Searcher(plan_of(search), rows)
        values = {key: _value(value) for key, value in trial["values"].items()}
        plan = searcher.plan_of(values)
        chosen = {
            "compare.tune": False,
            "compare.seeds": SEEDS,
            "compare.baselines": [],
            "finetune.epochs": trial["epochs"],
        }
        final = with_settings(plan, {**chosen, "compare.budgets": [LABELS], "compare.headline": LABELS})
        folder = runs / "judged" / name
        experiment = Experiment(final, rows, arms=arms_of(final)[:1])
        measured = experiment.run(RunFolder.open(folder, folder.exists(), f"{final!r}"))
        outcomes = [measured.outcomes[seed, LABELS, "pretrained"] for seed in range(SEEDS)]
        judged[name] = {
            "trial": trial["slot"],
            "values": trial["values"],
            "validation_error": trial["validation_error"],
            "errors": [outcome.error for outcome in outcomes],
            "wrong": [np.flatnonzero(outcome.wrong).tolist() for outcome in outcomes],
        }
        print(f"{name}: {np.mean(judged[name]['errors']):.2f} % on fresh rows", flush=True)
    wrong = {name: _wrong(one, len(rows.test_inputs)) for name, one in judged.items()}
    for name in judged:
        # how much better the random search's winner is than this one, paired by seed
        found = gain(wrong[name], wrong["random"])
        judged[name] |= {"gain_of_random": found.gain, "low": found.low, "high": found.high, "wins": found.wins}
        del judged[name]["wrong"]
    write_json(OUT / "judged.json", judged)


def winners() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return the best trial of each search with the search; of the random one, the best of the first trials."""
    recipe = next(one for one in _read("random")["tried"] if one["slot"] == 0)
    found = {"recipe": (recipe, SEARCHES["random"])}
    for name, search in made().items():
        tried = [
            one for one in _read(name)["tried"] if 0 < one["slot"] <= TRIALS and one["validation_error"] is not None
        ]
        found[name] = (min(tried, key=lambda one: (one["validation_error"], one["slot"])), search)
    return found


def made() -> dict[str, dict[str, Any]]:
    """Return the searches that were made."""
    return {name: search for name, search in {**SEARCHES, **OTHERS}.items() if (OUT / f"{name}.json").exists()}


def _value(value: Any) -> Any:
    return tuple(json.loads(value)) if isinstance(value, str) else value


def _wrong(one: dict[str, Any], rows: int) -> np.ndarray:
    wrong = np.zeros((SEEDS, rows), dtype=bool)
    for seed, positions in enumerate(one["wrong"]):
        wrong[seed, positions] = True
    return wrong


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((OUT / f"{name}.json").read_text())
    return found


def page() -> None:
    """Write the tables and the pictures of docs/search.md."""
    found = {name: _read(name) for name in made()}
    judged = _read("judged")
    draw_projections(found)
    draw_efficiency(found)
    file = DOCS / "search.md"
    before, _, rest = file.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    write_text(file, f"{before}{BEGIN}\n\n{tables(found, judged)}\n\n{PICTURES}\n\n{END}{after}")


def tables(found: dict[str, Any], judged: dict[str, Any]) -> str:
    """Return the table of what was found, and that of how the best of k random trials compares."""
    lines = [
        "| what | trials | validation error % | fresh rows %, each seed | random better by | 95 % interval | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in judged.items():
        tried = [t for t in found["random" if name == "recipe" else name]["tried"] if 0 < t["slot"] <= TRIALS]
        tried = [t for t in found["random"]["tried"] if t["slot"] == 0] if name == "recipe" else tried
        minutes = sum(t["seconds"] or 0.0 for t in tried) / 60
        errors = ", ".join(f"{error:.2f}" for error in one["errors"])
        between = "" if name == "random" else f"{one['gain_of_random']:.2f}"
        ends = "" if name == "random" else f"{one['low']:.2f} to {one['high']:.2f}"
        fresh = f"{np.mean(one['errors']):.2f} ({errors})"
        cells = (NAMES[name], len(tried), f"{one['validation_error']:.2f}", fresh, between, ends, f"{minutes:.1f}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    winner = "; ".join(f"`{key}` {_short(value)}" for key, value in judged["random"]["values"].items())
    curve = {k: (mean, low, high) for k, mean, low, high in _curve(found)}
    shown = [k for k in (1, 2, 4, 8, 16, 32, TRIALS) if k in curve]
    best = ["| trials | mean of the best % | nine of ten orders |", "|---|---|---|"]
    best += [f"| {k} | {curve[k][0]:.2f} | {curve[k][1]:.2f} to {curve[k][2]:.2f} |" for k in shown]
    importances = ", ".join(
        f"`{one['name']}` {one['importance']:.0%} ({one['low']:.0%} to {one['high']:.0%})"
        for one in found["random"]["importances"]
    )
    return "\n".join([*lines, "", f"The random search's winner: {winner}.", "", *best, "", f"Importances, from all "
                      f"{TRIALS} random trials: {importances}."])  # fmt: skip


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _curve(found: dict[str, Any]) -> list[tuple[int, float, float, float]]:
    return expected_best([one["validation_error"] for one in found["random"]["tried"] if one["slot"] > 0])


def draw_projections(found: dict[str, Any]) -> None:
    """Draw where both grids and the random trials looked, in the two rates, with what each trial came to."""
    across, up = "pretrain.learning_rate", "finetune.learning_rate"
    figure, axes = plt.subplots(1, 3, figsize=(11, 4.1), sharex=True, sharey=True, layout="constrained")
    every = [one["validation_error"] for name in ("random", "grid", "finer-grid") for one in found[name]["tried"]
             if one["validation_error"] is not None]  # fmt: skip
    for axis, name in zip(axes, ("grid", "finer-grid", "random"), strict=True):
        tried = [
            one for one in found[name]["tried"] if 0 < one["slot"] <= TRIALS and one["validation_error"] is not None
        ]
        x, y = ([float(one["values"][key]) for one in tried] for key in (across, up))
        colour = [one["validation_error"] for one in tried]
        dots = axis.scatter(x, y, c=colour, cmap="viridis_r", s=36, norm="log", vmin=min(every), vmax=max(every),
                            edgecolors="white", linewidths=0.6, zorder=3)  # fmt: skip
        for value in set(x):
            axis.plot(
                [value, value], [1.02, 1.06], transform=axis.get_xaxis_transform(), color="#1c2430", lw=1, clip_on=False
            )
        for value in set(y):
            axis.plot(
                [1.02, 1.05], [value, value], transform=axis.get_yaxis_transform(), color="#1c2430", lw=1, clip_on=False
            )
        best = min(tried, key=lambda one: one["validation_error"])
        axis.scatter([float(best["values"][across])], [float(best["values"][up])], s=150, facecolors="none",
                     edgecolors="#d55e00", linewidths=1.8, zorder=4)  # fmt: skip
        axis.set(xscale="log", yscale="log", xlabel="pre-training rate")
        values = f"{len(set(x))} rates across, {len(set(y))} up, best {best['validation_error']:.2f} %"
        axis.set_title(f"{NAMES[name]}\n{values}\n", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("fine-tuning rate")
    whole = matplotlib.ticker.StrMethodFormatter("{x:.0f}")
    bar = figure.colorbar(dots, ax=axes, label="validation error, %", pad=0.02, format=whole)
    bar.ax.yaxis.set_minor_formatter(whole)
    _save(figure, "search-projections")


def draw_efficiency(found: dict[str, Any]) -> None:
    """Draw the expected best of k random trials with its band, and the grids' best so far in the order they ran."""
    figure, axis = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    k, mean, low, high = (np.array(part) for part in zip(*_curve(found), strict=True))
    shown = k <= TRIALS
    axis.fill_between(k[shown], low[shown], high[shown], color=COLOURS["random"], alpha=0.15, lw=0)
    axis.plot(
        k[shown], mean[shown], color=COLOURS["random"], lw=2, label="random: mean of the best, nine of ten orders"
    )
    for name in ("grid", "finer-grid"):
        errors = [one["validation_error"] or np.inf for one in sorted(found[name]["tried"], key=lambda one: one["slot"])
                  if one["slot"] > 0]  # fmt: skip
        axis.step(range(1, len(errors) + 1), np.minimum.accumulate(errors), where="post", color=COLOURS[name], lw=1.6,
                  label=f"{NAMES[name]}: best so far")  # fmt: skip
    recipe = next(one["validation_error"] for one in found["random"]["tried"] if one["slot"] == 0)
    axis.axhline(recipe, color=COLOURS["recipe"], lw=1, ls="--", label=NAMES["recipe"])
    axis.set(xlabel="trials", ylabel="validation error, %", yscale="log", xlim=(0, TRIALS))
    axis.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:.0f}"))
    axis.yaxis.set_minor_formatter(matplotlib.ticker.StrMethodFormatter("{x:.0f}"))
    axis.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, "search-efficiency")


def _save(figure: Any, name: str) -> None:
    plt.rcParams["svg.hashsalt"] = name
    path = DOCS / "images" / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    write_text(path, "\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", folder]:
            measure(Path(folder), SEARCHES)
        case ["others", folder]:
            measure(Path(folder), OTHERS)
        case ["page"]:
            page()
        case _:
            sys.exit(__doc__)
