"""One seed, one named stream per purpose, nothing global."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from layerwise.errors import PlanError
from layerwise.randomness import Randomness, as_seed


def test_seeds_are_stable_between_versions():
    """Pinned: a change here changes every published number."""
    assert Randomness(0).seed() == 5254295370254170289
    assert Randomness(0).seed("weights", 1) == 5799416859390973913
    assert Randomness(7, "a").seed("b") == 2745808846717549491


def test_a_child_is_its_path():
    assert (
        Randomness(3).child("a", 1).seed("b")
        == Randomness(3, "a").child(1).seed("b")
        == Randomness(3).seed("a", 1, "b")
    )


def test_every_name_and_seed_leads_elsewhere():
    paths = [(), ("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), (1,), ("1",), (1, 2), (12,), ("a, b",), ("a'", "b")]
    seeds = {Randomness(root).seed(*path) for root in range(50) for path in paths}
    assert len(seeds) == 50 * len(paths)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_neighbouring_streams_are_uncorrelated():
    """Correlation of 10,000 pairs below 4.9 / 100: false alarm one in a million a pair; fixed seeds."""
    draws = [Randomness(seed).numpy("x").standard_normal(10_000) for seed in range(4)]
    found = np.corrcoef(draws) - np.eye(4)
    assert np.abs(found).max() < 0.049


def test_generators_are_fresh_and_named():
    root = Randomness(0)
    one, two = root.generator("x"), root.generator("x")
    assert torch.equal(torch.rand(5, generator=one), torch.rand(5, generator=two))
    assert not torch.equal(torch.rand(5, generator=root.generator("x")), torch.rand(5, generator=root.generator("y")))
    assert np.array_equal(root.numpy("x").random(5), root.numpy("x").random(5))
    assert not np.array_equal(root.numpy("x").random(5), root.numpy("y").random(5))


def test_nothing_global_is_read_or_changed():
    torch.random.manual_seed(1)
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    seeds = [Randomness(5).seed("x")]
    Randomness(5).generator("x")
    Randomness(5).numpy("x").random()
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    torch.random.manual_seed(2)
    assert Randomness(5).seed("x") == seeds[0]


@pytest.mark.parametrize("state", [0, 7, np.int64(7), 2**40])
def test_whole_numbers_are_themselves(state):
    seed = as_seed(state)
    assert seed == state
    assert type(seed) is int, "a NumPy integer would hash to another stream"


def test_numpy_generators_are_drawn_from():
    for make in (np.random.RandomState, np.random.default_rng):
        state = make(3)
        assert as_seed(state) == as_seed(make(3))
        assert as_seed(state) != as_seed(make(3))


def test_none_draws_a_new_seed():
    """Two of 31 bits are equal once in 2e9."""
    assert as_seed(None) != as_seed(None)


@pytest.mark.parametrize("state", [-1, 1.5, "0", True, [1]])
def test_anything_else_is_refused(state):
    with pytest.raises(PlanError, match=r"random_state is .*, expected a whole number") as caught:
        as_seed(state)
    assert "random_state=0" in caught.value.hint
