"""Files of any kind as sources, by what their names or first bytes say that they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scipy.sparse

from ..errors import DataError, nearest
from .arrays import ArraySource
from .delimited import is_delimited
from .hdf5 import CONVENTIONAL, Hdf5Source, Kind, find_dataset, is_hdf5, split_path
from .idx import IdxSource, is_idx
from .listfile import is_list_file, open_list_file
from .npy import NpySource
from .npz import is_sparse, open_arrays
from .parquet import SUFFIXES, ParquetSource, open_labels
from .several import SeveralSource
from .sparse import Hdf5Rows, SparseSource, find_group, open_npz
from .table import TableSource, listing
from .tables import is_table, open_table, paths_of

if TYPE_CHECKING:
    from .source import Source

NOT_READ = (".feather", ".arrow", ".mat", ".pkl", ".pt", ".xlsx", ".xls", ".json")
READ = "HDF5, lists of it, CSV, TSV, Parquet, .npy, .npz and IDX"


def open_path(text: str, name: str | None, kind: Kind) -> Source:
    """Open a file, or of inputs all files that a pattern such as ``part-*.csv`` names.

    Parameters
    ----------
    text : str
        The path, with ``::data-set`` after it where wanted.
    name : str or None
        The data set, array or column within the file; wins over ``::``.
    kind : {"inputs", "targets"}
        What is looked for where there is no name.

    Raises
    ------
    DataError
        When there is no such file, or it cannot be read.
    """
    path, own = (text, None) if os.path.exists(text) else split_path(text)
    if not os.path.exists(path) and any(mark in path for mark in "*?["):
        if not paths_of(path):
            raise DataError(f"no file has a name like {path}", "check the pattern; it is looked up from here")
        if kind == "targets":
            return _labels(open_table(path), name or own)
        return open_files(path, name or own)
    return _open(Path(path), name or own, kind)


def open_files(x: Any, name: str | None) -> Source:
    """Open several files as one source of inputs: tables as one table, others one after another.

    Raises
    ------
    DataError
        Naming the file that cannot be read, or differs from the first.
    """
    paths = paths_of(x)
    for path in paths:
        _check_file(path)
    if is_table(x):
        table = open_table(x)
        return table if name is None else table.only([name])
    parts = [_open(path, name, "inputs") for path in paths]
    if all(isinstance(part, SparseSource) for part in parts):
        rows = [part.read(0, part.shape[0]) for part in parts]
        for part in parts:
            if part.shape[1] != parts[0].shape[1]:
                raise DataError(
                    f"{part.name} has {part.shape[1]} columns, {parts[0].name} {parts[0].shape[1]}",
                    "give files of the same columns",
                )
        return SparseSource(scipy.sparse.vstack(rows, format="csr"), f"{parts[0].name} and {len(parts) - 1} more")
    if any(isinstance(part, SparseSource) for part in parts):
        raise DataError("some of the files hold sparse rows, some dense ones", "give files of one kind")
    return SeveralSource([(part.name, part) for part in parts], f"{parts[0].name} and {len(parts) - 1} more")


def _open(path: Path, name: str | None, kind: Kind) -> Source:
    _check_file(path)
    suffix = path.suffix.lower()
    if is_delimited(path):
        table = open_table(path)
        if kind == "targets":
            return _labels(table, name)
        return table if name is None else table.only([name])
    if suffix in SUFFIXES:
        return ParquetSource(path, name) if kind == "inputs" else open_labels(path, name)
    if suffix == ".npy":
        if name:
            raise DataError(f"{path}: {name!r} chooses a data set, but a .npy file has one only", "leave it out")
        return NpySource(path)
    if suffix == ".npz":
        return open_npz(path) if kind == "inputs" and is_sparse(path) else open_arrays(path, name, kind)
    try:
        if is_hdf5(path):
            group = find_group(path, name) if kind == "inputs" else None
            if group is not None:
                return SparseSource(Hdf5Rows(path, group), f"{path}::{group}")
            return Hdf5Source(path, find_dataset(path, name, kind))
        if is_idx(path):
            return IdxSource(path)
        if is_list_file(path):
            return open_list_file(path, name, kind)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", "check that it is text and that you may read it") from error
    raise DataError(
        f"{path} is neither an HDF5 file nor a list of HDF5 files nor IDX, nor does its name say what it is",
        f"what can be read is {READ}; name a CSV file so that it ends in .csv",
    )


def _labels(table: TableSource, name: str | None) -> ArraySource:
    return table.labels(target_column(table) if name is None else name)


def target_column(table: TableSource) -> str:
    """Return the name of the column that holds the labels where none was given: a usual name, or the only column.

    Raises
    ------
    DataError
        When no column has a usual name and there are several.
    """
    usual = [column for column in CONVENTIONAL["targets"] if column in table.columns]
    if usual or len(table.columns) == 1:
        return (usual or table.columns)[0]
    raise DataError(
        f"{table.name}: no column is named as targets are; it holds {listing(table.columns)}",
        f"name the column of the labels: --target {table.columns[-1]}, or {table.name}::{table.columns[-1]}",
    )


def _check_file(path: Path) -> None:
    if os.path.isdir(path):
        inside = sorted(item.name for item in path.iterdir() if item.suffix in (".h5", ".hdf5", ".csv", *SUFFIXES))
        raise DataError(
            f"{path} is a folder, expected a file, a list of files or a pattern",
            f"give a file in it, for example {path / inside[0]}" if inside else "give the path of a file",
        )
    if not os.path.exists(path):  # False, where Path.exists raises, for a name that no file system allows
        folder = path.parent
        if not os.path.isdir(folder):
            raise DataError(f"{path} does not exist: there is no folder {folder}", "check the path")
        near = nearest(path.name, (item.name for item in folder.iterdir()))
        raise DataError(
            f"{path} does not exist",
            f"did you mean {folder / near}?" if near else f"nothing in {folder.absolute()} has a name like it",
        )
    if path.suffix.lower() in NOT_READ:
        raise DataError(
            f"{path}: {path.suffix} files cannot be read, only {READ}",
            "write a CSV or Parquet file, or pass the array or frame in Python",
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty", "give a file with rows")
