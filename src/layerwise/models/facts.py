"""What is known about how a model was made: plain data, from which its card is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from ..settings import Table


class StageFacts(Table):
    """How one layer was pre-trained, and what it came to."""

    layer: str
    objective: str
    units: int
    epochs: int
    learning_rate: float
    updates: int
    seconds: float
    loss_name: str
    loss: float
    mean_predictor_loss: float


class FinetuneFacts(Table):
    """How the network was fine-tuned; the settings that were chosen are in `ValidationFacts`."""

    rows: int
    epochs: int
    learning_rate: float
    batch_size: int
    optimizer: str
    updates: int
    seconds: float
    pseudo_labelled: int = 0


class ValidationFacts(Table):
    """The error on labelled rows that were held out, and what was chosen by it.

    Attributes
    ----------
    error : float
        In percent, of the chosen settings; of a quantity, the root of the mean squared error, in its own unit.
    spread : float or None
        Standard deviation of the quantity in the labelled rows.
    rows, folds : int
        Rows that validated, and in how many parts.
    tried : int
        Settings that were compared by it; 1: it chose nothing.
    trained_rows : int
        Rows that each of the validated networks was trained on.
    labels_seen : bool
        Whether pre-training learnt from the labels of the held-out rows too, so that the error is too small.
    """

    error: float
    spread: float | None = None
    rows: int
    folds: int
    tried: int
    trained_rows: int
    labels_seen: bool = False


class Facts(Table):
    """How a model was made, as far as it is known.

    Attributes
    ----------
    name : str or None
        Of the recipe.
    data : str or None
        The rows it was trained on.
    rows, labelled, pretraining_rows : int or None
        Rows, those of them with a label, and the rows that it was pre-trained on.
    label_counts : mapping
        Labelled rows of each class.
    """

    name: str | None = None
    data: str | None = None
    rows: int | None = None
    labelled: int | None = None
    pretraining_rows: int | None = None
    label_counts: Mapping[str, int] = Field(default_factory=dict)
    pretraining: tuple[StageFacts, ...] | None = None
    finetuning: FinetuneFacts | None = None
    validation: ValidationFacts | None = None
    random_state: int | None = None
    environment: Mapping[str, Any] = Field(default_factory=dict)

    def poor(self) -> list[StageFacts]:
        """Return the layers that pre-training left worse than predicting the mean of what they were fed."""
        return [stage for stage in self.pretraining or () if stage.loss >= stage.mean_predictor_loss]
