"""The contract: what every objective promises, tested once for all of them."""

from __future__ import annotations

import itertools
import warnings

import pytest
import torch
from torch import nn

from layerwise.data.batches import Batch, Batches
from layerwise.errors import LayerwiseError
from layerwise.nn.corruption import GaussianNoise, Masking, SaltAndPepper, SwapNoise
from layerwise.nn.layers import Layer
from layerwise.objectives import BY_NAME
from layerwise.objectives.autoencoder import Autoencoder
from layerwise.objectives.contractive import ContractiveAutoencoder
from layerwise.objectives.denoising import DenoisingAutoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.objectives.penalties import Contraction, KLSparsity, L1Sparsity
from layerwise.objectives.psd import PredictiveSparseDecomposition
from layerwise.objectives.ranking import RankingLayer
from layerwise.objectives.rbm import RBM
from layerwise.objectives.sparse import SparseAutoencoder
from layerwise.objectives.supervised import SupervisedLayer
from layerwise.plan import TrainingPlan
from layerwise.randomness import Randomness
from layerwise.runs.checkpoint import Checkpoint
from layerwise.training.loop import Fitting, fit

NOISES = [Masking(0.25), GaussianNoise(0.1), SaltAndPepper(0.1)]
WEIGHTS = [{"tied": True}, {"tied": True, "tied_gradient": "encoder"}, {"tied": False}]
LOSSES = [
    {},  # cross-entropy and sigmoid on these rows
    {"loss": "squared", "decoder": "linear"},
    {"loss": "squared", "decoder": "sigmoid"},
]
AUTOENCODERS = [
    make(**weights, **loss)
    for weights, loss in itertools.product(WEIGHTS, LOSSES)
    for make in (Autoencoder, *(lambda noise=noise, **words: DenoisingAutoencoder(noise, **words) for noise in NOISES))
]
OBJECTIVES = [
    *AUTOENCODERS,
    DenoisingAutoencoder(Masking(0.5), emphasis=(1.0, 0.5), penalties=(Contraction(0.01), L1Sparsity(0.001))),
    DenoisingAutoencoder(SaltAndPepper(0.3), walkback=2),
    DenoisingAutoencoder(SwapNoise(0.15)),
    ContractiveAutoencoder(0.05),
    ContractiveAutoencoder(0.05, method="stochastic", tied=False),
    SparseAutoencoder(KLSparsity(0.1, target=0.2)),
    SparseAutoencoder(L1Sparsity(0.01), tied=False),
    RBM(),
    RBM(estimator="pcd", k=2, chains=10),
    RBM(estimator="pseudo-likelihood"),
    RBM(visible="gaussian"),
    RBM(visible="gaussian", estimator="score-matching"),
    PredictiveSparseDecomposition(),
    SupervisedLayer(),
    RankingLayer(),
    RankingLayer(negatives=5, weighting="wsabie"),
]


def name_of(objective) -> str:
    parts = [objective.kind]
    for key in ("corruption", "sparsity", "loss", "decoder", "method", "visible", "estimator", "weighting"):
        value = getattr(objective, key, None)
        parts += [str(getattr(value, "kind", value))] if value else []
    if hasattr(objective, "tied"):
        parts.append(objective.tied_gradient if objective.tied else "untied")
    return "-".join(parts)


every_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=name_of)
every_autoencoder = pytest.mark.parametrize("objective", AUTOENCODERS, ids=name_of)


def easy_rows(count: int = 200, dtype: torch.dtype = torch.float32) -> Batch:
    """Rows in [0, 1] that lie near four prototypes, and which: any working objective beats their mean."""
    generator = torch.Generator().manual_seed(0)
    prototypes = (torch.rand(4, 12, generator=generator) > 0.5).to(dtype) * 0.8 + 0.1
    targets = torch.randint(0, 4, (count,), generator=generator)
    rows = prototypes[targets]
    return Batch((rows + 0.02 * torch.randn(rows.shape, generator=generator).to(dtype)).clamp(0, 1), targets)


def built(objective, rows: Batch, layer: Layer | None = None):
    return objective.build(layer or layer_of(), FeatureFacts.of(rows.inputs, 4), torch.Generator().manual_seed(0))


def layer_of(features: int = 12, units: int = 8, seed: int = 0, dtype: torch.dtype = torch.float32) -> Layer:
    dense = nn.utils.skip_init(nn.Linear, features, units)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        dense.weight.copy_(torch.randn(units, features, generator=generator) * 0.3)
        dense.bias.copy_(torch.randn(units, generator=generator) * 0.1)
    return Layer("0", [], dense, [nn.Sigmoid()]).to(dtype)


