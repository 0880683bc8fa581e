"""A comparison small enough to run in a second: scikit-learn's digits and a narrow network."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.datasets import load_digits

from layerwise.comparison.rows import Rows, gather
from layerwise.plan import Plan
from layerwise.recipe import check


@pytest.fixture(scope="session")
def digits() -> Rows:
    found = load_digits()
    return gather(found.data / 16, found.target, name="digits", scale="auto", test=0.4, random_state=0)


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
