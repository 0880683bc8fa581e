"""The greedy procedure: train each layer alone on the codes of the layers below it.

    for layer, objective in zip(layers, objectives):
        learner = objective.build(layer, facts)
        fit(learner, features)
        features = encode(layer, features)

(Bengio et al. 2007; Vincent et al. 2010.) Frozen layers are encoded once per stage, so the cost is linear in depth.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from .data.batches import Batches, hold_out
from .data.source import load_rows, open_source
from .errors import PlanError
from .nn.initialization import initialize
from .nn.layers import Layer, cut
from .nn.modes import evaluation, modes_kept
from .objectives.objective import FeatureFacts, LayerLearner, Objective
from .plan import EarlyStopping, PretrainPlan, Schedule
from .randomness import Randomness
from .recipe import check
from .runs.folder import RunFolder, identity_of, seed_of
from .runs.start import start_alike
from .stack import BLOCK, Stack, encode, prepare
from .training.curvature import automatic_rate
from .training.device import exact_float32, matmul_route, moved, pick_device, processor
from .training.fallbacks import fallbacks, fit_with_fallbacks
from .training.loop import Callback, Surroundings
from .training.verbose import with_printing

if TYPE_CHECKING:

    class TrainedLayer(nn.Module, LayerLearner):
        """A module that keeps a learner's promises; Python's types have no other word for both at once."""


logger = logging.getLogger("layerwise")
DEFAULTS = PretrainPlan()
JUDGED_ROWS = 10_000  # rows on which a trained layer's reconstruction is measured


@dataclass(frozen=True)
class Stage:
    """One trained layer.

    Attributes
    ----------
    number : int
        1 for the first.
    layer, objective, loss_name : str
        Name of the dense module, kind of the objective, "squared" or "cross_entropy".
    units : int
        Width of the code.
    learning_rate : float
        The initial rate, as given or chosen.
    loss, mean_predictor_loss : float
        Loss of reconstructing clean rows, and of predicting the training mean instead; on the validation rows where
        there are some, else on training rows. Per row, summed over features.
    updates : int
        Updates made.
    seconds : float
        Training time.
    records : list of dict
        The history of the stage.
    """

    number: int
    layer: str
    objective: str
    loss_name: str
    units: int
    learning_rate: float
    loss: float
    mean_predictor_loss: float
    updates: int
    seconds: float
    records: list[dict[str, Any]] = field(repr=False)


@dataclass(frozen=True)
class PretrainResult:
    """What `pretrain` returns.

    Attributes
    ----------
    history : list of Stage
        One per layer.
    stack : Stack
        The trained layers with their decoders.
    parameters : dict of str to str
        For each parameter of the network, the head included: "pre-trained" or "initialised".
    """

    history: list[Stage]
    stack: Stack
    parameters: dict[str, str]


def pretrain(
    network: nn.Module,
    inputs: Any,
    *,
    objective: str | Objective | Sequence[str | Objective] = DEFAULTS.objective,  # type: ignore[assignment]
    layers: Literal["auto"] | Sequence[str] = DEFAULTS.layers,
    epochs: int = DEFAULTS.epochs,
    batch_size: int = DEFAULTS.batch_size,
    learning_rate: Literal["auto"] | float | Sequence[float] = DEFAULTS.learning_rate,
    optimizer: str = DEFAULTS.optimizer,
    momentum: float = DEFAULTS.momentum,
    schedule: Schedule | None = DEFAULTS.schedule,
    l2: float = DEFAULTS.l2,
    bias_rate: float = DEFAULTS.bias_rate,
    initializer: str | None = DEFAULTS.initializer,
    validation: Any = None,
    early_stopping: EarlyStopping | None = DEFAULTS.early_stopping,
    summary_every: int | None = DEFAULTS.summary_every,
    validate_every: int | None = DEFAULTS.validate_every,
    checkpoint_every: int | None = DEFAULTS.checkpoint_every,
    device: str | torch.device = "auto",
    random_state: int | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    verbose: int = 0,
) -> PretrainResult:
    """Pre-train a network's layers in place, one after the other, without labels.

    Parameters
    ----------
    network : nn.Module
        An ``nn.Sequential`` of dense modules and what stands between them. Its ``state_dict`` keys, device, modes,
        dtype and ``requires_grad`` stay as found.
    inputs : array, tensor, path or Source
        Rows (n, features), as `open_source` takes them.
    objective : str, Objective or sequence of them
        How each layer is trained; a sequence has one for each layer.
    layers : "auto" or sequence of str
        Names of the dense modules to train; "auto": all but the output head.
    epochs, batch_size : int
        Per stage. The last batch of an epoch may be smaller.
    learning_rate : "auto", float or sequence of float
        "auto": from the curvature of each layer's loss at its start.
    optimizer : str
        A name of ``torch.optim``.
    momentum : float
        Of the optimiser, where it takes one.
    schedule : InverseTime, Linear or None
        How the rate falls within a stage.
    l2 : float
        L2 regularisation of weights (not biases): adds l2/2 |W|^2 to the loss.
    bias_rate : float
        The biases' learning rate as a multiple of the weights'.
    initializer : str or None
        Draws new weights for the layers first; None keeps those found.
    validation : float, array, tensor, path or Source
        Held-out rows, or the fraction of the rows to hold out.
    early_stopping : EarlyStopping or None
        Needs ``validation``; the best parameters are kept.
    summary_every, validate_every, checkpoint_every : int or None
        In updates; None: once an epoch, and a checkpoint every 30 seconds.
    device : str or torch.device
        "auto": the GPU when there is one.
    random_state : int or None
        The same number gives the same weights, bit for bit, on one class of machine.
    run_dir : path or None
        Where history and checkpoints go.
    resume : bool
        Continue the work in ``run_dir``; without it, a folder that isn't empty is refused.
    callbacks : sequence of callables
        Each is called with a `Progress`.
    verbose : int
        1 prints a line per record.

    Returns
    -------
    PretrainResult
        ``.history`` and ``.stack``.

    Raises
    ------
    PlanError, NetworkError, DataError, RunError, DivergenceError
        Each says what was found, where, and what cures it.

    References
    ----------
    Bengio et al. (2007), Greedy layer-wise training of deep networks. Vincent et al. (2010), Stacked denoising
    autoencoders.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(8, 4), nn.Sigmoid(), nn.Linear(4, 2))
    >>> result = pretrain(network, torch.rand(50, 8), epochs=2, random_state=0)
    >>> result.history[0].layer, result.stack.encode(torch.rand(3, 8)).shape
    ('0', torch.Size([3, 4]))
    """
    names = PretrainPlan.model_fields.keys()
    given = {key: value for key, value in locals().items() if key in names}
    plan = check(PretrainPlan, given, "pretrain")
    seed = seed_of(random_state, run_dir, resume)
    rows = load_rows(open_source(inputs))
    held_out = None
    if isinstance(validation, float):
        kept, held = hold_out(len(rows), validation, Randomness(seed).child("validation"))
        rows, held_out = rows[kept], rows[held]
    elif validation is not None:
        held_out = load_rows(open_source(validation))
    device = pick_device(device)
    check_pretraining(network, plan, rows, held_out)
    folder = None
    if run_dir is not None:
        folder = RunFolder.open(run_dir, resume, identity_of(plan, seed, rows, held_out), seed)
        folder.write_environment(matmul_route(), processor()[1])
        start_alike(network, folder)
    around = Surroundings("pretrain", Randomness(seed), folder, with_printing(callbacks, verbose))
    result = pretrain_layers(network, rows, plan, around, device, held_out)
    log_origins(network, result.parameters)
    return result


def pretrain_layers(
    network: nn.Module,
    rows: Tensor,
    plan: PretrainPlan,
    around: Surroundings,
    device: str | torch.device = "auto",
    held_out: Tensor | None = None,
) -> PretrainResult:
    """Run the greedy procedure of a checked plan; `pretrain` is the door to it."""
    layers = cut(network, plan.layers)
    objectives = _one_each(plan.objective, layers, "objectives")
    rates = _one_each(plan.learning_rate, layers, "learning rates")
    history: list[Stage] = []
    learners: list[TrainedLayer] = []
    with modes_kept(network), moved(network, pick_device(device)) as place, exact_float32():
        precision = next(network.parameters()).dtype
        features = [rows.to(place, precision)] + ([] if held_out is None else [held_out.to(place, precision)])
        for number, (layer, objective, rate) in enumerate(zip(layers, objectives, rates, strict=True), 1):
            prepared = [prepare(layer, part) for part in features]
            if plan.initializer:
                initialize(layer.linear, plan.initializer, around.randomness.generator("weights", number))
            learner: TrainedLayer = objective.build(layer, FeatureFacts.of(prepared[0])).to(place)
            history.append(_train(learner, prepared, objective.kind, rate, plan, number, around))
            features = [encode(layer, part) for part in features]
            learners.append(learner)
    for learner in learners:
        learner.to(next(network.parameters()).device)
    stack = Stack([learner.layer for learner in learners], [learner.decoder for learner in learners])
    return PretrainResult(history, stack, origins(network, layers))


def check_pretraining(network: nn.Module, plan: PretrainPlan, rows: Tensor, held_out: Tensor | None) -> None:
    """Find what would stop the greedy procedure half-way before any layer is trained or any file written."""
    layers = cut(network, plan.layers)
    if plan.objective is None:
        raise PlanError("objective is None, the random arm: there is nothing to pre-train", "leave pretrain out")
    _one_each(plan.objective, layers, "objectives")
    _one_each(plan.learning_rate, layers, "learning rates")
    if plan.early_stopping and held_out is None:
        raise PlanError("early_stopping needs rows to validate on", "set validation=0.1, or give held-out rows")
    first = plan.objective[0] if isinstance(plan.objective, tuple) else plan.objective
    first.build(layers[0], FeatureFacts.of(prepare(layers[0], rows)))  # refuses inputs out of the decoder's range
    for part in [rows] if held_out is None else [rows, held_out]:
        codes = part[:1]
        for layer in layers:
            codes = encode(layer, codes)


def origins(network: nn.Module, layers: Sequence[Layer] = ()) -> dict[str, str]:
    """Say for each parameter whether it is pre-trained or initialised.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    >>> list(origins(network, cut(network)).values())
    ['pre-trained', 'pre-trained', 'initialised', 'initialised']
    """
    trained = {id(parameter) for layer in layers for parameter in layer.parameters() if parameter.requires_grad}
    return {
        name: "pre-trained" if id(parameter) in trained else "initialised"
        for name, parameter in network.named_parameters()
    }


def log_origins(network: nn.Module, found: Mapping[str, str], arm: str = "") -> None:
    """Log a line for each parameter, the head's included, that says pre-trained or initialised."""
    of = f"{arm}: " if arm else ""
    for name, parameter in network.named_parameters():
        logger.info("%sparameter %s (%s): %s", of, name, "x".join(map(str, parameter.shape)), found[name])


