"""scikit-learn's transformer for a table's columns: what is done with gaps, text and scale, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, QuantileTransformer, StandardScaler

from ..errors import DataError
from .choices import Choices
from .columns import Column


def build(columns: Sequence[Column], choices: Choices, rows: int) -> ColumnTransformer:
    """Build the transformer of a matrix with one column of float64 for each of a table's.

    Numbers and dates are imputed and scaled; truth values are imputed by the most frequent one. One column of 0 and 1
    for each of these with gaps says where one was. Text, in codes of its levels, becomes one column of 0 and 1 for
    each, gaps counting as a level, or stays one column of numbers ("ordinal"). Levels that were not there before are
    the pool of rare ones, and where there is none all 0.

    Parameters
    ----------
    columns : sequence of Column
        What each column of the matrix is.
    choices : Choices
        What to do.
    rows : int
        That will be fitted on.
    """
    numbers, truths, texts = groups(columns, choices)
    gaps = with_gaps(columns, choices)
    impute = {"zero": "constant"}.get(choices.impute, choices.impute)
    parts: list[tuple[str, Any, list[int]]] = []
    if numbers:
        steps = _imputer(impute) + _scaler(choices.scale, rows)
        parts.append(("numbers", Pipeline(steps) if steps else "passthrough", numbers))
    if truths:
        steps = _imputer("most_frequent" if impute != "none" else impute)
        parts.append(("truths", Pipeline(steps) if steps else "passthrough", truths))
    if gaps:
        parts.append(("gaps", MissingIndicator(features="all"), gaps))
    if texts:
        parts.append(("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts))
    return ColumnTransformer(parts, sparse_threshold=0.0)


def groups(columns: Sequence[Column], choices: Choices) -> tuple[list[int], list[int], list[int]]:
    """Return the positions of what is treated as numbers, as truth values, and as levels."""
    ordinal = choices.encode == "ordinal"
    numbers = [n for n, c in enumerate(columns) if c.kind in ("number", "date") or (c.kind == "text" and ordinal)]
    truths = [n for n, c in enumerate(columns) if c.kind == "boolean"]
    return numbers, truths, [n for n, c in enumerate(columns) if c.kind == "text" and not ordinal]


def with_gaps(columns: Sequence[Column], choices: Choices) -> list[int]:
    """Return the positions of columns whose gaps are filled and marked."""
    numbers, truths, _ = groups(columns, choices)
    return [n for n in (*numbers, *truths) if columns[n].gaps and choices.impute != "none"]


def _imputer(strategy: str) -> list[tuple[str, Any]]:
    if strategy == "none":
        return []
    return [("impute", SimpleImputer(strategy=strategy, fill_value=0.0, keep_empty_features=True))]


def _scaler(scale: str | float, rows: int) -> list[tuple[str, Any]]:
    if scale == "standard":
        return [("scale", StandardScaler())]
    if scale == "range":
        return [("scale", MinMaxScaler(clip=True))]  # a row beyond the range would be out of a sigmoid decoder's
    if scale == "quantile":
        found = QuantileTransformer(n_quantiles=min(1000, rows), output_distribution="normal", random_state=0)
        return [("scale", found)]
    return []


def feature_names(columns: Sequence[Column], choices: Choices, estimator: ColumnTransformer) -> tuple[str, ...]:
    """Return what each column of the transformer's output is called: ``age``, ``age (missing)``, ``city=Ulm``."""
    numbers, truths, texts = groups(columns, choices)
    names = [columns[n].name for n in (*numbers, *truths)]
    names += [f"{columns[n].name} (missing)" for n in with_gaps(columns, choices)]
    if texts:
        categories: Mapping[int, np.ndarray] = dict(
            zip(texts, estimator.named_transformers_["text"].categories_, strict=True)
        )
        names += [f"{columns[n].name}={_level(columns[n], code)}" for n in texts for code in categories[n].tolist()]
    return tuple(names)


def _level(column: Column, code: float) -> str:
    if code != code:
        return "(missing)"
    return column.levels[int(code)] if code < len(column.levels) else "(rare)"


def check_scale(scale: Any) -> None:
    """Refuse a number that cannot divide.

    Raises
    ------
    DataError
        When it is 0 or below, or not finite.
    """
    if not isinstance(scale, str) and not (np.isfinite(scale) and scale > 0):
        raise DataError(f"scale is {scale!r}, expected a number above 0", "leave it out to keep the values as they are")
