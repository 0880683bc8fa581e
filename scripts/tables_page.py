"""The page's part on real tables, from docs/results/tables/: what they are, all errors, verdicts, a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from tables_data import TABLES

from layerwise.intervals import mean_interval
from layerwise.write import write_text

matplotlib.use("svg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("results.md", "results/page.md")
BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
OURS, RANDOM = "pre-trained", "random"
LOOKS = {
    OURS: ("#0072b2", "o", "-"),
    RANDOM: ("#d55e00", "s", "-"),
    "logistic regression": ("#777777", "x", "--"),
    "gradient boosting": ("#009e73", "^", "--"),
    "MLP": ("#cc79a7", "v", "--"),
    "label spreading": ("#a6761d", "D", ":"),
}
SHOWN = {OURS: "layerwise, pre-trained", RANDOM: "layerwise, random"}
PICTURE = "![Test error of six methods by labels, a panel for each table](images/tables.svg)"
Table = dict[str, Any]


def page() -> None:
    """Write the part between the marks, and the picture, from the tables that are measured."""
    files = [DOCS / "results" / "tables" / f"{name}.json" for name in TABLES]
    found = [json.loads(file.read_text()) for file in files if file.exists()]
    draw(found)
    parts = [what_they_are(found), errors(found), PICTURE, verdicts(found), in_words(found)]
    for name in PAGES:
        before, rest = (DOCS / name).read_text().split(BEGIN)
        write_text(DOCS / name, before + "\n\n".join([BEGIN, *parts, END]) + rest.split(END)[1])


def what_they_are(found: list[Table]) -> str:
    """Return the table of the tables, with the error of a guess that is always the commonest class."""
    lines = [
        "| table | what is told from what | rows | columns (text) | gaps | classes | error of the commonest | source |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for one in found:
        about, rows = TABLES[one["table"]], one["rows"]
        lines.append(
            f"| {one['table']} | {about.about} | {rows['training']:,} + {rows['test']:,} | "
            f"{rows['columns']} ({rows['text']}) | {rows['gaps']:,} | {rows['classes']} | "
            f"{100 * (1 - rows['commonest']):.1f} % | {about.source}; {about.licence} |"
        )
    return "\n".join(lines)


def errors(found: list[Table]) -> str:
    """Return the table of mean test errors, the least of each line in bold, with the gain of pre-training."""
    lines = ["| table | labels | " + " | ".join(SHOWN.get(name, name) for name in LOOKS) + " | gain of pre-training |"]
    lines.append("|---" * (3 + len(LOOKS)) + "|")
    for one in found:
        for budget in one["budgets"]:
            means, gain = means_of(budget), budget["gain"]
            cells = [f"**{mean:.1f}**" if name in best(budget) else f"{mean:.1f}" for name, mean in means.items()]
            gained = f"{gain['gain']:+.1f} ({gain['low']:+.1f} to {gain['high']:+.1f})"
            lines.append(" | ".join([f"| {one['table']}", f"{budget['labels']:,}", *cells, gained]) + " |")
    return "\n".join(lines)


def means_of(budget: Table) -> dict[str, float]:
    """Return each method's mean test error, in percent."""
    return {name: float(np.mean(budget["methods"][name]["error"])) for name in LOOKS}


def best(budget: Table) -> list[str]:
    """Return the method of the least mean error, or several where they are equal."""
    means = means_of(budget)
    return [name for name, mean in means.items() if np.isclose(mean, min(means.values()), rtol=0, atol=1e-9)]


def middle(one: Table) -> Table:
    """Return the budget that the verdict is on."""
    return one["budgets"][len(one["budgets"]) // 2]


def verdicts(found: list[Table]) -> str:
    """Return a line for each table: the verdict, and what it rests on."""
    lines = []
    for one in found:
        verdict = middle(one)["verdict"]
        said = verdict["explanation"].rsplit("; ", 1)[0]  # that it holds for this data only is said once for all
        lines.append(f"- **{one['table']}: {verdict['verdict']}.** {said}.")
    return "\n".join(lines)


def in_words(found: list[Table]) -> str:
    """Say how often each method is the best, and what the verdicts come to."""
    budgets = [budget for one in found for budget in one["budgets"]]
    times = {name: sum(name in best(budget) for budget in budgets) for name in LOOKS}
    ranked = sorted((name for name in LOOKS if times[name]), key=lambda name: -times[name])
    won = ", ".join(f"{SHOWN.get(name, name)} {times[name]}" for name in ranked)
    none = "; ".join(SHOWN.get(name, name) for name in LOOKS if not times[name])
    over_random = sum(means_of(budget)[OURS] < means_of(budget)[RANDOM] for budget in budgets)
    gains = [budget["gain"] for budget in budgets]
    above, below = sum(gain["low"] > 0 for gain in gains), sum(gain["high"] < 0 for gain in gains)
    over_boosting = sum(means_of(budget)[OURS] < means_of(budget)["gradient boosting"] for budget in budgets)
    given = [middle(one)["verdict"]["verdict"] for one in found]
    counted = ", ".join(f"{given.count(verdict)} {verdict}" for verdict in dict.fromkeys(given))
    seeds = sorted({len(one["seeds"]) for one in found})
    cost = sum(own["cpu_seconds"] for budget in budgets for own in budget["methods"].values()) / 60
    return (
        f"{len(found)} of {len(TABLES)} tables are measured. The lowest error of the {len(budgets)} lines (ties count "
        f"for each): {won}{f'; on no line: {none}' if none else ''}. Pre-trained has a lower mean than random on "
        f"{over_random} of the {len(budgets)} lines, than gradient boosting on {over_boosting}; the interval of the "
        f"gain over random lies above 0 on {above} and below on {below}. Verdicts: {counted}. Seeds: "
        f"{' or '.join(map(str, seeds))}; in all {cost:.0f} minutes of processor time, one thread."
    )


def draw(found: list[Table]) -> None:
    """Draw every method's error by labels, with its interval over seeds, a panel for each table."""
    plt.rcParams["svg.hashsalt"] = "layerwise"
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.2 * columns, 2.7 * rows + 0.6), layout="constrained", squeeze=False
    )
    for axis in axes.flat[len(found) :]:
        axis.set_visible(False)
    for one, axis in zip(found, axes.flat, strict=False):
        draw_table(axis, one)
    handles, names = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    figure.savefig(DOCS / "images" / "tables.svg", metadata={"Date": None})
    plt.close(figure)


def draw_table(axis: Any, one: Table) -> None:
    """Draw one panel; the methods stand a little apart, so that intervals can be told."""
    labels = np.array([budget["labels"] for budget in one["budgets"]])
    for place, (name, (colour, marker, style)) in enumerate(LOOKS.items()):
        intervals = [mean_interval(budget["methods"][name]["error"]) for budget in one["budgets"]]
        means = np.array([interval.mean for interval in intervals])
        ends = [[means[at] - own.low for at, own in enumerate(intervals)],
                [own.high - means[at] for at, own in enumerate(intervals)]]  # fmt: skip
        axis.errorbar(labels * 1.05 ** (place - 2.5), means, ends, color=colour, marker=marker, linestyle=style,
                      markersize=4, linewidth=1.8 if name in SHOWN else 1.0, elinewidth=0.7,
                      label=SHOWN.get(name, name))  # fmt: skip
    axis.set_title(f"{one['table']}: {middle(one)['verdict']['verdict'].lower()}", fontsize="small")
    axis.set(xscale="log", xlabel="labels", ylabel="test error %")
    axis.set_xticks(labels, [f"{count:,}" for count in labels])
    axis.set_xticks([], minor=True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.25)
