"""What a model is trained on: all rows, and the labels of some of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..comparison.given import Given, open_given
from ..comparison.rows import ARRAYS, image_shape, preparation_of
from ..data import mnist
from ..data.features import Streamed
from ..data.quantities import load_quantities
from ..data.source import Source, open_source
from ..data.sparse import SparseSource
from ..data.table import TableSource
from ..data.tables import is_table, open_table
from ..data.targets import load_targets
from ..errors import DataError
from ..plan import DataPlan
from ..preparation.preparation import Preparation
from .inputs import Inputs
from .model import Label


@dataclass(frozen=True)
class TrainingRows:
    """Rows, and what is known about them.

    Attributes
    ----------
    name : str
        Of the data, for people.
    source : Source, shape (rows, ...)
        As the network is fed them; sparse rows stay sparse where nothing is done to them.
    targets : Tensor, shape (rows,) or (rows, 1)
        Class of each row, -1 where it has none; of a regression, the quantity, NaN where it has none.
    labelled : Tensor of int64
        Numbers of the rows with a label.
    classes : sequence
        The label of each class; of a regression, none.
    inputs : Inputs
        What rows are like.
    preparation : Preparation or None
        How a table's rows become what the network is fed.
    target : str or None
        Name of the labels.
    pretrain : Source or None
        Other rows to pre-train on, in place of all rows.
    image_shape : tuple of int or None
        (height, width) when each row is a grey image.
    """

    name: str
    source: Source
    targets: Tensor
    labelled: Tensor
    classes: Sequence[Label]
    inputs: Inputs
    preparation: Preparation | None
    target: str | None
    pretrain: Source | None
    image_shape: tuple[int, int] | None

    @property
    def width(self) -> int:
        """Number of elements of a row."""
        return math.prod(self.source.shape[1:])

    def read_labelled(self) -> tuple[Tensor, Tensor]:
        """Return the rows with a label, dense and in memory, and what their labels are."""
        rows = Streamed(self.inputs.open(self.source)).select(self.labelled) if self.source.sparse else None
        rows = rows or Streamed(self.source).select(self.labelled)
        return rows.read(0, len(self.labelled)), self.targets[self.labelled]


def gather_training(plan: DataPlan, quantities: bool = False) -> TrainingRows:
    """Open the rows that a recipe names, and read their labels; its test rows play no part.

    Raises
    ------
    DataError
        When the files cannot be read, no row has a label, or all labels are the same.
    """
    if ARRAYS in (plan.inputs, plan.targets, plan.pretrain_inputs):
        raise DataError(
            "the recipe is of a run whose rows were arrays in Python, which it cannot hold",
            "name files in data.inputs and data.targets",
        )
    several = None if isinstance(plan.inputs, str) else list(plan.inputs)
    name = str(plan.inputs) if several is None else f"{several[0]} and {len(several) - 1} more"
    given = _mnist() if name == "mnist" else open_given(several or plan.inputs, plan.targets)
    asked = {"impute": plan.impute, "encode": plan.encode, "scale": plan.scale, "kinds": plan.kinds}
    preparation = preparation_of(given, None, True, asked)
    others = None if plan.pretrain_inputs is None else opened_rows(plan.pretrain_inputs)
    shape = None if isinstance(given.source, TableSource) else image_shape(given.source.shape[1:])
    if preparation is not None:
        source: Source = preparation.transform(given.source)
        inputs = Inputs(shape=source.shape[1:])
        others = None if others is None else preparation.transform(others)
    else:
        width = (math.prod(given.source.shape[1:]),)
        inputs, source = Inputs.of(given.source, plan.scale, width), given.source
        # other files may hold the same pixels in another type
        others = None if others is None else _fed(others, Inputs.of(others, plan.scale, width))
        source = _fed(source, inputs)
    labels = _labels(given.targets, source.shape[0], quantities)
    return TrainingRows(name, source, *labels, inputs, preparation, given.target or plan.targets, others, shape)


def _mnist() -> Given:
    return open_given(f"{mnist.FILE}::train/data", f"{mnist.FILE}::train/label")


def opened_rows(rows: Any) -> Source:
    """Open a table by its columns' names, anything else as `layerwise.open_source` does."""
    return open_table(rows) if is_table(rows) else open_source(rows)


def _labels(given: Source, rows: int, quantities: bool) -> tuple[Tensor, Tensor, Sequence[Label]]:
    """Return what each row's label is, the numbers of the rows that have one, and the classes."""
    if quantities:
        values, has_label = load_quantities(given, rows)
        labelled = has_label.nonzero().squeeze(1)
        _check_spread(values[labelled], given.name)
        return values, labelled, ()
    codes, known = load_targets(given, rows)
    classes: list[Label] = known.tolist()
    if len(classes) < 2:
        raise DataError(
            f"{given.name} has one class only, {classes[0]!r}", "check which column or data set holds the labels"
        )
    return codes, (codes >= 0).nonzero().squeeze(1), classes


def _fed(source: Source, inputs: Inputs) -> Source:
    """Return rows as a network is fed them in training: sparse ones as they are where nothing is done to them."""
    if isinstance(source, SparseSource) and inputs.divisor is None:
        return source
    return inputs.open(source)


def _check_spread(values: Tensor, name: str) -> None:
    if len(values) < 2 or not bool((values != values[0]).any()):
        raise DataError(f"{name}: all {len(values)} labels are the same number", "give rows with different ones")


def standardised(values: Tensor) -> tuple[Tensor, float, float]:
    """Return quantities with mean 0 and variance 1, and the mean and standard deviation that they had.

    Examples
    --------
    >>> import torch
    >>> standardised(torch.tensor([[1.0], [3.0]]))
    (tensor([[-1.],
            [ 1.]]), 2.0, 1.0)
    """
    mean, spread = float(values.double().mean()), float(values.double().std(correction=0))
    return ((values.double() - mean) / spread).float(), mean, spread
