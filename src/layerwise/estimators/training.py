"""What the estimators do: build the network, pre-train it on all rows, fine-tune it on the labelled ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.batches import updates_per_epoch
from ..errors import PlanError
from ..finetuning import finetune
from ..nn.networks import build_network
from ..pretraining import pretrain
from ..randomness import Randomness, as_seed
from ..stack import Stack
from ..training.stage import Stage
from .settings import Settings

Begin = Callable[[nn.Linear, np.ndarray], None]
Units = Callable[[nn.Linear], AbstractContextManager[object]]


@dataclass(frozen=True)
class Started:
    """A network with its head, as it is before fine-tuning; the stack shares its modules (None: the random arm)."""

    network: nn.Sequential
    stack: Stack | None
    stages: list[Stage]


def train(
    estimator: Any,
    settings: Settings,
    rows: Any,
    targets: np.ndarray,
    weights: np.ndarray | None,
    first: bool,
    outputs: int,
    *,
    begin: Begin,
    units: Units = nullcontext,
    **more: Any,
) -> None:
    """Fit an estimator: start its network, or go on from the one that it has, and set its attributes in the end.

    Parameters
    ----------
    estimator, settings
        Whose network it is.
    rows : array or CSR matrix, shape (n, features)
        All rows.
    targets : ndarray, shape (n,) or (n, outputs)
        Codes of classes, or quantities; -1 or NaN where there is none.
    weights : ndarray, shape (n,), or None
        What each row counts.
    first : bool
        Whether the network is drawn and pre-trained.
    outputs : int
        Of the head.
    begin : callable
        Is handed a new head and the targets to learn from.
    units : callable
        Gives the context in which the head is fine-tuned.
    **more
        Further arguments of `layerwise.finetune`; with ``epochs``, no row is held out.
    """
    calls = 0 if first else estimator._calls
    randomness = Randomness(as_seed(estimator.random_state), "estimator", calls)
    labelled = int(has_target(targets).sum())
    held = np.empty(0, dtype=np.int64)
    if "epochs" not in more and settings.holds_out(labelled):
        held = hold_out(targets, settings.validation_fraction, randomness)
    training = without(targets, held)
    if first:
        classes = training if targets.dtype.kind == "i" else None
        started = start(estimator, settings, rows, classes, outputs, randomness)
        records, epochs = [], 0
        begin(started.network[-1], training)  # type: ignore[arg-type]
    else:
        history = estimator.history_
        started = Started(*copied(estimator.module_, estimator.stack_), history["pretrain"])
        records, epochs = history["finetune"], estimator.n_iter_
    validation = None
    if len(held):
        validation = (rows[held], targets[held], None if weights is None else weights[held])
    arguments = {**settings.finetuning(labelled - len(held), validation is not None), **more}
    with units(started.network[-1]):  # type: ignore[arg-type]
        result = finetune(
            started.network, rows, training, sample_weight=weights, validation=validation,
            random_state=randomness.seed("finetune"), **arguments, **_place(estimator),
        )  # fmt: skip
    estimator.module_, estimator.stack_ = started.network.eval(), started.stack
    estimator.history_ = {"pretrain": started.stages, "finetune": [*records, *result.history]}
    estimator.loss_curve_ = [one["training_loss"] for one in estimator.history_["finetune"] if one["update"]]
    per_epoch = updates_per_epoch(labelled - len(held), arguments["batch_size"])
    estimator.n_iter_ = epochs + -(-result.updates // per_epoch)
    estimator._calls = calls + 1


def start(
    estimator: Any,
    settings: Settings,
    rows: Any,
    targets: np.ndarray | None,
    outputs: int,
    randomness: Randomness,
    network: nn.Sequential | None = None,
) -> Started:
    """Draw a network, or take one that is there, and pre-train it on all rows.

    ``targets`` are codes of classes, for objectives that learn from them; None where there are none.
    """
    if network is None:
        network = build_network(
            rows.shape[1], settings.hidden_layer_sizes, outputs, activation=settings.activation,
            dropout=settings.dropout, batch_norm=settings.batch_norm, randomness=randomness.child("network"),
        )  # fmt: skip
    if settings.objective is None:
        return Started(network, None, [])
    needing = [objective.kind for objective in settings.objectives if objective.needs_targets]
    if needing and targets is None:
        raise PlanError(
            f"the objective {needing[0]!r} learns from classes, and {type(estimator).__name__} has none",
            "use LayerwiseClassifier, or an objective that learns from the rows alone",
        )
    result = pretrain(
        network, rows, targets if needing else None, **settings.pretraining(rows.shape[0]), **_place(estimator),
        random_state=randomness.seed("pretrain"),
    )  # fmt: skip
    return Started(network, result.stack, result.history)


def has_target(targets: np.ndarray) -> np.ndarray:
    """Say which rows have a code of a class, or a quantity.

    Examples
    --------
    >>> has_target(np.array([3, -1])).tolist(), has_target(np.array([[-1.0], [np.nan]])).tolist()
    ([True, False], [True, False])
    """
    found: np.ndarray = targets >= 0 if targets.dtype.kind == "i" else ~np.isnan(targets).any(1)
    return found


def without(targets: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return targets in which the held-out rows have none: nothing may learn from them, pre-training neither."""
    kept = targets.copy()
    kept[held] = -1 if targets.dtype.kind == "i" else np.nan
    return kept


def hold_out(targets: np.ndarray, fraction: float, randomness: Randomness) -> np.ndarray:
    """Choose rows to validate on: this fraction of the labelled rows, of each class where there are classes.

    Examples
    --------
    >>> codes = np.array([0] * 10 + [1] * 20 + [-1] * 5)
    >>> codes[hold_out(codes, 0.1, Randomness(0))].tolist()
    [0, 1, 1]
    """
    random = randomness.numpy("held out")
    labelled = np.flatnonzero(has_target(targets))
    groups = [labelled]
    if targets.dtype.kind == "i":
        groups = [labelled[targets[labelled] == code] for code in np.unique(targets[labelled])]
    held = [random.permutation(group)[: round(fraction * len(group))] for group in groups]
    chosen: np.ndarray = np.sort(np.concatenate(held))
    if not 0 < len(chosen) < len(labelled):
        raise PlanError(
            f"validation_fraction={fraction:g} holds out {len(chosen)} of {len(labelled)} labelled rows",
            "set early_stopping=False, or give a fraction that leaves rows on both sides",
        )
    return chosen


def copied(network: nn.Sequential, stack: Stack | None) -> tuple[nn.Sequential, Stack | None]:
    """Return copies that share their modules as the two given do: a fit that fails leaves the estimator as it was."""
    found: tuple[nn.Sequential, Stack | None] = copy.deepcopy((network, stack))
    return found


def _place(estimator: Any) -> dict[str, Any]:
    device: str | torch.device = estimator.device
    return {"device": device, "verbose": int(estimator.verbose)}
