"""The learning rate at an update."""

from __future__ import annotations

from ..plan import InverseTime, Linear


def rate_at(schedule: InverseTime | Linear | None, rate: float, update: int, total: int) -> float:
    r"""Return the learning rate of the next update.

    Parameters
    ----------
    schedule : InverseTime, Linear or None
        None: the rate is fixed.
    rate : float
        The initial rate :math:`\epsilon_0`.
    update : int
        Updates already made, counted from the start of this stage.
    total : int
        Updates planned.

    Examples
    --------
    >>> rate_at(InverseTime(tau=100), 0.1, 50, 1000), rate_at(InverseTime(tau=100), 0.1, 200, 1000)
    (0.1, 0.05)
    >>> rate_at(Linear(), 0.8, 250, 1000)
    0.6000000000000001
    """
    match schedule:
        case InverseTime(tau=tau):
            return rate * tau / max(update, tau)
        case Linear():
            return rate * (1 - update / total)
        case None:
            return rate
