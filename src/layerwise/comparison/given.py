"""What is handed to a comparison: rows of any kind, and where their labels are."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.dataset import is_dataset, open_pair, spool
from ..data.files import target_column
from ..data.hdf5 import CONVENTIONAL, split_path
from ..data.paths import NOT_READ
from ..data.source import Source, open_source
from ..data.table import TableSource
from ..data.tables import is_table, open_table
from ..errors import DataError

logger = logging.getLogger("layerwise")
FILES = (".h5", ".hdf5", ".txt", ".npy", ".npz", ".csv", ".tsv", ".parquet", ".pq", ".gz", *NOT_READ)


@dataclass(frozen=True)
class Given:
    """Rows as they come, with their labels.

    Attributes
    ----------
    source : Source
        The rows: a table with all of its columns, or numbers.
    targets : Source
        One label a row.
    target : str or None
        The table's column that the labels are.
    """

    source: Source
    targets: Source
    target: str | None = None


def open_given(inputs: Any, targets: Any, target: str | None = None) -> Given:
    """Open rows and find their labels.

    Parameters
    ----------
    inputs
        Whatever `open_source` takes, or a table with columns of any kind.
    targets
        Labels; or where they are: a file of their own, a column of the table, a data set of the inputs' file. None: the
        column or data set with a usual name, or what a PyTorch data set gives with its inputs.
    target : str, optional
        The column to take where `targets` is None: that of the training rows, where these are test rows.

    Raises
    ------
    DataError
        When either cannot be opened, or there are no such labels, with the nearest name.
    """
    if is_table(inputs):
        return _of_table(open_table(inputs), inputs, targets, target)
    if is_dataset(inputs) and targets is None:
        rows, labels = spool(inputs)
        if labels is None:
            raise DataError(f"{rows.name}: items are inputs alone, without a target", "give the targets as an array")
        return Given(rows, labels)
    if targets is None or (isinstance(targets, str) and not is_file(targets)):
        if not isinstance(inputs, (str, os.PathLike)):
            raise DataError(
                f"the targets are {targets!r}, but inputs of type {type(inputs).__name__} have no columns with names",
                "give the labels as an array, or the rows as a table: a frame, a CSV or Parquet file",
            )
        targets = targets_of(os.fspath(inputs), targets)
    return Given(*open_pair(inputs, targets))


def _of_table(table: TableSource, inputs: Any, targets: Any, target: str | None) -> Given:
    if isinstance(targets, str) and "::" in targets and split_path(targets)[0] == str(inputs):
        targets = split_path(targets)[1]
    named = isinstance(targets, str) and (targets in table.columns or not is_file(targets))
    if targets is None or named:
        column = table.check_column(targets or target or target_column(table))
        return Given(table, table.labels(column), column)
    for column in table.columns:
        if column in CONVENTIONAL["targets"]:
            logger.warning("%s: column %r is taken as an input like the others; is it the target?", table.name, column)
    return Given(table, open_source(targets, kind="targets"))


def targets_of(inputs: str, targets: str | None) -> str:
    """Return where the labels of a file of inputs are: in a file of their own, or a data set of the same file."""
    path, dataset = split_path(inputs)
    if targets is None:
        group = dataset.rpartition("/")[0] if dataset else ""
        return f"{path}::{group}" if group else path
    return targets if is_file(targets) else f"{path}::{targets}"


def is_file(targets: str | None) -> bool:
    """Say whether labels are named as a file, and not as a column or data set of the inputs' file."""
    if targets is None:
        return False
    return "::" in targets or Path(targets).exists() or Path(targets).suffix in FILES
