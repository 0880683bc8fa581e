"""The report's tables: what the figures show, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .published import PUBLISHED
from .results import Interval
from .summary import ARMS, Summary
from .words import ABSENT, count, decimal, duration, interval, mean, probability, settings


@dataclass(frozen=True)
class Table:
    """A table: its caption, its columns (title, whether they hold numbers), its rows, and the rows that stand out."""

    caption: str
    columns: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int] = frozenset()


def budgets(summary: Summary) -> Table:
    """Both arms at every label budget; the p-values are left out where there are none."""
    ordered = sorted(summary.results.budgets, key=lambda budget: budget.labels)
    caption = "Test error by label budget; the headline, chosen before the run, is bold."
    here, there = summary.arm_name("pretrained"), summary.arm_name("random")
    columns = (("labels", True), (f"{here}, %", True), (f"{there}, %", True), ("gain, points", True),
               ("95 % interval, points", True), ("wins, seeds", True), ("p", True), ("p, Holm", True))  # fmt: skip
    rows = [
        (count(row.labels), decimal(row.pretrained_error), decimal(row.random_error), decimal(row.gain, sign=True),
         interval(row.low, row.high), f"{row.wins} of {len(row.pretrained_errors)}", probability(row.p_value),
         probability(row.p_holm))
        for row in ordered
    ]  # fmt: skip
    shown = len(columns)
    if all(row.p_value is None for row in ordered):
        shown -= 2
    else:
        caption += (
            " The p-values belong to the intervals; beside the headline they are corrected by Holm\u2019s method."
        )
    strong = frozenset(index for index, row in enumerate(ordered) if row.labels == summary.results.headline)
    return Table(caption, columns[:shown], tuple(row[:shown] for row in rows), strong)


def convergence(summary: Summary) -> Table | None:
    """Updates and seconds until the random arm\u2019s best error is reached, means over the seeds."""
    found = summary.results.convergence
    if found is None:
        return None

    def row(
        name: str, unit: str, here: Sequence[float | None], there: Sequence[float | None], saved: Interval | None
    ) -> tuple[str, ...]:
        places = 0 if unit == "updates" else 1
        gained = saved or Interval()
        return (name, unit, decimal(mean(here), places), decimal(mean(there), places), decimal(gained.mean, places),
                interval(gained.low, gained.high, places))  # fmt: skip

    with_cost = found.pretrained_seconds_with_pretraining
    return Table(
        "Until the random arm\u2019s best error is first reached; means over the seeds that reach it.",
        (("measure", False), ("unit", False), (summary.arm_name("pretrained"), True),
         (summary.arm_name("random"), True), ("saved", True), ("95 % interval", True)),
        (
            row("updates", "updates", found.pretrained_updates, found.random_updates, found.updates_saved),
            row("time of fine-tuning", "s", found.pretrained_seconds, found.random_seconds, found.seconds_saved),
            row("time with pre-training", "s", with_cost, found.random_seconds, found.seconds_saved_with_pretraining),
        ),
    )  # fmt: skip


def layers(summary: Summary) -> Table | None:
    """Each pre-trained layer's loss, averaged over the seeds, against the mean predictor's."""
    stages = sorted({row.stage for row in summary.results.layers})
    if not stages:
        return None
    rows = []
    for stage in stages:
        of_stage = [row for row in summary.results.layers if row.stage == stage]
        first, loss = of_stage[0], mean([row.loss for row in of_stage])
        rival = mean([row.mean_predictor_loss for row in of_stage])
        share = decimal(100 * loss / rival, 1) if loss is not None and rival else ABSENT
        rows.append((str(stage), first.layer, first.objective, count(first.units), first.loss_name.replace("_", "-"),
                     decimal(loss), decimal(rival), share))  # fmt: skip
    return Table(
        "Loss on clean rows after each stage, per row; of a reconstruction summed over features; means over the seeds.",
        (("stage", True), ("layer", False), ("objective", False), ("units", True), ("loss", False),
         ("loss per row", True), ("mean predictor", True), ("share of it, %", True)),
        tuple(rows),
    )  # fmt: skip


def baselines(summary: Summary) -> Table | None:
    """The models beside the two arms, best first at each budget."""
    if not summary.results.baselines:
        return None
    rows = [(item.labels, item.error, item.name, settings(item.settings), duration(item.seconds), False)
            for item in summary.results.baselines]  # fmt: skip
    for budget in summary.results.budgets:
        rows.append((budget.labels, budget.pretrained_error, summary.arm_name("pretrained"),
                     settings(budget.pretrained_settings), ABSENT, True))  # fmt: skip
        rows.append((budget.labels, budget.random_error, summary.arm_name("random"),
                     settings(budget.random_settings), ABSENT, True))  # fmt: skip
    rows.sort(key=lambda row: row[:3])
    return Table(
        "Test error of every model on the same labels, best first; the arms, bold, have their time in the cost table.",
        (("labels", True), ("model", False), ("test error, %", True), ("settings", False), ("time", True)),
        tuple((count(labels), name, decimal(error), chosen, time) for labels, error, name, chosen, time, _ in rows),
        frozenset(index for index, row in enumerate(rows) if row[5]),
    )


def tuning(summary: Summary) -> Table | None:
    """What was chosen from what, and on which rows."""
    if not summary.tuning:
        return None
    order = {name: place for place, name in enumerate((*ARMS, "modern"))}
    names = {**{str(arm): summary.arm_name(arm) for arm in ARMS}, "modern": "modern\u00a0network"}
    rows = sorted(summary.tuning, key=lambda row: (row.labels, order.get(row.arm, len(order)), row.arm))
    return Table(
        "Settings tried on validation rows, never on test rows; the chosen ones are bold.",
        (("labels", True), ("arm", False), ("settings", False), ("folds", True),
         ("rows trained on", True), ("rows validated on", True), ("validation error, %", True), ("time", True),
         ("", False)),
        tuple(
            (count(row.labels), names.get(row.arm, row.arm), settings(row.settings),
             count(row.folds), count(row.rows_trained), count(row.rows_validated), decimal(row.validation_error),
             duration(row.seconds), "chosen" if row.chosen else "")
            for row in rows
        ),
        frozenset(index for index, row in enumerate(rows) if row.chosen),
    )  # fmt: skip


def cost(summary: Summary) -> Table:
    """Where the time went."""
    found = summary.results.cost
    names = {str(arm): summary.arm_name(arm) for arm in ARMS}
    rows: list[tuple[str, str, str, str]] = []

    def add(name: str, seconds: Sequence[float]) -> None:
        if any(seconds):
            rows.append((name, str(len(seconds)), duration(mean(seconds)), duration(sum(seconds))))

    add("pre-training", found.pretraining_seconds)
    for arm, seconds in found.finetuning_seconds.items():
        add(f"fine-tuning, {names.get(arm, arm)}", seconds)
    for arm, total in found.tuning_seconds.items():
        add(f"tuning, {names.get(arm, arm)}", [total])
    if found.baseline_seconds:
        add("baselines", [found.baseline_seconds])
    if found.search_seconds:
        add("the search for the settings, for the pre-trained arm", [found.search_seconds])
    if found.total_seconds is not None:
        rows.append(("all of it", "", "", duration(found.total_seconds)))
    return Table(
        "Training time of each part, all label budgets together; an arm\u2019s tuning is one piece of work.",
        (("part", False), ("times", True), ("mean time", True), ("total time", True)),
        tuple(rows),
        frozenset({len(rows) - 1} if found.total_seconds is not None else ()),
    )


def environment(summary: Summary) -> Table:
    """The machine and the versions."""
    rows = ((key.replace("_", " "), str(value)) for key, value in summary.environment.items())
    return Table("Where and with what the run was made.", (("what", False), ("value", False)), tuple(rows))


def published() -> Table:
    """The curves that the tutorial published, as numbers."""
    return Table(
        "Published by the Mocha tutorial, both arms, read off its pictures (losses are means over 5,000 updates to "
        "either side; those of the last row are too small to read).",
        (("updates", True), ("accuracy, pre-trained, %", True), ("accuracy, random, %", True),
         ("loss, pre-trained, nats", True), ("loss, random, nats", True)),
        tuple(
            (count(point.update), f"{point.value('pretrained', 'accuracy'):g}",
             f"{point.value('random', 'accuracy'):g}", _small(point.pretrained_loss), _small(point.random_loss))
            for point in PUBLISHED
        ),
    )  # fmt: skip


def _small(loss: float) -> str:
    return f"{loss:g}" if loss else "≈ 0"
