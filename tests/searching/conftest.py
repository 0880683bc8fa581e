"""A search small enough to run in seconds: scikit-learn's digits and a narrow network."""

from __future__ import annotations

import pytest
from sklearn.datasets import load_digits

from layerwise.comparison.rows import Rows, gather


@pytest.fixture(scope="session")
def digits() -> Rows:
    found = load_digits()
    return gather(found.data / 16, found.target, name="digits", scale="auto", test=0.4, random_state=0)