def trained(objective, rows, epochs=3, checkpoint=None, callbacks=(), learning_rate=0.1, seed=0):
    learner = built(objective, rows)
    randomness = Randomness(seed)
    plan = TrainingPlan(epochs=epochs, batch_size=20, momentum=0.5, checkpoint_every=3)
    batches = Batches(rows.inputs, rows.targets, plan.batch_size, randomness)
    fit(learner, batches, plan, learning_rate, Fitting("stage", randomness, checkpoint=checkpoint, callbacks=callbacks))
    return learner


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@every_objective
def test_builds_a_learner_around_the_layer(objective):
    rows, layer = easy_rows(), layer_of()
    learner = built(objective, rows, layer)
    assert objective.needs_targets is (objective.kind == "supervised")
    assert type(objective) is BY_NAME[objective.kind]
    assert learner.layer is layer
    assert any(p is layer.module.weight for p in learner.parameters()), "training the learner trains the layer"
    loss = learner.loss(rows, torch.Generator().manual_seed(0))
    assert loss.ndim == 0
    assert loss.requires_grad
    assert learner.after_update() is None
    if learner.decoder is not None:
        assert learner.decoder(layer(rows.inputs)).shape == rows.inputs.shape
    if hasattr(objective, "tied"):
        assert learner.decoder.tied == objective.tied


@every_objective
def test_clean_loss_is_the_same_at_every_call(objective):
    rows = easy_rows(50)
    learner = built(objective, rows).eval()
    for judge in (learner.clean_loss, learner.mean_predictor_loss):
        assert torch.equal(judge(rows), judge(rows))
        assert judge(rows).ndim == 0


@every_objective
def test_training_beats_the_mean_predictor(objective):
    rows = easy_rows()
    if getattr(objective, "visible", "") == "gaussian":  # of unit variance
        rows = rows._replace(inputs=(rows.inputs - rows.inputs.mean(0)) / rows.inputs.std(0))
    # Gaussian units bear less; a ranking layer's scorer starts near 0, and so does its gradient
    rate = 0.01 if getattr(objective, "visible", "") == "gaussian" else {"ranking": 1.0}.get(objective.kind, 0.1)
    learner = trained(objective, rows, epochs=40, learning_rate=rate).eval()
    with torch.no_grad():
        loss, mean = float(learner.clean_loss(rows)), float(learner.mean_predictor_loss(rows))
    least = 0.0
    if learner.loss_name == "cross_entropy":  # that of a perfect reconstruction is not 0
        inputs = rows.inputs
        least = float(nn.functional.binary_cross_entropy(inputs, inputs, reduction="sum")) / len(inputs)
    assert loss - least < 0.85 * (mean - least)


@every_objective
def test_same_bits_from_the_same_seed(objective):
    rows = easy_rows(60)
    assert same(trained(objective, rows), trained(objective, rows))
    assert not same(trained(objective, rows), trained(objective, rows, seed=1))


@every_objective
def test_resumes_exactly(objective, tmp_path):
    """Stopped at update 6, continued from the checkpoint of update 3: the bits of an unbroken fit."""
    rows = easy_rows(60)
    checkpoint = Checkpoint(tmp_path / "stage.safetensors")

    class Stop(Exception):
        pass

    def stop(progress):
        if progress.update == 6:
            raise Stop

    with pytest.raises(Stop):
        trained(objective, rows, checkpoint=checkpoint, callbacks=[stop])
    assert checkpoint.load().values["update"] == 3
    assert same(trained(objective, rows, checkpoint=checkpoint), trained(objective, rows))


@every_objective
def test_gradient(objective):
    """Autograd against finite differences in float64.

    Three losses are no functions that their gradient is the derivative of: the encoder-path gradient; a Gaussian RBM's
    chain, which moves with the weights; a sparse code that is held fixed. Their own tests compare with references.
    """
    if objective.kind == "psd" or name_of(objective) == "rbm-gaussian-cd":
        pytest.skip("compared with a reference in its own test")
    rows = easy_rows(5, torch.float64)
    learner = built(objective, rows, layer_of(dtype=torch.float64))
    names = [f"learner.{name}" for name, _ in learner.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in learner.parameters()]

    def loss(*parameters):
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(_Loss(learner), given, (rows, torch.Generator().manual_seed(3)))

    if getattr(objective, "tied", False) and objective.tied_gradient == "encoder":
        assert not torch.autograd.gradcheck(loss, values, raise_exception=False)
        others = [v.detach() if "layer.module.weight" in n else v for n, v in zip(names, values, strict=True)]
        assert torch.autograd.gradcheck(loss, others), "biases have their whole gradient"
    else:
        assert torch.autograd.gradcheck(loss, values)


