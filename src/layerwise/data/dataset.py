"""A PyTorch ``Dataset`` or ``DataLoader``: gone through once, its rows kept in memory or in a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, SequentialSampler

from ..errors import DataError
from .arrays import ArraySource
from .hdf5 import Kind
from .source import Source, open_source
from .spill import SpilledRows

BATCH = 1024
MEMORY_BYTES = 2 * 2**30  # as memory_limit of `layerwise.pretrain`; beyond it rows go to a file in the temporary folder


def is_dataset(x: Any) -> bool:
    """Say whether something is a ``Dataset`` or ``DataLoader``."""
    return isinstance(x, (Dataset, DataLoader))


def spool(x: Any, limit: int = MEMORY_BYTES) -> tuple[Source, ArraySource | None]:
    """Go through a data set once.

    Parameters
    ----------
    x : Dataset or DataLoader
        Whose items are inputs, or (inputs, target).
    limit : int
        Bytes of inputs that are kept in memory; beyond it all go to a file without a name.

    Returns
    -------
    inputs : Source
        The rows, in the order in which they came.
    targets : ArraySource or None
        One label a row; None where items are inputs alone.

    Raises
    ------
    DataError
        When items are something else, differ in shape, or there are none.

    Examples
    --------
    >>> from torch.utils.data import TensorDataset
    >>> inputs, targets = spool(TensorDataset(torch.arange(6.0).view(3, 2), torch.tensor([0, 1, 0])))
    >>> inputs.shape, targets.read(0, 3).tolist()
    ((3, 2), [0, 1, 0])
    """
    name = f"the {type(x).__name__}"
    blocks: list[Tensor] = []
    file: SpilledRows | None = None
    targets: list[Any] = []
    rows = size = 0
    for inputs, labels in _batches(x, name):
        rows, size = rows + len(inputs), size + inputs.nbytes
        targets.extend(labels)
        if file is None and size > limit:
            file = SpilledRows(0, inputs, None)
            for block in blocks:
                _append(file, block)
            blocks.clear()
        if file is None:
            blocks.append(inputs)
        else:
            _append(file, inputs)
    if not rows:
        raise DataError(f"{name} has no items", "give at least one row")
    if len(targets) not in (0, rows):
        raise DataError(f"{name}: {len(targets)} of {rows} items have a target", "give all of them one, -1 for none")
    if file is not None:
        file.name = name
    source: Source = ArraySource(torch.cat(blocks), name) if file is None else file
    return source, ArraySource(np.array(targets, dtype=_type(targets)), f"{name}'s targets") if targets else None


def open_dataset(x: Any, kind: Kind) -> Source:
    """Go through a data set once for its inputs, or for its targets.

    Raises
    ------
    DataError
        As `spool`; and when targets are asked for of what may deal them in another order each time.
    """
    if kind == "targets":
        _check_order(x)
    inputs, targets = spool(x)
    if kind == "inputs":
        return inputs
    if targets is None:
        raise DataError(f"{inputs.name}: items are inputs alone, without a target", "give the targets as an array")
    return targets


def open_pair(inputs: Any, targets: Any) -> tuple[Source, Source]:
    """Open inputs and targets that are given one beside the other, so that they belong together by their order alone.

    Parameters
    ----------
    inputs, targets
        As `layerwise.open_source` takes them.

    Raises
    ------
    DataError
        As `layerwise.open_source`; and when either is a ``DataLoader`` that may deal its rows in another order each
        time: one that shuffles, draws, or has a sampler of its own.

    Examples
    --------
    >>> rows, labels = open_pair([[0.0], [1.0]], ["b", "a"])
    >>> rows.shape, labels.shape
    ((2, 1), (2,))
    """
    _check_order(inputs)
    return open_source(inputs), open_source(targets, kind="targets")


def _check_order(x: Any) -> None:
    if isinstance(x, DataLoader) and not _in_order(x):
        raise DataError(
            "the DataLoader may deal its rows in another order each time, so that targets would not be the inputs'",
            "make it with shuffle=False and no sampler, or give its dataset",
        )


def _in_order(loader: DataLoader[Any]) -> bool:
    """Say whether a loader deals the rows in the order in which its data set has them."""
    if loader.num_workers and not loader.in_order:
        return False
    if isinstance(loader.dataset, IterableDataset):
        return True
    batches = loader.batch_sampler
    if batches is None:
        return type(loader.sampler) is SequentialSampler
    # a sampler of batches that was handed in leaves loader.sampler at its default, which then deals nothing
    return type(batches) is BatchSampler and type(batches.sampler) is SequentialSampler


def _append(file: SpilledRows, block: Tensor) -> None:
    file.shape = (file.shape[0] + len(block), *file.shape[1:])
    file.append(block)


def _type(targets: list[Any]) -> Any:
    return object if any(isinstance(target, str) or target is None for target in targets) else None


def _batches(x: Any, name: str) -> Iterator[tuple[Tensor, list[Any]]]:
    """Yield inputs with their targets, an empty list where there are none."""
    loader = x if isinstance(x, DataLoader) else DataLoader(x, batch_size=BATCH)
    shape: torch.Size | None = None
    try:
        for batch in loader:
            inputs, *others = batch if isinstance(batch, (tuple, list)) else (batch,)
            if not isinstance(inputs, Tensor) or len(others) > 1:
                found = f"{len(others) + 1} parts" if others else type(inputs).__name__
                raise DataError(f"{name}: items are {found}, expected inputs or (inputs, target)", ITEMS)
            if inputs.shape[1:] != (shape or inputs.shape[1:]):
                raise DataError(f"{name}: rows of shape {tuple(shape or ())} and {tuple(inputs.shape[1:])}", ITEMS)
            shape = inputs.shape[1:]
            labels = others[0] if others else []
            yield inputs.detach().cpu(), labels.tolist() if isinstance(labels, Tensor) else list(labels)
    except (TypeError, RuntimeError) as error:  # what PyTorch's collating raises
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name}: its items make no batch: {str(error).splitlines()[0]}", ITEMS) from error


ITEMS = "let each item be a tensor of one shape, or such a tensor and a label; images need a transform to tensors"
