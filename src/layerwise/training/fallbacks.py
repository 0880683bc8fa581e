"""Start a fit again with a lower learning rate where an automatic one turns out too high."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import nn

from ..data.batches import Batches
from ..errors import DivergenceError
from ..plan import TrainingPlan
from .loop import Fitted, Fitting, fit

logger = logging.getLogger("layerwise")
RETRIES = 3  # an automatic learning rate that diverges is quartered this often
WORSE = 1.5  # training that ends this many times above its first loss diverged; the noise of masks stays far below


def fallbacks(rate: float) -> list[float]:
    """Return an automatic rate and the lower ones to try after it.

    The curvature is measured where training starts, on one batch: it can grow, and a row that lies far out may come
    later.

    Examples
    --------
    >>> fallbacks(0.64)
    [0.64, 0.16, 0.04, 0.01]
    """
    return [rate / 4**attempt for attempt in range(RETRIES + 1)]


def fit_with_fallbacks(
    learner: nn.Module, batches: Batches, plan: TrainingPlan, rates: Sequence[float], fitting: Fitting
) -> tuple[Fitted, float]:
    """Train a learner with the first rate; where that goes astray, start again from the same weights with the next.

    Parameters
    ----------
    learner, batches, plan, fitting
        As in `layerwise.training.loop.fit`.
    rates : sequence of float
        Falling. The last one's result is kept as it is.

    Returns
    -------
    (Fitted, float)
        How the fit ended, and the rate it was made with.

    Raises
    ------
    DivergenceError
        When the last rate gives a loss that is not finite.
    """
    start = {name: value.clone() for name, value in learner.state_dict().items()}
    first = _begun_with(rates, fitting)
    for rate, lower in zip(rates[first:], rates[first + 1 :], strict=False):
        try:
            fitted = fit(learner, batches, plan, rate, fitting)
            if not _astray(fitted):
                return fitted, rate
            reason = f"{fitting.name}: with learning rate {rate:.3g} the loss ended higher than it began"
        except DivergenceError as error:
            reason = error.message
        logger.warning("%s; starting this stage again with learning rate %.3g", reason, lower)
        learner.load_state_dict(start)
        if fitting.checkpoint:
            fitting.checkpoint.delete()
    return fit(learner, batches, plan, rates[-1], fitting), rates[-1]


def _begun_with(rates: Sequence[float], fitting: Fitting) -> int:
    """Return which rate a saved fit was running with: it may have gone over to a lower one before it was stopped."""
    records = fitting.history.of(fitting.name)
    if not (fitting.checkpoint and fitting.checkpoint.path.exists() and records):
        return 0
    return min(range(len(rates)), key=lambda number: abs(rates[number] - records[0]["learning_rate"]))


def _astray(fitted: Fitted) -> bool:
    """Say whether a fit diverged though its loss stayed finite, as where a jump has killed every ReLU."""
    losses = [record["training_loss"] for record in fitted.records]
    return bool(losses[-1] > losses[0] + (WORSE - 1) * abs(losses[0]))  # a surrogate may be negative
