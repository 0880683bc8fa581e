"""Pictures and tables of docs/trajectories.md, from what was measured; `scripts/trajectories.py page` runs it."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from layerwise.write import write_text

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

DOCS = Path(__file__).parent.parent / "docs"
OUT = DOCS / "results" / "trajectories"
ARMS = ("pretrained", "random")
NAMES = {"pretrained": "pre-trained", "random": "random"}
COLOURS = {"pretrained": "#0b62b0", "random": "#d4620a"}
MARKERS = {"pretrained": "o", "random": "D"}
INK, SOFT, LINE = "#1c2430", "#5b6675", "#e4e8ee"
# Light at the start of fine-tuning, dark at its end.
RAMPS = {
    "pretrained": LinearSegmentedColormap.from_list("b", ["#d6e6f5", "#6fa8dc", "#0b62b0", "#052f57"]),
    "random": LinearSegmentedColormap.from_list("o", ["#fde3cc", "#f2a45f", "#d4620a", "#6b2f02"]),
}
WEIGHTS = {"glorot": "Glorot's weights, made for tanh", "glorot-sigmoid": "Glorot's weights times 4, made for sigmoid"}
PART_NAMES = {"random": "none", "pretrained": "layers 1, 2, 3"}
SHIFT = 0.18


def page() -> None:
    """Draw every picture, and write every table of the document between its marks."""
    plt.rcParams |= {
        "svg.hashsalt": "layerwise", "font.size": 9, "axes.edgecolor": "#c3cad4", "axes.labelcolor": SOFT,
        "text.color": INK, "xtick.color": SOFT, "ytick.color": SOFT, "axes.titlesize": 10, "axes.titlelocation": "left",
        "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    }  # fmt: skip
    found = {path.stem: json.loads(path.read_text()) for path in OUT.glob("*.json")}
    document = DOCS / "trajectories.md"
    text = document.read_text()
    for name, (draw, lines) in PARTS.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        shown = ["Not measured yet."]
        if name in found:
            draw(found[name])
            shown = lines(found[name])
        text = before + "\n".join([begin, *shown, end]) + rest.split(end)[1]
    write_text(document, text)


def draw_trajectories(found: dict[str, Any]) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.4), layout="constrained")
    progress = np.arange(len(found["updates"]))
    for axis, method, title in zip(axes, ("isomap", "tsne"), ("Isomap", "t-SNE"), strict=True):
        for arm in ARMS:
            runs = [np.array(run[method]) for run in found["runs"] if run["arm"] == arm]
            for run in runs:
                axis.plot(*run.T, color=COLOURS[arm], linewidth=0.5, alpha=0.35, zorder=1)
            points = np.concatenate(runs)
            axis.scatter(*points.T, c=np.tile(progress, len(runs)), cmap=RAMPS[arm], marker=MARKERS[arm], s=9,
                         linewidths=0, zorder=2)  # fmt: skip
        axis.set(xticks=[], yticks=[])
        axis.set_aspect("equal", adjustable="datalim")  # the panels stay of one size
        axis.set_title(title, pad=10)
        axis.spines[:].set_visible(False)
    for arm, place in zip(ARMS, (0.03, 0.27), strict=True):
        bar = figure.add_axes((place, -0.045, 0.16, 0.018))
        bar.imshow(np.linspace(0, 1, 200)[None], aspect="auto", cmap=RAMPS[arm], extent=(0, 1, 0, 1))
        bar.set(yticks=[], xticks=[0, 1], title=NAMES[arm])
        bar.set_xticklabels(["start", f"{found['updates'][-1]:,} updates"])
        bar.spines[:].set_visible(False)
        bar.tick_params(length=0)
    save(figure, "trajectories")


def draw_distances(found: dict[str, Any]) -> None:
    figure, axis = plt.subplots(figsize=(6.4, 3.0), layout="constrained")
    x = [update or found["updates"][1] / 2 for update in found["updates"]]
    lines = [(f"among {NAMES[arm]}", [row["within"][arm] for row in found["regions"]], COLOURS[arm], "-")
             for arm in ARMS]  # fmt: skip
    lines.append(("between the arms", [row["between"] for row in found["regions"]], INK, "--"))
    room = 0.06 * max(max(line[1]) for line in lines)
    lowest = -room
    for name, y, colour, style in sorted(lines, key=lambda line: line[1][-1]):
        axis.plot(x, y, style, color=colour, linewidth=2)
        lowest = max(y[-1], lowest + room)  # the names must not stand on each other
        axis.annotate(name, (x[-1], lowest), (5, -3), textcoords="offset points", color=colour)
    axis.set(xscale="log", ylim=(0, None), xlabel="updates of fine-tuning (its start at the left edge)",
             title="Mean distance between two networks")  # fmt: skip
    plain_log(axis.xaxis)
    grid(axis)
    save(figure, "trajectories-distances")


def draw_equal_loss(found: dict[str, Any]) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
    for curve in found["curves"]:
        left.plot(curve["training"], curve["test"], color=COLOURS[curve["arm"]], linewidth=0.6, alpha=0.45)
    for arm in ARMS:
        left.plot(found["levels"], found[arm], color=COLOURS[arm], linewidth=2.2, label=NAMES[arm])
    left.set(xscale="log", yscale="log", title="Test loss against training loss")
    left.legend()
    # above 1 nat the runs have hardly begun: the table has those levels, too
    shown = [(level, gap) for level, gap in zip(found["levels"], found["differences"], strict=True) if level < 1]
    gaps = [gap for _, gap in shown]
    ends = [[gap["mean"] - gap["low"] for gap in gaps], [gap["high"] - gap["mean"] for gap in gaps]]
    right.axhline(0, color=SOFT, linewidth=0.8)
    right.errorbar([level for level, _ in shown], [gap["mean"] for gap in gaps], ends, fmt="o", color=INK, markersize=4)
    right.set(xscale="log", title="Pre-trained minus random, 95 % intervals")
    for axis in (left, right):
        axis.invert_xaxis()
        axis.set_xlabel("training loss, nats per row (training goes to the right)")
        plain_log(axis.xaxis, (1,))
        grid(axis)
    plain_log(left.yaxis, (1, 2, 3, 5))
    save(figure, "trajectories-equal-loss")


def draw_depth(found: dict[str, Any]) -> None:
    studies = found["initializers"]
    figure, axes = plt.subplots(1, len(studies), figsize=(9.6, 3.9), sharey=True, layout="constrained")
    for axis, study in zip(axes, studies, strict=True):
        for arm, shift in zip(ARMS, (-SHIFT, SHIFT), strict=True):
            for row in study["depths"]:
                place, spread, errors = row["depth"] + shift, row["spread"][arm], row["errors"][arm]
                low, _, high = spread["quartiles"]
                axis.plot([place, place], [low, high], color=COLOURS[arm], linewidth=9, alpha=0.25,
                          solid_capstyle="butt")  # fmt: skip
                beside = place + 0.05 * (np.arange(len(errors)) % 3 - 1)
                axis.plot(beside, errors, MARKERS[arm], color=COLOURS[arm], markersize=3, alpha=0.8, markeredgewidth=0)
            axis.plot([row["depth"] + shift for row in study["depths"]],
                      [row["spread"][arm]["mean"] for row in study["depths"]], color=COLOURS[arm],
                      linewidth=1.2)  # fmt: skip
        axis.set(title=WEIGHTS[study["initializer"]], xlabel="hidden layers", yscale="log",
                 xticks=[row["depth"] for row in study["depths"]])  # fmt: skip
        plain_log(axis.yaxis)
        axis.yaxis.set_major_locator(FixedLocator([7, 8, 9, 10, 12, 15, 20, 30, 50, 90]))
        grid(axis)
    axes[0].set_ylabel("test error, %")
    axes[-1].legend(handles=marks(), loc="upper left")
    save(figure, "trajectories-depth")


def draw_layers(found: dict[str, Any]) -> None:
    studies = found["initializers"]
    figure, axes = plt.subplots(1, len(studies), figsize=(9.6, 3.2), sharey=True, layout="constrained")
    for axis, study in zip(axes, studies, strict=True):
        for place, part in enumerate(study["arms"]):
            colour = COLOURS.get(part["name"], INK)
            mean = part["error"]["mean"]
            ends = [[mean - part["error"]["low"]], [part["error"]["high"] - mean]]
            axis.plot(part["errors"], [place] * len(part["errors"]), "o", color=colour, markersize=3, alpha=0.3,
                      markeredgewidth=0)  # fmt: skip
            axis.errorbar([mean], [place], xerr=ends, fmt="o", color=colour, markersize=6, linewidth=2.2)
        axis.set(title=WEIGHTS[study["initializer"]], xlabel="test error, %", yticks=range(len(study["arms"])))
        axis.set_yticklabels([PART_NAMES.get(part["name"], part["name"]) for part in study["arms"]])
        axis.grid(axis="x", color=LINE, linewidth=0.8)
        axis.set_axisbelow(True)
    axes[0].invert_yaxis()
    axes[0].set_ylabel("pre-trained layers")
    save(figure, "trajectories-layers")


def marks() -> list[Line2D]:
    return [Line2D([], [], color=COLOURS[arm], marker=MARKERS[arm], markersize=4, label=NAMES[arm]) for arm in ARMS]


def plain_log(axis: Axis, steps: tuple[float, ...] = (1, 2, 5)) -> None:
    """Label a logarithmic axis with plain numbers, at these times powers of ten."""
    axis.set_major_locator(LogLocator(subs=steps, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())


def grid(axis: Axes) -> None:
    axis.grid(axis="y", color=LINE, linewidth=0.8)
    axis.set_axisbelow(True)


def save(figure: plt.Figure, name: str) -> None:
    figure.savefig(DOCS / "images" / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def region_lines(found: dict[str, Any]) -> list[str]:
    count = len(found["updates"])
    lines = ["| updates | among pre-trained | among random | between the arms | nearest of the same arm | silhouette |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for at in sorted({0, count // 4, count // 2, 3 * count // 4, count - 1}):
        row = found["regions"][at]
        cells = [row["within"]["pretrained"], row["within"]["random"], row["between"]]
        lines.append(f"| {found['updates'][at]:,} | {' | '.join(f'{cell:.3f}' for cell in cells)} | "
                     f"{100 * row['purity']:.0f} % | {row['silhouette']:.2f} |")  # fmt: skip
    return [
        *picture("Trajectories of both arms in function space, Isomap and t-SNE", "trajectories"), *READING,
        *picture("Mean distances by update", "trajectories-distances"), *lines, "", wrapped(found["sentence"]),
    ]  # fmt: skip


def loss_lines(found: dict[str, Any]) -> list[str]:
    lines = ["| training loss | test loss, pre-trained | test loss, random | difference | 95 % interval |",
             "|---|---|---|---|---|"]  # fmt: skip
    rows = zip(found["levels"], found["pretrained"], found["random"], found["differences"], strict=True)
    for number, (level, here, there, gap) in enumerate(rows):
        if number % 2 or number == 0:
            lines.append(f"| {level:.3g} | {here:.3f} | {there:.3f} | {gap['mean']:+.3f} | {ends(gap, 3)} |")
    return [
        *picture("Test loss against training loss", "trajectories-equal-loss"),
        *lines,
        "",
        wrapped(found["sentence"]),
    ]


def depth_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for study in found["initializers"]:
        lines += ["", f"Initial weights `{study['initializer']}`:", "",
                  "| layers | pre-trained, % | SD (95 % interval) | random, % | SD (95 % interval) | p of equal spread "
                  "| gain (95 % interval) |", "|---|---|---|---|---|---|---|"]  # fmt: skip
        for row in study["depths"]:
            cells = [f"{spread['mean']:.2f} | {spread['std']:.2f} ({spread['std_low']:.2f} to {spread['std_high']:.2f})"
                     for spread in (row["spread"][arm] for arm in ARMS)]  # fmt: skip
            lines.append(f"| {row['depth']} | {' | '.join(cells)} | {row['equal_spreads']['p_value']:.2g} | "
                         f"{row['gain']['mean']:+.2f} ({ends(row['gain'])}) |")  # fmt: skip
        lines += ["", wrapped(study["sentence"])]
    return [*picture("Test error of every seed by depth", "trajectories-depth"), *DEPTH_READING, *lines]


def layer_lines(found: dict[str, Any]) -> list[str]:
    studies = found["initializers"]
    lines = ["| pre-trained layers | " + " | ".join(f"error %, `{study['initializer']}` | gain (95 % interval)"
                                                     for study in studies) + " |",
             "|---" * (1 + 2 * len(studies)) + "|"]  # fmt: skip
    for parts in zip(*(study["arms"] for study in studies), strict=True):
        cells = [f"{part['error']['mean']:.2f} | {gain_of(part)}" for part in parts]
        lines.append(f"| {PART_NAMES.get(parts[0]['name'], parts[0]['name'])} | {' | '.join(cells)} |")
    return [*picture("Test error by pre-trained layers", "trajectories-layers"), *lines]


def gain_of(part: dict[str, Any]) -> str:
    return f"{part['gain']['mean']:+.2f} ({ends(part['gain'])})" if part["gain"] else ""


def rate_lines(found: dict[str, Any]) -> list[str]:
    lines = ["| initial weights, layers | arm | " + " | ".join(f"rate {rate}" for rate in ("0.3", "1", "3")) + " |",
             "|---|---|---|---|---|"]  # fmt: skip
    for name, errors in found["validation_error"].items():
        for arm in dict.fromkeys(key.rpartition(" ")[0] for key in errors):
            initializer, _, depth = name.rpartition("-")
            tried = [errors[f"{arm} {rate}"] for rate in ("0.3", "1", "3")]
            cells = [f"**{error:.2f}**" if error == min(tried) else f"{error:.2f}" for error in tried]
            label = {"pretrained": "pre-trained"}.get(arm, arm)
            lines.append(f"| `{initializer}`, {depth} | {label} | {' | '.join(cells)} |")
    return lines


def ends(found: dict[str, float], places: int = 2) -> str:
    return f"{found['low']:.{places}f} to {found['high']:.{places}f}"


def wrapped(sentence: str) -> str:
    return textwrap.fill(sentence, 120)


def picture(words: str, name: str) -> list[str]:
    return [f"![{words}](images/{name}.svg)", ""]


def draw_trajectory_pictures(found: dict[str, Any]) -> None:
    draw_trajectories(found)
    draw_distances(found)


READING = [
    "A line is a run, light its start and dark its end. Isomap keeps distances along the lines; t-SNE keeps",
    "neighbours, its far distances and sizes mean nothing. So the same is asked of the distances themselves: the",
    "distance of two networks is the root mean square over the rows, between 0 and 1.41.",
    "",
]
DEPTH_READING = [
    "A dot is a seed, a bar spans the quartiles, the line joins the means. SD is the standard deviation over seeds,",
    "with its chi-squared interval; p is Brown and Forsythe's, of the two arms spreading alike; the gain is paired by",
    "seed.",
]
# Of each result file: what draws it, and what the document says of it.
PARTS = {
    "trajectories": (draw_trajectory_pictures, region_lines),
    "equal-loss": (draw_equal_loss, loss_lines),
    "depth": (draw_depth, depth_lines),
    "layers": (draw_layers, layer_lines),
    "tuning": (lambda found: None, rate_lines),
}
