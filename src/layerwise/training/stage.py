"""One stage of the greedy procedure: train one layer alone, and measure what it learned."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..data.batches import Batches
from ..data.features import bytes_of
from ..data.rowset import RowSet
from ..nn.modes import evaluation
from ..objectives.objective import LayerLearner
from ..objectives.sampled import SampledLearner
from ..plan import TrainingPlan
from .curvature import automatic_rate
from .fallbacks import fallbacks, fit_with_fallbacks
from .loop import Fitted, Surroundings
from .sparse_update import columns_together

if TYPE_CHECKING:

    class TrainedLayer(nn.Module, LayerLearner):
        """A module that keeps a learner's promises; Python's types have no other word for both at once."""


logger = logging.getLogger("layerwise")
WAITED_SHARE, WAITED_SECONDS = 0.2, 1.0  # above both, a stage that waited for its rows says so
JUDGED_ROWS = 10_000  # rows on which a trained layer is measured
BLOCK = 4096


@dataclass(frozen=True)
class Stage:
    """One trained layer.

    Attributes
    ----------
    number : int
        1 for the first.
    layer, objective, loss_name : str
        Name of the module, kind of the objective, and what the loss is of (`LayerLearner.loss_name`).
    units : int
        Width of the code, or channels of a convolution's.
    learning_rate : float
        The initial rate, as given or chosen.
    loss, mean_predictor_loss : float
        Loss on clean rows, and that of predicting the training mean instead; on the validation rows where there are
        some, else on training rows. Per row; of a reconstruction summed over features.
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


def train_stage(
    learner: TrainedLayer,
    given: Sequence[RowSet],
    kind: str,
    rate: float | str,
    plan: TrainingPlan,
    number: int,
    around: Surroundings,
) -> Stage:
    """Train one layer alone and measure it.

    Parameters
    ----------
    learner : nn.Module
        What an objective built around the layer.
    given : (rows,) or (rows, held_out)
        The rows of the stage: the layer's inputs, and classes or the network's own rows where the objective uses them.
    kind : str
        Of the objective, for the record.
    rate : float or "auto"
        The initial learning rate.
    plan, number, around
        The settings, the stage's number from 1, and where it is recorded.
    """
    rows, judged_on = given[0], given[-1]
    fitting = around.fitting(str(number))
    if len(given) > 1:
        fitting = replace(fitting, validate=lambda: {"validation_loss": _average(learner, judged_on)["clean_loss"]})
    batches = Batches(rows.inputs, rows.targets, plan.batch_size, fitting.randomness, rows.raw)
    rates = [float(rate)] if rate != "auto" else _rates(learner, batches, fitting.randomness.seed("curvature"))
    with columns_together(learner.wide if isinstance(learner, SampledLearner) else []):
        fitted, chosen = fit_with_fallbacks(learner, batches, plan, rates, fitting)
    _warn_of_waiting(batches, fitted, fitting.name)
    judged = _average(learner, judged_on, JUDGED_ROWS)
    return Stage(
        number=number,
        layer=learner.layer.name,
        objective=kind,
        loss_name=learner.loss_name,
        units=learner.layer.units,
        learning_rate=chosen,
        loss=judged["clean_loss"],
        mean_predictor_loss=judged["mean_predictor_loss"],
        updates=fitted.updates,
        seconds=fitted.seconds,
        records=fitted.records,
    )


def _rates(learner: nn.Module, batches: Batches, seed: int) -> Sequence[float]:
    generator = torch.Generator(batches.inputs.device).manual_seed(seed)
    return fallbacks(automatic_rate(learner, next(batches.epoch(0)), generator))


def _warn_of_waiting(batches: Batches, fitted: Fitted, name: str) -> None:
    """Say so where reading rows, not arithmetic, decided how long a fit took."""
    share = batches.waited / (batches.waited + fitted.seconds + 1e-9)
    if batches.waited > WAITED_SECONDS and share > WAITED_SHARE:
        logger.warning(
            "%s: %.0f %% of the time was spent on waiting for rows to be read; raise memory_limit above %.1f (GiB) to "
            "keep them in memory, or store them uncompressed on a faster disk",
            name, 100 * share, bytes_of(batches.inputs) / 2**30,
        )  # fmt: skip


def _average(learner: TrainedLayer, rows: RowSet, most: int | None = None) -> dict[str, float]:
    """Return the learner's loss on clean rows and the mean predictor's, block by block."""
    total = {"clean_loss": 0.0, "mean_predictor_loss": 0.0}
    count = 0
    with evaluation(learner):
        for block in rows.blocks(BLOCK, most):
            count += len(block.inputs)
            for name in total:
                total[name] += float(getattr(learner, name)(block)) * len(block.inputs)
    return {name: value / count for name, value in total.items()}
