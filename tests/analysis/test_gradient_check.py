"""The check passes right gradients, finds wrong ones where they are, and tells kinks apart from both."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import layerwise as lw
from layerwise.data.batches import Batch
from layerwise.errors import NetworkError, PlanError
from layerwise.nn.cutting import cut
from layerwise.objectives.autoencoder import AutoencoderLearner
from layerwise.objectives.objective import Factors, FeatureFacts
from traced_networks import NETWORKS, network_of


def wrong_at(index, factor):
    """A product with a weight whose gradient is wrong by a factor in one element."""

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, rows, weight):
            ctx.save_for_backward(rows, weight)
            return rows @ weight.t()

        @staticmethod
        def backward(ctx, gradient):
            rows, weight = ctx.saved_tensors
            by_weight = gradient.t() @ rows
            by_weight[index] *= factor
            return gradient @ weight, by_weight

    return Product.apply


class Custom(nn.Module):
    def __init__(self, product, features=4, units=3):
        super().__init__()
        self.below, self.product = nn.Linear(features, features), product
        drawn = torch.randn(units, features, generator=torch.Generator().manual_seed(2))
        self.weight = nn.Parameter(drawn / features**0.5)

    def forward(self, rows):
        return torch.tanh(self.product(torch.sigmoid(self.below(rows)), self.weight))


@pytest.fixture(autouse=True)
def drawn_alike():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def rows_of(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NETWORKS)
def test_right_gradients_pass_in_training_and_in_evaluation(name):
    network, rows = network_of(name)
    for mode in (True, False):
        check = lw.check_gradients(network.train(mode), rows, elements=4)
        assert check.passed(1e-6), str(check)
        assert [found.name for found in check.parameters] == [name for name, _ in network.named_parameters()]


@pytest.mark.parametrize(("index", "factor"), [((0, 0), 1.01), ((2, 1), 0.0), ((1, 3), -1.0)])
def test_a_wrong_element_is_found_and_named(index, factor):
    check = lw.check_gradients(Custom(wrong_at(index, factor)), rows_of(6, 4), targets=rows_of(6, 3, seed=1))
    assert not check.passed() and check.worst.name == "weight" and check.worst.element == index
    assert check.worst.gradient == pytest.approx(factor * check.worst.difference, rel=1e-5, abs=1e-9)
    assert check.worst.error == pytest.approx(abs(1 - factor) / max(1, abs(factor)), rel=1e-4)
    assert f"worst: weight[{index[0]}, {index[1]}]: autograd says" in str(check)
    assert all(found.error < 1e-6 for found in check.parameters if found.name != "weight")
    assert lw.check_gradients(Custom(wrong_at(index, 1.0)), rows_of(6, 4)).passed()


def test_a_wrong_element_outside_the_sample_is_found_by_the_direction():
    network = Custom(wrong_at((30, 40), 2.0), features=50, units=40)
    check = lw.check_gradients(network, rows_of(5, 50), elements=2)
    assert not check.passed() and check.worst.name == "weight" and check.worst.element is None
    assert "weight along a random direction" in str(check)
    (found,) = (found for found in check.parameters if found.name == "weight")
    assert found.compared == 3


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_agrees_with_torch_autograd_gradcheck(factor):
    product = wrong_at((0, 1), factor)
    weight = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    reference = torch.autograd.gradcheck(product, (rows_of(6, 4).double(), weight), raise_exception=False)
    assert lw.check_gradients(Custom(product), rows_of(6, 4)).passed() == reference == (factor == 1.0)


def test_every_element_of_a_small_parameter_is_compared():
    check = lw.check_gradients(nn.Linear(4, 3), rows_of(5, 4), elements=6)
    assert [found.compared for found in check.parameters] == [7, 4]


def test_a_kink_is_left_out_and_said():
    """ReLU of exactly 0: slopes of 0 and of 1 on the two sides, and autograd says 0."""
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -1.0], [0.5, 2.0], [1.0, 1.0]]))
        network[0].bias.zero_()
        network[2].weight.fill_(1.0)
    check = lw.check_gradients(network, torch.tensor([[1.0, 1.0], [2.0, 0.5]]))
    by_name = {found.name: found for found in check.parameters}
    assert by_name["0.weight"].kinks >= 2 and by_name["0.bias"].kinks >= 1 and by_name["2.weight"].kinks == 0
    assert check.passed(), str(check)
    line = next(line for line in str(check).splitlines() if line.startswith("0.bias"))
    assert line.split()[-2] == str(by_name["0.bias"].kinks)


def test_a_wrong_gradient_is_no_kink():
    """Beyond both slopes at a kink: that is no slope at all."""

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, numbers):
            return numbers.clamp(min=0)

        @staticmethod
        def backward(ctx, gradient):
            return 3 * gradient

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))

        def forward(self, rows):
            return Wrong.apply(self.weight * rows)

    check = lw.check_gradients(Network(), torch.ones(1, 2))
    assert check.worst.kinks == 0 and not check.passed()


def test_nothing_compared_has_not_passed():
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    torch.nn.init.zeros_(network[0].weight)
    check = lw.check_gradients(network, torch.ones(1, 1))
    assert check.parameters[0].kinks == 2 and check.parameters[0].compared == 0 and not check.passed()


def test_the_network_and_the_generator_stay_as_found():
    network, rows = network_of("convolutional")
    network.float()[3].eval()
    before, drawn = copy.deepcopy(network), torch.get_rng_state()
    lw.check_gradients(network, rows, elements=2)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [module.training for module in network.modules()] == [module.training for module in before.modules()]
    for (name, found), (_, own) in zip(network.state_dict().items(), before.state_dict().items(), strict=True):
        assert found.dtype == own.dtype and torch.equal(found, own), name
    assert all(parameter.grad is None for parameter in network.parameters())


def test_frozen_parameters_are_not_checked():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    assert [found.name for found in lw.check_gradients(network, rows_of(3, 2)).parameters] == ["1.weight", "1.bias"]


def test_dropout_draws_the_same_mask_each_time():
    network = nn.Sequential(nn.Linear(4, 30), nn.Tanh(), nn.Dropout(0.5), nn.Linear(30, 2))
    checks = [lw.check_gradients(network, rows_of(5, 4), targets=rows_of(5, 2), random_state=0) for _ in range(2)]
    assert checks[0].passed(1e-6) and checks[0] == checks[1]


def test_a_sum_without_targets_is_weighted():
    """The plain sum of a softmax is constant: a wrong gradient of 0 below it would pass."""

    class Softmax(torch.autograd.Function):
        @staticmethod
        def forward(ctx, numbers):
            return numbers.softmax(1)

        @staticmethod
        def backward(ctx, gradient):
            return torch.zeros_like(gradient)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(3, 3)

        def forward(self, rows):
            return Softmax.apply(self.dense(rows))

    network = Network()
    assert not lw.check_gradients(network, rows_of(4, 3)).passed()
    assert lw.check_gradients(network, rows_of(4, 3), loss=lambda outputs: outputs.sum()).passed()


def learner_of(objective, rows, activation=nn.Sigmoid):
    network = nn.Sequential(nn.Linear(6, 5), activation(), nn.Linear(5, 3))
    facts = FeatureFacts.of(rows, classes=3)
    return objective.build(cut(network)[0], facts, torch.Generator().manual_seed(0))


OBJECTIVES = {
    "autoencoder": lw.Autoencoder(),
    "untied": lw.Autoencoder(tied=False, loss="squared", decoder="linear"),
    "denoising": lw.DenoisingAutoencoder(lw.Masking(0.4), emphasis=(1.0, 0.5)),
    "contractive": lw.ContractiveAutoencoder(),
    "sparse": lw.SparseAutoencoder(),
    "rbm": lw.RBM(),
    "pcd": lw.RBM(estimator="pcd"),
    "pseudo-likelihood": lw.RBM(estimator="pseudo-likelihood"),
    "score matching": lw.RBM("gaussian", estimator="score-matching"),
    "supervised": lw.SupervisedLayer(),
    "ranking": lw.RankingLayer(),
}
FACTORED = {"autoencoder", "untied", "denoising", "rbm", "pcd"}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_objectives_own_gradients(name):
    """By autograd, and from the factors that the analytic step takes."""
    rows = torch.rand(8, 6, generator=torch.Generator().manual_seed(1))
    learner = learner_of(OBJECTIVES[name], rows)
    if name in FACTORED:  # what an update leaves in the learner must not stand in the way
        with torch.no_grad():
            learner.factors(Batch(rows), torch.Generator())
    check = lw.check_gradients(learner, Batch(rows, torch.arange(8) % 3), elements=5)
    assert check.passed(1e-6), str(check)
    assert {found.source for found in check.parameters} == {"autograd"} | ({"factors"} if name in FACTORED else set())


def test_the_encoders_part_of_a_tied_gradient_is_not_the_gradient():
    rows = torch.rand(8, 6, generator=torch.Generator().manual_seed(1))
    check = lw.check_gradients(learner_of(lw.Autoencoder(tied_gradient="encoder"), rows), Batch(rows))
    wrong = {(found.name, found.source) for found in check.parameters if found.error > 0.1}
    assert wrong == {("layer.module.weight", "autograd"), ("layer.module.weight", "factors")}


def test_wrong_factors_are_found(monkeypatch):
    rows = torch.rand(8, 6, generator=torch.Generator().manual_seed(1))
    learner = learner_of(lw.Autoencoder(), rows)
    right = AutoencoderLearner.factors

    def wrong(self, batch, generator):
        found = right(self, batch, generator)
        return Factors(found.loss, {**found.products, self.decoder.bias: []}, found.scale)

    monkeypatch.setattr(AutoencoderLearner, "factors", wrong)
    check = lw.check_gradients(learner, Batch(rows))
    assert (check.worst.name, check.worst.source) == ("decoder.bias", "factors") and check.worst.error == 1.0
    assert all(found.error < 1e-6 for found in check.parameters if found.source == "autograd")


def test_the_whole_networks_factors():
    from layerwise.objectives.classification import Classifier

    network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 3))
    check = lw.check_gradients(Classifier(network), Batch(rows_of(7, 4), torch.arange(7) % 3), elements=5)
    assert check.passed(1e-6) and len(check.parameters) == 8


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense, self.calls = nn.Linear(2, 1), 0

    def forward(self, rows):
        self.calls += 1
        return self.dense(rows) + self.calls


class Attached(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(2, 1)
        self.kept = self.dense.weight * 2


@pytest.mark.parametrize(
    ("network", "given", "kind", "message", "hint"),
    [
        (nn.ReLU(), {}, NetworkError, "no parameter that requires a gradient", "requires_grad"),
        (Noisy(), {}, NetworkError, "is not the same when it is computed again", "noise"),
        (Attached(), {}, NetworkError, "an? Attached, cannot be copied to float64", "within it"),
        (nn.Linear(2, 1), {"batch": torch.ones(3, 5)}, NetworkError, "cannot be run on the batch", "in the shape"),
        (nn.Linear(2, 1), {"batch": torch.full((3, 2), torch.nan)}, NetworkError, "loss of the batch is nan", "finite"),
        (nn.Linear(2, 1), {"batch": Batch(torch.ones(3, 2))}, PlanError, "a Linear has no loss", "labels as targets"),
        (nn.Linear(2, 1), {"elements": 0}, PlanError, "elements is 0", "how many"),
    ],
)
def test_refusals(network, given, kind, message, hint):
    with pytest.raises(kind, match=message) as caught:
        lw.check_gradients(network, given.pop("batch", torch.ones(3, 2)), **given)
    assert hint in caught.value.hint
