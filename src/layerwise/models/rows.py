"""What a model is trained on: all rows, and the labels of some of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..comparison.rows import ARRAYS, image_shape, is_file, targets_of
from ..data import mnist
from ..data.features import Streamed
from ..data.hdf5 import CONVENTIONAL
from ..data.quantities import load_quantities
from ..data.source import Source, open_source
from ..data.sparse import SparseSource
from ..data.table import TableSource, listing
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
    if is_table(plan.inputs):
        return _of_table(plan, quantities)
    whole = plan.inputs == "mnist"
    found = open_source(f"{mnist.FILE}::train/data" if whole else plan.inputs)
    inputs = Inputs.of(found, plan.scale, (math.prod(found.shape[1:]),))
    path = f"{mnist.FILE}::train/label" if whole else targets_of(plan.inputs, plan.targets)
    labels = _labels(open_source(path, kind="targets"), found.shape[0], quantities)
    others = None
    if plan.pretrain_inputs is not None:
        other = open_source(plan.pretrain_inputs)
        others = _fed(other, Inputs.of(other, plan.scale, inputs.shape or ()))
    name = "mnist" if whole else plan.inputs
    shape = image_shape(found.shape[1:])
    return TrainingRows(name, _fed(found, inputs), *labels, inputs, None, plan.targets, others, shape)


def _of_table(plan: DataPlan, quantities: bool) -> TrainingRows:
    table = open_table(plan.inputs)
    given, target = _column(table, plan.targets)
    preparation = Preparation.fit(table, target=target)
    source = preparation.transform(table)
    labels = _labels(given, source.shape[0], quantities)
    others = None if plan.pretrain_inputs is None else preparation.transform(plan.pretrain_inputs)
    inputs = Inputs(shape=source.shape[1:])
    return TrainingRows(plan.inputs, source, *labels, inputs, preparation, plan.targets, others, None)


def _column(table: TableSource, name: str | None) -> tuple[Source, str | None]:
    """Return a table's labels, and the name of their column where they are in the same file."""
    if name is not None and name not in table.columns and is_file(name):
        return open_source(name, kind="targets"), None
    usual = [column for column in CONVENTIONAL["targets"] if column in table.columns]
    if name is None and not usual:
        raise DataError(
            f"{table.name} does not say which column holds the labels; it holds {listing(table.columns)}",
            f"name it: --target {table.columns[-1]}",
        )
    column = usual[0] if name is None else name
    return table.labels(column), column


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
    >>> standardised(torch.tensor([[1.0], [3.0]]))
    (tensor([[-1.],
            [ 1.]]), 2.0, 1.0)
    """
    mean, spread = float(values.double().mean()), float(values.double().std(correction=0))
    return ((values.double() - mean) / spread).float(), mean, spread
