"""The greedy procedure: train each layer alone on the codes of the layers below it.

    for layer, objective in zip(layers, objectives):
        learner = objective.build(layer, facts(features))
        train(learner, features)
        features = encode(layer, features)

(Bengio et al. 2007; Vincent et al. 2010.) Frozen layers are encoded once per stage, so the cost is linear in depth.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from .checks import check_pretraining, classes_of, one_each
from .data.batches import hold_out
from .data.rowset import RowSet, open_rows, some_rows
from .data.spill import Store
from .errors import PlanError
from .nn.cutting import cut
from .nn.initialization import initialize
from .nn.layers import Layer
from .nn.modes import modes_kept
from .objectives.objective import FeatureFacts, Objective, fed
from .origins import log_origins, origins
from .plan import PretrainPlan
from .randomness import Randomness
from .recipe import check
from .runs.folder import RunFolder, identity_of, seed_of
from .runs.start import start_alike
from .settings import EarlyStopping, Precision, Schedule
from .stack import Stack, encode_all, prepare_all
from .training.device import exact_float32, matmul_route, moved, pick_device, processor
from .training.loop import Callback, Surroundings
from .training.stage import Stage, train_stage
from .training.verbose import with_printing

if TYPE_CHECKING:
    from .training.stage import TrainedLayer

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
    memory_limit: float = DEFAULTS.memory_limit,
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
    inputs : array, tensor, sparse matrix, path or Source
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
    memory_limit : float
        In GiB. Rows that take more in the network's dtype are never all in memory: they are read from where they are,
        in blocks of about 4 MiB taken in random order, and shuffled within 128 MiB of blocks at a time. Codes that take
        more go to a file, in ``run_dir`` or the temporary folder, that is gone when they are no longer needed. The same
        rule for files and arrays; the rows' order depends on the limit, never on the machine.
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
    store = Store(plan.memory_limit)
    dtype = next((weight.dtype for weight in network.parameters()), torch.float32)
    rows, held_out = _rows(inputs, targets, validation, store, dtype, Randomness(seed).child("validation"))
    device = pick_device(device)
    check_pretraining(network, plan, rows, held_out)
    folder = None
    if run_dir is not None:
        identity = identity_of(plan, seed, *rows.parts, *(held_out.parts if held_out else ()))
        folder = RunFolder.open(run_dir, resume, identity, seed)
        folder.write_environment(matmul_route(), processor()[1])
        start_alike(network, folder)
    around = Surroundings("pretrain", Randomness(seed), folder, with_printing(callbacks, verbose))
    result = pretrain_layers(network, rows, plan, around, device, held_out)
    log_origins(network, result.parameters)
    return result


def _rows(
    inputs: Any, targets: Any, validation: Any, store: Store, dtype: torch.dtype, randomness: Randomness
) -> tuple[RowSet, RowSet | None]:
    """Return the rows to train on and those held out, of the same or given beside them."""
    rows, classes = open_rows(inputs, targets, store, dtype)
    if validation is None:
        return rows, None
    if isinstance(validation, float):
        kept, held = hold_out(len(rows), validation, randomness)
        return some_rows(rows, kept, store), some_rows(rows, held, store)
    return rows, open_rows(*_validation_rows(validation), store, dtype, classes)[0]


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
    rows: RowSet,
    plan: PretrainPlan,
    around: Surroundings,
    device: str | torch.device = "auto",
    held_out: RowSet | None = None,
) -> PretrainResult:
    """Run the greedy procedure of a checked plan; `pretrain` is the door to it.

    ``rows`` are all rows, with the class of each (-1: none) where an objective needs targets.
    """
    layers = cut(network, plan.layers, plan.activation)
    objectives = one_each(plan.objective, layers, "objectives")
    rates = one_each(plan.learning_rate, layers, "learning rates")
    classes = classes_of(rows, held_out)
    store = Store(plan.memory_limit, around.folder.path if around.folder else None)
    history: list[Stage] = []
    learners: list[TrainedLayer] = []
    with modes_kept(network), moved(network, pick_device(device)) as place, exact_float32():
        features = [_placed(part, place, plan, next(network.parameters()).dtype) for part in (rows, held_out) if part]
        for number, (layer, objective, rate) in enumerate(zip(layers, objectives, rates, strict=True), 1):
            given = [_given(layer, part, objective, store) for part in features]
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
            features = [replace(part, inputs=encode_all(layer, part.inputs, store)) for part in features]
    for learner in learners:
        learner.to(next(network.parameters()).device)
    trained = [learner.layer for learner in learners]
    stack = Stack(trained, [learner.decoder for learner in learners], objectives[: len(learners)])
    return PretrainResult(history, stack, origins(network, trained))


def _placed(rows: RowSet, place: torch.device, plan: PretrainPlan, precision: torch.dtype) -> RowSet:
    inputs = rows.inputs.to(place, precision)
    targets = None if rows.targets is None else rows.targets.to(place)
    return RowSet(inputs, targets, inputs if plan.corrupt == "input" else None)


def _given(layer: Layer, rows: RowSet, objective: Objective, store: Store) -> RowSet:
    """Return what a stage learns from: what the layer's module takes, of labelled rows alone where it needs targets."""
    if objective.needs_targets:
        assert rows.targets is not None
        labelled = rows.targets >= 0
        rows = some_rows(replace(rows, raw=None), labelled.nonzero().squeeze(1).cpu(), store)
        return replace(rows, inputs=fed(objective, prepare_all(layer, rows.inputs, store)))
    return RowSet(fed(objective, prepare_all(layer, rows.inputs, store)), None, rows.raw)


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
