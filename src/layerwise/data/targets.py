"""Labels as codes: classes are numbered in sorted order, and unlabelled rows are marked."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..errors import DataError, nearest
from .arrays import check_no_dates, is_missing
from .cells import MISSING
from .source import Source

UNLABELLED = -1
NO_LABEL = (*MISSING, str(UNLABELLED))  # text that is no label: what stands for no value in a text file, and the mark


def load_targets(source: Source, n_rows: int, *, classes: np.ndarray | None = None) -> tuple[torch.Tensor, np.ndarray]:
    """Read one label per row and number the classes.

    Labels are whole numbers (of any type), truth values or text. -1, NaN, None and pandas' NA mark rows without a
    label, and so does text that a text file would have for them: "-1", "", "NA", "nan", "?" ...

    Parameters
    ----------
    source : Source, shape (N,) or (N, 1)
        As ``open_source(x, kind="targets")`` returns it.
    n_rows : int
        Rows of the inputs, which the labels must match.
    classes : numpy.ndarray, optional
        Classes known already, sorted, as a former call returned them; a label outside them is then an error.
        Test labels are read so, to be numbered as the training labels are.

    Returns
    -------
    codes : torch.Tensor, shape (N,), int64
        Position of each row's label in `classes`; -1 where a row has none.
    classes : numpy.ndarray, shape (K,)
        The distinct labels, sorted: int64, bool or text.

    Raises
    ------
    DataError
        When the length or shape is wrong, a label is neither whole nor text, types are mixed, a label is
        outside the given `classes`, no row is labelled, or the labels are -1 and 1.

    Examples
    --------
    >>> from layerwise.data.source import open_source
    >>> codes, classes = load_targets(open_source(["cat", None, "ant"], kind="targets"), 3)
    >>> codes.tolist(), classes.tolist()
    ([1, -1, 0], ['ant', 'cat'])
    """
    name = source.name
    try:
        values, labelled = _values(_one_each(source, n_rows), name)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: a label is not UTF-8 text: {error}", "write the labels as UTF-8 or numbers"
        ) from error
    if not labelled.any() and classes is None:
        raise DataError(f"{name}: no row is labelled", "-1, NaN and None mark rows without a label; label at least one")
    if classes is None:
        classes = np.unique(values[labelled])
        if classes.dtype.kind == "i" and classes.tolist() == [1] and not labelled.all():
            raise DataError(
                f"{name}: the labels are 1 and {UNLABELLED}, but {UNLABELLED} marks a row without a label, "
                "so one class is left",
                f"if {UNLABELLED} is your second class, write it as 0",
            )
    codes = torch.full((n_rows,), UNLABELLED, dtype=torch.int64)
    codes[torch.from_numpy(labelled)] = torch.from_numpy(_codes(values, labelled, classes, name))
    return codes, classes


def load_values(source: Source, n_rows: int) -> torch.Tensor:
    """Read one number per row, a quantity to predict.

    Parameters
    ----------
    source : Source, shape (N,) or (N, 1)
        As ``open_source(x, kind="targets")`` returns it.
    n_rows : int
        Rows of the inputs, which the numbers must match.

    Returns
    -------
    torch.Tensor, shape (N,), float32
        NaN where a row has none: NaN, None or an empty cell; -1 is a number as any other.

    Raises
    ------
    DataError
        When the length or shape is wrong, or a value is no finite number.

    Examples
    --------
    >>> from layerwise.data.source import open_source
    >>> load_values(open_source([0.5, None, -1], kind="targets"), 3).tolist()
    [0.5, nan, -1.0]
    """
    raw = _one_each(source, n_rows)
    check_no_dates(raw, source.name)
    try:
        values = np.array([np.nan if is_missing(item) else item for item in raw.tolist()], dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"{source.name} holds what is no number: {error}", "give one number per row") from error
    if np.isinf(values).any():
        raise DataError(f"{source.name}: row {int(np.isinf(values).argmax())} is infinite", "give finite numbers")
    return torch.from_numpy(values).float()


def _one_each(source: Source, n_rows: int) -> np.ndarray:
    """Read one value per row."""
    name, shape = source.name, tuple(source.shape)
    if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise DataError(
            f"{name} has shape {shape}, expected one label per row: (rows,) or (rows, 1)",
            "for one-hot rows give labels.argmax(axis=1)",
        )
    if shape[0] != n_rows:
        raise DataError(f"{name} has {shape[0]} labels, the inputs have {n_rows} rows", "give one label per row")
    return np.asarray(source.read(0, n_rows)).reshape(-1)


def _codes(values: np.ndarray, labelled: np.ndarray, classes: np.ndarray, name: str) -> np.ndarray:
    position = {value: code for code, value in enumerate(classes.tolist())}
    distinct, inverse = np.unique(values[labelled], return_inverse=True)
    codes = np.array([position.get(value, UNLABELLED) for value in distinct.tolist()], dtype=np.int64)[inverse]
    if (codes == UNLABELLED).any():
        row = int(np.flatnonzero(labelled)[np.flatnonzero(codes == UNLABELLED)[0]])
        found = values[row].item()
        known = [str(value) for value in classes.tolist()]
        near = nearest(str(found), known) if isinstance(found, str) else None
        raise DataError(
            f"{name}: row {row} has the label {found!r}, which is none of the known classes: "
            f"{', '.join(known[:12])}{' ...' if len(known) > 12 else ''}",
            f"did you mean {near!r}?" if near else "give labels of the same classes as the training rows",
        )
    return codes


def _values(raw: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of one plain type and a mask of the rows that have one."""
    if raw.dtype.kind == "O":
        return _from_objects(raw, name)
    if raw.dtype.kind == "S":
        raw = np.char.decode(raw, "utf-8")
    if raw.dtype.kind == "b":
        return raw, np.ones(raw.shape, dtype=bool)
    if raw.dtype.kind == "U":
        return raw, ~np.isin(np.char.strip(raw), NO_LABEL)
    if raw.dtype.kind == "u" and raw.size and raw.max() > np.iinfo(np.int64).max:
        raise DataError(f"{name}: a label does not fit 64 bits with sign: {raw.max()}", "number the classes from 0")
    if raw.dtype.kind in "iu":
        return raw.astype(np.int64), raw.astype(np.int64) != UNLABELLED
    if raw.dtype.kind == "f":
        return _from_floats(raw, name)
    raise DataError(f"{name} holds {raw.dtype}, expected whole numbers or text", "give one class label per row")


