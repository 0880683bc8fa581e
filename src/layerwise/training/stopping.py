"""Early stopping with patience; the best parameters are kept."""

from __future__ import annotations

import math

from ..settings import EarlyStopping


class Patience:
    """Decide after each validation whether it is the best and whether to go on.

    Parameters
    ----------
    rule : EarlyStopping
        Its parameters.
    per_epoch : int
        Updates in an epoch.

    Examples
    --------
    >>> patience = Patience(EarlyStopping(patience=20), per_epoch=10)
    >>> [patience.seen(update, result) for update, result in [(10, 5.0), (20, 4.0)]]
    [True, True]
    >>> patience.limit, patience.exhausted(30), patience.exhausted(40)
    (40, False, True)
    """

    def __init__(self, rule: EarlyStopping, per_epoch: int) -> None:
        self.rule = rule
        self.limit = rule.patience if rule.patience is not None else 10 * per_epoch
        self.validate_every = max(1, min(per_epoch, self.limit // 2))
        self.best = math.inf
        self.best_update = 0

    def seen(self, update: int, result: float) -> bool:
        """Take a validation result; return whether it is the best so far."""
        if not result < self.best:  # so written, nan is no improvement
            return False
        if result < self.rule.improvement * self.best:
            self.limit = max(self.limit, math.ceil(self.rule.growth * update), update + (self.rule.wait or 0))
        self.best, self.best_update = result, update
        return True

    def exhausted(self, update: int) -> bool:
        """Return whether training ends at this update."""
        return update >= self.limit
