"""Fine-tuning: supervised training of the whole network, from wherever its weights are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .checks import check_precision
from .data.batches import Batches, hold_out
from .data.features import Features
from .data.labelled import labelled_rows, unlabelled_rows
from .data.mixed import MixedBatches
from .errors import DataError, NetworkError, PlanError, nearest
from .nn.modes import evaluation, modes_kept
from .nn.networks import dense_modules
from .objectives.classification import Classifier, check_ends_in_head
from .objectives.pseudo_labels import PseudoLabelLearner, PseudoLabels
from .objectives.ranking import OutputLoss
from .plan import FinetunePlan, PretrainPlan
from .randomness import Randomness
from .recipe import check
from .runs.folder import RunFolder, identity_of, seed_of
from .runs.start import start_alike
from .settings import EarlyStopping, Precision, Schedule
from .training.device import exact_float32, matmul_route, moved, pick_device, processor
from .training.loop import Callback, Fitted, Surroundings, Validate, fit
from .training.verbose import with_printing

DEFAULTS = FinetunePlan()
MEMORY_LIMIT = PretrainPlan().memory_limit
BLOCK = 4096


@dataclass(frozen=True)
class FinetuneResult:
    """What `finetune` returns.

    Attributes
    ----------
    history : list of dict
        One record for every summary and validation: update, epoch, training_loss (mean a row since the record
        before), validation_loss (mean cross-entropy), validation_error (percent), learning_rate, seconds.
    classes : list
        The label of each output.
    updates : int
        Updates made.
    seconds : float
        Training time, without validation.
    best_update : int or None
        With early stopping: the update whose parameters were kept.
    """

    history: list[dict[str, Any]] = field(repr=False)
    classes: list[Any]
    updates: int
    seconds: float
    best_update: int | None = None


def finetune(
    network: nn.Module,
    inputs: Any,
    targets: Any,
    *,
    loss: OutputLoss = DEFAULTS.loss,
    pseudo_labels: PseudoLabels | None = DEFAULTS.pseudo_labels,
    epochs: int = DEFAULTS.epochs,
    batch_size: int = DEFAULTS.batch_size,
    learning_rate: float = DEFAULTS.learning_rate,
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
    head_first: int = DEFAULTS.head_first,
    freeze: Sequence[str] = DEFAULTS.freeze,
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
) -> FinetuneResult:
    """Train a classifier in place on labelled rows; rows without a label are left out, or given pseudo-labels.

    Parameters
    ----------
    network : nn.Module
        Maps rows to one output (logit) per class.
    inputs : array, tensor, path or Source
        Rows (n, features), as `open_source` takes them.
    targets : array, tensor, path or Source
        One label a row, whole numbers or text; -1, NaN or None is no label.
    loss : "cross_entropy" or RankingLoss
        Of the outputs. `RankingLoss` computes the outputs of a few sampled labels only, for networks with very many;
        the network must end in its last ``nn.Linear``. Validation looks at all outputs either way.
    pseudo_labels : PseudoLabels or None
        Trains on the rows without a label as well, by the classes that the network itself finds likeliest. An epoch is
        then one of these rows, and ``batch_size`` counts the labelled rows in an update.
    epochs, batch_size, learning_rate, optimizer, momentum, schedule, momentum_schedule, l1, l2, max_norm, clip_norm, \
bias_rate, fan_in_scaling
        As in `layerwise.pretrain`.
    head_first : int
        Epochs in which only the output head is trained, before all layers are.
    freeze : sequence of str
        Names of modules or parameters that stay as they are; ``requires_grad`` is put back afterwards.
    validation : float or (inputs, targets)
        Held-out labelled rows, or the fraction of the labelled rows to hold out.
    early_stopping : EarlyStopping or None
        Needs ``validation``; the best parameters are kept.
    summary_every, validate_every, checkpoint_every, precision, device, random_state, run_dir, resume, callbacks, \
