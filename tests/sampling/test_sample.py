"""The door: seeds, starts, burn-in, thinning, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import stack_of

import layerwise as lw
from layerwise.errors import PlanError
from layerwise.nn.corruption import Masking
from layerwise.objectives import RBM, DenoisingAutoencoder


def stack() -> lw.Stack:
    return stack_of([5, 4, 3], [RBM(), DenoisingAutoencoder()])


@pytest.mark.parametrize("output", ["mean", "sample"])
def test_the_same_seed_the_same_rows(output) -> None:
    first, again, other = (
        lw.sample(stack(), 40, chains=8, burn_in=7, output=output, random_state=seed).inputs for seed in (3, 3, 4)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_nothing_global_is_drawn_from() -> None:
    own, before = stack(), torch.random.get_rng_state()
    lw.sample(own, 5)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("depth", [0, 1])
def test_thinning_and_burn_in_keep_visits_of_one_chain(depth: int) -> None:
    """At depth 0, and in the codes above, they only choose among the visits of a chain that goes on."""
    every = lw.sample(stack(), 60, depth=depth, chains=3, burn_in=0, random_state=0)
    few = lw.sample(stack(), 15, depth=depth, chains=3, burn_in=4, thinning=3, random_state=0)
    assert torch.equal(few.codes, every.codes.reshape(20, 3, -1)[4 + 2 :: 3].flatten(0, 1)[:15])


def test_rows_come_chain_by_chain() -> None:
    drawn = lw.sample(stack(), 11, depth=0, chains=4, random_state=0)
    assert drawn.by_chain().shape == (4, 2, 5), "of the third visit not every chain has one"
    assert torch.equal(drawn.by_chain()[1], drawn.inputs[[1, 5]])
    assert lw.sample(stack(), 3, chains=10, random_state=0).chains == 3


def test_chains_start_where_they_are_told() -> None:
    """Noise that changes nothing, and a chain of means: the first visit is the reconstruction of the start."""
    still = stack_of([5, 4, 3], [DenoisingAutoencoder(Masking(0.0), loss="squared")] * 2, output="linear")
    rows = torch.rand(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for depth in (0, 1):
        found = lw.sample(still, 6, depth=depth, start=rows, chains=6, burn_in=0, random_state=0).inputs
        torch.testing.assert_close(found, still.reconstruct(rows, depth + 1))
    some = lw.sample(still, 4, depth=0, start=rows.numpy(), chains=4, burn_in=0, random_state=0).inputs
    every = still.reconstruct(rows, 1)
    places = [int((every - row).abs().sum(1).argmin()) for row in some]
    torch.testing.assert_close(some, every[places])
    assert len(set(places)) == 4, "rows are drawn without repetition"
    assert places != sorted(places) or places != list(range(4))


def test_chains_are_independent_of_each_other() -> None:
    """Neighbours are no more alike than chance: correlations of 10,000 pairs are beyond 5 % once in a million seeds."""
    drawn = lw.sample(stack(), 20_000, depth=0, chains=20_000, burn_in=20, random_state=0).inputs
    for first, second in ((drawn[::2], drawn[1::2]), (drawn[:10_000], drawn[10_000:])):
        assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 0.05


BAD = {
    "n": ({"n": 0}, "n is 0, expected a whole number of 1 or more"),
    "half a row": ({"n": 2.5}, "n is 2.5"),
    "no chains": ({"chains": 0}, "chains is 0"),
    "burn-in": ({"burn_in": -1}, "burn_in is -1, expected a whole number of 0 or more"),
    "thinning": ({"thinning": 0}, "thinning is 0"),
    "output": ({"output": "means"}, "output is 'means', expected 'mean' or 'sample'"),
    "seed": ({"random_state": -1}, "random_state is -1"),
    "few starts": ({"start": torch.zeros(3, 5)}, "start has 3 rows for 5 chains"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings(case: str) -> None:
    words, message = BAD[case]
    with pytest.raises(PlanError, match=message) as caught:
        lw.sample(stack(), **{"n": 5, **words})
    assert caught.value.hint


def test_a_loaded_stack_draws_the_same_rows(tmp_path) -> None:
    stack().save(tmp_path)
    loaded = lw.Stack.load(tmp_path)
    assert torch.equal(lw.sample(loaded, 20, random_state=1).inputs, lw.sample(stack(), 20, random_state=1).inputs)
