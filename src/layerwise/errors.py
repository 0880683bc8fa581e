"""The errors a user can cause, each with its cure.

A message says what was found, where, and what was expected; the hint says what to do. The command prints the two
as an ``error:`` and a ``hint:`` line; in Python they are the exception's text.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LayerwiseError(Exception):
    """Anything that layerwise refuses or cannot finish.

    Parameters
    ----------
    message : str
        What was found, where, and what was expected.
    hint : str, optional
        What cures it.

    Examples
    --------
    >>> print(DataError("labels.h5 has 10 rows, the inputs have 12", "give one label per row"))
    labels.h5 has 10 rows, the inputs have 12
    hint: give one label per row
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class DataError(LayerwiseError, ValueError):
    """Rows, labels or files that cannot be used."""


class PlanError(LayerwiseError, ValueError):
    """Settings that are unknown, out of range or contradict each other."""


class NetworkError(LayerwiseError, ValueError):
    """A network that cannot be cut into layers or trained."""


class RunError(LayerwiseError, RuntimeError):
    """A run folder or checkpoint that cannot be written, read or continued."""


class DivergenceError(LayerwiseError, ArithmeticError):
    """Training produced a loss that is not finite."""


def install(packages: Iterable[str], extra: str) -> str:
    """Return the hint that cures missing packages, all of them of one extra.

    Examples
    --------
    >>> install(["pyarrow"], "tables")
    "install it: pip install pyarrow (in a checkout: pip install -c constraints.txt '.[tables]')"
    """
    names = list(packages)
    line = f"pip install {' '.join(names)} (in a checkout: pip install -c constraints.txt '.[{extra}]')"
    return f"install {'it' if len(names) == 1 else 'them'}: {line}"


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the valid name nearest to a misspelt one, or None when none is near.

    Examples
    --------
    >>> nearest("epoch", ["epochs", "batch_size"])
    'epochs'
    """
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return found[0] if found else None
