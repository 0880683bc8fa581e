"""The estimators' parameters: their defaults, their bounds, and what "auto" means."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from ..data.batches import updates_per_epoch
from ..nn.networks import ActivationName
from ..plan import FinetunePlan, NetworkPlan, ObjectiveSetting, PretrainPlan
from ..recipe import check
from ..settings import Count, EarlyStopping, NotNegative, Positive, Precision, Rate, Table
from ..training.device import pick_device

PRETRAIN, FINETUNE, NETWORK = PretrainPlan(), FinetunePlan(), NetworkPlan()
OBJECTIVE = "denoising"  # the plan's, by the name that a grid search shows
# "auto": few rows are dealt in smaller batches, so that an epoch has about this many updates ...
UPDATES_PER_EPOCH = 20
SMALLEST_BATCH = 10  # ... in batches of this many rows or more
LEAST_VALIDATED = 100  # "auto" stops early where it can hold out this many rows or more


class Settings(Table):
    """What an estimator is given, checked as a whole; those that it lacks stay at their defaults."""

    hidden_layer_sizes: Annotated[tuple[Count, ...], Field(min_length=1)] = (256, 256)
    objective: ObjectiveSetting = Field(OBJECTIVE, validate_default=True)
    activation: ActivationName = NETWORK.activation
    batch_norm: bool = NETWORK.batch_norm
    dropout: Rate = NETWORK.dropout
    pretrain_epochs: Count = PRETRAIN.epochs
    epochs: Count = FINETUNE.epochs
    pretrain_learning_rate: Literal["auto"] | Positive | tuple[Positive, ...] = PRETRAIN.learning_rate
    learning_rate: Positive = FINETUNE.learning_rate
    l2: NotNegative = FINETUNE.l2
    batch_size: Literal["auto"] | Count = "auto"
    early_stopping: Literal["auto"] | bool = "auto"
    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    n_iter_no_change: Count = 10
    precision: Precision | None = FINETUNE.precision

    @field_validator("hidden_layer_sizes", mode="before")
    @classmethod
    def _one_layer(cls, sizes: Any) -> Any:
        return (sizes,) if isinstance(sizes, int) else sizes

    @property
    def objectives(self) -> tuple[Any, ...]:
        """The objectives in use: none in the random arm."""
        if self.objective is None:
            return ()
        return self.objective if isinstance(self.objective, tuple) else (self.objective,)

    def batch(self, rows: int, most: int) -> int:
        """Return the rows of an update where there are so many rows in all."""
        if self.batch_size != "auto":
            return self.batch_size
        return min(most, max(SMALLEST_BATCH, rows // UPDATES_PER_EPOCH))

    def holds_out(self, labelled: int) -> bool:
        """Say whether labelled rows are held out to stop early by."""
        if self.early_stopping == "auto":
            return labelled * self.validation_fraction >= LEAST_VALIDATED
        return self.early_stopping

    def pretraining(self, rows: int) -> dict[str, Any]:
        """Return the arguments of `layerwise.pretrain`."""
        return {
            "objective": self.objective,
            "epochs": self.pretrain_epochs,
            "batch_size": self.batch(rows, PRETRAIN.batch_size),
            "learning_rate": self.pretrain_learning_rate,
            "precision": self.precision,
        }

    def finetuning(self, labelled: int, validated: bool) -> dict[str, Any]:
        """Return the arguments of `layerwise.finetune`."""
        batch_size = self.batch(labelled, FINETUNE.batch_size)
        wait = self.n_iter_no_change * updates_per_epoch(labelled, batch_size)
        rule = EarlyStopping(patience=wait, improvement=1.0, growth=1.0, wait=wait)
        return {
            "epochs": self.epochs,
            "batch_size": batch_size,
            "learning_rate": self.learning_rate,
            "l2": self.l2,
            "early_stopping": rule if validated else None,
            "precision": self.precision,
        }


DEFAULTS = Settings()


def settings_of(estimator: Any) -> Settings:
    """Check an estimator's parameters, all at once, and whether its device is there.

    Raises
    ------
    PlanError
        Naming every fault.

    Examples
    --------
    >>> from layerwise import LayerwiseClassifier
    >>> settings_of(LayerwiseClassifier(hidden_layer_sizes=[np.int64(30)])).hidden_layer_sizes
    (30,)
    """
    given = {name: value for name, value in vars(estimator).items() if name in Settings.model_fields}
    found = check(Settings, {name: _plain(value) for name, value in given.items()}, type(estimator).__name__)
    pick_device(estimator.device)
    return found


def _plain(value: Any) -> Any:
    """Return NumPy's numbers and arrays, as searches draw them, as Python's."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
