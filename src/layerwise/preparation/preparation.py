"""A fitted preparation: from a table's rows, as they come, to rows of float32."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer

from ..data.arrays import check_block
from ..data.source import Source, open_source
from ..data.table import TableSource, said
from ..data.tables import is_table, open_table
from ..errors import DataError
from .choices import Choices, EncodeName, ImputeName, ScaleName, choose
from .columns import Column, KindName, survey
from .estimator import build, check_scale, feature_names
from .matching import check_match
from .matrix import Part, chosen_rows, finish, flat_rows, in_unit_range, read_matrix

logger = logging.getLogger("layerwise")
VERSION = 1
# What skops must be told to trust, beside what it trusts by itself: an imputer keeps the type of what it was fitted to.
TRUSTED = ("numpy.dtype",)


class Preparation:
    """What was learnt from training rows about turning rows like them into numbers for a network.

    Made by `Preparation.fit`, or from what was kept of one by `Preparation.from_parts`. Numbers and dates (as days) are
    imputed and scaled, text is encoded, columns of no use are left out; scikit-learn's own transformers do it. The
    defaults, "auto", are of a table ``impute="median"`` with a mark where a value was missing, ``encode="onehot"`` and
    ``scale="standard"``, or "none" where all numbers are in [0, 1] already; rows of an array stay as they are, 8-bit
    pixels divided by 255.

    Parameters
    ----------
    columns : sequence of Column
        What rows are made of.
    left_out : mapping of str to str
        Columns that are not, and why.
    order : sequence of str
        All columns but the target in the order of the training rows, for rows that come without names.
    named : bool
        Whether the columns have names of their own, and are matched by them.
    choices : Choices
        What is done.
    estimator : ColumnTransformer
        Fitted to a matrix with a column of float64 for each of `columns`.

    Attributes
    ----------
    estimator : sklearn.compose.ColumnTransformer
        The fitted transformer, made of scikit-learn's own classes only.
    features : tuple of str
        Names of what comes out, in order: ``age``, ``age (missing)``, ``city=Ulm``.

    Examples
    --------
    >>> import pyarrow
    >>> people = pyarrow.table({"age": [20.0, None, 40.0], "city": ["Ulm", "Bonn", "Ulm"]})
    >>> prepared = Preparation.fit(people, scale="range")
    >>> prepared.features
    ('age', 'age (missing)', 'city=Ulm', 'city=(rare)')
    >>> prepared.transform(people).read(0, 3).tolist()
    [[0.0, 0.0, 1.0, 0.0], [0.5, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]]
    """

    def __init__(
        self,
        columns: Sequence[Column],
        left_out: Mapping[str, str],
        order: Sequence[str],
        named: bool,
        choices: Choices,
        estimator: ColumnTransformer,
    ) -> None:
        self.columns, self.left_out, self.order, self.named = tuple(columns), dict(left_out), tuple(order), named
        self.choices, self.estimator = choices, estimator
        self.features = feature_names(self.columns, choices, estimator)

    @classmethod
    def fit(
        cls,
        inputs: Any,
        *,
        rows: np.ndarray | None = None,
        target: str | None = None,
        impute: ImputeName = "auto",
        encode: EncodeName = "auto",
        scale: ScaleName | float = "auto",
        kinds: Mapping[str, KindName] | None = None,
    ) -> Preparation:
        """Learn from training rows how to prepare rows like them.

        Parameters
        ----------
        inputs : table or array-like
            What `layerwise.open_source` takes, or a table with columns of any kind: the path of a CSV, TSV or Parquet
            file or several of them, a frame.
        rows : array of int, optional
            Numbers of the training rows, ascending; None: all. Of more than 256 MiB (as float64), a part drawn at
            random, always the same, is learnt from.
        target : str, optional
            The column of the labels, which is no input.
        impute : {"auto", "median", "mean", "most_frequent", "zero", "none"}
            What stands where a number is missing. A column more says where that was, if it was in training.
        encode : {"auto", "onehot", "ordinal"}
            What text becomes. Levels that fewer than 2 rows or 1 in 1,000 have, and those after the 100 most frequent,
            are pooled, and levels that come up later count as of the pool.
        scale : {"auto", "standard", "range", "quantile", "none"} or float
            Numbers to mean 0 and variance 1, to [0, 1], to a normal distribution, or divided by a number.
        kinds : mapping of str to {"number", "boolean", "date", "text", "none"}, optional
            What columns are to be read as, by name; "none" leaves one out. A column that is named so is never left out
            as one that names the rows.

        Returns
        -------
        Preparation

        Raises
        ------
        DataError
            When no column is of use, a name in `kinds` or `target` is unknown, or a cell cannot be read; it says where.
        """
        check_scale(scale)
        source = _open(inputs)
        table = isinstance(source, TableSource)
        left_out = {}
        if isinstance(source, TableSource):
            if target is not None:
                source.check_column(target)
                left_out[target] = "the target"
            source = source.without(left_out)
            order: Sequence[str] = source.columns
            sample: Source = source.take(chosen_rows(source.shape, rows))
            assert isinstance(sample, TableSource)
            columns, useless = survey(sample, kinds or {})
            left_out |= useless
            _tell(source.name, useless)
        else:
            order = [str(place) for place in range(int(np.prod(source.shape[1:])))]
            sample = Part(source, chosen_rows((source.shape[0], len(order)), rows))
            gaps = np.isnan(flat_rows(sample, 0, sample.shape[0])).any(axis=0)
            columns = tuple(Column(name, place, gaps=bool(gaps[place])) for place, name in enumerate(order))
        if not columns:
            raise DataError(f"{source.name}: no column is of use: {_said(left_out)}", "name what to keep in kinds")
        matrix = read_matrix(sample, columns)
        choices = choose(
            impute, encode, scale, table=table, pixels=source.dtype == np.uint8, unit=in_unit_range(matrix, columns)
        )
        finish(matrix, sample, columns, choices)
        estimator = build(columns, choices, len(matrix)).fit(matrix)
        return cls(columns, left_out, order, table, choices, estimator)

    @classmethod
    def from_parts(cls, schema: Mapping[str, Any], estimator: ColumnTransformer) -> Preparation:
        """Return the preparation that `schema` and `estimator` are parts of.

        Parameters
        ----------
        schema : mapping
            What `Preparation.schema` returned, also by way of JSON.
        estimator : ColumnTransformer
            The fitted estimator.

        Raises
        ------
        DataError
            When the schema is of another version.
        """
        if schema.get("version") != VERSION:
            raise DataError(
                f"the preparation is of version {schema.get('version')!r}, expected {VERSION}",
                "prepare the rows anew, or take the version of layerwise that wrote it",
            )
        columns = [Column(**{**column, "levels": tuple(column["levels"])}) for column in schema["columns"]]
        return cls(
            columns, schema["left_out"], schema["order"], schema["named"], Choices(**schema["choices"]), estimator
        )

    def schema(self) -> dict[str, Any]:
        """Return all but the estimator, as JSON can hold it."""
        return {
            "version": VERSION,
            "columns": [{**asdict(column), "levels": list(column.levels)} for column in self.columns],
            "left_out": self.left_out,
            "order": list(self.order),
            "named": self.named,
            "choices": asdict(self.choices),
            "features": list(self.features),
        }

    def transform(self, inputs: Any) -> PreparedSource:
        """Return rows of the same columns, prepared, as a source that reads and prepares them block by block.

        Parameters
        ----------
        inputs
            As of `fit`. Columns with names are matched by them, in any order; the target and columns that were left out
            may be there or not. Rows without names have all columns but the target, in the order of the training rows.

        Returns
        -------
        PreparedSource
            Rows of float32, shape (N, len(features)).

        Raises
        ------
        DataError
            Naming the column that is missing, one too many or of another type; reading raises it at a cell that
            cannot be read or, where nothing is imputed, is missing.
        """
        source = _open(inputs)
        if self.named and isinstance(source, TableSource):
            check_match(source, self.columns, self.left_out)
        else:
            source = open_source(source) if isinstance(source, TableSource) else source
            width = int(np.prod(source.shape[1:]))
            if width != len(self.order):
                raise DataError(
                    f"{source.name} has {width} features, the training rows have {len(self.order)}",
                    "give rows with the columns of the training rows, in their order",
                )
            wrong = [column for column in self.columns if not column.is_in_arrays]
            if wrong:
                read = f", read as {said(wrong[0].kind)}" if wrong[0].kind != wrong[0].stored else ""
                raise DataError(
                    f"{source.name} has no names, and column {wrong[0].name!r} of the training rows holds "
                    f"{said(wrong[0].stored)}{read}",
                    "give a table with the columns' names: CSV, Parquet, a frame",
                )
        return PreparedSource(self, source)

    def describe(self) -> str:
        """Return what is done, in a line.

        Examples
        --------
        >>> Preparation.fit([[0.0, 4.0], [1.0, float("nan")]], impute="mean").describe()
        '2 columns (2 of numbers) become 3 features: impute mean, marked; encode onehot; scale none'
        """
        kinds = [column.kind for column in self.columns]
        held = ", ".join(f"{kinds.count(kind)} of {said(kind)}" for kind in dict.fromkeys(kinds))
        impute = self.choices.impute + (", marked" if self.choices.impute != "none" else "")
        told = f"{len(self.columns)} columns ({held}) become {len(self.features)} features: impute {impute}; "
        told += f"encode {self.choices.encode}; scale {self.choices.scale}"
        return told + (f"; left out: {_said(self.left_out)}" if self.left_out else "")


class PreparedSource:
    """Prepared rows: read from their source and transformed block by block.

    Parameters
    ----------
    preparation : Preparation
    source : Source
        With the columns that it needs.
    """

    sparse = False
    dtype = np.dtype(np.float32)

    def __init__(self, preparation: Preparation, source: Source) -> None:
        self.preparation, self.source, self.name = preparation, source, source.name
        self.shape: tuple[int, ...] = (source.shape[0], len(preparation.features))
        self.piece = getattr(source, "piece", 1)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` up to, not including, `stop`."""
        check_block(start, stop, self.shape[0], self.name)
        if start == stop:
            return np.empty((0, self.shape[1]), np.float32)
        own = self.preparation
        matrix = read_matrix(self.source, own.columns, start, stop)
        finish(matrix, self.source, own.columns, own.choices, start)
        return np.ascontiguousarray(own.estimator.transform(matrix), dtype=np.float32)


def _open(inputs: Any) -> Source:
    if isinstance(inputs, Source):
        return inputs
    return open_table(inputs) if is_table(inputs) else open_source(inputs)


def _said(left_out: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({reason})" for name, reason in left_out.items())


def _tell(name: str, useless: Mapping[str, str]) -> None:
    told = {column: reason for column, reason in useless.items() if reason != "not wanted"}
    if not told:
        return
    naming = [column for column, reason in told.items() if reason not in ("constant", "all missing")]
    keep = f"; to keep one, say what it is: --set data.kinds.{naming[0]}=number (or text)" if naming else ""
    logger.warning("%s: left out: %s%s", name, _said(told), keep)
