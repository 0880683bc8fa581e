"""Targets as people give them: which rows have a label, and what is said of them before anything is trained."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ..data.arrays import is_missing
from ..data.quantities import load_quantities
from ..data.source import open_source
from ..data.targets import UNLABELLED
from ..errors import DataError, nearest


def labels_of(name: str, y: Any, unlabeled: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of the rows that have one, and which rows they are.

    Parameters
    ----------
    name : str
        Of the estimator, for messages.
    y : array-like, shape (rows,)
        Labels of any type; None, NaN and pandas' NA are none, and so is ``unlabeled``.
    unlabeled : object
        The mark of a row without a label; None: no value is one.

    Raises
    ------
    DataError
        When there is no y, none is a label, or they are of several types, or continuous.

    Examples
    --------
    >>> labels, labelled = labels_of("it", [2, -1, 0, None], -1)
    >>> labels.tolist(), labelled.tolist()
    ([2, 0], [True, False, True, False])
    """
    if y is None:
        raise DataError(
            f"{name} requires y to be passed, but the target y is None",
            "give one label a row; LayerwiseEncoder trains without",
        )
    values = column_or_1d(_as_they_are(y), warn=True)
    _refuse_marks_as_text(values, unlabeled)
    labelled = np.array([not _is_mark(item, unlabeled) for item in values.tolist()], dtype=bool)
    if not labelled.any():
        raise DataError(f"y: none of {len(values)} rows is labelled", f"NaN, None and {unlabeled!r} are no label")
    labels = values[labelled]
    if labels.dtype.kind == "O":
        kinds = {isinstance(item, str) for item in labels.tolist()}
        if len(kinds) > 1:
            raise DataError("y: text and numbers are mixed", "give all labels as text or all as numbers")
        labels = labels if True in kinds else np.array(labels.tolist())
    try:
        check_classification_targets(labels)
    except ValueError as error:
        raise DataError(str(error).partition("\n")[0], "LayerwiseRegressor is for quantities") from error
    return labels, labelled


def _as_they_are(y: Any) -> Any:
    """Return a list that has text and other things as objects: NumPy would make text of a NaN or -1 among it."""
    mixed = isinstance(y, (list, tuple)) and len({isinstance(item, str) for item in y}) == 2
    return np.array(y, dtype=object) if mixed else y


def _refuse_marks_as_text(values: np.ndarray, unlabeled: Any) -> None:
    """Refuse an array of text in which a NaN, None or -1 has become text, and so would be a class."""
    if values.dtype.kind != "U":
        return
    for mark in sorted({"nan", "None", str(unlabeled)} - {unlabeled}):
        found = np.flatnonzero(values == mark)
        if len(found):
            raise DataError(
                f"y: row {found[0]} is the text {mark!r}, which NumPy makes of a mark among text",
                "give y as a list or with dtype=object, so that marks stay what they are and text is a class",
            )


def _is_mark(item: Any, unlabeled: Any) -> bool:
    if is_missing(item):
        return True
    if isinstance(item, numbers.Real) and item != item:
        return True
    return unlabeled is not None and isinstance(item, str) is isinstance(unlabeled, str) and bool(item == unlabeled)


def classes_of(labels: np.ndarray, labelled: np.ndarray, unlabeled: Any, named: Any = None) -> np.ndarray:
    """Return the distinct labels, or those that were named but for marks, sorted, two or more.

    Raises
    ------
    DataError
        When there is one: the other may have been taken for the mark of rows without a label.
    """
    if named is not None:
        named = np.asarray(_as_they_are(named))
        labels = named[[not _is_mark(item, unlabeled) for item in named.tolist()]]
    classes: np.ndarray = np.unique(labels)
    if len(classes) > 1:
        return classes
    if classes.dtype.kind in "if" and classes[0] == 1 and unlabeled == -1 and not labelled.all():
        raise DataError(
            "the labels are 1 and -1, but -1 marks a row without a label, so one class is left",
            "set unlabeled=None where -1 is a class",
        )
    raise DataError(
        f"all labelled rows have the class {classes[0]}, a classifier expects 2 classes or more",
        "label rows of another class",
    )


def codes_of(labels: np.ndarray, labelled: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the position of each row's label among the classes, -1 where it has none.

    Raises
    ------
    DataError
        When a label is none of the classes.

    Examples
    --------
    >>> codes_of(np.array(["b", "a"]), np.array([True, False, True]), np.array(["a", "b"])).tolist()
    [1, -1, 0]
    """
    strange = np.setdiff1d(labels, classes)
    if len(strange):
        near = nearest(str(strange[0]), [str(value) for value in classes])
        raise DataError(
            f"y has the label {strange[0]!r}, which is none of the classes of the first call: "
            f"{', '.join(map(str, classes[:12]))}",
            f"did you mean {near!r}?" if near else "name all classes in the first call: partial_fit(X, y, classes=...)",
        )
    codes = np.full(len(labelled), UNLABELLED, dtype=np.int64)
    codes[labelled] = np.searchsorted(classes, labels)
    return codes


def quantities_of(name: str, y: Any) -> tuple[np.ndarray, bool]:
    """Return targets as (rows, outputs), rows that are NaN having none, and whether they were given in columns.

    Raises
    ------
    DataError
        When there is no y, or it does not hold numbers.

    Examples
    --------
    >>> quantities_of("it", [1.5, None])[0].tolist()
    [[1.5], [nan]]
    """
    if y is None:
        raise DataError(
            f"{name} requires y to be passed, but the target y is None",
            "give one target a row; LayerwiseEncoder trains without",
        )
    y = np.asarray(y)
    quantities: np.ndarray = load_quantities(open_source(y, kind="targets"), len(y))[0].numpy()
    return quantities, y.ndim > 1


def check_as_many(rows: Any, targets: np.ndarray) -> None:
    """Refuse targets that are more or fewer than the rows.

    Raises
    ------
    DataError
        In scikit-learn's words.
    """
    try:
        check_consistent_length(rows, targets)
    except ValueError as error:
        raise DataError(str(error), "give one target per row; rows without one go in X_unlabeled too") from error


def warn_of_lone(codes: np.ndarray, classes: np.ndarray) -> None:
    """Warn of classes with one labelled row."""
    counts = np.bincount(codes[codes >= 0], minlength=len(classes))
    lone = [str(label) for label, count in zip(classes, counts, strict=True) if count == 1]
    if lone:
        warnings.warn(
            f"{'class' if len(lone) == 1 else 'classes'} {', '.join(lone)}: one labelled row only; label more, or "
            "nothing can be said of how well it is told from others",
            UserWarning,
            stacklevel=4,
        )


def warn_of_none_unlabelled(unlabelled: int) -> None:
    """Warn where pre-training sees no row that fine-tuning does not."""
    if not unlabelled:
        warnings.warn(
            "there are no unlabelled rows, so pre-training sees the labelled ones alone; give further rows as "
            "X_unlabeled, or set objective=None to train without",
            UserWarning,
            stacklevel=4,
        )
