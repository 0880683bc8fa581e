"""Fine-tuning: supervised training of the whole network, from wherever its weights are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .checks import check_precision, check_pseudo_labels
from .data.batches import Batches
from .data.features import Features
from .data.labelled import Labelled, labelled_rows, split_labelled, unlabelled_rows
from .data.mixed import MixedBatches
from .data.weights import ClassWeight, weighted_mean
from .errors import DataError, NetworkError, PlanError
from .nn.freezing import only_head, parameters_of, part_of
from .nn.modes import evaluation, modes_kept
from .nn.networks import dense_modules
from .objectives.classification import Classifier, check_ends_in_head, cross_entropy
from .objectives.pseudo_labels import PseudoLabelLearner, PseudoLabels
from .objectives.ranking import OutputLoss
from .objectives.regression import Regressor
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
        before), validation_loss (mean cross-entropy), validation_error (percent), learning_rate, seconds. Where the
        loss is "squared", validation_loss is that, and R^2 is in validation_r2.
    classes : list
        The label of each output; empty where the loss is "squared".
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
    classes: Sequence[Any] | None = None,
    sample_weight: Any = None,
    class_weight: ClassWeight | None = None,
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
    """Train a network in place on labelled rows; rows without a label are left out, or given pseudo-labels.

    Parameters
    ----------
    network : nn.Module
        Maps rows to one output (logit) per class, or per quantity.
    inputs : array, tensor, path or Source
        Rows (n, features), as `open_source` takes them.
    targets : array, tensor, path or Source
        One label a row, whole numbers or text; -1, NaN or None is no label. Where the loss is "squared", one or
        several numbers a row, (n,) or (n, outputs); NaN or None is no label, -1 is a number.
    classes : sequence, optional
        The label of each output, sorted, where not every class is among the targets; None: those that are.
    sample_weight : array, shape (n,), optional
        What each row counts in the loss. The weights of the labelled rows are scaled to a mean of 1, so that the
        learning rate means what it does without them.
    class_weight : "balanced", mapping or None
        What the rows of each class count besides: a weight by label, 1 for those not named; "balanced" gives every
        class the same weight in all.
    loss : "cross_entropy", "squared" or RankingLoss
        Of the outputs. "squared" is half the squared error, summed over outputs, for targets that are quantities; give
        them in standard units, or the learning rate has to follow their scale. `RankingLoss` computes the outputs of a
        few sampled labels only, for networks with very many; the network must end in its last ``nn.Linear``.
        Validation looks at all outputs either way.
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
    validation : float, (inputs, targets) or (inputs, targets, sample_weight)
        Held-out labelled rows, or the fraction of the labelled rows to hold out. Their weights, those of their classes
        included, count in the validation too.
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
    labelled, known, held_out, others = _rows(
        network, inputs, targets, plan, classes, sample_weight, class_weight, validation, Randomness(seed)
    )
    device = pick_device(device)
    check_finetuning(network, labelled.rows, labelled.targets, plan, held_out, others)
    folder = None
    if run_dir is not None:
        parts = (*labelled, *(held_out or ()), others)
        folder = RunFolder.open(run_dir, resume, identity_of(plan, seed, *parts), seed)
        folder.write_environment(matmul_route(), processor()[1])
        start_alike(network, folder)
    around = Surroundings("finetune", Randomness(seed), folder, with_printing(callbacks, verbose))
    rows, codes, weights = labelled
    fitted = finetune_network(network, rows, codes, plan, around, device, held_out, others, weights)
    return FinetuneResult(fitted.records, known.tolist(), fitted.updates, fitted.seconds, fitted.best_update)


def _rows(
    network: nn.Module,
    inputs: Any,
    targets: Any,
    plan: FinetunePlan,
    classes: Sequence[Any] | None,
    sample_weight: Any,
    class_weight: ClassWeight | None,
    validation: Any,
    randomness: Randomness,
) -> tuple[Labelled, np.ndarray, Labelled | None, Features | None]:
    """Return the rows to train on, the classes, the rows to validate on and, for pseudo-labels, the unlabelled ones."""
    how: dict[str, Any] = {"quantities": plan.loss == "squared", "class_weight": class_weight}
    named = None if classes is None else np.asarray(classes)
    labelled, known = labelled_rows(inputs, targets, named, sample_weight=sample_weight, **how)
    labelled, held_out = split_labelled(labelled, validation, known, randomness.child("validation"), **how)
    if plan.pseudo_labels is None:
        return labelled, known, held_out, None
    dtype = next((weight.dtype for weight in network.parameters()), torch.float32)
    return labelled, known, held_out, unlabelled_rows(inputs, targets, MEMORY_LIMIT, dtype, known)


