"""The greedy procedure: train each layer alone on the codes of the layers below it.

    for layer, objective in zip(layers, objectives):
        learner = objective.build(layer, facts(features))
        train(learner, features)
        features = encode(layer, features)

(Bengio et al. 2007; Vincent et al. 2010.) Frozen layers are encoded once per stage, so the cost is linear in depth.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from .data.batches import Batch, hold_out
from .data.source import load_rows, open_source
from .data.targets import load_targets
from .errors import DataError, PlanError
from .nn.cutting import cut
from .nn.initialization import initialize
from .nn.layers import Layer
from .nn.modes import modes_kept
from .objectives.objective import FeatureFacts, Objective
from .plan import PretrainPlan
from .randomness import Randomness
from .recipe import check
from .runs.folder import RunFolder, identity_of, seed_of
from .runs.start import start_alike
from .settings import EarlyStopping, Precision, Schedule
from .stack import Stack, encode, prepare
from .training.device import exact_float32, matmul_route, moved, pick_device, processor
from .training.loop import Callback, Surroundings
from .training.stage import Stage, train_stage
from .training.verbose import with_printing

if TYPE_CHECKING:
    from .training.stage import TrainedLayer

logger = logging.getLogger("layerwise")
DEFAULTS = PretrainPlan()


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
    targets: Any = None,
    *,
    objective: str | Objective | Sequence[str | Objective] = DEFAULTS.objective,  # type: ignore[assignment]
    layers: Literal["auto"] | Sequence[str] = DEFAULTS.layers,
    activation: str = DEFAULTS.activation,
    corrupt: Literal["layer", "input"] = DEFAULTS.corrupt,
    epochs: int = DEFAULTS.epochs,
    batch_size: int = DEFAULTS.batch_size,
    learning_rate: Literal["auto"] | float | Sequence[float] = DEFAULTS.learning_rate,
    optimizer: str = DEFAULTS.optimizer,
    momentum: float = DEFAULTS.momentum,
    schedule: Schedule | None = DEFAULTS.schedule,
    momentum_schedule: Schedule | None = DEFAULTS.momentum_schedule,
    l1: float = DEFAULTS.l1,
    l2: float = DEFAULTS.l2,
    max_norm: float | None = DEFAULTS.max_norm,
    clip_norm: float | None = DEFAULTS.clip_norm,
    bias_rate: float = DEFAULTS.bias_rate,
    fan_in_scaling: bool = DEFAULTS.fan_in_scaling,
    initializer: str | None = DEFAULTS.initializer,
    validation: Any = None,
    early_stopping: EarlyStopping | None = DEFAULTS.early_stopping,
    summary_every: int | None = DEFAULTS.summary_every,
    validate_every: int | None = DEFAULTS.validate_every,
    checkpoint_every: int | None = DEFAULTS.checkpoint_every,
    precision: Precision | None = DEFAULTS.precision,
    device: str | torch.device = "auto",
    random_state: int | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    verbose: int = 0,
) -> PretrainResult:
    """Pre-train a network's layers in place, one after the other.

    Parameters
    ----------
    network : nn.Module
        Any module of dense and convolutional modules with one input (`layerwise.nn.cutting.cut` says how it is cut).
        Its ``state_dict`` keys, device, modes, dtype and ``requires_grad`` stay as found.
    inputs : array, tensor, path or Source
        Rows (n, ...), as `open_source` takes them and in the shape that the network takes.
    targets : array, tensor, path or Source, optional
        One label a row, for objectives that learn from them; -1, NaN or None is no label.
    objective : str, Objective or sequence of them
        How each layer is trained; a sequence has one for each layer.
    layers : "auto" or sequence of str
        Names of the modules to train; "auto": all but the output head.
    activation : str
        "auto": what follows each module in the network. A name, with ``layers``, captures the named modules' inputs
        while the network runs, and takes their codes to be that activation of their outputs: for networks that
        cannot be cut.
    corrupt : {"layer", "input"}
        Noise on each layer's own input, or on the network's: the noisy row is then taken up through the frozen layers,
        and the target is the clean code.
    epochs, batch_size : int
        Per stage. The last batch of an epoch may be smaller.
    learning_rate : "auto", float or sequence of float
        "auto": from the curvature of each layer's loss at its start.
    optimizer : str
        A name of ``torch.optim``.
    momentum : float
        Of the optimiser, where it takes one.
    schedule, momentum_schedule : Step, Exponential, Inverse, Staged, InverseTime, Linear, OnValidation or None
        How the learning rate and the momentum change within a stage; None: fixed. `OnValidation` needs ``validation``.
    l1, l2 : float
        Regularisation of weights (not biases): add l1 |W|_1 and l2/2 |W|^2 to the loss.
    max_norm : float or None
        After each update the weights into each unit are scaled back to at most this norm.
    clip_norm : float or None
        The gradient of the loss, all parameters together, is scaled back to at most this norm.
    bias_rate : float
        The biases' learning rate as a multiple of the weights'.
    fan_in_scaling : bool
        Each neuron's rate is divided by the square root of its number of inputs; needs a number as ``learning_rate``.
    initializer : str or None
        Draws new weights for the layers first; None keeps those found.
    validation : float, array, tensor, path or Source, or (inputs, targets)
        Held-out rows, or the fraction of the rows to hold out.
    early_stopping : EarlyStopping or None
        Needs ``validation``; the best parameters are kept.
    summary_every, validate_every, checkpoint_every : int or None
        In updates; None: once an epoch, and a checkpoint every 30 seconds.
    precision : {"bfloat16"} or None
        Of the matrix products of an update; None: the network's own type. The weights stay float32 either way, and so
        does everything that is measured.
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
    rows, classes = _read(inputs, targets)
    held_out = None
    if isinstance(validation, float):
        kept, held = hold_out(len(rows.inputs), validation, Randomness(seed).child("validation"))
        rows, held_out = rows.at(kept), rows.at(held)
    elif validation is not None:
        held_out, _ = _read(*_validation_rows(validation), classes)
    device = pick_device(device)
    check_pretraining(network, plan, rows, held_out)
    folder = None
    if run_dir is not None:
        folder = RunFolder.open(run_dir, resume, identity_of(plan, seed, *rows, *(held_out or ())), seed)
        folder.write_environment(matmul_route(), processor()[1])
        start_alike(network, folder)
    around = Surroundings("pretrain", Randomness(seed), folder, with_printing(callbacks, verbose))
    result = pretrain_layers(network, rows, plan, around, device, held_out)
    log_origins(network, result.parameters)
    return result


