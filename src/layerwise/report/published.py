"""The curves that Mocha.jl's tutorial on stacked denoising auto-encoders published, read off its pictures."""

from __future__ import annotations

from typing import NamedTuple

from .summary import Arm


class Point(NamedTuple):
    """One place on the published curves: test accuracy (a fraction) and training loss of both arms."""

    update: int
    pretrained_accuracy: float
    random_accuracy: float
    pretrained_loss: float
    random_loss: float

    def value(self, arm: Arm, quantity: str) -> float:
        """Return ``accuracy`` (in percent) or ``loss`` of an arm."""
        if quantity == "accuracy":
            return 100 * (self.pretrained_accuracy if arm == "pretrained" else self.random_accuracy)
        return self.pretrained_loss if arm == "pretrained" else self.random_loss


# The losses are means over 5,000 updates to either side; the last ones are too small to be read off.
PUBLISHED = (
    Point(5_000, 0.292, 0.096, 1.90, 2.27),
    Point(10_000, 0.599, 0.261, 1.27, 2.04),
    Point(20_000, 0.911, 0.487, 0.35, 1.38),
    Point(30_000, 0.946, 0.624, 0.15, 1.14),
    Point(50_000, 0.967, 0.761, 0.05, 0.71),
    Point(100_000, 0.974, 0.963, 0.009, 0.05),
    Point(600_000, 0.9752, 0.9697, 0.0, 0.0),
)
