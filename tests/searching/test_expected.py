"""The expected best of k trials, against all ways to draw them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from layerwise.searching.expected import expected_best

ERRORS = [7.0, 3.0, 9.0, 4.0, 4.0, 8.0, 6.0, 2.5]


def test_equals_all_draws() -> None:
    for k, mean, low, high in expected_best(ERRORS, share=0.8):
        smallest = [min(drawn) for drawn in itertools.combinations(ERRORS, k)]
        assert mean == pytest.approx(np.mean(smallest))
        assert low == pytest.approx(np.quantile(smallest, 0.1, method="inverted_cdf"))
        assert high == pytest.approx(np.quantile(smallest, 0.9, method="inverted_cdf"))


def test_a_trial_without_a_result_is_the_worst() -> None:
    found = expected_best([None, 3.0, 5.0])
    smallest = [min(drawn) for drawn in itertools.combinations([np.inf, 3.0, 5.0], 2)]
    assert found[1][1] == pytest.approx(np.mean(smallest))
    assert found[0][1] == pytest.approx(4.0)  # of the draws that have a result
    assert expected_best([None, None]) == []


def test_many_trials_stay_finite() -> None:
    found = expected_best(list(np.linspace(5.0, 50.0, 500)))
    assert found[-1][1:] == (5.0, 5.0, 5.0)
    means = [mean for _, mean, _, _ in found]
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(means))
