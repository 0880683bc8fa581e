"""From what was measured to ``results.json``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from ..plan import Plan
from .arms import ARMS, RIVALS
from .by_layer import STRENGTHS
from .convergence import convergence
from .experiment import Measured
from .rows import Rows
from .statistics import Gain, gain, holm
from .verdict import decide


def results_of(plan: Plan, rows: Rows, measured: Measured) -> dict[str, Any]:
    """Return everything that ``results.json`` holds."""
    gains = {labels: _gain(labels, plan.compare.seeds, measured) for labels in measured.budgets}
    head = gains[measured.headline]
    control = plan.pretrain.objective is None
    verdict = decide(
        head.gain, head.low, head.high, seeds=plan.compare.seeds, min_gain=plan.compare.min_gain,
        se_seeds=head.se_seeds, se_rows=head.se_rows, test_rows=head.test_rows, labels=measured.headline,
        control=control,
    )  # fmt: skip
    return {
        "layerwise": version("layerwise"),
        "verdict": verdict.verdict,
        "harmful": verdict.harmful,
        "preliminary": verdict.preliminary,
        "explanation": verdict.explanation,
        "needed": verdict.needed,
        "control": control,
        "headline": measured.headline,
        "seeds": plan.compare.seeds,
        "min_gain": plan.compare.min_gain,
        "budgets": _budgets(gains, measured),
        "convergence": _convergence(plan, measured),
        "baselines": _baselines(plan.compare.seeds, measured),
        "cost": _cost(plan, measured),
        "search": _search(plan, rows),
        "layers": _layers(measured),
        "by_layer": _by_layer(measured),
        "parameters": measured.parameters,
        "data": {
            "name": rows.name,
            "training_rows": len(rows.inputs),
            "labelled_rows": int((rows.codes >= 0).sum()),
            "test_rows": len(rows.test_inputs),
            "features": rows.width,
            "pretraining_rows": len(rows.inputs if rows.pretrain_inputs is None else rows.pretrain_inputs),
            "image_shape": rows.image_shape,
            "preparation": None if rows.preparation is None else rows.preparation.describe(),
            "repeated_test_rows": rows.repeated,
            "classes": list(rows.classes),
        },
    }


def _gain(labels: int, seeds: int, measured: Measured) -> Gain:
    wrong = {arm: [measured.outcomes[seed, labels, arm].wrong for seed in range(seeds)] for arm in ARMS}
    return gain(np.array(wrong["random"]), np.array(wrong["pretrained"]))


def _budgets(gains: dict[int, Gain], measured: Measured) -> list[dict[str, Any]]:
    """Return one entry per budget; beside the headline, p-values are adjusted for asking several times."""
    others = [labels for labels, found in gains.items() if labels != measured.headline and found.p_value is not None]
    adjusted = dict(zip(others, holm([gains[labels].p_value or 0.0 for labels in others]), strict=True))
    return [
        {
            "labels": labels,
            **found.fields(),
            "p_holm": adjusted.get(labels),
            "headline": labels == measured.headline,
            **{f"{arm}_settings": measured.settings[labels, arm] for arm in ARMS},
        }
        for labels, found in gains.items()
    ]


def _convergence(plan: Plan, measured: Measured) -> dict[str, Any]:
    labels = measured.headline
    curves = {arm: [measured.outcomes[seed, labels, arm].curve for seed in range(plan.compare.seeds)] for arm in ARMS}
    return convergence(
        curves["random"], curves["pretrained"],
        [measured.pretraining_seconds(seed, labels) for seed in range(plan.compare.seeds)],
        labels=labels, rows=measured.monitored, measured_on=measured.monitored_on,
    )  # fmt: skip


def _baselines(seeds: int, measured: Measured) -> list[dict[str, Any]]:
    names = sorted({arm for _, _, arm in measured.outcomes} - set(ARMS))
    shown = {rival.arm: name for name, rival in RIVALS.items()}
    found = []
    for labels in measured.budgets:
        for name in names:
            outcomes = [measured.outcomes[seed, labels, name] for seed in range(seeds)]
            errors = [outcome.error for outcome in outcomes]
            found.append(
                {
                    "name": shown.get(name, name),
                    "labels": labels,
                    "error": float(np.mean(errors)),
                    "errors": errors,
                    "settings": measured.settings[labels, name],
                    "seconds": sum(outcome.seconds for outcome in outcomes),
                }
            )
    return found


def _cost(plan: Plan, measured: Measured) -> dict[str, Any]:
    """Return seconds of training; the time for validation, loading and the report is not in them.

    The search that found a recipe is in the total, by the clock of its trials.
    """
    seeds = plan.compare.seeds
    search = plan.searched.seconds if plan.searched else 0.0
    finetuning = {
        arm: [sum(measured.outcomes[seed, labels, arm].seconds for labels in measured.budgets) for seed in range(seeds)]
        for arm in ARMS
    }
    arms = (*ARMS, *(rival.arm for rival in RIVALS.values()))
    tuning = {arm: sum(row["seconds"] for row in measured.tuning if row["arm"] == arm) for arm in arms}
    pretraining = [_pretraining_seconds(seed, measured) for seed in range(seeds)]
    baselines = sum(outcome.seconds for (_, _, arm), outcome in measured.outcomes.items() if arm not in ARMS)
    total = sum(pretraining) + sum(map(sum, finetuning.values())) + sum(tuning.values()) + baselines + search
    return {
        "pretraining_seconds": pretraining,
        "finetuning_seconds": finetuning,
        "tuning_seconds": tuning,
        "baseline_seconds": baselines,
        "search_seconds": search,
        "total_seconds": total,
    }


def _search(plan: Plan, rows: Rows) -> dict[str, Any] | None:
    """Return what the search for a recipe's settings means for the comparison, None where there was none."""
    found = plan.searched
    if found is None:
        return None
    same = found.rows == rows.fingerprint
    seen = (
        "it was given these training rows and labels, and none of these test rows"
        if same
        else "its training rows were others than these, so that it may have been given some of these test rows"
    )
    statement = (
        f"the settings come from a search of {found.trials} trials on {found.labels:,} labels, which chose them for "
        f"the pre-trained arm and is a cost of that arm alone; {seen}"
    )
    return {"trials": found.trials, "seconds": found.seconds, "same_rows": same, "statement": statement}


def _pretraining_seconds(seed: int, measured: Measured) -> float:
    """Return the seconds of a seed's pre-training; one that serves all budgets counts once."""
    histories = [history for (own, _, _), history in measured.stages.items() if own == seed]
    return sum(stage.seconds for history in {id(h): h for h in histories}.values() for stage in history)


def _by_layer(measured: Measured) -> dict[str, Any] | None:
    """Return what both arms' layers did, where both were measured."""
    if set(measured.by_layer) != set(ARMS):
        return None
    return {
        "labels": measured.headline,
        "seed": 0,
        "rows": measured.monitored,
        "measured_on": measured.monitored_on,
        "strengths": STRENGTHS,
        "arms": {arm: measured.by_layer[arm] for arm in ARMS},
    }


def _layers(measured: Measured) -> list[dict[str, Any]]:
    return [
        {
            "seed": seed, "stage": stage.number, "layer": stage.layer, "objective": stage.objective,
            "units": stage.units, "loss_name": stage.loss_name, "learning_rate": stage.learning_rate,
            "loss": stage.loss, "mean_predictor_loss": stage.mean_predictor_loss, "seconds": stage.seconds,
        }
        for (seed, labels, _), stages in measured.stages.items() if labels == measured.headline
        for stage in stages
    ]  # fmt: skip
