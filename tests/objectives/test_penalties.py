"""Penalties against autograd's Jacobian, SciPy and NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch import nn

from layerwise.data.batches import Batch
from layerwise.errors import PlanError
from layerwise.nn.layers import Layer
from layerwise.objectives.autoencoder import Autoencoder
from layerwise.objectives.contractive import ContractiveAutoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.objectives.penalties import Contraction, KLSparsity, L1Sparsity
from layerwise.objectives.sparse import SparseAutoencoder

ACTIVATIONS = {"sigmoid": [nn.Sigmoid()], "tanh": [nn.Tanh()], "relu": [nn.ReLU()], "identity": []}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def drawn(module, seed=1):
    """The module in float64, its parameters drawn anew."""
    for number, parameter in enumerate(module.double().parameters()):
        parameter.data = normal(*parameter.shape, seed=seed + number) * 0.7
    return module


def dense(after, features=6, units=5):
    return Layer("0", [], drawn(nn.utils.skip_init(nn.Linear, features, units)), after)


def convolution(after):
    return Layer("0", [], drawn(nn.utils.skip_init(nn.Conv2d, 2, 3, 3)), after)


def jacobian(layer, rows):
    """Of all codes of the batch by all its inputs: (rows * units, rows * features)."""
    whole = torch.autograd.functional.jacobian(layer, rows)
    return whole.reshape(math.prod(layer(rows).shape), rows.numel())


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("more", [[], [nn.Dropout(0.5)], [nn.Identity()]])
def test_the_analytic_contraction_is_the_norm_of_the_jacobian(name, more):
    """Averaged over rows; dropout is off while a layer is pre-trained."""
    layer, rows = dense([*ACTIVATIONS[name], *more]).train(), normal(7, 6, seed=9)
    for method in ("analytic", "auto"):
        found = Contraction(0.3, method=method)(layer, rows, layer(rows), None)
        expected = 0.3 * jacobian(layer, rows).square().sum() / 7
        assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    assert 0.05 < expected < 50


ESTIMATED = {
    "dense": (lambda: dense([nn.Sigmoid()]), (4, 6)),
    "unknown activation": (lambda: dense([nn.Softplus()]), (4, 6)),
    "normalised": (lambda: dense([drawn(nn.BatchNorm1d(5)), nn.Tanh()]), (4, 6)),
    "convolution": (lambda: convolution([nn.ReLU()]), (3, 2, 5, 5)),
}


@pytest.mark.parametrize("case", ESTIMATED)
def test_the_estimate_is_unbiased(case):
    """The mean of 4,000 samples lies within 5 standard errors of autograd's Jacobian: false alarm 6e-7 a case.

    With random signs e, e'Ae has the mean tr A and the variance 2 (|A|^2 - sum A_ii^2), here with A = JJ' of the whole
    batch; the mean of 4,000 is as good as normal. The bound is at most 6 % of the value, which signs of 0 and 1 or
    samples summed miss by far.
    """
    make, shape = ESTIMATED[case]
    layer, rows, samples = make().train(), normal(*shape, seed=9), 4000
    whole = jacobian(layer, rows)
    square = whole @ whole.T
    expected = square.trace() / len(rows)
    variance = 2 * (square.square().sum() - square.diagonal().square().sum()) / len(rows) ** 2
    bound = 5 * math.sqrt(variance / samples)
    found = Contraction(1.0, method="stochastic", samples=samples)(layer, rows, layer(rows), generator(3))
    assert abs(found - expected) < bound
    assert bound < 0.06 * expected
    assert found.item() != pytest.approx(expected.item(), rel=1e-9), "it is an estimate"


@pytest.mark.parametrize("case", ["unknown activation", "normalised", "convolution"])
def test_auto_estimates_where_the_formula_does_not_hold(case):
    make, shape = ESTIMATED[case]
    layer, rows = make().train(), normal(*shape, seed=9)
    auto = Contraction(1.0)(layer, rows, layer(rows), generator(3))
    assert auto == Contraction(1.0, method="stochastic")(layer, rows, layer(rows), generator(3))
    assert auto != Contraction(1.0)(layer, rows, layer(rows), generator(4))
    layer.name = "top"
    with pytest.raises(PlanError, match="layer 'top' is more than a dense module"):
        ContractiveAutoencoder(method="analytic").build(layer, FeatureFacts.of(rows), generator())
    with pytest.raises(PlanError, match="layer 'top' is more than a dense module"):
        penalties = (Contraction(method="analytic"),)
        SparseAutoencoder(L1Sparsity(), penalties=penalties).build(layer, FeatureFacts.of(rows), generator())


def test_the_estimate_does_not_count_a_batch_twice():
    """The running mean of batch normalisation moves as it does without the penalty, and is tracked afterwards."""
    found = []
    for penalties in ((), (Contraction(samples=2),)):
        layer, rows = dense([drawn(nn.BatchNorm1d(5)), nn.Sigmoid()]).train(), normal(8, 6)
        learner = Autoencoder(penalties=penalties).build(layer, FeatureFacts.of(rows), generator())
        learner.loss(Batch(rows), generator()).backward()
        assert layer.after[0].track_running_stats
        found.append({name: value.clone() for name, value in layer.after[0].named_buffers()})
    assert int(found[0]["num_batches_tracked"]) == 1
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert found[0]["running_mean"].abs().min() > 0


PENALTIES = {
    "analytic": (Contraction(0.5), ["sigmoid", "tanh", "relu", "identity"]),
    "stochastic": (Contraction(0.5, method="stochastic", samples=2), ["sigmoid", "tanh", "relu"]),
    "kl": (KLSparsity(0.5, target=0.2), ["sigmoid"]),
    "l1": (L1Sparsity(0.5), ["sigmoid", "tanh", "relu"]),
}


@pytest.mark.parametrize(
    ("penalty", "activation"),
    [
        pytest.param(penalty, name, id=f"{kind}-{name}")
        for kind, (penalty, names) in PENALTIES.items()
        for name in names
    ],
)
def test_first_and_second_derivatives(penalty, activation):
    """By the weights and the bias, against finite differences: the automatic learning rate needs both."""
    layer, rows = dense(ACTIVATIONS[activation], 3, 2), normal(4, 3, seed=9)
    values = [p.detach().clone().requires_grad_() for p in layer.parameters()]

    def value(weight, bias):
        given = _Penalised(layer, penalty)
        names = ("layer.module.weight", "layer.module.bias")
        return torch.func.functional_call(given, dict(zip(names, (weight, bias), strict=True)), (rows,))

    assert torch.autograd.gradcheck(value, values)
    assert torch.autograd.gradgradcheck(value, values)


class _Penalised(nn.Module):
    def __init__(self, layer, penalty):
        super().__init__()
        self.layer, self.penalty = layer, penalty

    def forward(self, rows):
        return self.penalty(self.layer, rows, self.layer(rows), generator(5))


@pytest.mark.parametrize("shape", [(9, 4), (9, 4, 3), (9, 4, 3, 2)])
def test_kl_is_scipys(shape):
    """One Bernoulli divergence per unit, of the mean over rows (and positions)."""
    codes = torch.rand(shape, generator=generator(), dtype=torch.float64)
    means = np.moveaxis(codes.numpy(), 1, 0).reshape(4, -1).mean(1)
    expected = sum(entropy([0.1, 0.9], [mean, 1 - mean]) for mean in means)
    found = KLSparsity(2.0, target=0.1)(None, None, codes, None)
    assert found.item() == pytest.approx(2.0 * expected, rel=1e-10)
    assert 1.0 < found.item() < 20.0


def test_kl_is_least_at_the_target():
    """A silent and a saturated unit are pulled back: by -rho and 1 - rho of the mean activation's logit."""
    for logit, expected in ((-20.0, -0.05), (0.0, 0.45), (math.log(0.05 / 0.95), 0.0), (12.0, 0.95)):
        activation = torch.full((4, 1), logit, requires_grad=True)
        (slope,) = torch.autograd.grad(KLSparsity(1.0)(None, None, torch.sigmoid(activation), None), activation)
        assert slope.sum().item() == pytest.approx(expected, abs=0.02)
    assert torch.isfinite(KLSparsity(1.0)(None, None, torch.tensor([[0.0, 1.0]]), None))


