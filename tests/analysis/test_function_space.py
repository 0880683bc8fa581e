"""Distances, purity and silhouette of arms whose places are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from layerwise.analysis import regions
from layerwise.errors import DataError

ARMS = ["a"] * 8 + ["b"] * 8


def clouds(shift: float, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    """Two clouds of 8 points in 5 dimensions, the second shifted and scaled."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, 8, 5))
    return np.concatenate([first, scale * second + shift])


def test_distances_are_those_by_hand() -> None:
    points = clouds(3.0, 0.5)
    found = regions(points, ARMS)

    def mean(pairs: itertools.product | itertools.combinations) -> float:  # type: ignore[type-arg]
        return float(np.mean([np.linalg.norm(points[i] - points[j]) for i, j in pairs]))

    within = {"a": mean(itertools.combinations(range(8), 2)), "b": mean(itertools.combinations(range(8, 16), 2))}
    assert found.within == pytest.approx(within)
    assert found.between == pytest.approx(mean(itertools.product(range(8), range(8, 16))))
    assert found.silhouette == pytest.approx(silhouette_samples(points, ARMS).mean())


def test_arms_far_apart_are_pure_and_mixed_ones_are_not() -> None:
    assert regions(clouds(50.0), ARMS).purity == 1.0
    mixed = np.repeat(np.arange(8.0), 2)[:, None] * 10 + np.tile([0.0, 1.0], 8)[:, None]
    found = regions(mixed, ["a", "b"] * 8)  # the nearest other is always of the other arm
    assert found.purity == 0.0 and found.silhouette < 0.05
    assert found.chance == pytest.approx(7 / 15)


def test_the_chance_of_unequal_arms_is_that_of_drawing_another_at_random() -> None:
    names = np.array(["a"] * 3 + ["b"] * 9)
    draws = [names[i] == names[j] for i in range(12) for j in range(12) if i != j]
    assert regions(np.random.default_rng(0).normal(size=(12, 2)), names.tolist()).chance == pytest.approx(
        np.mean(draws)
    )


def test_swapping_arms_finds_the_arm_that_is_closer_together() -> None:
    assert regions(clouds(0.0, 0.1), ARMS, paired=True).p_value < 0.01  # type: ignore[operator]


def test_swapping_arms_equals_all_swaps_by_hand() -> None:
    points = clouds(1.0, 0.5)
    names = np.array(ARMS)

    def difference(swaps: tuple[int, ...]) -> float:
        changed = names.copy()
        for seed in np.flatnonzero(swaps):
            changed[seed], changed[8 + seed] = "b", "a"
        found = regions(points, changed.tolist())
        return found.within["a"] - found.within["b"]

    every = np.array([difference(swaps) for swaps in itertools.product([0, 1], repeat=8)])
    share = min((every >= every[0] - 1e-12).mean(), (every <= every[0] + 1e-12).mean())
    assert regions(points, ARMS, paired=True).p_value == pytest.approx(min(1.0, 2 * share))


def test_arms_that_do_not_differ_are_seldom_told_apart() -> None:
    # 40 tests at 0.05: with nothing to find, 9 or more say yes with probability 2e-4
    alarms = sum(regions(clouds(0.0, 1.0, seed), ARMS, paired=True).p_value <= 0.05 for seed in range(40))  # type: ignore[operator]
    assert alarms <= 8


@pytest.mark.parametrize("arms", [["a"] * 16, ["a"] * 15 + ["b"], ["a", "b", "c", "a"] * 4, ["a"] * 5])
def test_anything_but_two_arms_of_two_networks_is_refused(arms: list[str]) -> None:
    with pytest.raises(DataError, match="16 points of the arms"):
        regions(clouds(0.0), arms)


def test_unequal_arms_are_no_pairs() -> None:
    with pytest.raises(DataError, match="have 3 and 5 networks, so they are not paired"):
        regions(clouds(0.0)[:8], ["a"] * 3 + ["b"] * 5, paired=True)
