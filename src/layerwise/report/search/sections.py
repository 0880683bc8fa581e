"""The sections of a search's page in their order, each with its words."""

from __future__ import annotations

from ..section import Plot, Section
from ..sections import Number
from ..tables import Table
from ..words import ABSENT, count, decimal, duration
from . import figures
from .parallel import parallel_coordinates
from .projections import grid_and_random
from .summary import Searched, SearchSummary, Tried, Value

METHODS = {
    "random": "random search",
    "halving": "random search with successive halving",
    "greedy": "greedy layer-wise search",
    "grid": "grid search",
    "tpe": "search by Optuna\u2019s TPE sampler",
}
NAMED = {"complete": "", "pruned": "given up early", "diverged": "diverged", "died": "lost: its workers died"}


def sections(summary: SearchSummary) -> tuple[Section, ...]:
    """Return every section of the page, in order."""
    return (
        _found(summary),
        _progress(summary),
        _parallel(summary),
        _importance(summary),
        _settings(summary),
        _grid(summary),
        _trials(summary),
        _cost(summary),
    )


def _found(summary: SearchSummary) -> Section:
    best = summary.results.best
    if not best.values:
        return Section("found", "What was found", "No trial validated better than the recipe as it is.")
    rows = tuple(
        (domain.name, _text(best.values.get(domain.name)), _span(domain)) for domain in summary.results.domains
    )
    table = Table(
        f"The values of trial {best.slot}, and where each was looked for.",
        (("setting", False), ("best", True), ("searched", False)),
        tuple(row for row in rows if row[1] != ABSENT),
    )
    lead = (
        "The best of many validation errors is too small: the luck of the rows it was validated on is part of why it "
        "was chosen. What it is worth on other rows, a comparison measures, with the cost of this search counted."
    )
    return Section("found", "What was found", lead, tables=(table,))