def _from_floats(raw: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    raw = raw.astype(np.float64)
    labelled = ~np.isnan(raw) & (raw != UNLABELLED)
    # Beyond 2**53 neighbouring whole numbers share one float, so that two classes could fall together.
    wrong = labelled & ~((np.abs(raw) <= 2**53) & (np.floor(raw) == raw))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{name}: row {row} has the label {raw[row]}, expected a whole number (a class)",
            "number the classes 0, 1, 2 ... or give them as text; quantities to predict are not classes",
        )
    return np.where(labelled, raw, UNLABELLED).astype(np.int64), labelled


def _from_objects(raw: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    items: list[Any] = [item.decode() if isinstance(item, bytes) else item for item in raw.tolist()]
    labelled = np.array([not _is_mark(item) for item in items], dtype=bool)
    kept = [(row, item) for row, item in enumerate(items) if labelled[row]]
    for row, item in kept:
        if not isinstance(item, (str, bool, int, float, np.generic)):
            raise DataError(
                f"{name}: row {row} has the label {item!r} ({type(item).__name__}), not a number or text",
                "give one class label per row",
            )
        if isinstance(item, str) is not isinstance(kept[0][1], str):
            raise DataError(
                f"{name}: row {row} has the label {item!r}, row {kept[0][0]} has {kept[0][1]!r}: "
                "text and numbers are mixed",
                "give all labels as text or all as numbers",
            )
    if kept and isinstance(kept[0][1], str):
        return np.array([item if here else "" for item, here in zip(items, labelled, strict=True)]), labelled
    if kept and all(isinstance(item, (bool, np.bool_)) for _, item in kept):
        return np.array([bool(item) if here else False for item, here in zip(items, labelled, strict=True)]), labelled
    plain = np.array([item if here else np.nan for item, here in zip(items, labelled, strict=True)], dtype=np.float64)
    return _from_floats(plain, name)


def _is_mark(item: Any) -> bool:
    if is_missing(item):
        return True
    if isinstance(item, str):
        return item.strip() in NO_LABEL
    return isinstance(item, (int, float, np.number)) and bool(item != item or item == UNLABELLED)
