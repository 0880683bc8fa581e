"""Noise: its rates, its values, and that it leaves the clean rows alone."""

from __future__ import annotations

import math

import pytest
import scipy.sparse
import torch
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from layerwise.data.sparse import sparse_tensor
from layerwise.errors import DataError
from layerwise.nn.corruption import Corruption, GaussianNoise, Masking, SaltAndPepper, SwapNoise

KINDS = [Masking(0.3), GaussianNoise(0.5), SaltAndPepper(0.3), SwapNoise(0.3)]
every_kind = pytest.mark.parametrize("noise", KINDS, ids=lambda noise: noise.kind)
CERTAIN = 4.9  # standard deviations: a two-sided false alarm of one in a million


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(count: int = 100, width: int = 1000) -> torch.Tensor:
    return torch.rand(count, width, generator=seeded(1)) * 0.8 + 0.1  # neither 0 nor 1


def assert_rate(found: torch.Tensor, rate: float) -> None:
    error = math.sqrt(rate * (1 - rate) / found.numel())
    assert abs(float(found.double().mean()) - rate) < CERTAIN * error


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 4), (3, 1, 2, 2)])
def test_returns_a_new_tensor_of_the_same_kind(noise, dtype, shape):
    inputs = torch.rand(shape, generator=seeded(), dtype=dtype)
    before = inputs.clone()
    noisy = noise(inputs, seeded())
    assert torch.equal(inputs, before)
    assert noisy.data_ptr() != inputs.data_ptr()
    assert (noisy.shape, noisy.dtype) == (inputs.shape, inputs.dtype)


@every_kind
def test_is_a_function_of_the_generator(noise):
    generator, before = seeded(), torch.random.get_rng_state()
    first, second = noise(rows(), generator), noise(rows(), generator)
    assert torch.equal(first, noise(rows(), seeded()))
    assert not torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.9])
def test_masking_rate(rate):
    """The share of zeros is within 4.9 standard errors: false alarm 1e-6 a rate."""
    assert_rate(Masking(rate)(rows(), seeded()) == 0, rate)


def test_every_place_in_a_row_is_masked_as_often():
    """Four elements come of one draw: none of the four is favoured. False alarm 1e-5, both tails over 8 places."""
    rows, rate = 20_000, 0.3
    masked = (Masking(rate)(torch.ones(rows, 8), torch.Generator().manual_seed(3)) == 0).double().mean(0)
    assert float((masked - rate).abs().max()) < 4.9 * (rate * (1 - rate) / rows) ** 0.5


def test_masking_does_not_rescale_what_it_keeps():
    clean, noisy = rows(), Masking(0.4)(rows(), seeded())
    kept = noisy != 0
    assert torch.equal(noisy[kept], clean[kept])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_salt_and_pepper_are_equal(rate):
    """Shares of 0 and of 1 are each rate/2, within 4.9 standard errors: false alarm 2e-6 a rate."""
    clean, noisy = rows(), SaltAndPepper(rate)(rows(), seeded())
    assert_rate(noisy == 0, rate / 2)
    assert_rate(noisy == 1, rate / 2)
    kept = (noisy != 0) & (noisy != 1)
    assert torch.equal(noisy[kept], clean[kept])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_swap_noise_takes_another_rows_value_of_the_same_column(rate):
    """Values are numbered, so that each names its row and column; the rate within 4.9 standard errors."""
    clean = torch.arange(100 * 1000, dtype=torch.float64).view(100, 1000)
    noisy, chosen = SwapNoise(rate).corrupt(clean, seeded())
    assert torch.equal(noisy % 1000, clean % 1000), "the same column"
    assert torch.equal(noisy != clean, chosen), "chosen elements are another row's, others their own"
    assert_rate(chosen, rate)
    assert torch.equal(SwapNoise(rate)(clean.view(100, 10, 10, 10), seeded()), noisy.view(100, 10, 10, 10))


def test_swap_noise_takes_any_other_row_as_often_and_each_element_by_itself():
    """Chi-squared of the rows' distances over 6 others, and of pairs of neighbours: false alarm 1e-5 each."""
    clean = torch.arange(7 * 20_000, dtype=torch.float64).view(7, 20_000)
    noisy = SwapNoise(1.0)(clean, seeded())
    further = ((noisy - clean) / 20_000).long() % 7
    counts = torch.bincount(further.flatten(), minlength=7)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 1e-5
    pairs = torch.bincount((further[:, :-1] * 7 + further[:, 1:]).flatten()[::2], minlength=49).view(7, 7)[1:, 1:]
    assert stats.chisquare(pairs.flatten()).pvalue > 1e-5


