"""The plan of a search whose trials take a fraction of a second."""

from __future__ import annotations

from typing import Any

from layerwise.plan import Plan
from layerwise.recipe import check

RATE = {"low": 0.01, "high": 1.0, "log": True}


def small_search(search: dict[str, Any], **tables: Any) -> Plan:
    values: dict[str, Any] = {
        "network": {"hidden_layer_sizes": (12,)},
        "pretrain": {"epochs": 1},
        "finetune": {"epochs": 5, "batch_size": 25},
        "compare": {"budgets": (100,), "seeds": 3, "baselines": ()},
        "search": search,
    }
    for name, table in tables.items():
        values[name] = {**values.get(name, {}), **table}
    return check(Plan, values, "the small search")
