"""The page of many runs of both arms: trajectories, spread by depth, equal training loss, partial pre-training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from ..errors import RunError
from ..write import write_text
from . import many_runs_figures as figures
from .many_runs_results import Depths, EqualLoss, Layers, Spread, Trajectories
from .page import render_plain
from .results import Record
from .section import Plot, Section
from .tables import Table
from .words import count, decimal, interval, probability

T = TypeVar("T", bound=Record)
LEGEND = (("pretrained", "pre-trained"), ("random", "random"))


def write_many_runs(folder: str | Path, page: str | Path | None = None) -> Path:
    """Make one HTML page from the result files in a folder; `layerwise.analysis.write_page` is the door to it."""
    place = Path(folder)
    trajectories = _read(place / "trajectories.json", Trajectories)
    equal_loss = _read(place / "equal-loss.json", EqualLoss)
    depths, layers = _read(place / "depth.json", Depths), _read(place / "layers.json", Layers)
    made = [
        *([_embeddings(trajectories), _distances(trajectories)] if trajectories else []),
        *([_equal_loss(equal_loss)] if equal_loss else []),
        *([_depth(depths)] if depths else []),
        *([_layers(layers)] if layers else []),
    ]
    versions = [found.layerwise for found in (trajectories, equal_loss, depths, layers) if found]
    if not made:
        raise RunError(
            f"{place} has none of the result files of many runs",
            "give a folder with trajectories.json, equal-loss.json, depth.json or layers.json",
        )
    path = place / "report.html" if page is None else Path(page)
    facts = "Many runs of the same network, from pre-trained weights and from those it had before, seed by seed."
    pairs = ("embeddings", "depth", "layers")
    write_text(path, render_plain("Why pre-training works", facts, made, versions[0], pairs))
    return path


def _read(path: Path, kind: type[T]) -> T | None:
    if not path.exists():
        return None
    cure = "measure it again, or delete it to leave its section out"
    try:
        return kind.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        found = str(error)
        if isinstance(error, ValidationError):
            found = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:5])
        raise RunError(f"{path} cannot be used: {found}", cure) from error


def _embeddings(found: Trajectories) -> Section:
    seeds = len(found.runs) // 2
    lead = (
        f"Each line is one run of fine-tuning; {seeds} an arm. A point is a network at a checkpoint: its probabilities "
        f"for {count(found.watched)} test rows, taken as one vector. Light is the start, dark the end. Isomap keeps "
        "distances along the lines; t-SNE keeps neighbours, and its far distances and sizes mean nothing."
    )
    plots = tuple(
        Plot(method, figures.embedding(found, method), f"{title} of the runs of both arms in function space.",
             title=title)
        for method, title in (("isomap", "Isomap"), ("tsne", "t-SNE"))
    )  # fmt: skip
    return Section("embeddings", "Trajectories in function space", lead, plots=plots, legend=LEGEND)


def _distances(found: Trajectories) -> Section:
    plot = Plot("distances", figures.distances(found), "Mean distances between networks by update.",
                "Solid: between two networks of one arm. Dashed: between networks of different arms.")  # fmt: skip
    chosen = sorted({0, len(found.updates) // 4, len(found.updates) // 2, 3 * len(found.updates) // 4,
                     len(found.updates) - 1})  # fmt: skip
    columns = (("updates", True), ("among pre-trained", True), ("among random", True), ("between the arms", True),
               ("nearest is of the same arm, %", True), ("silhouette", True))  # fmt: skip
    rows = tuple(
        (count(found.updates[at]), decimal(row.within["pretrained"], 3), decimal(row.within["random"], 3),
         decimal(row.between, 3), decimal(100 * row.purity, 0), decimal(row.silhouette))
        for at, row in ((at, found.regions[at]) for at in chosen)
    )  # fmt: skip
    caption = (
        "Distances are root mean squares over the rows, from 0 to 1.41. If the arms did not matter, the nearest other "
        f"network would be of the same arm for {decimal(100 * found.end.chance, 0)} %."
    )
    return Section("distances", "The same as distances", found.sentence, (plot,), legend=LEGEND,
                   tables=(Table(caption, columns, rows),))  # fmt: skip


def _equal_loss(found: EqualLoss) -> Section:
    plots = (
        Plot("equal-loss", figures.equal_loss(found), "Test loss against training loss, both arms.",
             "Training goes from left to right. Thin: one run. Bold: mean at equal training loss."),
        Plot("loss-differences", figures.loss_differences(found), "Difference of test loss at equal training loss.",
             "Pre-trained minus random, paired by seed, with 95 % intervals: below 0, pre-training regularises."),
    )  # fmt: skip
    columns = (("training loss", True), ("pre-trained", True), ("random", True), ("difference", True),
               ("95 % interval", True), ("seeds", True))  # fmt: skip
    rows = tuple(
        (f"{level:.3g}", decimal(here, 3), decimal(there, 3), decimal(gap.mean, 3, sign=True),
         interval(gap.low, gap.high, 3), count(seeds))
        for level, here, there, gap, seeds in zip(
            found.levels, found.pretrained, found.random, found.differences, found.seeds, strict=True
        )
    )  # fmt: skip
    table = Table("Mean test cross-entropy where the training cross-entropy is the same.", columns, rows)
    return Section(
        "equal-loss", "Regularisation or optimisation", found.sentence, plots, legend=LEGEND, tables=(table,)
    )


def _depth(found: Depths) -> Section:
    plots = tuple(
        Plot(f"depth-{number}", figures.depth(study, found), f"Test error by depth, weights {study.initializer}.",
             title=f"Initial weights: {study.initializer}")
        for number, study in enumerate(found.initializers)
    )  # fmt: skip
    columns = (("layers", True), ("pre-trained, %", True), ("SD", True), ("95 % interval of the SD", True),
               ("random, %", True), ("SD", True), ("95 % interval of the SD", True), ("p of equal spread", True),
               ("gain, points", True), ("95 % interval", True))  # fmt: skip
    tables = tuple(
        Table(f"Initial weights: {study.initializer}. SD is the standard deviation over seeds.", columns, tuple(
            (count(row.depth), *_of(row.spread["pretrained"]), *_of(row.spread["random"]),
             probability(row.equal_spreads.p_value), decimal(row.gain.mean, sign=True),
             interval(row.gain.low, row.gain.high))
            for row in study.depths
        ))
        for study in found.initializers
    )  # fmt: skip
    paragraphs = tuple(f"Initial weights {study.initializer}: {study.sentence}" for study in found.initializers)
    return Section("depth", "Spread over seeds by depth", plots=plots, tables=tables, paragraphs=paragraphs,
                   legend=LEGEND)  # fmt: skip


def _of(spread: Spread) -> tuple[str, str, str]:
    return decimal(spread.mean), decimal(spread.std), interval(spread.std_low, spread.std_high)


def _layers(found: Layers) -> Section:
    lead = (
        "The named layers start from pre-trained weights, the others from the initial ones. A layer without the "
        "pre-trained ones below it is fed codes that it was not pre-trained on."
    )
    plots = tuple(
        Plot(f"layers-{number}", figures.layers(study, found), f"Test error by layers, {study.initializer}.",
             title=f"Initial weights: {study.initializer}")
        for number, study in enumerate(found.initializers)
    )  # fmt: skip
    columns = (("pre-trained layers", False), ("test error, %", True), ("95 % interval", True),
               ("gain over random, points", True), ("95 % interval", True))  # fmt: skip
    tables = tuple(
        Table(f"Initial weights: {study.initializer}. Intervals are over seeds.", columns, tuple(
            (figures.part_name(part.name), decimal(part.error.mean), interval(part.error.low, part.error.high),
             decimal(part.gain.mean if part.gain else None, sign=True),
             interval(part.gain.low, part.gain.high) if part.gain else interval(None, None))
            for part in study.arms
        ))
        for study in found.initializers
    )  # fmt: skip
    return Section("layers", "Which layers matter", lead, plots=plots, tables=tables)
