"""How a table may be prepared, by the names that plans and options use; scikit-learn is not imported for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ImputeName = Literal["auto", "median", "mean", "most_frequent", "zero", "none"]
EncodeName = Literal["auto", "onehot", "ordinal"]
ScaleName = Literal["auto", "standard", "range", "quantile", "none"]


@dataclass(frozen=True)
class Choices:
    """How columns are prepared, nothing of it "auto" any more.

    Attributes
    ----------
    impute, encode : str
        What stands where a number is missing; what text becomes.
    scale : str or float
        What numbers are brought to; a number divides them.
    """

    impute: str
    encode: str
    scale: str | float


def choose(impute: str, encode: str, scale: str | float, *, table: bool, pixels: bool, unit: bool) -> Choices:
    """Say what "auto" is: of tables, whose columns have units of their own, and of arrays, which stay as they are.

    Parameters
    ----------
    impute, encode, scale
        What was asked for.
    table, pixels, unit : bool
        Whether the rows are a table's; 8-bit pixels; numbers in [0, 1] all, which need no scale.

    Examples
    --------
    >>> choose("auto", "auto", "auto", table=True, pixels=False, unit=False)
    Choices(impute='median', encode='onehot', scale='standard')
    >>> choose("auto", "auto", "auto", table=False, pixels=True, unit=False)
    Choices(impute='none', encode='onehot', scale=255.0)
    """
    if impute == "auto":
        impute = "median" if table else "none"
    if scale == "auto":
        scale = ("none" if unit else "standard") if table else 255.0 if pixels else "none"
    return Choices(impute, "onehot" if encode == "auto" else encode, scale)
