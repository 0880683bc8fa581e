"""A trained model as one value: what it predicts, and what rows look like in the codes of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.features import Features, Streamed, blocks
from ..data.source import Source
from ..errors import DataError, NetworkError, PlanError
from ..finetuning import predict_outputs
from ..preparation.preparation import Preparation
from ..settings import Positive, Table
from ..stack import Stack
from .facts import Facts
from .inputs import Inputs

ROWS = 4096  # taken through the network at once
Label = bool | int | str


class Quantity(Table):
    """What a regression predicts: ``mean + spread * output``."""

    mean: float
    spread: Positive


@dataclass(frozen=True)
class Model:
    """A trained network with all that is needed to use it on new rows.

    Parameters
    ----------
    network : nn.Sequential
        Maps rows to one output per class.
    classes : sequence of bool, int or str
        The label of each output; empty where it is a quantity.
    stack : Stack or None
        The pre-trained layers with their decoders, as they were before fine-tuning; None where nothing was pre-trained.
    inputs : Inputs
        What rows it takes.
    preparation : Preparation or None
        How rows of a table become what it takes.
    target : str or None
        Name of the column of the labels.
    probabilities : bool
        Whether the softmax of the outputs is a distribution: not after training with a `RankingLoss`.
    quantity : Quantity or None
        Of a regression: mean and spread of the quantity whose standardised value is the network's one output.
    facts : Facts
        How it was made, for the model card.

    Examples
    --------
    >>> import layerwise as lw, tempfile
    >>> network = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))
    >>> model = Model(network, classes=["no", "yes"])
    >>> rows = np.random.default_rng(0).random((5, 3))
    >>> model.predict(rows).shape, model.predict_proba(rows).shape
    ((5,), (5, 2))
    >>> folder = Path(tempfile.mkdtemp()) / "model"
    >>> model.save(folder)
    >>> bool((Model.load(folder).predict(rows) == model.predict(rows)).all())
    True
    """

    network: nn.Sequential
    classes: Sequence[Label]
    stack: Stack | None = None
    inputs: Inputs = field(default_factory=Inputs)
    preparation: Preparation | None = None
    target: str | None = None
    probabilities: bool = True
    quantity: Quantity | None = None
    facts: Facts = field(default_factory=Facts)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if bool(self.classes) is (self.quantity is not None):
            raise PlanError(
                f"a model has the label of each output, or a quantity; found {len(self.classes)} labels and "
                f"{'a' if self.quantity else 'no'} quantity",
                "give classes=[...] or quantity=Quantity(mean=0.0, spread=1.0)",
            )

    @property
    def width(self) -> int:
        """Number of outputs."""
        return len(self.classes) or 1

    def open(self, rows: Any) -> Source:
        """Open rows, whatever holds them, as the network is fed them.

        Raises
        ------
        DataError
            When they are not like those that it was trained on.
        """
        return self.inputs.open(rows if self.preparation is None else self.preparation.transform(rows))

    def outputs(self, opened: Source) -> Iterator[Tensor]:
        """Yield the network's outputs for blocks of rows that `open` returned, in their order.

        What is in memory does not grow with the rows.
        """
        features = Streamed(opened)
        self._check(features)
        for block in blocks(features, ROWS):
            yield predict_outputs(self.network, block).float().cpu()

    def predict(self, rows: Any) -> np.ndarray:
        """Return the predicted label, or quantity (float32), of each row, shape (n,).

        Raises
        ------
        DataError
            When the rows are not like those that it was trained on.
        """
        return np.concatenate([self.labels(outputs) for outputs in self.outputs(self.open(rows))])

    def predict_proba(self, rows: Any) -> np.ndarray:
        """Return the probability of each class, shape (n, classes), float32, in the order of ``classes``.

        Raises
        ------
        DataError
            When the rows are not like those that it was trained on.
        PlanError
            When the outputs are no probabilities.
        """
        if self.quantity is not None or not self.probabilities:
            how = "for a quantity" if self.quantity else "by ranking"
            raise PlanError(
                f"the network was fine-tuned {how}, so that its outputs are no probabilities",
                "use predict, or fine-tune with the loss cross_entropy",
            )
        return np.concatenate([_softmax(outputs) for outputs in self.outputs(self.open(rows))])

    def labels(self, outputs: Tensor) -> np.ndarray:
        """Return the label of the largest output of each row; of a regression, the quantity."""
        if self.quantity is not None:
            values: np.ndarray = outputs[:, 0].numpy() * np.float32(self.quantity.spread)
            return values + np.float32(self.quantity.mean)
        found: np.ndarray = np.array(self.classes)[outputs.argmax(1).numpy()]
        return found

    def predictions(self, opened: Source) -> Iterator[dict[str, np.ndarray]]:
        """Yield ``prediction`` and, where the outputs are a distribution, ``probability`` of blocks of opened rows."""
        for outputs in self.outputs(opened):
            found = {"prediction": self.labels(outputs)}
            yield {**found, "probability": _softmax(outputs)} if self.columns() else found

    def columns(self) -> list[str]:
        """Return the names of the columns of probabilities, none where there are none."""
        wanted = self.quantity is None and self.probabilities
        return [f"probability_{label}" for label in self.classes] if wanted else []

    def encode(self, rows: Any, depth: int | None = None) -> np.ndarray:
        """Return the codes of rows after ``depth`` pre-trained layers, None for all; depth 0 is the network's input.

        Raises
        ------
        PlanError
            When nothing was pre-trained, or there are fewer layers.
        DataError
            When the rows are not like those that the model was trained on.
        """
        return np.concatenate(list(encoded(self.layers(), self.open(rows), depth)))

    def layers(self) -> Stack:
        """Return the pre-trained layers, or refuse where there are none."""
        if self.stack is None:
            raise PlanError(
                "the model was not pre-trained, so that there are no layers to encode with",
                "train it with an objective in the table [pretrain]",
            )
        return self.stack

    def save(self, folder: str | Path) -> None:
        """Write the model to a new or empty folder; `load` and the command read it.

        Raises
        ------
        NetworkError
            When a module cannot be described as data, so that loading it would have to run code.
        RunError
            When the folder is not empty, or cannot be written.
        """
        from .folder import save_model

        save_model(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Model:
        """Read a folder of `save` or of ``layerwise train``; no code is run.

        Raises
        ------
        RunError
            When it holds no model, a damaged one, or one of a newer format.
        """
        from .folder import load_model

        return load_model(folder)

    def _check(self, features: Features) -> None:
        """Refuse rows that the network does not take, and a network whose outputs are not the classes."""
        try:
            outputs = predict_outputs(self.network, features.read(0, min(2, features.shape[0])))
        except RuntimeError as error:
            raise DataError(
                f"the network does not take rows of shape {tuple(features.shape[1:])}: {error}",
                "give rows of the width of its first module; rows of more dimensions need an nn.Flatten first",
            ) from error
        if outputs.ndim != 2 or outputs.shape[1] != self.width:
            raise NetworkError(
                f"the network's output has shape {tuple(outputs.shape[1:])} a row, the model has {self.width} outputs",
                "end the network in a head with one output per class",
            )


def encoded(stack: Stack, rows: Source, depth: int | None = None) -> Iterator[np.ndarray]:
    """Yield blocks of the codes of rows, in their order; what is in memory does not grow with them."""
    for block in blocks(Streamed(rows), ROWS):
        yield stack.encode(block, depth).float().cpu().numpy()


def _softmax(outputs: Tensor) -> np.ndarray:
    found: np.ndarray = torch.softmax(outputs, 1).numpy()
    return found
