"""One seed, and from it one named generator per purpose.

Every stochastic part is handed its own generator, named by what it is for. Adding a draw in one place therefore never
shifts the numbers of another, and nothing reads or changes the global state of torch or NumPy.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np
import torch

from .errors import PlanError


class Randomness:
    """A seed and a path of names; each further name leads to an independent stream.

    Parameters
    ----------
    seed : int
        The user's ``random_state``.
    *path : str or int
        Names that lead from the seed to this point.

    Examples
    --------
    >>> root = Randomness(0)
    >>> root.seed("weights") == Randomness(0).seed("weights")
    True
    >>> root.seed("weights") == root.seed("order")
    False
    """

    def __init__(self, seed: int, *path: str | int) -> None:
        self.root = seed
        self.path = path

    def child(self, *names: str | int) -> Randomness:
        """Return the randomness of one purpose within this one."""
        return Randomness(self.root, *self.path, *names)

    def seed(self, *names: str | int) -> int:
        """Return the 63-bit seed of a purpose: a stable hash of the root seed and all names."""
        text = repr((self.root, *self.path, *names)).encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1

    def generator(self, *names: str | int) -> torch.Generator:
        """Return a fresh torch generator (CPU) for a purpose."""
        return torch.Generator().manual_seed(self.seed(*names))

    def numpy(self, *names: str | int) -> np.random.Generator:
        """Return a fresh NumPy generator for a purpose."""
        return np.random.default_rng(self.seed(*names))


def as_seed(random_state: int | np.random.RandomState | np.random.Generator | None) -> int:
    """Turn scikit-learn's ``random_state`` into a seed; None draws a new one.

    Raises
    ------
    PlanError
        When ``random_state`` is none of these, or a negative number.
    """
    if random_state is None:
        return secrets.randbits(31)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool) and random_state >= 0:
        return int(random_state)
    raise PlanError(
        f"random_state is {random_state!r}, expected a whole number of 0 or more, a NumPy generator or None",
        "give a number, for example random_state=0",
    )