def _train(
    learner: TrainedLayer,
    features: Sequence[Tensor],
    kind: str,
    rate: float | str,
    plan: PretrainPlan,
    number: int,
    around: Surroundings,
) -> Stage:
    """Train one layer alone and measure what it reconstructs."""
    rows, checked = features[0], features[-1][:JUDGED_ROWS]
    fitting = around.fitting(str(number))
    if len(features) > 1:
        fitting = replace(fitting, validate=lambda: {"validation_loss": _loss(learner, features[-1])})
    batches = Batches(rows, None, plan.batch_size, fitting.randomness)
    if rate == "auto":
        generator = torch.Generator(rows.device).manual_seed(fitting.randomness.seed("curvature"))
        highest = automatic_rate(learner, next(batches.epoch(0)), generator)
        rates = fallbacks(highest)
    else:
        rates = [float(rate)]
    fitted, chosen = fit_with_fallbacks(learner, batches, plan, rates, fitting)
    mean = rows.mean(0, dtype=torch.float64).to(checked.dtype).expand_as(checked)
    return Stage(
        number=number,
        layer=learner.layer.name,
        objective=kind,
        loss_name=learner.loss_name,
        units=learner.layer.linear.out_features,
        learning_rate=chosen,
        loss=_loss(learner, checked),
        mean_predictor_loss=float(learner.reconstruction_loss(mean, checked)),
        updates=fitted.updates,
        seconds=fitted.seconds,
        records=fitted.records,
    )


def _loss(learner: TrainedLayer, rows: Tensor) -> float:
    """Return the loss of reconstructing clean rows, block by block."""
    total = 0.0
    with evaluation(learner):
        for block in rows.split(BLOCK):
            total += float(learner.reconstruction_loss(learner.reconstruct(block), block)) * len(block)
    return total / len(rows)


def _one_each(value: Any, layers: Sequence[Layer], what: str) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        return (value,) * len(layers)
    if len(value) != len(layers):
        names = ", ".join(repr(layer.name) for layer in layers)
        raise PlanError(
            f"{len(value)} {what} for {len(layers)} layers ({names})", "give one for all, or one for each layer"
        )
    return value
