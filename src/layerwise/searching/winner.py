"""What a search leaves: ``results.json``, and the winner as a recipe that carries the search's cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from ..errors import PlanError
from ..plan import Plan, SearchedPlan
from .domains import EDGE, Choices, Domain, Span, edges, grid_points, written
from .expected import expected_best
from .importance import SURE_FROM, importances
from .journal import Trial, by_slot
from .methods import settings_of
from .searcher import Searcher


def best_of(trials: Sequence[Trial]) -> Trial:
    """Return the attempt with the smallest validation error, of equals the earliest slot.

    Raises
    ------
    PlanError
        When no trial has a result.
    """
    complete = [trial for trial, _ in by_slot(trials) if trial.state == "complete"]
    if not complete:
        raise PlanError("no trial has a result: all diverged or were lost", "lower the rates that are searched")
    return min(complete, key=lambda trial: trial.measured["validation_error"])


def cost_of(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return what all attempts took, those given back included; of those that died nothing is known."""
    measured = [trial.measured for trial in trials if trial.measured]
    return {
        "trials": sum(trial.state not in ("waiting", "stopped") for trial in trials),
        "seconds": sum(one["seconds"] for one in measured),
        "rows": sum(one["rows"] for one in measured),
        "workers": len({trial.worker for trial in trials if trial.worker}),
        "died": sum(trial.state == "died" for trial in trials),
    }


def recipe_of(searcher: Searcher, trials: Sequence[Trial]) -> Plan:
    """Return the winner as a complete recipe, for the label budget that was searched.

    Its rate of fine-tuning joins the grid that a comparison tunes both arms on.
    """
    best = best_of(trials)
    plan = searcher.plan_of(best.slot.values)
    cost, before = cost_of(trials), plan.searched
    rates = tuple(sorted({*plan.compare.learning_rates, plan.finetune.learning_rate}))
    compare = {"budgets": (searcher.labels,), "headline": searcher.labels, "learning_rates": rates}
    searched = SearchedPlan(
        method=searcher.search.method,
        trials=cost["trials"] + (before.trials if before else 0),
        seconds=round(cost["seconds"] + (before.seconds if before else 0.0), 1),
        labels=searcher.labels,
        validation_rows=searcher.measurement.validation_rows,
        validation_error=best.measured["validation_error"],
        epochs=best.measured["epochs"],
        rows=searcher.rows.fingerprint,
    )
    update = {"name": f"{plan.name}-best", "compare": plan.compare.model_copy(update=compare), "searched": searched}
    return plan.model_copy(update=update)


def results_of(searcher: Searcher, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return everything that a search's ``results.json`` holds."""
    best, rows = best_of(trials), searcher.rows
    latest = [trial for trial, _ in by_slot(trials)]
    tried = [_tried(trial) for trial in latest]
    complete = [trial for trial in latest if trial.state == "complete" and trial.slot.number > 0]
    found = [(trial.slot.values or {}, float(trial.measured["validation_error"])) for trial in complete]
    ranked = importances(searcher.domains, found, searcher.randomness)
    errors = [entry["validation_error"] for entry in tried if entry["slot"] > 0]
    best_values = best.slot.values or {}
    error, validated = best.measured["validation_error"], searcher.measurement.validation_rows
    return {
        "layerwise": version("layerwise"),
        "kind": "search",
        "method": searcher.search.method,
        "trials_asked": searcher.search.trials,
        "labels": searcher.labels,
        "validation_rows": validated,
        "folds": len(searcher.measurement.folds),
        "recipe_error": tried[0]["validation_error"],
        "best": {
            "slot": best.slot.number,
            "validation_error": error,
            "standard_error": 100 * math.sqrt(error / 100 * (1 - error / 100) / validated),
            "epochs": best.measured["epochs"],
            "values": texts(best_values),
            "settings": settings_of(searcher.plan, best_values),
        },
        "edges": [
            {"name": edge.name, "value": edge.value, "end": edge.end, "text": str(edge), **edge.wider.model_dump()}
            for edge in edges(searcher.plan, searcher.domains, best_values)
        ],
        "edge_share": EDGE,
        "domains": [_described(name, domain) for name, domain in searcher.domains.items()],
        "importances": ranked,
        "importances_sure": len(found) >= SURE_FROM * max(1, len(searcher.domains)),
        "grid": _grid(searcher, [one["name"] for one in ranked]),
        "expected_best": expected_best(errors) if searcher.search.method == "random" else [],
        "tried": tried,
        "cost": cost_of(trials),
        "data": {
            "name": rows.name,
            "training_rows": len(rows.inputs),
            "labelled_rows": int((rows.codes >= 0).sum()),
            "features": rows.width,
            "classes": list(rows.classes),
        },
    }


def _tried(trial: Trial) -> dict[str, Any]:
    measured = trial.measured
    return {
        "slot": trial.slot.number,
        "phase": trial.slot.phase,
        "parent": trial.slot.parent,
        "attempt": trial.attempt,
        "state": trial.state,
        "values": texts(trial.slot.values or {}),
        "validation_error": measured.get("validation_error"),
        "epochs": measured.get("epochs"),
        "seconds": measured.get("seconds"),
        "rows": measured.get("rows"),
        "reason": measured.get("reason", ""),
        "worker": trial.worker,
    }


def texts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as the report draws them: numbers, and choices as text."""
    return {name: value if _is_number(value) else written(value).strip('"') for name, value in values.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _described(name: str, domain: Domain) -> dict[str, Any]:
    if isinstance(domain, Choices):
        return {"name": name, "choices": [written(value).strip('"') for value in domain.values]}
    return {"name": name, "low": domain.low, "high": domain.high, "log": domain.log, "whole": domain.whole}


def _grid(searcher: Searcher, ranked: Sequence[str]) -> dict[str, list[Any]]:
    """Return where a grid of as many trials over the two most important ranges would have looked."""
    ranges = [name for name, domain in searcher.domains.items() if isinstance(domain, Span)]
    names = [*(name for name in ranked if name in ranges), *(name for name in ranges if name not in ranked)][:2]
    if searcher.search.method not in ("random", "halving", "tpe") or len(names) < 2:
        return {}
    return grid_points({name: searcher.domains[name] for name in names}, searcher.search.trials)
