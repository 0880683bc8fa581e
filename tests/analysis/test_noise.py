"""Errors under noise: of a classifier whose every mistake is known."""

from __future__ import annotations

import pytest
import torch

import layerwise as lw
from layerwise.analysis import error_percent, errors_under_noise
from layerwise.errors import DataError
from small_network import build, inputs

ONES, CLASSES = torch.ones(20_000, 1), torch.ones(20_000, dtype=torch.int64)


def above_half(rows: torch.Tensor) -> torch.Tensor:
    return (rows[:, 0] > 0.5).long()


def test_the_error_is_the_share_of_rows_that_the_noise_takes_over_the_boundary() -> None:
    """Five standard errors: a false alarm in 2 million runs, and the seed is fixed."""
    masked = errors_under_noise(above_half, ONES, CLASSES, [lw.Masking(rate) for rate in (0.0, 0.25, 1.0)])
    assert masked[0] == 0.0 and masked[2] == 100.0 and masked[1] == pytest.approx(25, abs=1.6)
    (peppered,) = errors_under_noise(above_half, ONES, CLASSES, [lw.SaltAndPepper(0.5)])
    assert peppered == pytest.approx(25, abs=1.6)
    (gaussian,) = errors_under_noise(above_half, ONES, CLASSES, [lw.GaussianNoise(0.5)])
    assert gaussian == pytest.approx(15.87, abs=1.3)  # below one standard deviation


def test_a_network_is_measured_by_its_largest_output_without_dropout() -> None:
    network, rows = build(), inputs(40)
    network.insert(4, torch.nn.Dropout(0.9))
    with torch.no_grad():
        classes = network.eval()(rows).argmax(1)
    network.train()
    assert error_percent(network, rows, classes) == 0.0
    assert error_percent(network, rows, (classes + 1) % 3) == 100.0
    assert network[4].training


def test_the_same_seed_gives_two_predictors_the_same_noise_and_more_noise_is_added_to_it() -> None:
    seen: list[torch.Tensor] = []

    def watch(rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows)
        return rows[:, 0].long()

    noise = [lw.Masking(0.2), lw.Masking(0.6)]
    for state in (0, 0, 1):
        errors_under_noise(watch, torch.ones(50, 9), torch.ones(50, dtype=torch.int64), noise, state)
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[1], seen[3]) and not torch.equal(seen[0], seen[4])
    assert bool((seen[1] <= seen[0]).all())


def test_rows_without_targets_are_refused() -> None:
    with pytest.raises(DataError, match="there are 20000 rows and 5 targets"):
        error_percent(above_half, ONES, CLASSES[:5])
