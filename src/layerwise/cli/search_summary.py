"""What is printed before a search, its plan with an estimate, and after it, the best trials with what to be wary of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..comparison.estimate import Estimate
from ..searching.domains import Choices, Domain
from ..searching.search import Search
from ..searching.searcher import Searcher
from ..training.verbose import roughly

SHOWN = 5


def print_search(searcher: Searcher, expected: Estimate, folder: Path) -> None:
    """Say on standard error what will be tried and how long a trial should take."""
    rows, search, measurement = searcher.rows, searcher.search, searcher.measurement
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    folds = f", in {len(measurement.folds)} folds" if len(measurement.folds) > 1 else ""
    say(f"data      {rows.name}: {len(rows.inputs):,} training rows; test rows stay untouched")
    if rows.preparation is not None:
        say(f"prepare   {rows.preparation.describe()}", markup=False)
    say(f"labels    {searcher.labels:,}, of which {measurement.validation_rows:,} validate{folds}")
    say(f"search    {search.method}, {search.trials} trials and the recipe as it is")
    width = max(map(len, searcher.chosen))
    for name, domain in searcher.chosen.items():
        say(f"          {name.ljust(width)}  {_described(domain)}", markup=False)
    one = expected.pretraining + expected.tuning
    say(f"estimate  {roughly(one)} of training for a trial with the recipe's own settings")
    say(f"run       {folder}\n")


def print_trials(found: Search) -> None:
    """Print the best trials, what to be wary of, the cost, and where everything is, on standard error."""
    results, best = found.results, found.results["best"]
    console = Console(stderr=True, highlight=False)
    console.print(_table(results))
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    recipe = results["recipe_error"]
    against = f" against {recipe:.2f} % with the recipe as it is" if recipe is not None and best["slot"] else ""
    error, validated = f"{best['validation_error']:.2f} %", f"{results['validation_rows']:,} rows"
    say(
        f"\n[bold]{error}[/] validation error{against}, on {validated} (standard error {best['standard_error']:.2f}). "
        "The smallest of many errors flatters: expect more on other rows."
    )
    for edge in results["edges"]:
        say(f"[bold yellow]Edge:[/] {_escaped(edge['text'])}.")
    lost = [one["slot"] for one in results["tried"] if one["state"] == "died"]
    if lost:
        say(f"[bold yellow]Lost:[/] trials {', '.join(map(str, lost))}, whose workers died twice.")
    cost = results["cost"]
    workers = f", {cost['workers']} workers" if cost["workers"] > 1 else ""
    say(f"Cost: {roughly(cost['seconds'])} of {cost['trials']} trials{workers}, {cost['rows']:,} rows trained on.")
    say(f"\nWinner: {found.recipe}\n        layerwise compare --recipe {found.recipe} tests it, this cost counted")
    say(f"Report: {found.run_dir / 'report.html'}")


def _table(results: dict[str, Any]) -> Table:
    table = Table(title="Validation error in percent, the best trials")
    table.add_column("trial", justify="right")
    table.add_column("error", justify="right")
    ended = [one for one in results["tried"] if one["validation_error"] is not None]
    ranked = sorted(ended, key=lambda one: (one["validation_error"], one["slot"]))
    shown = ranked[:SHOWN] + [one for one in ranked[SHOWN:] if one["slot"] == 0]
    names = list(dict.fromkeys(name for one in shown for name in one["values"]))
    for name in names:
        table.add_column(short(name), overflow="fold")
    table.add_column("seconds", justify="right")
    for position, one in enumerate(shown):
        values = (_value(one["values"].get(name)) for name in names)
        trial = str(one["slot"]) if one["slot"] else "recipe"
        style = "bold" if position == 0 else None
        table.add_row(trial, f"{one['validation_error']:.2f}", *values, f"{one['seconds']:.0f}", style=style)
    return table


def short(name: str) -> str:
    """Return a setting's name for the head of a narrow column.

    Examples
    --------
    >>> short("pretrain.objective.corruption.rate"), short("layer 2: pretrain.learning_rate")
    ('pretrain corruption rate', 'layer 2 pretrain learning rate')
    """
    return name.replace("objective.", "").replace(":", "").replace(".", " ").replace("_", " ")


def _value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else _escaped(str(value))


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")  # rich would read [500] as a style


def _described(domain: Domain) -> str:
    if isinstance(domain, Choices):
        return ", ".join(str(list(value) if isinstance(value, tuple) else value) for value in domain.values)
    kind = ", logarithmic" if domain.log else ""
    return f"{domain.low:g} to {domain.high:g}{kind}"