def _read(inputs: Any, targets: Any, classes: Any = None) -> tuple[Batch, Any]:
    rows = load_rows(open_source(inputs))
    if targets is None:
        return Batch(rows), None
    codes, classes = load_targets(open_source(targets, kind="targets"), len(rows), classes=classes)
    return Batch(rows, codes), classes


def _validation_rows(validation: Any) -> tuple[Any, Any]:
    if not isinstance(validation, tuple):
        return validation, None
    if len(validation) != 2:
        raise PlanError(
            f"validation is a tuple of {len(validation)}, expected rows or (inputs, targets)",
            "give held-out rows, with their labels where the objective needs them",
        )
    return validation


def pretrain_layers(
    network: nn.Module,
    rows: Batch,
    plan: PretrainPlan,
    around: Surroundings,
    device: str | torch.device = "auto",
    held_out: Batch | None = None,
) -> PretrainResult:
    """Run the greedy procedure of a checked plan; `pretrain` is the door to it.

    ``rows`` are all rows, with the class of each (-1: none) where an objective needs targets.
    """
    layers = cut(network, plan.layers, plan.activation)
    objectives = _one_each(plan.objective, layers, "objectives")
    rates = _one_each(plan.learning_rate, layers, "learning rates")
    classes = _classes(rows, held_out)
    history: list[Stage] = []
    learners: list[TrainedLayer] = []
    with modes_kept(network), moved(network, pick_device(device)) as place, exact_float32():
        features = [_placed(part, place, plan, next(network.parameters()).dtype) for part in (rows, held_out) if part]
        for number, (layer, objective, rate) in enumerate(zip(layers, objectives, rates, strict=True), 1):
            given = [_given(layer, part, objective) for part in features]
            if plan.initializer:
                initialize(layer.module, plan.initializer, around.randomness.generator("weights", number))
            layer.onward.requires_grad_(False)  # normalisation there is no part of what is trained
            found = copy.deepcopy(layer.state_dict())
            facts = FeatureFacts.of(given[0].inputs, classes)
            learner = objective.build(layer, facts, around.randomness.generator("learner", number)).to(place)
            if plan.corrupt == "input":
                learner.below = partial(reach, layers[: number - 1], layer)
            stage = train_stage(learner, given, objective.kind, rate, plan, number, around)
            if _deep_enough(objective, stage, history):
                layer.load_state_dict(found)
                break
            history.append(stage)
            learners.append(learner)
            features = [part._replace(inputs=encode(layer, part.inputs)) for part in features]
    for learner in learners:
        learner.to(next(network.parameters()).device)
    stack = Stack([learner.layer for learner in learners], [learner.decoder for learner in learners])
    return PretrainResult(history, stack, origins(network, stack.layers))


def _placed(rows: Batch, place: torch.device, plan: PretrainPlan, precision: torch.dtype) -> Batch:
    inputs = rows.inputs.to(place, precision)
    targets = None if rows.targets is None else rows.targets.to(place)
    return Batch(inputs, targets, inputs if plan.corrupt == "input" else None)


def _given(layer: Layer, rows: Batch, objective: Objective) -> Batch:
    """Return what a stage learns from: what the layer's module takes, of labelled rows alone where it needs targets."""
    if objective.needs_targets:
        assert rows.targets is not None
        labelled = rows.targets >= 0
        return Batch(prepare(layer, rows.inputs[labelled]), rows.targets[labelled])
    return Batch(prepare(layer, rows.inputs), None, rows.raw)


