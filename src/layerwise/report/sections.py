"""The report's sections in their order, each with its words; one that has nothing to show says why."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from . import figures, tables
from .layer_section import by_layer
from .pictures import filter_pictures, reconstruction_pictures
from .results import Convergence, Interval
from .section import Plot, Section, Switches, legend
from .summary import Summary
from .words import count, decimal, duration, interval, mean


def sections(summary: Summary) -> tuple[Section, ...]:
    """Return every section of the page, in order."""
    made = [
        _tutorial(summary) if summary.is_tutorial else None,
        _labels(summary),
        _seeds(summary),
        _curves(summary),
        _convergence(summary),
        _layers(summary),
        by_layer(summary),
        _filters(summary),
        _reconstructions(summary),
        _baselines(summary),
        _tuning(summary),
        _cost(summary),
    ]
    return tuple(section for section in made if section is not None)


def _tutorial(summary: Summary) -> Section:
    network = summary.recipe.get("network")
    initializer = network.get("initializer") if isinstance(network, dict) else None
    used = f" This run draws its initial weights by \u201c{initializer}\u201d." if initializer else ""
    cause = (
        "The curves that the Mocha tutorial published, where pre-training looks decisive, come from a bug in the "
        "initialiser of Mocha v0.0.6. It drew weights from U(±√3 / fan-in) where U(±√(3 / fan-in)) was meant: about 30 "
        "times too small. From such weights the random network hardly starts to learn, and pre-training rescues it."
    )
    since = (
        "With the initialiser put right, the two arms end near each other on all 60,000 labels: labels for every "
        f"row are the case in which pre-training has least to give.{used} The published points stand as open markers "
        "in the two pictures of loss and accuracy, as far as this run goes."
    )
    return Section("tutorial", "About the published curves", paragraphs=(cause, since), tables=(tables.published(),))


def _labels(summary: Summary) -> Section:
    title = "How many labels it takes"
    plots = []
    if len(summary.results.budgets) > 1:
        parts = [
            f"{count(row.labels)} labels: {decimal(row.pretrained_error)} % against {decimal(row.random_error)} %"
            for row in summary.results.budgets
        ]
        arms = f"{summary.arm_name('pretrained')} against {summary.arm_name('random')}"
        plots.append(Plot("label-efficiency", figures.label_efficiency(summary),
                          f"Test error against labels, {arms}. " + "; ".join(parts) + ".",
                          "Bold: mean over the seeds. Thin: one seed. Grey: baselines."))  # fmt: skip
    gains = figures.gain_intervals(summary)
    if gains is not None:
        plots.append(Plot("gains", gains, "Gain of pre-training with its 95 % interval at each label budget.",
                          "Bar: 95 % interval. The verdict reads the headline\u2019s, in black."))  # fmt: skip
    absent = "" if len(summary.results.budgets) > 1 else "The run has one label budget, so there is no curve to draw."
    return Section("labels", title, plots=tuple(plots), tables=(tables.budgets(summary),), absent=absent)


def _seeds(summary: Summary) -> Section:
    budget = summary.headline
    lead = (
        "In each seed both arms get the same labels, and the random arm starts from the weights the other had before "
        "pre-training. So each seed is a pair, and the gains are what counts."
    )
    if summary.results.control:
        lead = "In each seed both arms get the same labels, so each seed is a pair."
    pairs = zip(budget.pretrained_errors, budget.random_errors, strict=True)
    label = "; ".join(f"seed {seed}: {decimal(a)} % against {decimal(b)} %" for seed, (a, b) in enumerate(pairs))
    arms = f"{summary.arm_name('pretrained')} against {summary.arm_name('random')}"
    plot = Plot("paired-seeds", figures.paired_seeds(summary), f"Test error of each seed, {arms}. {label}.")
    return Section("seeds", "Seed by seed", lead, plots=(plot,), legend=legend(summary))


def _curves(summary: Summary) -> Section:
    title = "Loss and accuracy while fine-tuning"
    budget = f"{count(summary.results.headline)} labels"
    plots = []
    loss, accuracy = figures.training_loss(summary), figures.held_out_accuracy(summary)
    if loss is not None:
        switches: Switches = (("linear", {"yaxis.type": "linear"}), ("logarithmic", {"yaxis.type": "log"}))
        plots.append(
            Plot("training-loss", loss, f"Training loss of both arms against updates, {budget}.", switches=switches)
        )
    if accuracy is not None:
        close = [max(0.0, _lowest_late(accuracy)), 100.0]
        switches = (("full", {"yaxis.range": [0, 101]}), ("close-up", {"yaxis.range": close}))
        label = f"Held-out accuracy of both arms against updates, {budget}."
        plots.append(Plot("held-out-accuracy", accuracy, label, switches=switches))
    lead = f"Both arms at {budget}, from update 0."
    if summary.results.seeds > 1:
        lead += " Bold: mean over the seeds. Thin: one seed."
    missing = [name for name, plot in (("training loss", loss), ("held-out accuracy", accuracy)) if plot is None]
    absent = (
        f"The run folder\u2019s history has no {' and no '.join(missing)} of both arms at this budget."
        if missing
        else ""
    )
    marks = [("published", "open: published by the tutorial")] if summary.is_tutorial else []
    marked = legend(summary, *marks) if plots else ()
    return Section("curves", title, lead if plots else "", plots=tuple(plots), absent=absent, legend=marked)


def _lowest_late(figure: go.Figure) -> float:
    """Return a floor for the close-up: under everything that the lines do in the second half."""
    late = [float(y) for trace in figure.data if trace.mode == "lines" for y in trace.y[len(trace.y) // 2 :]]
    low = min(late, default=0.0)
    return low - 0.25 * (100 - low)


def _convergence(summary: Summary) -> Section:
    title = "Speed of convergence"
    found = summary.results.convergence
    if found is None:
        return Section("convergence", title, absent="The run did not measure convergence.")
    rows = f" ({count(found.rows)} rows)" if found.rows is not None else ""
    pieces = [] if summary.results.control else [_statement(found)]
    saved, with_cost = found.updates_saved or Interval(), found.seconds_saved_with_pretraining or Interval()
    if saved.mean is not None:
        ends = f" (95 % interval {interval(saved.low, saved.high, 0)})" if saved.low is not None else ""
        pieces.append(f"Updates saved: {decimal(saved.mean, 0)}{ends}.")
    if with_cost.mean is not None and with_cost.mean < 0:
        pieces.append(
            f"With the time of pre-training counted it takes {duration(-with_cost.mean)} longer, not shorter."
        )
    pieces.append(f"Measured on {found.measured_on}{rows}, at {count(found.labels)} labels.")
    reached = sum(found.pretrained_reached)
    if reached < len(found.pretrained_reached):
        pieces.append(f"The {summary.arm_name('pretrained')} arm got there in {reached} of "
                      f"{len(found.pretrained_reached)} seeds.")  # fmt: skip
    figure, table = figures.convergence_updates(summary), tables.convergence(summary)
    label = "Updates until the random arm\u2019s best error is reached, for each seed and both arms, as in the table."
    plots = () if figure is None else (Plot("convergence-updates", figure, label),)
    return Section(
        "convergence",
        title,
        " ".join(piece for piece in pieces if piece),
        plots=plots,
        tables=(table,) if table else (),
        legend=legend(summary) if plots else (),
    )


def _statement(found: Convergence) -> str:
    said = found.statement.strip().rstrip(".")
    if said.startswith("converges"):
        return f"The pre-trained arm {said}."
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _layers(summary: Summary) -> Section:
    title = "The pre-trained layers"
    stages = sorted({row.stage for row in summary.results.layers})
    plots = []
    for stage in stages:
        figure = figures.layer_loss(summary, stage)
        if figure is not None:
            first = next(row for row in summary.results.layers if row.stage == stage)
            caption = f"Stage {stage}: layer {first.layer}, {first.objective}, {count(first.units)} units"
            level = decimal(figures.mean_predictor(summary.results.layers, stage), 1)
            label = f"{caption}. Training loss per row by epoch; the mean predictor is at {level}."
            plots.append(Plot(f"layer-{stage}", figure, label, title=caption))
    table = tables.layers(summary)
    if table is None:
        return Section("layers", title, absent="No layer was pre-trained in this run.")
    lead = (
        "Training loss of each layer by epoch. A layer that learns must fall well below the mean predictor, which "
        "answers every row with the mean of all."
    )
    absent = (
        "" if plots else "The run folder\u2019s history has no losses of pre-training, so only the table can be shown."
    )
    return Section("layers", title, lead if plots else "", plots=tuple(plots), tables=(table,), absent=absent)


def _filters(summary: Summary) -> Section:
    title = "First-layer filters"
    pictures = filter_pictures(summary)
    if not pictures:
        return Section("filters", title, absent=_no_pictures(summary, "filters"))
    lead = (
        "The weights into the same hidden units of seed 0, each scaled to its own largest weight: blue below zero, "
        "orange above. Strokes and spots say that a unit found something in the data; noise says that it did not."
    )
    return Section("filters", title, lead, pictures=pictures)


def _reconstructions(summary: Summary) -> Section:
    title = "Reconstructions"
    pictures = reconstruction_pictures(summary)
    if not pictures:
        return Section("reconstructions", title, absent=_no_pictures(summary, "reconstructions"))
    lead = (
        "From top to bottom: rows of the data, the same rows with noise, and what the pre-trained network makes of the "
        "noisy ones."
    )
    return Section("reconstructions", title, lead, pictures=pictures)


def _no_pictures(summary: Summary, name: str) -> str:
    if not summary.results.data.image_shape:
        return f"The rows are not images, so {name} cannot be drawn."
    return f"The run folder holds no {name}."


def _baselines(summary: Summary) -> Section:
    title = "Baselines"
    table = tables.baselines(summary)
    if table is None:
        return Section("baselines", title, absent="The run has no baselines.")
    figure = figures.baseline_errors(summary)
    label = f"Test error of every model at {count(summary.results.headline)} labels, as in the table."
    caption = "Large: mean over the seeds. Small: one seed."
    plots = () if figure is None else (Plot("baselines", figure, label, caption),)
    lead = "Other models on the same labels. They cannot use rows without labels."
    return Section("baselines", title, lead, plots=plots, tables=(table,))


def _tuning(summary: Summary) -> Section:
    title = "How the settings were chosen"
    table = tables.tuning(summary)
    if table is None:
        return Section("tuning", title, absent="Nothing was tuned: the run used the settings of its recipe.")
    spent = duration(sum(row.seconds or 0.0 for row in summary.tuning))
    lead = f"Both arms chose from one small grid, and every model on the same validation rows; it took {spent} in all."
    return Section("tuning", title, lead, tables=(table,))


def _cost(summary: Summary) -> Section:
    search = summary.results.search
    lead = f"{search.statement[:1].upper()}{search.statement[1:]}." if search else ""
    return Section("cost", "What it cost", lead, tables=(tables.cost(summary),))


@dataclass(frozen=True)
class Number:
    """A number of the first screen."""

    name: str
    value: str
    unit: str
    remark: str
    arm: str = ""


def key_numbers(summary: Summary) -> tuple[Number, ...]:
    """Return the numbers of the first screen."""
    budget = summary.headline
    seeds = len(budget.pretrained_errors)
    remark = "no interval below 3 seeds"
    if budget.low is not None and budget.high is not None:
        remark = f"95 % interval {interval(budget.low, budget.high)}"
    here, there = summary.arm_name("pretrained"), summary.arm_name("random")
    over = "mean over the seeds" if seeds > 1 else "one seed"
    numbers = [
        Number(f"{here}: test error", decimal(budget.pretrained_error), "%", over, "pretrained"),
        Number(f"{there}: test error", decimal(budget.random_error), "%", over, "random"),
        Number("gain", decimal(budget.gain, sign=True), "points", remark),
        Number("wins", f"{budget.wins} of {seeds}", "seed" if seeds == 1 else "seeds", f"for {here}"),
    ]
    spent = mean(summary.results.cost.pretraining_seconds)
    if spent:
        numbers.append(Number("cost of pre-training", duration(spent), "", "per seed"))
    return tuple(numbers)
