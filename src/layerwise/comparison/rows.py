"""The rows of a comparison: training rows, some of them labelled, and test rows that choose nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..data import mnist
from ..data.hdf5 import split_path
from ..data.source import Source, load_rows, open_source
from ..data.targets import load_targets
from ..errors import DataError
from ..plan import DataPlan
from ..randomness import Randomness
from ..runs.folder import identity_of
from ..settings import Table
from .budgets import split_test

ARRAYS = "arrays"  # what a recipe says of rows that were handed over in Python


@dataclass(frozen=True)
class Rows:
    """What a comparison learns from and is measured on.

    Attributes
    ----------
    name : str
        Of the data, for people.
    inputs, test_inputs : Tensor, shape (rows, ...)
        All training rows; the test rows.
    codes, test_codes : Tensor of int64, shape (rows,)
        Class of each row, -1 where a training row has no label.
    classes : sequence of str
        The classes' names, by code.
    image_shape : tuple of int or None
        (height, width) when each row is a grey image.
    pretrain_inputs : Tensor or None, shape (rows, ...)
        Other rows to pre-train on, in place of the training rows.
    """

    name: str
    inputs: Tensor
    codes: Tensor
    test_inputs: Tensor
    test_codes: Tensor
    classes: tuple[str, ...]
    image_shape: tuple[int, int] | None = None
    pretrain_inputs: Tensor | None = None

    @property
    def width(self) -> int:
        """Number of elements of a row."""
        return math.prod(self.inputs.shape[1:])

    @property
    def fingerprint(self) -> str:
        """What training rows with their labels are told from others by."""
        return identity_of(Table(), 0, self.inputs, self.codes)[:16]


def gather_files(plan: DataPlan, random_state: int) -> Rows:
    """Read the rows that a recipe names.

    Raises
    ------
    DataError
        When the files cannot be read, or the recipe is of a run whose rows were not files.
    """
    if ARRAYS in (plan.inputs, plan.targets, plan.test, plan.test_targets, plan.pretrain_inputs):
        raise DataError(
            "the recipe is of a run whose rows were arrays in Python, which it cannot hold",
            "call layerwise.compare with them again, or name files in data.inputs and data.test",
        )
    if plan.inputs == "mnist":
        return _mnist(plan, random_state)
    targets = targets_of(plan.inputs, plan.targets)
    test: Any = plan.test
    if isinstance(test, str):
        own = plan.test_targets or (None if is_file(plan.targets) else plan.targets)
        test = (test, targets_of(test, own))
    return gather(
        plan.inputs, targets, name=plan.inputs, scale=plan.scale, test=test, random_state=random_state,
        pretrain_inputs=plan.pretrain_inputs,
    )  # fmt: skip


def _mnist(plan: DataPlan, random_state: int) -> Rows:
    if plan.targets or plan.test_targets or plan.test != DataPlan().test:
        raise DataError(
            "data.inputs is mnist, which has its own labels and test rows",
            "leave targets and test out, or name a file as data.inputs",
        )
    train, test = f"{mnist.FILE}::train", f"{mnist.FILE}::test"
    return gather(
        f"{train}/data", f"{train}/label", name="mnist", scale=plan.scale,
        test=(f"{test}/data", f"{test}/label"), random_state=random_state, pretrain_inputs=plan.pretrain_inputs,
    )  # fmt: skip


def gather(
    inputs: Any,
    targets: Any,
    *,
    name: str,
    scale: float | str,
    test: Any,
    random_state: int,
    pretrain_inputs: Any = None,
    flat: bool = True,
) -> Rows:
    """Read training and test rows from whatever `open_source` takes.

    Parameters
    ----------
    inputs, targets
        The rows and their labels.
    name : str
        For people.
    scale : float or "auto"
        Divides every input; "auto" divides by 255 when the training rows are 8-bit pixels, and ``pretrain_inputs``
        when those are.
    test : float or (inputs, targets)
        Fraction of the labelled rows to test on, or the test rows.
    random_state : int
        Draws the test rows; all seeds share them.
    pretrain_inputs
        Other rows to pre-train on.
    flat : bool
        Whether rows are flattened, as the networks of a plan take them.
    """
    source = open_source(inputs)
    divisor = _divisor(scale, source)

    def read(rows: Source, divisor: float | None = divisor) -> Tensor:
        found = load_rows(rows, scale=divisor)
        return found.flatten(1) if flat else found

    rows = read(source)
    codes, classes = load_targets(open_source(targets, kind="targets"), len(rows))
    if isinstance(test, (tuple, list)):
        test_rows = read(open_source(test[0]))
        test_codes, _ = load_targets(open_source(test[1], kind="targets"), len(test_rows), classes=classes)
        test_rows, test_codes = test_rows[test_codes >= 0], test_codes[test_codes >= 0]
        _same_shape("test rows", test_rows, rows)
    else:
        kept, held = split_test(codes, test, Randomness(random_state))
        test_rows, test_codes, rows, codes = rows[held], codes[held], rows[kept], codes[kept]
    if len(test_rows) == 0:
        raise DataError("no test row has a label", "give labelled test rows, or a fraction such as 0.2")
    shape = image_shape(source.shape[1:])
    others = None
    if pretrain_inputs is not None:
        other = open_source(pretrain_inputs)
        others = read(other, _divisor(scale, other))  # other files may hold the same pixels in another type
        _same_shape("pretrain_inputs", others, rows)
    return Rows(name, rows, codes, test_rows, test_codes, tuple(map(str, classes)), shape, others)


def _divisor(scale: float | str, source: Source) -> float | None:
    if scale == "auto":
        return 255.0 if source.dtype == np.uint8 else None
    return float(scale)


def _same_shape(what: str, found: Tensor, rows: Tensor) -> None:
    if found.shape[1:] != rows.shape[1:]:
        width, expected = (" x ".join(map(str, part.shape[1:])) for part in (found, rows))
        raise DataError(
            f"{what} have {width} features, training rows have {expected}", f"give {what} with the same columns"
        )


def image_shape(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return (height, width) when a row of this shape is a grey image.

    A flat row counts as one when its length is the square of at least 8, as MNIST's 784 is.

    Examples
    --------
    >>> image_shape((1, 28, 28)), image_shape((784,)), image_shape((10,))
    ((28, 28), (28, 28), None)
    """
    sizes = [size for size in shape if size != 1]
    if len(sizes) == 2:
        return sizes[0], sizes[1]
    side = round(float(np.sqrt(np.prod(shape))))
    return (side, side) if len(sizes) == 1 and side >= 8 and side * side == sizes[0] else None


def targets_of(inputs: str, targets: str | None) -> str:
    """Return where the labels of a file of inputs are: in a file of their own, or a data set of the same file."""
    path, dataset = split_path(inputs)
    if targets is None:
        group = dataset.rpartition("/")[0] if dataset else ""
        return f"{path}::{group}" if group else path
    return targets if is_file(targets) else f"{path}::{targets}"


def is_file(targets: str | None) -> bool:
    """Say whether labels are named as a file, and not as a data set of the inputs' file."""
    if targets is None:
        return False
    return "::" in targets or Path(targets).exists() or Path(targets).suffix in (".h5", ".hdf5", ".txt")