def finetune_network(
    network: nn.Module,
    rows: Tensor,
    targets: Tensor,
    plan: FinetunePlan,
    around: Surroundings,
    device: str | torch.device = "auto",
    held_out: tuple[Tensor, Tensor] | Labelled | None = None,
    unlabelled: Features | None = None,
    weights: Tensor | None = None,
) -> Fitted:
    """Fine-tune by a checked plan, on unlabelled rows too for pseudo-labels; `finetune` is the door to it."""
    with modes_kept(network), moved(network, pick_device(device)) as place, exact_float32():
        precision = next(network.parameters()).dtype
        labelled = Labelled(rows, targets, weights).to(place, precision)
        unlabelled = None if unlabelled is None else unlabelled.to(place, precision)
        validate = None
        if held_out is not None:
            validate = validation_of(network, *Labelled(*held_out).to(place, precision))
        for name in plan.freeze:
            part_of(network, name).requires_grad_(False)
        if plan.head_first:
            first = plan.model_copy(update={"epochs": plan.head_first, "early_stopping": None, "pseudo_labels": None})
            fitting = around.fitting("head", validate)
            with only_head(network):
                learner, batches = learning(network, *labelled[:2], first, fitting.randomness, None, labelled.weights)
                fit(learner, batches, first, plan.learning_rate, fitting)
        fitting = around.fitting("", validate)
        learner, batches = learning(network, *labelled[:2], plan, fitting.randomness, unlabelled, labelled.weights)
        return fit(learner, batches, plan, plan.learning_rate, fitting)


def learning(
    network: nn.Module,
    rows: Tensor,
    targets: Tensor,
    plan: FinetunePlan,
    randomness: Randomness,
    unlabelled: Features | None = None,
    weights: Tensor | None = None,
) -> tuple[nn.Module, Batches | MixedBatches]:
    """Return what a plan trains a network as, and the batches that it is trained on."""
    chosen = plan.pseudo_labels
    if chosen is not None:
        assert unlabelled is not None
        mixed = MixedBatches(rows, targets, unlabelled, plan.batch_size, chosen.batch_size, randomness, weights)
        return PseudoLabelLearner(network, chosen), mixed
    learner = Regressor(network) if plan.loss == "squared" else Classifier(network, plan.loss)
    return learner, Batches(rows, targets, plan.batch_size, randomness, weights=weights)


def validation_of(network: nn.Module, rows: Tensor, targets: Tensor, weights: Tensor | None = None) -> Validate:
    """Return what measures a network on held-out rows, each times its weight.

    Of a classifier, whose targets are whole numbers: mean cross-entropy and error in percent. Of a regressor: half the
    squared error, summed over outputs, and R^2, averaged over outputs.

    Examples
    --------
    >>> network = nn.Linear(1, 2, bias=False)
    >>> _ = network.weight.data.copy_(torch.tensor([[0.0], [1.0]]))
    >>> validation_of(network, torch.tensor([[1.0], [-1.0]]), torch.tensor([1, 1]))()["validation_error"]
    50.0
    """

    def validate() -> dict[str, float]:
        outputs = predict_outputs(network, rows)
        if targets.is_floating_point():
            return _squared(outputs, targets, weights)
        loss = float(cross_entropy(outputs, targets, weights))
        wrong = float(weighted_mean((outputs.argmax(1) != targets).double(), weights))
        return {"validation_loss": loss, "validation_error": 100.0 * wrong}

    return validate


def _squared(outputs: Tensor, targets: Tensor, weights: Tensor | None) -> dict[str, float]:
    from sklearn.metrics import r2_score  # only regressors wait for it

    loss = 0.5 * float(weighted_mean((outputs - targets).square().sum(1), weights))
    if len(targets) < 2:
        return {"validation_loss": loss}  # R^2 of one row is not defined
    by_row = None if weights is None else weights.double().cpu().numpy()
    r2 = r2_score(targets.double().cpu().numpy(), outputs.double().cpu().numpy(), sample_weight=by_row)
    return {"validation_loss": loss, "validation_r2": float(r2)}


def predict_outputs(network: nn.Module, rows: Tensor) -> Tensor:
    """Return a network's outputs for rows in evaluation mode, block by block, in the rows' order."""
    weight = next(network.parameters())
    with evaluation(network):
        blocks = [network(block.to(weight.device, weight.dtype)) for block in rows.split(BLOCK)]
    return torch.cat(blocks)


def check_finetuning(
    network: nn.Module,
    rows: Tensor,
    targets: Tensor,
    plan: FinetunePlan,
    held_out: tuple[Tensor, Tensor] | Labelled | None,
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
    if plan.loss == "squared" and not targets.is_floating_point():
        raise PlanError("the loss is 'squared', but the targets are classes", 'leave loss at "cross_entropy"')
    check_pseudo_labels(plan, 0 if unlabelled is None else unlabelled.shape[0])
    frozen = {id(p) for name in plan.freeze for p in parameters_of(part_of(network, name))}
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
    _check_outputs(network, rows, outputs, targets, plan)


def _check_outputs(network: nn.Module, rows: Tensor, outputs: Tensor, targets: Tensor, plan: FinetunePlan) -> None:
    found = f"the network's output has shape {tuple(outputs.shape[1:])} a row"
    if plan.loss == "squared":
        if outputs.shape[1:] != targets.shape[1:]:
            needed = targets.shape[1]
            raise NetworkError(f"{found}, the targets have {needed} a row", f"end the network in {needed} outputs")
        return
    needed = int(targets.max()) + 1
    if outputs.ndim != 2 or outputs.shape[1] < needed:
        raise NetworkError(
            f"{found}, the labels have {needed} classes", f"end the network in a head of {needed} outputs"
        )
    if plan.loss != "cross_entropy":
        weight = next(network.parameters())
        check_ends_in_head(network, rows[:2].to(weight.device, weight.dtype))
