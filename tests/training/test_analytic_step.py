"""The analytic step makes the updates that autograd makes: the same weights after 50 of them."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn

import layerwise
from layerwise.data.batches import Batches
from layerwise.errors import PlanError
from layerwise.nn.chain import chain_of
from layerwise.nn.corruption import GaussianNoise, Masking, SaltAndPepper, SwapNoise
from layerwise.nn.layers import Layer
from layerwise.nn.networks import build_network
from layerwise.nn.products import add_product, down, lowered, up
from layerwise.objectives.autoencoder import Autoencoder
from layerwise.objectives.classification import Classifier
from layerwise.objectives.contractive import ContractiveAutoencoder
from layerwise.objectives.denoising import DenoisingAutoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.objectives.ranking import RankingLoss
from layerwise.objectives.rbm import RBM
from layerwise.objectives.regression import Regressor
from layerwise.objectives.sparse import SparseAutoencoder
from layerwise.plan import TrainingPlan
from layerwise.randomness import Randomness
from layerwise.settings import Linear
from layerwise.training.analytic import AnalyticStep, step_for
from layerwise.training.loop import Fitting, fit
from layerwise.training.step import AutogradStep

ROWS, FEATURES, UNITS, BATCH, UPDATES = 130, 12, 7, 20, 50
SIGMOID, TANH, RELU, NONE = nn.Sigmoid(), nn.Tanh(), nn.ReLU(), None
PLAIN = {}
MOMENTUM = {"momentum": 0.8}
DECAY = {"l2": 0.02}
BOTH = {"momentum": 0.8, "l2": 0.02}
# What only the gradient itself can serve.
OTHERS = {
    "clip": {"clip_norm": 0.5, "momentum": 0.5}, "l1": {"l1": 0.01}, "adam": {"optimizer": "adam"},
    "max-norm": {"max_norm": 0.8}, "rates": {"bias_rate": 2.0, "fan_in_scaling": True},
    "rising": {"momentum_schedule": Linear(end=0.9, updates=40), "momentum": 0.0, "l2": 0.02},
}  # fmt: skip


def rows(real: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    uniform = torch.rand(ROWS, FEATURES, generator=generator, dtype=torch.float64)
    return (uniform - 0.5) * 3 if real else uniform


def layer(activation: nn.Module | None, bias: bool = True) -> Layer:
    generator = torch.Generator().manual_seed(2)
    dense = nn.Linear(FEATURES, UNITS, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4)
    return Layer("0", [], dense, [] if activation is None else [activation])


def pretraining(objective, activation=SIGMOID, real=False, bias=True):
    def build():
        generator = torch.Generator().manual_seed(3)
        learner = objective.build(layer(activation, bias), FeatureFacts.of(rows(real)), generator)
        return learner, rows(real), None, None

    return build


def finetuning(*modules, freeze=(), weighted=False, squared=False):
    def build():
        generator = torch.Generator().manual_seed(4)
        network = nn.Sequential(*copy.deepcopy(modules)).double()
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.5)
                parameter.requires_grad_(name not in freeze)
        codes = torch.randint(3, (ROWS,), generator=generator)
        weights = torch.rand(ROWS, generator=generator, dtype=torch.float64) * 2
        if squared:
            targets = torch.randn(ROWS, 3, generator=generator, dtype=torch.float64)
            return Regressor(network), rows(True), targets, weights if weighted else None
        return Classifier(network), rows(True), codes, weights if weighted else None

    return build


AUTOENCODERS = {
    f"{activation.__class__.__name__}-{loss}-{output}-{tie}": pretraining(
        DenoisingAutoencoder(Masking(0.3), loss=loss, decoder=output, **settings), activation, output == "linear"
    )
    for activation in (SIGMOID, TANH, RELU, NONE)
    for loss, output in (("squared", "linear"), ("squared", "sigmoid"), ("cross_entropy", "sigmoid"))
    for tie, settings in (("tied", {}), ("encoder", {"tied_gradient": "encoder"}), ("untied", {"tied": False}))
}
OTHER_AUTOENCODERS = {
    "clean": pretraining(Autoencoder()),
    "gaussian": pretraining(DenoisingAutoencoder(GaussianNoise(0.3)), TANH, real=True),
    "salt-and-pepper": pretraining(DenoisingAutoencoder(SaltAndPepper(0.3)), RELU),
    "swap": pretraining(DenoisingAutoencoder(SwapNoise(0.3)), TANH, real=True),
    "emphasis": pretraining(DenoisingAutoencoder(Masking(0.3), emphasis=(1.5, 0.5)), SIGMOID),
    "emphasis-squared": pretraining(DenoisingAutoencoder(Masking(0.3), emphasis=(1.0, 0.0), loss="squared")),
    "no-bias": pretraining(DenoisingAutoencoder(), SIGMOID, bias=False),
    "walkback": pretraining(DenoisingAutoencoder(SaltAndPepper(0.3), walkback=3), TANH),
    "walkback-squared": pretraining(DenoisingAutoencoder(GaussianNoise(0.3), walkback=1), real=True),
}
MACHINES = {
    "cd-1": pretraining(RBM()),
    "cd-3": pretraining(RBM(k=3)),
    "pcd-1": pretraining(RBM(estimator="pcd", chains=BATCH)),
    "pcd-2-chains": pretraining(RBM(estimator="pcd", k=2, chains=33)),
    "gaussian-cd": pretraining(RBM("gaussian"), real=True),
    "gaussian-pcd": pretraining(RBM("gaussian", estimator="pcd"), real=True),
}
PERCEPTRONS = {
    "sigmoid": finetuning(nn.Linear(FEATURES, 9), SIGMOID, nn.Linear(9, 8), SIGMOID, nn.Linear(8, 3)),
    "tanh-relu": finetuning(nn.Linear(FEATURES, 9), TANH, nn.Sequential(nn.Linear(9, 8), RELU), nn.Linear(8, 3)),
    "dropout": finetuning(nn.Dropout(0.2), nn.Linear(FEATURES, 9), RELU, nn.Dropout(0.5), nn.Linear(9, 3)),
    "no-bias": finetuning(nn.Linear(FEATURES, 9, bias=False), nn.Identity(), RELU, nn.Linear(9, 3)),
    "frozen": finetuning(
        nn.Linear(FEATURES, 9), TANH, nn.Linear(9, 8), TANH, nn.Linear(8, 3), freeze=("0.weight", "0.bias", "2.bias")
    ),
    "head-only": finetuning(nn.Linear(FEATURES, 9), TANH, nn.Linear(9, 3), freeze=("0.weight", "0.bias")),
    "two-activations": finetuning(nn.Linear(FEATURES, 9), TANH, SIGMOID, nn.Linear(9, 3)),
    "weighted": finetuning(nn.Linear(FEATURES, 9), TANH, nn.Linear(9, 3), weighted=True),
    "squared": finetuning(nn.Linear(FEATURES, 9), SIGMOID, nn.Dropout(0.2), nn.Linear(9, 3), squared=True),
    "squared-weighted": finetuning(nn.Linear(FEATURES, 9), RELU, nn.Linear(9, 3), squared=True, weighted=True),
}
LEARNERS = {**AUTOENCODERS, **OTHER_AUTOENCODERS, **MACHINES, **PERCEPTRONS}
CASES = [
    *((name, settings) for name in LEARNERS for settings in (PLAIN, BOTH)),
    *((name, settings) for name in ("clean", "cd-1", "sigmoid") for settings in (MOMENTUM, DECAY, *OTHERS.values())),
]


def trained(build, settings, kind):
    """Return the learner after 50 updates with a step of this kind, and the losses on the way."""
    learner, inputs, targets, weights = build()
    plan = TrainingPlan(epochs=1, batch_size=BATCH, **settings)
    step = kind(learner, plan)
    batches = Batches(inputs, targets, BATCH, Randomness(0), weights=weights)  # the last batch of an epoch is smaller
    losses = []
    with torch.random.fork_rng(devices=[]):
        for update in range(UPDATES):
            torch.manual_seed(update)
            step.set_learning_rate(0.05)
            batch = next(batches.epoch(*divmod(update, batches.per_epoch)))
            losses.append(float(step(batch, torch.Generator().manual_seed(update))))
    return learner, losses


@pytest.mark.parametrize(
    ("name", "settings"), CASES, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_both_steps_give_the_same_weights(name: str, settings: dict) -> None:
    by_autograd, expected = trained(LEARNERS[name], settings, AutogradStep)
    analytic, losses = trained(LEARNERS[name], settings, AnalyticStep)
    assert losses == pytest.approx(expected, rel=1e-10, abs=1e-10)
    start = dict(LEARNERS[name]()[0].named_parameters())
    moved = 0.0
    for (path, found), wanted in zip(analytic.named_parameters(), by_autograd.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0.0, atol=1e-10)
        moved = max(moved, float((wanted - start[path]).detach().abs().max()))
    assert moved > 1e-3, "so the updates did something"
    buffers = zip(analytic.buffers(), by_autograd.buffers(), strict=True)
    assert all(torch.allclose(found, wanted, rtol=0.0, atol=1e-10) for found, wanted in buffers)


@pytest.mark.parametrize("settings", [PLAIN, BOTH, OTHERS["adam"]], ids=["plain", "momentum", "adam"])
def test_memory_passes_from_one_step_to_the_other(settings: dict) -> None:
    """What a checkpoint holds of a step says nothing of its kind: either continues what the other began."""
    plan = TrainingPlan(epochs=1, batch_size=BATCH, **settings)
    ended = []
    for kinds in ((AutogradStep, AutogradStep), (AnalyticStep, AutogradStep), (AutogradStep, AnalyticStep)):
        learner, inputs, _, _ = LEARNERS["clean"]()
        batches = Batches(inputs, None, BATCH, Randomness(0))
        memory: dict[str, torch.Tensor] = {}
        for kind in kinds:
            step = kind(learner, plan)
            step.load_state_dict(memory)
            step.set_learning_rate(0.05)
            for batch in batches.epoch(0):
                step(batch, torch.Generator())
            memory = step.state_dict()
        ended.append(learner.layer.module.weight.detach().clone())
    assert torch.allclose(ended[1], ended[0], rtol=0, atol=1e-10)
    assert torch.allclose(ended[2], ended[0], rtol=0, atol=1e-10)


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 3))


def hooked() -> nn.Module:
    network = nn.Sequential(nn.Linear(FEATURES, 3))
    network[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    return network


def shared() -> nn.Module:
    dense = nn.Linear(FEATURES, FEATURES)
    return nn.Sequential(dense, nn.ReLU(), dense, nn.Linear(FEATURES, 3))


class Residual(nn.Sequential):
    def forward(self, rows):
        return rows + super().forward(rows)


OWN = {
    "batch normalisation": normalised,
    "hook": hooked,
    "shared weights": shared,
    "another leaf": lambda: nn.Sequential(nn.Linear(FEATURES, 3), nn.Softplus()),
    "own forward": lambda: Residual(nn.Linear(FEATURES, FEATURES)),
}


@pytest.mark.parametrize("name", OWN)
def test_any_other_network_is_left_to_autograd(name: str) -> None:
    assert chain_of(OWN[name]()) is None
    assert type(step_for(Classifier(OWN[name]()), TrainingPlan(epochs=1, batch_size=5), (FEATURES,))) is AutogradStep


@pytest.mark.parametrize(
    "objective",
    [ContractiveAutoencoder(), SparseAutoencoder(), RBM(estimator="pseudo-likelihood")],
    ids=lambda objective: objective.kind,
)
def test_any_other_objective_is_left_to_autograd(objective) -> None:
    learner, _, _, _ = pretraining(objective)()
    assert type(step_for(learner, TrainingPlan(epochs=1, batch_size=5), (FEATURES,))) is AutogradStep


def test_what_has_factors_is_stepped_by_them() -> None:
    for build in LEARNERS.values():
        learner, inputs, _, _ = build()
        assert type(step_for(learner, TrainingPlan(epochs=1, batch_size=5), inputs.shape[1:])) is AnalyticStep


def test_rows_that_are_no_vectors_need_a_flatten_first() -> None:
    plan = TrainingPlan(epochs=1, batch_size=5)
    assert type(step_for(Classifier(nn.Linear(3, 2)), plan, (4, 3))) is AutogradStep
    images = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    assert type(step_for(images, plan, (4, 3))) is AnalyticStep
    assert type(step_for(Classifier(nn.Linear(3, 2), RankingLoss(negatives=1)), plan, (3,))) is AutogradStep


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("column", [False, True])
def test_beta_0_forgets_even_what_is_no_number(dtype, column) -> None:
    """A gradient's memory is not initialised: it may hold anything."""
    left, right = torch.tensor([[1.0, 2.0]]), None if column else torch.tensor([[3.0, 4.0]])
    into = torch.full((2,) if column else (2, 2), float("nan"))
    with nullcontext() if dtype is None else lowered(dtype):
        add_product(into, left, right, alpha=1.0, beta=0.0)
    assert into.tolist() == ([1.0, 2.0] if column else [[3.0, 4.0], [6.0, 8.0]])