def _text(value: Value | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _span(domain: Searched) -> str:
    if domain.choices is not None:
        return ", ".join(domain.choices)
    return f"{domain.low:g} to {domain.high:g}{', logarithmic' if domain.log else ''}"


def _progress(summary: SearchSummary) -> Section:
    label = figures.described(summary)
    plots = (
        Plot("best-trials", figures.best_so_far(summary, "trials"), f"Best so far against trials. {label}",
             title="Against trials"),
        Plot("best-seconds", figures.best_so_far(summary, "seconds"), f"Best so far against time. {label}",
             title="Against time"),
    )  # fmt: skip
    lead = "Every trial in the order of its number, and the smallest validation error up to it."
    if summary.results.expected_best:
        lead += (
            " Dotted: what the best of so many of these trials comes to on average, had they come in another order; "
            "the band holds nine of ten orders. Where the dotted line is level, more such trials would bring little."
        )
    return Section("progress", "Best so far", lead, plots=plots)


def _parallel(summary: SearchSummary) -> Section:
    if not summary.complete:
        return Section("trials-drawn", "All trials at once", absent="No trial has a result.")
    lead = (
        "Each line is a trial, from its values to its validation error: the darker, the fewer errors; the best is "
        "orange. Dark lines that meet on an axis say that the setting matters and where; dark lines all over it say "
        "that it does not."
    )
    plot = Plot("parallel", parallel_coordinates(summary), f"Parallel coordinates. {figures.described(summary)}")
    return Section("trials-drawn", "All trials at once", lead, plots=(plot,))


def _importance(summary: SearchSummary) -> Section:
    name = "Which settings matter"
    figure = figures.importance_bars(summary)
    if figure is None:
        return Section("importance", name, absent="Too few trials have a result, or nothing varies among them.")
    trials = len(summary.complete)
    lead = (
        "Functional analysis of variance of a random forest fitted to the trials (Hutter et al. 2014): what each "
        "setting explains alone. The thin lines are the range over resamples of the trials."
    )
    if len(summary.results.importances) < len(summary.results.domains):
        lead += " Only settings that every trial has a value of, and that vary, are compared."
    if not summary.results.importances_sure:
        lead += (
            f" {count(trials)} trials are few for {len(summary.results.domains)} settings: take the order as uncertain."
        )
    parts = "; ".join(f"{one.name} {one.importance:.0%}" for one in summary.results.importances)
    return Section("importance", name, lead, plots=(Plot("importances", figure, f"Importances: {parts}."),))


def _settings(summary: SearchSummary) -> Section:
    name = "One setting at a time"
    ranked = [one.name for one in summary.results.importances]
    domains = sorted(
        (one for one in summary.results.domains if any(one.name in trial.values for trial in summary.complete)),
        key=lambda one: ranked.index(one.name) if one.name in ranked else len(ranked),
    )[: figures.MOST_PANELS]
    plots = tuple(
        Plot(f"setting-{number}", figures.one_setting(summary, domain),
             f"Validation error of every trial against {domain.name}.", title=domain.name)
        for number, domain in enumerate(domains)
    )  # fmt: skip
    return Section("settings", name, "Validation error in percent, each dot a trial, the most important setting first.",
                   plots=plots)  # fmt: skip


def _grid(summary: SearchSummary) -> Section:
    name = "Where a grid would have looked"
    figure = grid_and_random(summary)
    if figure is None:
        absent = "The picture compares trials drawn at random over two ranges or more with a grid of as many."
        return Section("grid", name, absent=absent)
    lead = (
        "Left, a grid of as many trials over the two most important ranges, with nothing left for the other settings. "
        "Right, this search\u2019s trials, which varied all of them. The marks along the top and the right are the "
        "projections: a grid tries few values of a setting, each again and again; of random trials each tries another "
        "(Bergstra and Bengio 2012). The grid\u2019s trials were not run."
    )
    plot = Plot(
        "grid-and-random", figure, "Where a grid of as many trials would have looked beside this search\u2019s."
    )
    return Section("grid", name, lead, plots=(plot,))


def _trials(summary: SearchSummary) -> Section:
    def order(one: Tried) -> tuple[float, int]:
        return (one.validation_error if one.validation_error is not None else 101.0, one.slot)

    ordered = sorted(summary.results.tried, key=order)
    names = [domain.name for domain in summary.results.domains]
    table = Table(
        "All trials, best first; trial 0 is the recipe as it is.",
        (("trial", True), ("validation error, %", True), ("best epoch", True), ("time", True),
         *((plain(name), False) for name in names), ("", False)),
        tuple(
            (str(one.slot), decimal(one.validation_error), count(one.epochs), duration(one.seconds),
             *(_text(one.values.get(name)) for name in names),
             NAMED.get(one.state, one.state) + (" (second attempt)" if one.attempt > 1 else ""))
            for one in ordered
        ),
        frozenset({0}),
    )  # fmt: skip
    return Section("trials", "The trials", tables=(table,))


def plain(name: str) -> str:
    """Return a setting's name for the head of a column.

    Examples
    --------
    >>> plain("pretrain.learning_rate"), plain("layer 1: pretrain.learning_rate")
    ('pretrain learning rate', 'layer 1 pretrain learning rate')
    """
    return name.replace("objective.", "").replace(":", "").replace(".", " ").replace("_", " ")


def _cost(summary: SearchSummary) -> Section:
    cost = summary.results.cost
    rows = [
        ("attempts", count(cost.trials)),
        ("time of all, added up", duration(cost.seconds)),
        ("rows that weights were trained on", count(cost.rows)),
        ("workers", count(cost.workers)),
        ("attempts whose worker died", count(cost.died)),
    ]
    table = Table("Of all trials, those given up included.", (("what", False), ("", True)), tuple(rows))
    lead = "The winner\u2019s recipe carries this cost, and layerwise compare counts it to the pre-trained arm."
    return Section("cost", "What it cost", lead, tables=(table,))


def key_numbers(summary: SearchSummary) -> tuple[Number, ...]:
    """Return the numbers of the first screen."""
    results = summary.results
    numbers = [
        Number("best validation error", decimal(results.best.validation_error), "%",
               f"standard error {decimal(results.best.standard_error)} on {count(results.validation_rows)} rows",
               "pretrained"),
    ]  # fmt: skip
    if results.recipe_error is not None:
        numbers.append(
            Number("the recipe as it is", decimal(results.recipe_error), "%", "trial 0, same rows", "random")
        )
    ended = sum(one.slot > 0 and one.state in ("complete", "pruned", "diverged") for one in results.tried)
    failed = sum(one.state == "diverged" for one in results.tried)
    early = sum(one.state == "pruned" for one in results.tried)
    told = [f"{failed} diverged" if failed else "", f"{early} given up early" if early else ""]
    numbers.append(Number("trials", f"{ended} of {results.trials_asked}", "", ", ".join(filter(None, told))))
    numbers.append(Number("cost", duration(results.cost.seconds), "", "all trials added up"))
    return tuple(numbers)


def headline(summary: SearchSummary) -> str:
    """Return the winner\u2019s values in one sentence."""
    values = summary.results.best.values
    if not values:
        return "The recipe as it is."
    return "; ".join(f"{plain(name)} {_text(value)}" for name, value in values.items()) + "."
