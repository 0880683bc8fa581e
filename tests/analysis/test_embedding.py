"""Embeddings of points whose geometry is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from layerwise.analysis import embed
from layerwise.errors import DataError, PlanError


def two_lines(gap: float) -> np.ndarray:
    """Two parallel lines of 40 points in 20 dimensions, a rotation of the plane they lie in."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((20, 2)))[0].T
    along = np.tile(np.linspace(0, 4, 40), 2)
    return np.stack([along, np.repeat([0.0, gap], 40)], 1) @ basis


@pytest.mark.parametrize("method", ["isomap", "tsne"])
def test_two_separated_lines_stay_separate(method: Any) -> None:
    placed = embed(two_lines(6.0), method, neighbours=8)
    first, second = placed[:40], placed[40:]
    distance = np.linalg.norm(first[:, None] - second[None], axis=2)
    steps = [np.linalg.norm(np.diff(line, axis=0), axis=1).max() for line in (first, second)]
    assert distance.min() > max(steps)


def test_isomap_recovers_the_order_and_the_lengths_of_a_curve() -> None:
    angle = np.linspace(0, 1.7 * np.pi, 120)  # nearly closed: straight distances would fold it
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    along = embed(circle, "isomap", neighbours=4)[:, 0]
    assert abs(spearmanr(along, angle).statistic) > 0.9999
    assert np.ptp(along) == pytest.approx(1.7 * np.pi, rel=0.01)


def test_isomap_joins_parts_that_are_no_neighbours() -> None:
    placed = embed(two_lines(100.0), "isomap", neighbours=3)  # warnings are errors here
    assert np.isfinite(placed).all()
    assert np.linalg.norm(placed[:40].mean(0) - placed[40:].mean(0)) == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize("method", ["isomap", "tsne"])
def test_the_same_points_and_seed_give_the_same_picture_and_nothing_global_is_drawn(method: Any) -> None:
    points = np.random.default_rng(1).standard_normal((30, 6))
    np.random.seed(5)
    state = np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    first = embed(points, method, 3)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[union-attr]
    np.random.seed(6)
    assert np.array_equal(first, embed(points, method, 3))
    assert first.shape == (30, 2) and np.abs(first.mean(0)).max() < 1e-6 * np.abs(first).max()


@pytest.mark.parametrize("method", ["isomap", "tsne"])
def test_few_points_have_fewer_neighbours(method: Any) -> None:
    assert embed(np.eye(4), method).shape == (4, 2)


@pytest.mark.parametrize(
    ("points", "said"),
    [(np.zeros(5), r"shape \(5,\)"), (np.zeros((3, 2)), r"shape \(3, 2\)"), (np.full((5, 2), np.nan), "not finite")],
)
def test_what_are_no_points_is_refused(points: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        embed(points)


def test_an_unknown_method_is_refused() -> None:
    method: Any = "umap"
    with pytest.raises(PlanError, match="method is 'umap', expected one of isomap, tsne"):
        embed(np.eye(5), method)
