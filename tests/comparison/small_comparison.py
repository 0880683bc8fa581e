"""The plan of a comparison that runs in a second."""

from __future__ import annotations

from typing import Any

from layerwise.plan import Plan
from layerwise.recipe import check


def small_plan(**tables: Any) -> Plan:
    values: dict[str, Any] = {
        "network": {"hidden_layer_sizes": (24,)},
        "pretrain": {"epochs": 2},
        "finetune": {"epochs": 6, "batch_size": 25},
        "compare": {"budgets": (50, 100), "seeds": 3, "tune": False, "baselines": ()},
    }
    for name, table in tables.items():
        values[name] = {**values.get(name, {}), **table}
    return check(Plan, values, "the small plan")