verbose
        As in `layerwise.pretrain`.

    Returns
    -------
    FinetuneResult
        ``.history`` and how the training ended.

    Raises
    ------
    PlanError, NetworkError, DataError, RunError, DivergenceError
        Each says what was found, where, and what cures it.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(8, 4), nn.Sigmoid(), nn.Linear(4, 2))
    >>> inputs = torch.rand(60, 8)
    >>> result = finetune(network, inputs, (inputs[:, 0] > 0.5).long(), epochs=2, random_state=0)
    >>> result.updates, list(result.classes)
    (4, [0, 1])
    """
    names = FinetunePlan.model_fields.keys()
    given = {key: value for key, value in locals().items() if key in names}
    plan = check(FinetunePlan, given, "finetune")
    seed = seed_of(random_state, run_dir, resume)
    rows, codes, classes = labelled_rows(inputs, targets)
    dtype = next((weight.dtype for weight in network.parameters()), torch.float32)
    others = unlabelled_rows(inputs, targets, MEMORY_LIMIT, dtype) if plan.pseudo_labels else None
    held_out = None
    if isinstance(validation, float):
        kept, held = hold_out(len(rows), validation, Randomness(seed).child("validation"))
        held_out, rows, codes = (rows[held], codes[held]), rows[kept], codes[kept]
    elif validation is not None:
        held_out = _given_rows(validation, classes)
    device = pick_device(device)
    check_finetuning(network, rows, codes, plan, held_out, others)
    folder = None
    if run_dir is not None:
        folder = RunFolder.open(run_dir, resume, identity_of(plan, seed, rows, codes, *(held_out or ()), others), seed)
        folder.write_environment(matmul_route(), processor()[1])
        start_alike(network, folder)
    around = Surroundings("finetune", Randomness(seed), folder, with_printing(callbacks, verbose))
    fitted = finetune_network(network, rows, codes, plan, around, device, held_out, others)
    return FinetuneResult(fitted.records, classes.tolist(), fitted.updates, fitted.seconds, fitted.best_update)


def _given_rows(validation: Any, classes: Any) -> tuple[Tensor, Tensor]:
    """Return the labelled ones of the held-out rows that were given, with the codes of the known classes."""
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise PlanError(
            f"validation is {type(validation).__name__}, expected a fraction or (inputs, targets)",
            "set validation=0.1, or give held-out rows with their labels",
        )
    rows, codes, _ = labelled_rows(validation[0], validation[1], classes)
    return rows, codes


def finetune_network(
    network: nn.Module,
    rows: Tensor,
    codes: Tensor,
    plan: FinetunePlan,
    around: Surroundings,
    device: str | torch.device = "auto",
    held_out: tuple[Tensor, Tensor] | None = None,
    unlabelled: Features | None = None,
) -> Fitted:
    """Fine-tune by a checked plan, on unlabelled rows too for pseudo-labels; `finetune` is the door to it."""
    with modes_kept(network), moved(network, pick_device(device)) as place, exact_float32():
        precision = next(network.parameters()).dtype
        rows, codes = rows.to(place, precision), codes.to(place)
        unlabelled = None if unlabelled is None else unlabelled.to(place, precision)
        validate = None
        if held_out is not None:
            validate = validation_of(network, held_out[0].to(place, precision), held_out[1].to(place))
        for name in plan.freeze:
            _part(network, name).requires_grad_(False)
        if plan.head_first:
            first = plan.model_copy(update={"epochs": plan.head_first, "early_stopping": None, "pseudo_labels": None})
            fitting = around.fitting("head", validate)
            with _only_head(network):
                learner, batches = learning(network, rows, codes, first, fitting.randomness)
                fit(learner, batches, first, plan.learning_rate, fitting)
        fitting = around.fitting("", validate)
        learner, batches = learning(network, rows, codes, plan, fitting.randomness, unlabelled)
        return fit(learner, batches, plan, plan.learning_rate, fitting)


def learning(
    network: nn.Module,
    rows: Tensor,
    codes: Tensor,
    plan: FinetunePlan,
    randomness: Randomness,
    unlabelled: Features | None = None,
) -> tuple[nn.Module, Batches | MixedBatches]:
    """Return what a plan trains a network as, and the batches that it is trained on."""
    chosen = plan.pseudo_labels
    if chosen is None:
        return Classifier(network, plan.loss), Batches(rows, codes, plan.batch_size, randomness)
    assert unlabelled is not None
    batches = MixedBatches(rows, codes, unlabelled, plan.batch_size, chosen.batch_size, randomness)
    return PseudoLabelLearner(network, chosen), batches


def validation_of(network: nn.Module, rows: Tensor, codes: Tensor) -> Validate:
    """Return what measures a classifier on held-out rows: mean cross-entropy and error in percent.

    Examples
    --------
    >>> network = nn.Linear(1, 2, bias=False)
    >>> _ = network.weight.data.copy_(torch.tensor([[0.0], [1.0]]))
    >>> validation_of(network, torch.tensor([[1.0], [-1.0]]), torch.tensor([1, 1]))()["validation_error"]
    50.0
    """

    def validate() -> dict[str, float]:
        outputs = predict_outputs(network, rows)
        loss = float(nn.functional.cross_entropy(outputs, codes))
        wrong = float((outputs.argmax(1) != codes).double().mean())
        return {"validation_loss": loss, "validation_error": 100.0 * wrong}

    return validate


def predict_outputs(network: nn.Module, rows: Tensor) -> Tensor:
    """Return a network's outputs for rows in evaluation mode, block by block, in the rows' order."""
    weight = next(network.parameters())
    with evaluation(network):
        blocks = [network(block.to(weight.device, weight.dtype)) for block in rows.split(BLOCK)]
    return torch.cat(blocks)


def check_finetuning(
    network: nn.Module,
    rows: Tensor,
    codes: Tensor,
    plan: FinetunePlan,
    held_out: tuple[Tensor, Tensor] | None,
    unlabelled: Features | None = None,
) -> None:
    """Find what would stop fine-tuning half-way before any file is written."""
    check_precision(network, plan)
    if plan.needs_validation and held_out is None:
        raise PlanError(
            f"{plan.needs_validation} needs rows to validate on", "set validation=0.1, or give held-out rows"
        )
    if len(rows) == 0 or (held_out is not None and len(held_out[0]) == 0):
        raise DataError(f"no {'validation ' if len(rows) else ''}row has a label", "label some, or leave them out")
    if plan.pseudo_labels is not None and (unlabelled is None or unlabelled.shape[0] == 0):
        raise DataError(
            "pseudo_labels is set, but every row has a label",
            "add rows whose target is -1, NaN or None, or leave pseudo_labels out",
        )
    frozen = {id(p) for name in plan.freeze for p in _parameters(_part(network, name))}
    if all(id(p) in frozen or not p.requires_grad for p in network.parameters()):
        raise NetworkError("the network has no parameter to train", "freeze fewer of them")
    if plan.head_first and all(id(p) in frozen for dense in dense_modules(network)[-1:] for p in dense.parameters()):
        raise NetworkError("head_first trains the head alone, but it is frozen or not there", "leave head_first at 0")
    try:
        outputs = predict_outputs(network, rows[:2])
        predict_outputs(network, rows[:2] if held_out is None else held_out[0][:2])
    except RuntimeError as error:
        raise DataError(
            f"the network does not take rows of shape {tuple(rows.shape[1:])}"
            f"{'' if held_out is None else f' and validation rows of shape {tuple(held_out[0].shape[1:])}'}: {error}",
            "give rows of the width of its first module; rows of more dimensions need an nn.Flatten first",
        ) from error
    needed = int(codes.max()) + 1
    if outputs.ndim != 2 or outputs.shape[1] < needed:
        raise NetworkError(
            f"the network's output has shape {tuple(outputs.shape[1:])} a row, the labels have {needed} classes",
            f"end the network in a head of {needed} outputs",
        )
    if plan.loss != "cross_entropy":
        weight = next(network.parameters())
        check_ends_in_head(network, rows[:2].to(weight.device, weight.dtype))


def _parameters(part: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    return list(part.parameters()) if isinstance(part, nn.Module) else [part]


def _part(network: nn.Module, name: str) -> nn.Module | nn.Parameter:
    """Return the module or parameter of this name."""
    modules: dict[str, nn.Module] = dict(network.named_modules())
    parameters: dict[str, nn.Parameter] = dict(network.named_parameters())
    if name and name in modules:
        return modules[name]
    if name in parameters:
        return parameters[name]
    near = nearest(name, [*modules, *parameters])
    raise NetworkError(
        f"freeze names {name!r}, which the network doesn't have",
        f"did you mean {near!r}?" if near else f"its parameters are {', '.join(parameters)}",
    )


@contextmanager
def _only_head(network: nn.Module) -> Iterator[None]:
    """Train the last dense module alone inside the block."""
    head = {id(parameter) for parameter in dense_modules(network)[-1].parameters()}
    others = [p for p in network.parameters() if id(p) not in head and p.requires_grad]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
