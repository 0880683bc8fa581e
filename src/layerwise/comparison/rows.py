"""The rows of a comparison: training rows, some of them labelled, and test rows that choose nothing."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ..data import mnist
from ..data.source import Source, load_rows, open_source
from ..data.table import TableSource
from ..data.tables import is_table, open_table
from ..data.targets import load_targets
from ..errors import DataError
from ..plan import DataPlan
from ..preparation.choices import EncodeName, ImputeName, ScaleName
from ..preparation.columns import KindName
from ..preparation.preparation import Preparation
from ..randomness import Randomness
from ..runs.folder import identity_of
from ..settings import Table
from .budgets import split_test
from .given import Given, is_file, open_given

logger = logging.getLogger("layerwise")
DATA = DataPlan()
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
    preparation : Preparation or None
        What all rows were prepared by, fitted to the training rows; None where they are as they came, or divided.
    repeated : int
        Test rows that are among the training rows too.
    """

    name: str
    inputs: Tensor
    codes: Tensor
    test_inputs: Tensor
    test_codes: Tensor
    classes: tuple[str, ...]
    image_shape: tuple[int, int] | None = None
    pretrain_inputs: Tensor | None = None
    preparation: Preparation | None = None
    repeated: int = 0

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
    test: Any = plan.test
    if isinstance(test, str):
        own = plan.test_targets or (plan.targets if not is_file(plan.targets) else None)
        test = (test, own)
    inputs: Any = plan.inputs if isinstance(plan.inputs, str) else list(plan.inputs)
    name = plan.inputs if isinstance(plan.inputs, str) else f"{plan.inputs[0]} and {len(plan.inputs) - 1} more"
    return gather(
        inputs, plan.targets, name=name, scale=plan.scale, test=test, random_state=random_state,
        pretrain_inputs=plan.pretrain_inputs, impute=plan.impute, encode=plan.encode, kinds=plan.kinds,
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
    scale: ScaleName | float,
    test: Any,
    random_state: int,
    pretrain_inputs: Any = None,
    flat: bool = True,
    impute: ImputeName = DATA.impute,
    encode: EncodeName = DATA.encode,
    kinds: Mapping[str, KindName] = DATA.kinds,
) -> Rows:
    """Read training and test rows: split first, prepared by what the training rows alone say.

    Parameters
    ----------
    inputs, targets
        The rows and their labels, as `layerwise.comparison.given.open_given` takes them.
    name : str
        For people.
    test : float, (inputs, targets), path or table
        Fraction of the labelled rows to test on, or the test rows; of a table, the labels' column is that of the
        training rows.
    random_state : int
        Draws the test rows; all seeds share them.
    pretrain_inputs
        Other rows to pre-train on.
    flat : bool
        Whether rows are flattened, as the networks of a plan take them.
    scale, impute, encode, kinds
        As of `layerwise.Preparation.fit`. Tables are always prepared; of arrays, without more than a `scale` that
        divides, ``pretrain_inputs`` are divided by 255 under "auto" where they are 8-bit pixels themselves.

    Raises
    ------
    DataError
        When rows or labels cannot be read, do not fit each other, or no test row has a label.
    """
    given = open_given(inputs, targets)
    codes, classes = load_targets(given.targets, given.source.shape[0])
    fraction = isinstance(test, (int, float))
    kept = held = None
    if fraction:
        kept, held = split_test(codes, test, Randomness(random_state))
    asked = {"impute": impute, "encode": encode, "scale": scale, "kinds": kinds}
    preparation = preparation_of(given, kept, flat, asked)
    rows = _read(given.source, preparation, scale, flat)
    if kept is not None and held is not None:
        test_rows, test_codes, rows, codes = rows[held], codes[held], rows[kept], codes[kept]
    else:
        pair = test if isinstance(test, (tuple, list)) and len(test) == 2 else (test, None)
        own = open_given(pair[0], pair[1], given.target)
        test_codes, _ = load_targets(own.targets, own.source.shape[0], classes=classes)
        test_rows = _read(own.source, preparation, scale, flat)[test_codes >= 0]
        test_codes = test_codes[test_codes >= 0]
        _same_shape("test rows", test_rows, rows)
    if len(test_rows) == 0:
        raise DataError("no test row has a label", "give labelled test rows, or a fraction such as 0.2")
    repeated = _warn_of_repeated(rows, test_rows)
    others = None
    if pretrain_inputs is not None:
        more = open_table(pretrain_inputs) if is_table(pretrain_inputs) else open_source(pretrain_inputs)
        others = _read(more, preparation, scale, flat)  # other files may hold the same pixels in another type
        _same_shape("pretrain_inputs", others, rows)
    shape = None if isinstance(given.source, TableSource) else image_shape(given.source.shape[1:])
    names = tuple(map(str, classes))
    return Rows(name, rows, codes, test_rows, test_codes, names, shape, others, preparation, repeated)


def preparation_of(given: Given, kept: Tensor | None, flat: bool, asked: dict[str, Any]) -> Preparation | None:
    """Fit to the training rows what prepares all; None where rows are numbers and are only divided, if at all."""
    source, divided = given.source, asked["scale"] in ("auto", "none") or not isinstance(asked["scale"], str)
    if not isinstance(source, TableSource):
        if asked["kinds"]:
            name = next(iter(asked["kinds"]))
            raise DataError(f"kinds names {name!r}, but {source.name} has no columns with names", "leave kinds out")
        if divided and asked["impute"] in ("auto", "none"):
            return None
        if not flat and len(source.shape) > 2:
            raise DataError(
                f"{source.name} has rows of shape {source.shape[1:]}, which can only be divided by a number",
                "leave impute out, and give scale a number",
            )
    return Preparation.fit(source, rows=None if kept is None else kept.numpy(), target=given.target, **asked)


def _read(source: Source, preparation: Preparation | None, scale: ScaleName | float, flat: bool) -> Tensor:
    """Bring rows into memory, prepared; without a preparation by a divisor that fits the file they are in."""
    if preparation is not None:
        return load_rows(preparation.transform(source))
    numbers = open_source(source)
    pixels = scale == "auto" and numbers.dtype == np.uint8
    found = load_rows(numbers, scale=255.0 if pixels else None if isinstance(scale, str) else scale)
    return found.flatten(1) if flat else found


def repeated_rows(rows: Tensor, others: Tensor) -> int:
    """Count the rows that are among others too, equal in every element.

    Examples
    --------
    >>> import torch
    >>> repeated_rows(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]]))
    1
    """
    # + 0.0, because -0.0 equals 0.0 and has other bytes
    known = {hash((row + 0.0).tobytes()) for row in others.numpy()}
    return sum(hash((row + 0.0).tobytes()) in known for row in rows.numpy())


def _warn_of_repeated(rows: Tensor, test_rows: Tensor) -> int:
    count = repeated_rows(test_rows, rows)
    if count:
        logger.warning(
            "%d of the %d test rows occur among the training rows too, equal in every column: the error on them says "
            "little about new rows; drop duplicates, or give test rows of another source",
            count, len(test_rows),
        )  # fmt: skip
    return count


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