@pytest.mark.parametrize("shape", [(9, 4), (9, 4, 3, 2)])
def test_l1_is_numpys(shape):
    codes = normal(*shape)
    expected = 0.7 * np.abs(codes.numpy()).sum() / 9
    assert L1Sparsity(0.7)(None, None, codes, None).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("penalty", [Contraction(), KLSparsity(), L1Sparsity()], ids=lambda penalty: penalty.kind)
def test_rows_twice_over_cost_the_same_and_units_twice_over_cost_double(penalty):
    layer, rows = dense([nn.Sigmoid()]), normal(7, 6)
    once = penalty(layer, rows, layer(rows), None).item()
    twice = rows.repeat(2, 1)
    assert penalty(layer, twice, layer(twice), None).item() == pytest.approx(once, rel=1e-12)
    wide = dense([nn.Sigmoid()], units=10)
    with torch.no_grad():
        wide.module.weight.copy_(layer.module.weight.repeat(2, 1))
        wide.module.bias.copy_(layer.module.bias.repeat(2))
    assert penalty(wide, rows, wide(rows), None).item() == pytest.approx(2 * once, rel=1e-12)


def test_kl_refuses_codes_outside_0_and_1():
    layer = dense([nn.Tanh()])
    layer.name = "top"
    facts = FeatureFacts.of(normal(7, 6))
    for objective in (SparseAutoencoder(), ContractiveAutoencoder(penalties=(KLSparsity(),))):
        with pytest.raises(PlanError, match="layer 'top' has the activation 'tanh', expected 'sigmoid'") as caught:
            objective.build(layer, facts, generator())
        assert "l1" in caught.value.hint
    SparseAutoencoder(L1Sparsity()).build(layer, facts, generator())
