"""What settings are made of: tables, bounded numbers, schedules, ranges to search, the rule of early stopping."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Precision = Literal["bfloat16"]
Fraction = Annotated[float, Field(gt=0.0, le=1.0)]


class Table(BaseModel):
    """One table of a recipe: frozen, and unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(Table):
    r"""Multiplied by a factor every so many updates: :math:`v_t = v_0\, f^{\lfloor t / n \rfloor}`.

    Parameters
    ----------
    every : int
        n, in updates.
    factor : float
        f. Above 1 the value rises, and needs an ``end``.
    end : float or None
        The value goes no further than this.

    References
    ----------
    Mocha.jl's policy "step", and with an ``end`` its momentum policy of that name.

    Examples
    --------
    >>> Step(every=1000, factor=0.5).end is None
    True
    """

    every: Count
    factor: Positive
    end: NotNegative | None = None
    kind: Literal["step"] = "step"

    @model_validator(mode="after")
    def _rising_ends(self) -> Step:
        if self.factor > 1.0 and self.end is None:
            raise ValueError("a factor above 1 needs an end, the most that the value rises to")
        return self


class Exponential(Table):
    r"""Multiplied by a factor at each update: :math:`v_t = v_0\, f^t`.

    Examples
    --------
    >>> Exponential(factor=0.9999).kind
    'exponential'
    """

    factor: Fraction
    kind: Literal["exponential"] = "exponential"


class Inverse(Table):
    r"""Falling as a power of the number of updates: :math:`v_t = v_0 (1 + \gamma t)^{-p}`.

    Parameters
    ----------
    gamma : float
        :math:`\gamma`, above 0, per update.
    power : float
        p, above 0.

    Examples
    --------
    >>> Inverse(gamma=0.001).power
    1.0
    """

    gamma: Positive
    power: Positive = 1.0
    kind: Literal["inverse"] = "inverse"


class Staged(Table):
    """Another fixed value from each of these updates on; before the first, the value that training is given.

    Parameters
    ----------
    stages : sequence of (int, float)
        Pairs (from_update, value), in the order of their updates.

    Examples
    --------
    >>> Staged(stages=[(1000, 0.05), (5000, 0.01)]).stages
    ((1000, 0.05), (5000, 0.01))
    """

    stages: Annotated[tuple[tuple[Count, NotNegative], ...], Field(min_length=1)]
    kind: Literal["staged"] = "staged"

    @field_validator("stages")
    @classmethod
    def _in_order(cls, stages: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
        updates = [update for update, _ in stages]
        if any(later <= earlier for earlier, later in pairwise(updates)):
            raise ValueError("should have each stage begin after the one before it")
        return stages


class InverseTime(Table):
    r"""Fixed for tau updates, then falling as 1/t: :math:`v_t = v_0 \tau / \max(t, \tau)`.

    References
    ----------
    Bengio (2012), Practical recommendations for gradient-based training of deep architectures.

    Examples
    --------
    >>> InverseTime(tau=1000).tau
    1000
    """

    tau: Count
    kind: Literal["inverse-time"] = "inverse-time"


class Linear(Table):
    r"""In a straight line to an end after T updates, and fixed from then on.

    .. math:: v_t = v_0 (1 - s) + v_{\text{end}}\, s, \qquad s = \min(t / T, 1)

    Parameters
    ----------
    end : float
        :math:`v_{\text{end}}`; a momentum rises to it.
    updates : int or None
        T; None: all updates that are planned.

    Examples
    --------
    >>> Linear(end=0.9, updates=1000).updates
    1000
    """

    end: NotNegative = 0.0
    updates: Count | None = None
    kind: Literal["linear"] = "linear"


class OnValidation(Table):
    """Multiplied by a factor whenever the validation result stops improving; needs rows to validate on.

    Parameters
    ----------
    factor : float
        Above 0 and below 1.
    patience : int
        Validations in a row that bring no better result than the best so far, before each fall.
    end : float
        The value falls no further than this.

    References
    ----------
    Mocha.jl's policy "decay on validation".

    Examples
    --------
    >>> OnValidation(factor=0.5, patience=3).end
    0.0
    """

    factor: Annotated[float, Field(gt=0.0, lt=1.0)]
    patience: Count = 1
    end: NotNegative = 0.0
    kind: Literal["on-validation"] = "on-validation"


Schedule = Annotated[
    Step | Exponential | Inverse | Staged | InverseTime | Linear | OnValidation, Field(discriminator="kind")
]


class Range(Table):
    """Where a search looks for a number: between two others, evenly, or evenly in its logarithm.

    Parameters
    ----------
    low, high : float
        Both may be reached.
    log : bool
        Whether equal ratios are equally likely, as is right for rates and strengths; ``low`` is then above 0.

    References
    ----------
    Bergstra and Bengio (2012), Random search for hyper-parameter optimization.

    Examples
    --------
    >>> Range(low=0.001, high=1.0, log=True).log
    True
    """

    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    log: bool = False

    @model_validator(mode="after")
    def _runs_upwards(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} should be below high {self.high:g}")
        if self.log and self.low <= 0.0:
            raise ValueError(f"low {self.low:g} has no logarithm")
        return self


class EarlyStopping(Table):
    """Stop when the validation result has not improved enough for long enough; the best parameters are returned.

    Training starts with ``patience`` updates (None: 10 epochs). A validation result below ``improvement`` times the
    best sets the patience to at least ``growth`` times the present update, and with ``wait`` to at least that many
    updates from now: with ``improvement`` and ``growth`` at 1, it stops when so many brought nothing better.

    References
    ----------
    The Theano deep-learning tutorials' patience rule; Bengio (2012), section 3.1.3.

    Examples
    --------
    >>> EarlyStopping(patience=5000).improvement
    0.995
    """

    patience: Count | None = None
    improvement: Annotated[float, Field(gt=0.0, le=1.0)] = 0.995
    growth: Annotated[float, Field(ge=1.0)] = 2.0
    wait: Count | None = None
