"""The rows that an estimator is given: checked by scikit-learn's rules, labelled and unlabelled ones put together."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.utils.sparsefuncs import min_max_axis
from sklearn.utils.validation import validate_data

from ..data.source import load_rows, open_source
from ..errors import DataError

LEAST_ROWS = 2
UNLIKE = 1e3  # columns whose ranges are this far apart are warned of
_HINTS = {
    "NaN": "fill the gaps first, for example with sklearn.impute.SimpleImputer in a pipeline",
    "infinity": "remove such rows, or clip them",
    "could not convert": "encode text as numbers first, for example with sklearn.preprocessing.OneHotEncoder",
    "feature names": "give the columns that fit was given, in their order",
    "is expecting": "give rows with as many columns as fit was given",
    "sample": "give more rows",
}
_ELEMENTS = ("NaN", "infinity", "could not convert")


def checked_rows(estimator: Any, X: Any, *, reset: bool = False, least: int = 1) -> Any:
    """Return rows as an array or CSR matrix of float32 or float64, their number and names of features checked.

    Raises
    ------
    DataError
        In scikit-learn's words, with a hint.
    """
    try:
        return validate_data(
            estimator, X, reset=reset, accept_sparse="csr", dtype=[np.float64, np.float32], ensure_min_samples=least
        )
    except ValueError as error:
        text = str(error)
        # scikit-learn goes on about other estimators
        message = text.partition("\n")[0] if "contains NaN" in text else text
        message = message.rstrip(".") + _place(X, text)
        hint = next((hint for key, hint in _HINTS.items() if key in text), "")
        raise DataError(message, hint) from error


def _place(X: Any, text: str) -> str:
    """Say where the element stands that scikit-learn refuses, which it does not say."""
    if not any(key in text for key in _ELEMENTS):
        return ""
    try:
        load_rows(open_source(X if scipy.sparse.issparse(X) else np.asarray(X)))
    except DataError as error:
        found = re.search(r"row \d+, column \d+", error.message)
        return f": {found[0]} (both counted from 0)" if found else ""
    return ""


def training_rows(estimator: Any, X: Any, X_unlabeled: Any = None, *, reset: bool) -> tuple[Any, int]:
    """Return all rows, those of ``X_unlabeled`` last, and how many came with a target."""
    rows = checked_rows(estimator, X, reset=reset, least=LEAST_ROWS if reset else 1)
    count = rows.shape[0]
    if X_unlabeled is not None:
        more = checked_rows(estimator, X_unlabeled)
        sparse = scipy.sparse.issparse(rows) or scipy.sparse.issparse(more)
        rows = scipy.sparse.vstack([rows, more], format="csr") if sparse else np.vstack([rows, more])
    if reset:
        warn_of_scales(rows)
    return rows, count


def warn_of_scales(rows: Any) -> None:
    """Warn where the ranges of two columns are so far apart that the smaller one says nothing."""
    low, high = min_max_axis(rows, axis=0) if scipy.sparse.issparse(rows) else (rows.min(0), rows.max(0))
    ranges = np.asarray(high, dtype=np.float64) - np.asarray(low, dtype=np.float64)
    ranges = np.where(ranges > 0, ranges, np.nan)
    if np.isfinite(ranges).sum() < 2:
        return
    least, most = int(np.nanargmin(ranges)), int(np.nanargmax(ranges))
    if ranges[most] > UNLIKE * ranges[least]:
        warnings.warn(
            f"columns {least} and {most} have ranges of {ranges[least]:.3g} and {ranges[most]:.3g}, which trains "
            "badly; put a sklearn.preprocessing.StandardScaler before this estimator",
            UserWarning,
            stacklevel=5,
        )