def reach(below: Sequence[Layer], layer: Layer, rows: Tensor) -> Tensor:
    """Take the network's own rows up to what a layer's module takes."""
    for lower in below:
        rows = lower.hand_on(rows)
    reached: Tensor = layer.preamble(rows)
    return reached


def _deep_enough(objective: Objective, stage: Stage, history: Sequence[Stage]) -> bool:
    """Say whether a further layer did not bring what the objective asks of one: losses of one kind are compared."""
    wanted = getattr(objective, "grow_until", None)
    if wanted is None or not history or history[-1].loss_name != stage.loss_name:
        return False
    return bool(stage.loss > (1 - wanted) * history[-1].loss)


def _classes(*parts: Batch | None) -> int:
    """Return the number of classes; the only row of one may be held out."""
    return max(0 if part is None or part.targets is None else int(part.targets.max()) + 1 for part in parts)


def check_pretraining(network: nn.Module, plan: PretrainPlan, rows: Batch, held_out: Batch | None) -> None:
    """Find what would stop the greedy procedure half-way before any layer is trained or any file written.

    Every layer's learner is built around what a few rows become, so that each can refuse its layer.
    """
    if plan.objective is None:
        raise PlanError("objective is None, the random arm: there is nothing to pre-train", "leave pretrain out")
    layers = cut(network, plan.layers, plan.activation)
    objectives = _one_each(plan.objective, layers, "objectives")
    _one_each(plan.learning_rate, layers, "learning rates")
    _check_targets(objectives, plan, rows, held_out)
    _check_noise(objectives, plan)
    classes = _classes(rows, held_out)
    first = FeatureFacts.of(prepare(layers[0], rows.inputs.to(next(network.parameters()))), classes)
    for part in [rows] if held_out is None else [rows, held_out]:
        codes = part.inputs[:2].to(next(network.parameters()))
        for layer, objective in zip(layers, objectives, strict=True):
            prepared = prepare(layer, codes)
            # inputs out of the decoder's range are refused for all rows; deeper ones have an activation's range
            facts = first if layer is layers[0] else FeatureFacts.of(prepared, classes)
            objective.build(layer, facts, torch.Generator().manual_seed(0))
            codes = encode(layer, codes)


def _check_noise(objectives: Sequence[Objective], plan: PretrainPlan) -> None:
    if plan.corrupt == "layer":
        return
    for objective in objectives:
        if getattr(objective, "corruption", None) is None:
            raise PlanError(
                f"corrupt is 'input', but the objective {objective.kind!r} puts no noise on anything",
                "use the denoising auto-encoder, or leave corrupt at 'layer'",
            )
        if getattr(objective, "emphasis", None) is not None:
            raise PlanError(
                "corrupt is 'input' and emphasis is set, but noise on the network's input chooses no element of a code",
                "leave emphasis out, or leave corrupt at 'layer'",
            )


def _check_targets(objectives: Sequence[Objective], plan: PretrainPlan, rows: Batch, held_out: Batch | None) -> None:
    needing = next((objective.kind for objective in objectives if objective.needs_targets), None)
    growing = any(getattr(objective, "grow_until", None) is not None for objective in objectives)
    if (plan.needs_validation or growing) and held_out is None:
        what = plan.needs_validation or "grow_until"
        raise PlanError(f"{what} needs rows to validate on", "set validation=0.1, or give held-out rows")
    if needing is None:
        return
    for part, said in ((rows, "targets"), (held_out, "validation")):
        if part is not None and (part.targets is None or not bool((part.targets >= 0).any())):
            raise DataError(
                f"the objective {needing!r} learns from labels, but {said} has none",
                "give one label a row, -1 where there is none: pretrain(network, inputs, targets, ...)"
                if said == "targets" else "give validation=(inputs, targets), or a fraction such as 0.1",
            )  # fmt: skip


def origins(network: nn.Module, layers: Sequence[Layer] = ()) -> dict[str, str]:
    """Say for each parameter whether it is pre-trained or initialised.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    >>> list(origins(network, cut(network)).values())
    ['pre-trained', 'pre-trained', 'initialised', 'initialised']
    """
    parts = [part for layer in layers for part in (layer.module, layer.after)]
    trained = {id(parameter) for part in parts for parameter in part.parameters() if parameter.requires_grad}
    return {
        name: "pre-trained" if id(parameter) in trained else "initialised"
        for name, parameter in network.named_parameters()
    }


def log_origins(network: nn.Module, found: Mapping[str, str], arm: str = "") -> None:
    """Log a line for each parameter, the head's included, that says pre-trained or initialised."""
    of = f"{arm}: " if arm else ""
    for name, parameter in network.named_parameters():
        logger.info("%sparameter %s (%s): %s", of, name, "x".join(map(str, parameter.shape)), found[name])


def _one_each(value: Any, layers: Sequence[Layer], what: str) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        return (value,) * len(layers)
    if len(value) != len(layers):
        names = ", ".join(repr(layer.name) for layer in layers)
        raise PlanError(
            f"{len(value)} {what} for {len(layers)} layers ({names})", "give one for all, or one for each layer"
        )
    return value