def test_swap_noise_of_one_row_is_that_row():
    assert torch.equal(SwapNoise(1.0)(rows(1), seeded()), rows(1))


@pytest.mark.parametrize("std", [0.1, 2.0])
def test_gaussian_distribution(std):
    """Kolmogorov-Smirnov against N(0, std): false alarm 1e-4 a case."""
    clean = rows().double()
    residual = (GaussianNoise(std)(clean, seeded()) - clean).flatten().numpy()
    assert stats.kstest(residual, "norm", args=(0, std)).pvalue > 1e-4


@every_kind
def test_elements_are_independent(noise):
    """Changes of neighbours in a row, and of rows in a column: |correlation| below 4.9 / sqrt(n); false alarm 2e-6."""
    clean = torch.full((300, 300), 0.5)
    # of swap noise which elements it chose: what it puts there is what other rows have
    change = (noise.corrupt(clean, seeded())[1] if noise.kind == "swap" else noise(clean, seeded()) - clean).double()
    for one, other in [(change[:, :-1], change[:, 1:]), (change[:-1], change[1:])]:
        found = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
        assert abs(float(found)) < CERTAIN / math.sqrt(one.numel())


def test_none_and_all():
    clean = rows()
    for nothing in (Masking(0.0), SaltAndPepper(0.0), GaussianNoise(0.0), SwapNoise(0.0)):
        assert torch.equal(nothing(clean, seeded()), clean)
    assert not Masking(1.0)(clean, seeded()).any()
    assert set(SaltAndPepper(1.0)(clean, seeded()).unique().tolist()) == {0.0, 1.0}


def test_the_mask_does_not_depend_on_precision():
    single = Masking(0.5)(torch.ones(10, 10), seeded())
    assert torch.equal(single.double(), Masking(0.5)(torch.ones(10, 10, dtype=torch.float64), seeded()))


@pytest.mark.parametrize("kind", [Masking, SaltAndPepper, SwapNoise])
@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_rates_outside_0_to_1_are_refused(kind, rate):
    with pytest.raises(ValidationError, match="rate"):
        kind(rate=rate)


@pytest.mark.parametrize("std", [-0.1, math.nan, math.inf])
def test_bad_deviations_are_refused(std):
    with pytest.raises(ValidationError, match="std"):
        GaussianNoise(std=std)


@every_kind
def test_written_and_read_back(noise):
    adapter = TypeAdapter(Corruption)
    assert adapter.validate_python(adapter.dump_python(noise)) == noise
    with pytest.raises(ValidationError, match="kind"):
        adapter.validate_python({"kind": "blur", "rate": 0.1})


def test_masking_of_sparse_rows_drops_stored_elements_independently_with_its_rate():
    dense = torch.rand(100, 2000, generator=torch.Generator().manual_seed(1)) + 0.1
    dense[:, 400:] = 0.0
    dense[3] = 0.0
    rows = sparse_tensor(scipy.sparse.csr_array(dense.numpy()))
    noisy = Masking(0.3)(rows, torch.Generator().manual_seed(2))
    assert noisy.layout is torch.sparse_csr and noisy.shape == rows.shape
    kept = noisy.to_dense() != 0
    assert torch.equal(noisy.to_dense(), dense * kept)
    count = dense.count_nonzero()
    assert abs(int(kept.sum()) - 0.7 * count) < CERTAIN * (0.21 * count) ** 0.5
    assert noisy.values().numel() == int(kept.sum()), "dropped, not stored as zeros"
    assert torch.equal(rows.to_dense(), dense), "the clean rows are the target"


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_masking_of_sparse_rows_at_the_ends(rate):
    rows = sparse_tensor(scipy.sparse.csr_array([[0.0, 2.0], [0.0, 0.0], [3.0, 4.0]]))
    noisy = Masking(rate)(rows, torch.Generator().manual_seed(0))
    assert torch.equal(noisy.to_dense(), rows.to_dense() * (1 - rate))


@pytest.mark.parametrize("noise", [GaussianNoise(0.1), SaltAndPepper(0.1), SwapNoise(0.1)])
def test_noise_that_would_make_sparse_rows_dense_is_refused(noise):
    rows = sparse_tensor(scipy.sparse.csr_array([[0.0, 2.0]]))
    with pytest.raises(DataError, match=r"would make sparse rows dense\nhint: take Masking"):
        noise(rows, torch.Generator())