class _Loss(nn.Module):
    def __init__(self, learner):
        super().__init__()
        self.learner = learner

    def forward(self, batch, generator):
        return self.learner.loss(batch, generator)


@every_objective
def test_inputs_and_targets_stay_as_they_are(objective):
    rows = easy_rows(20)
    before = rows.inputs.clone(), rows.targets.clone()
    built(objective, rows).loss(rows, torch.Generator().manual_seed(0)).backward()
    assert torch.equal(rows.inputs, before[0])
    assert torch.equal(rows.targets, before[1])


@every_objective
def test_nothing_global_is_drawn_or_warned_of(objective):
    rows = easy_rows(20)
    before = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        built(objective, rows).loss(rows, torch.Generator().manual_seed(0))
    assert torch.equal(torch.random.get_rng_state(), before)


@every_objective
def test_is_a_frozen_value_that_survives_json(objective):
    from pydantic import TypeAdapter

    from layerwise.objectives import AnyObjective

    adapter = TypeAdapter(AnyObjective)
    assert adapter.validate_json(adapter.dump_json(objective)) == objective
    with pytest.raises(Exception, match="cannot assign"):
        objective.kind = "another"


@pytest.mark.parametrize("kind", ["autoencoder", "denoising", "contractive", "sparse"])
@pytest.mark.parametrize(
    ("words", "low", "high", "message"),
    [
        (
            {"loss": "cross_entropy"},
            -1.5,
            1.0,
            r"layer 'top': inputs run from -1.5 to 1, expected .* for cross-entropy",
        ),
        ({"decoder": "sigmoid", "loss": "squared"}, 0.0, 2.0, r"inputs run from 0 to 2, expected .* for a sigmoid"),
        ({"decoder": "linear", "loss": "cross_entropy"}, 0.0, 1.0, "'top': cross-entropy with a linear decoder"),
    ],
)
def test_refusals_name_layer_range_and_cure(kind, words, low, high, message):
    layer = layer_of()
    layer.name = "top"
    facts = FeatureFacts(9, low, high, torch.zeros(12, dtype=torch.float64))
    with pytest.raises(LayerwiseError, match=message) as caught:
        BY_NAME[kind](**words).build(layer, facts, torch.Generator())
    assert "squared" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "words"),
    [(kind, {"noise": 1}) for kind in BY_NAME]
    + [
        (kind, words)
        for kind in ("autoencoder", "denoising", "contractive", "sparse")
        for words in (
            {"loss": "hinge"},
            {"decoder": "tanh"},
            {"tied_gradient": "half"},
            {"penalties": [{"kind": "l3"}]},
        )
    ],
)
def test_unknown_settings_are_refused(kind, words):
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match=next(iter(words))):
        BY_NAME[kind](**words)


def test_facts_of_many_blocks():
    """Over the block size and with a large mean: equal to NumPy's in float64."""
    rows = (torch.randn(9000, 3, generator=torch.Generator().manual_seed(0)) + 50).float()
    facts, wide = FeatureFacts.of(rows), rows.double().numpy()
    assert (facts.rows, facts.width) == (9000, 3)
    assert (facts.minimum, facts.maximum) == (wide.min(), wide.max())
    torch.testing.assert_close(facts.mean, torch.from_numpy(wide.mean(0)), rtol=1e-12, atol=0)
    assert not facts.unit_interval
    assert FeatureFacts.of(torch.tensor([[0.0, 1.0]])).unit_interval
    assert not FeatureFacts.of(torch.tensor([[0.0, 1.0001]])).unit_interval
    assert not FeatureFacts.of(torch.tensor([[-0.0001, 1.0]])).unit_interval


@every_autoencoder
def test_reconstruction_is_what_the_decoder_gives(objective):
    rows = easy_rows(20)
    learner = built(objective, rows)
    assert torch.equal(learner.reconstruct(rows.inputs), learner.decoder(learner.layer(rows.inputs)))
