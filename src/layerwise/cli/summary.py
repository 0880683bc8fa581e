"""What is printed before a comparison, the plan with an estimate, and after it, the table with the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..comparison.estimate import Estimate
from ..comparison.experiment import Experiment
from ..training.verbose import roughly

COLOURS = {"WORTH IT": "green", "DO NOT PRE-TRAIN": "red", "CANNOT TELL": "yellow"}


def print_plan(experiment: Experiment, expected: Estimate, folder: Path) -> None:
    """Say on standard error what will be done and how long it should take."""
    plan, rows = experiment.plan, experiment.rows
    convolutions = (f"{layer.channels}c{layer.kernel}" for layer in plan.network.convolutions)
    sizes = "-".join(map(str, (rows.width, *convolutions, *plan.network.hidden_layer_sizes, len(rows.classes))))
    labelled = int((rows.codes >= 0).sum())
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    training = f"{len(rows.inputs):,} training rows ({labelled:,} labelled)"
    if rows.pretrain_inputs is not None:
        training += f", {len(rows.pretrain_inputs):,} others to pre-train on"
    say(f"data      {rows.name}: {training}, {len(rows.test_inputs):,} test rows")
    if rows.preparation is not None:
        say(f"prepare   {rows.preparation.describe()}", markup=False)
    say(f"network   {sizes}, {plan.network.activation}")
    budgets = ", ".join(f"{labels:,}" for labels in experiment.budgets)
    say(f"compare   label budgets {budgets}; the verdict is about {experiment.headline:,}; {plan.compare.seeds} seeds")
    parts = {"pre-training": expected.pretraining, "tuning": expected.tuning, "fine-tuning": expected.finetuning}
    spent = ", ".join(f"{name} {roughly(seconds)}" for name, seconds in parts.items() if seconds)
    extra = "; simple baselines come on top" if experiment.simple else ""
    say(f"estimate  {roughly(expected.total)} of training: {spent}{extra}")
    say(f"run       {folder}\n")


def print_results(results: dict[str, Any], folder: Path) -> None:
    """Print the table, the verdict, its cost and where everything is, on standard error."""
    console = Console(stderr=True, highlight=False)
    console.print(_table(results))
    colour = COLOURS.get(results["verdict"], "white")
    preliminary = " (preliminary)" if results["preliminary"] else ""
    harmful = " (harmful)" if results["harmful"] else ""
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    say(f"\n[bold {colour}]{results['verdict']}{harmful}{preliminary}[/]  {results['explanation']}")
    say(f"Convergence: {_convergence(results['convergence'])}")
    say(f"Cost: {_cost(results)}")
    note = _baseline_note(results)
    if note:
        say(f"[bold]Note:[/] {note}")
    if results["search"]:
        statement = results["search"]["statement"]
        say(f"[bold]{'Note' if results['search']['same_rows'] else 'Warning'}:[/] {statement}.")
    say(f"\nReport: {folder / 'report.html'}")


def _table(results: dict[str, Any]) -> Table:
    table = Table(title="Test error in percent, mean over seeds")
    for name in ("labels", "pre-trained", "random", "gain", "95 % interval", "wins"):
        table.add_column(name, justify="right")
    for budget in results["budgets"]:
        interval = "none below 3 seeds" if budget["low"] is None else f"{budget['low']:.2f} to {budget['high']:.2f}"
        table.add_row(
            f"{budget['labels']:,}", f"{budget['pretrained_error']:.2f}", f"{budget['random_error']:.2f}",
            f"{budget['gain']:.2f}", interval, f"{budget['wins']} of {results['seeds']}",
            style="bold" if budget["headline"] else None,
        )  # fmt: skip
    for baseline in results["baselines"]:
        table.add_row(f"{baseline['labels']:,}", baseline["name"], f"{baseline['error']:.2f}", "", "", "", style="dim")
    return table


def _convergence(found: dict[str, Any]) -> str:
    saved = found["updates_saved"]
    reached, seeds = sum(found["pretrained_reached"]), len(found["pretrained_reached"])
    when = "sooner" if saved["mean"] >= 0 else "later"
    text = (
        f"{found['statement']}; the pre-trained arm reached the random arm's best error in {reached} of {seeds} seeds"
    )
    text += f", {abs(saved['mean']):,.0f} updates {when}"
    if saved["low"] is not None:
        text += f" (95 % interval of the updates saved {saved['low']:,.0f} to {saved['high']:,.0f})"
    cost = found["seconds_saved_with_pretraining"]["mean"]
    how = f"{roughly(cost)} saved" if cost >= 0 else f"{roughly(-cost)} more"
    return f"{text}; with the time of pre-training, {how} a seed."


def _cost(results: dict[str, Any]) -> str:
    cost = results["cost"]
    seconds = cost["pretraining_seconds"]
    return (
        f"pre-training took {roughly(sum(seconds) / len(seconds))} a seed; "
        f"{_searched(results)}all training {roughly(cost['total_seconds'])}."
    )


def _searched(results: dict[str, Any]) -> str:
    found = results["search"]
    return f"the search before it {roughly(found['seconds'])}; " if found else ""


def _baseline_note(results: dict[str, Any]) -> str:
    head = next(budget for budget in results["budgets"] if budget["headline"])
    rivals = [item for item in results["baselines"] if item["labels"] == head["labels"]]
    best = min(rivals, key=lambda item: item["error"], default=None)
    if best is None or best["error"] >= head["pretrained_error"]:
        return ""
    return (
        f"{best['name']} beats the pre-trained network: {best['error']:.2f} % against "
        f"{head['pretrained_error']:.2f} % at {head['labels']:,} labels."
    )
