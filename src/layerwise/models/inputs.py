"""What rows a model takes: how many elements each, and how they become what its network is fed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..data.source import Source, open_source
from ..errors import DataError
from ..settings import Positive, Table

PIXEL = 255.0


class Inputs(Table):
    """The rows that a network was trained on, as far as new rows have to be like them.

    Parameters
    ----------
    shape : tuple of int or None
        Of one row as the network is fed it; rows of other shapes with as many elements are reshaped. None: not known.
    divisor : float or None
        Every value is divided by it.
    pixels : bool
        Whether it was chosen because the rows were 8-bit pixels: fractions are then refused, as scaled already.

    Examples
    --------
    >>> Inputs(shape=(4,), divisor=2.0).open(np.ones((3, 2, 2))).read(0, 1)
    array([[0.5, 0.5, 0.5, 0.5]], dtype=float32)
    """

    shape: tuple[int, ...] | None = None
    divisor: Positive | None = None
    pixels: bool = False

    @classmethod
    def of(cls, source: Source, scale: float | str, shape: tuple[int, ...]) -> Inputs:
        """Return what rows like these are; ``scale`` "auto" divides 8-bit pixels by 255, a number all."""
        if isinstance(scale, str):
            pixels = scale == "auto" and source.dtype == np.uint8
            return cls(shape=shape, divisor=PIXEL if pixels else None, pixels=pixels)
        return cls(shape=shape, divisor=float(scale))

    def open(self, rows: Any) -> Source:
        """Open rows as the network is fed them, dense and in float32; they are read in blocks.

        Raises
        ------
        DataError
            When they cannot be opened, or are not like those that the model was trained on.
        """
        return TakenSource(open_source(rows), self)


class TakenSource:
    """The rows of a source as a network is fed them.

    Parameters
    ----------
    source : Source
        The rows.
    inputs : Inputs
        What the network takes.

    Raises
    ------
    DataError
        When the rows are not like those.
    """

    sparse = False
    dtype = np.dtype(np.float32)

    def __init__(self, source: Source, inputs: Inputs) -> None:
        self.source, self.name, self.divisor = source, source.name, inputs.divisor
        self.piece = getattr(source, "piece", 1)
        item = tuple(source.shape[1:])
        wanted = item if inputs.shape is None else inputs.shape
        if math.prod(item) != math.prod(wanted):
            raise DataError(
                f"{source.name} has {_features(item)} a row, the model takes {_features(wanted)}",
                "give rows with the same columns as those it was trained on",
            )
        if inputs.pixels and source.dtype.kind not in "bui":
            raise DataError(
                f"{source.name} holds {source.dtype}, but the model was trained on 8-bit pixels, which it divides by "
                f"{PIXEL:g} itself",
                "give whole numbers from 0 to 255, in any integer type: rows.astype('uint8')",
            )
        self.shape: tuple[int, ...] = (source.shape[0], *wanted)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from `start` up to, not including, `stop`."""
        raw = self.source.read(start, stop)
        if self.source.sparse:
            raw = raw.toarray()
        with np.errstate(over="ignore"):  # a value that overflows is reported with its place
            rows = np.array(raw, self.dtype, order="C")
        if self.divisor is not None:
            rows /= np.float32(self.divisor)
        return rows.reshape(stop - start, *self.shape[1:])


def _features(item: tuple[int, ...]) -> str:
    return f"{' x '.join(map(str, item))} features"