@pytest.mark.parametrize("door", ["pretrain", "finetune"])
def test_a_low_precision_is_of_float32_networks(door: str) -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2)).double()
    targets = () if door == "pretrain" else (torch.tensor([0, 1] * 5),)
    with pytest.raises(PlanError, match=r"bfloat16.*float64"):
        getattr(layerwise, door)(network, torch.rand(10, 4), *targets, precision="bfloat16")


def test_products_in_a_lower_precision() -> None:
    """The factors are rounded to bfloat16, 8 bits; a weight's copy follows its changes."""
    generator = torch.Generator().manual_seed(0)
    left, weight, bias = (torch.randn(*shape, generator=generator) for shape in ((5, 30), (4, 30), (4,)))
    rounded = left.bfloat16().double() @ weight.bfloat16().double().t() + bias
    with lowered(torch.bfloat16):
        found = up(left, weight, bias)
        weight.mul_(2.0)
        again = down(left[:, :4], weight)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), rounded, rtol=2**-8, atol=2**-7)
    assert not torch.allclose(found, up(left, weight / 2, bias), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(again, left[:, :4] @ weight, rtol=0.1, atol=0.1)


def test_bfloat16_cannot_tell_rows_apart_behind_the_early_initialiser() -> None:
    """Why the tutorial's plateau is trained in float32: from the second layer on a unit has one value for all rows."""
    network = build_network(784, (1000, 1000), 10, initializer="mocha-early", randomness=Randomness(0))
    rows = layerwise.load_mnist(scale=256.0).inputs[:200]
    with torch.no_grad():
        codes = network[:4](rows)
    assert all(len(unit.unique()) > 100 for unit in codes.T[:50]), "float32 can"
    assert sum(len(unit.bfloat16().unique()) == 1 for unit in codes.T) > 900


@pytest.mark.parametrize("native", [False, True], ids=["this-processor", "converted"])
@pytest.mark.parametrize("name", ["denoising", "contractive", "perceptron"])
def test_bfloat16_ends_within_a_hundredth_of_float32(name: str, native: bool, monkeypatch) -> None:
    """On digits, analytic and by autograd, by the route of this processor and by that of others."""
    from sklearn.datasets import load_digits

    if native:
        monkeypatch.setattr("layerwise.training.device._has_amx", lambda: False)
    digits = load_digits()
    inputs, targets = torch.tensor(digits.data / 16).float(), torch.tensor(digits.target)
    losses = {}
    for precision in (None, "bfloat16"):
        plan = TrainingPlan(epochs=15, batch_size=50, precision=precision)
        generator = torch.Generator().manual_seed(0)
        dense = nn.Linear(64, 50)
        nn.init.xavier_uniform_(dense.weight, generator=generator)
        if name == "perceptron":
            head = nn.Linear(50, 10)
            nn.init.xavier_uniform_(head.weight, generator=generator)
            learner = Classifier(nn.Sequential(dense, nn.Sigmoid(), head))
        else:
            objective = DenoisingAutoencoder() if name == "denoising" else ContractiveAutoencoder()
            learner = objective.build(Layer("0", [], dense, [nn.Sigmoid()]), FeatureFacts.of(inputs), generator)
        fit(learner, Batches(inputs, targets, 50, Randomness(0)), plan, 0.1, Fitting("fit", Randomness(0)))
        assert all(parameter.dtype == torch.float32 for parameter in learner.parameters())
        with torch.no_grad():
            batch = next(Batches(inputs, targets, len(inputs), Randomness(0)).epoch(0))
            losses[precision] = float(learner.loss(batch, torch.Generator().manual_seed(0)))
    assert losses["bfloat16"] == pytest.approx(losses[None], rel=0.01)
    assert losses["bfloat16"] != losses[None], "so something was computed in bfloat16"
