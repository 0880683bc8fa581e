"""Initial weights by name: bounds, distribution, and no global draw."""

from __future__ import annotations

import copy
import math
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from layerwise.errors import PlanError
from layerwise.nn.initialization import (
    BOUNDS,
    FOR_ACTIVATION,
    InitializerName,
    initialize,
    initialize_output_bias,
)
from layerwise.nn.lista import LISTA

FAN_IN, FAN_OUT = 200, 120
EXPECTED = {
    "glorot": math.sqrt(6 / 320),
    "glorot-sigmoid": 4 * math.sqrt(6 / 320),
    "he": math.sqrt(6 / 200),
    "xavier": math.sqrt(3 / 200),
    "mocha-early": math.sqrt(3) / 200,
}


def dense(name: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Linear:
    module = nn.utils.skip_init(nn.Linear, FAN_IN, FAN_OUT, dtype=dtype)
    initialize(module, name, torch.Generator().manual_seed(seed))
    return module


def test_every_name_is_tested():
    assert set(EXPECTED) == set(BOUNDS) == set(get_args(InitializerName))
    assert set(FOR_ACTIVATION.values()) <= set(EXPECTED)
    assert (FOR_ACTIVATION["sigmoid"], FOR_ACTIVATION["tanh"]) == ("glorot-sigmoid", "glorot")


@pytest.mark.parametrize("name", EXPECTED)
def test_uniform_between_the_bounds(name):
    """Kolmogorov-Smirnov of 24,000 weights against the uniform, and both ends reached: false alarm 1e-4 a name."""
    module = dense(name)
    bound = EXPECTED[name]
    weights = module.weight.detach().double().flatten().numpy()
    assert abs(weights).max() <= bound * (1 + 1e-6)
    assert min(-weights.min(), weights.max()) > 0.999 * bound
    assert stats.kstest(weights, "uniform", args=(-bound, 2 * bound)).pvalue > 1e-4
    assert not module.bias.any()


def test_mocha_early_is_too_small_by_the_root_of_fan_in():
    ratio = dense("xavier").weight / dense("mocha-early").weight
    torch.testing.assert_close(ratio, torch.full_like(ratio, math.sqrt(FAN_IN)))


def test_a_function_of_the_generator_alone():
    before = torch.random.get_rng_state()
    assert torch.equal(dense("glorot").weight, dense("glorot").weight)
    assert not torch.equal(dense("glorot").weight, dense("glorot", seed=1).weight)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_precision_does_not_change_the_start():
    assert torch.equal(dense("he").weight.double(), dense("he", dtype=torch.float64).weight)


def test_without_a_bias():
    module = nn.Linear(3, 2, bias=False)
    initialize(module, "glorot", torch.Generator().manual_seed(0))
    assert module.bias is None


def test_unknown_name():
    with pytest.raises(PlanError, match="initializer is 'gloro', expected one of glorot, ") as caught:
        dense("gloro")
    assert "'glorot'" in caught.value.hint


def test_output_bias_is_the_log_frequency():
    head = nn.Linear(4, 3)
    before = head.weight.clone()
    initialize_output_bias(head, torch.tensor([0] * 6 + [1] * 3 + [2]))
    torch.testing.assert_close(head.bias.detach(), torch.log(torch.tensor([0.6, 0.3, 0.1])))
    assert torch.equal(head.weight, before)


def test_output_bias_of_an_absent_class_is_finite():
    head = nn.Linear(4, 3)
    initialize_output_bias(head, torch.tensor([0, 0, 1]))
    torch.testing.assert_close(head.bias.detach(), torch.log(torch.tensor([2.0, 1.0, 0.5]) / 3.5))


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize(
    ("module", "fan_in", "fan_out"),
    [
        (nn.Conv2d(8, 12, (5, 3)), 8 * 15, 12 * 15),
        (nn.Conv1d(16, 30, 7), 16 * 7, 30 * 7),
        (nn.Conv2d(8, 60, 5, groups=2), 4 * 25, 60 * 25),
    ],
    ids=["2d", "1d", "groups"],
)
def test_convolutions_count_their_kernel(name, module, fan_in, fan_out):
    """The largest of n >= 1,800 uniform draws is below .99 of the bound with probability .99^n < 2e-8."""
    bounds = {
        "glorot": math.sqrt(6 / (fan_in + fan_out)), "glorot-sigmoid": 4 * math.sqrt(6 / (fan_in + fan_out)),
        "he": math.sqrt(6 / fan_in), "xavier": math.sqrt(3 / fan_in), "mocha-early": math.sqrt(3) / fan_in,
    }  # fmt: skip
    module = copy.deepcopy(module)
    initialize(module, name, torch.Generator().manual_seed(0))
    largest = float(module.weight.detach().abs().max())
    assert 0.99 * bounds[name] < largest <= bounds[name] * (1 + 1e-6)
    assert not module.bias.any()
    if name == "glorot" and module.groups == 1:
        torch.testing.assert_close(bounds[name], math.sqrt(3) * glorot_std(module.weight))


def glorot_std(weight: torch.Tensor) -> float:
    """The standard deviation that torch's own Xavier initialiser gives, by its counts of fans."""
    return math.sqrt(2 / sum(nn.init._calculate_fan_in_and_fan_out(weight)))


def test_a_sparse_encoders_matrices_follow_its_weight():
    """S = I - W W' / |W|^2, against NumPy; thresholds go back to their first value."""
    module = LISTA(20, 9)
    with torch.no_grad():
        module.threshold.fill_(7.0)
    before = torch.random.get_rng_state()
    initialize(module, "glorot", torch.Generator().manual_seed(0))
    assert torch.equal(torch.random.get_rng_state(), before)
    weight = module.weight.detach().double().numpy()
    gram = weight @ weight.T
    expected = np.eye(9) - gram / np.linalg.eigvalsh(gram)[-1]
    np.testing.assert_allclose(module.lateral.detach().numpy(), expected, atol=1e-6)
    assert float(module.threshold.detach().max()) < 1
    assert abs(weight).max() <= math.sqrt(6 / 29)
    same = nn.utils.skip_init(nn.Linear, 20, 9)
    initialize(same, "glorot", torch.Generator().manual_seed(0))
    assert torch.equal(same.weight, module.weight)
