"""Anomalies: rows that are strange to a stack, by a number whose size means something."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..data.source import load_rows, open_source
from ..errors import DataError, PlanError, nearest
from ..randomness import Randomness, as_seed
from ..stack import Stack
from .nonconformity import AnyNonconformity, Nonconformity

BY_NAME: dict[str, type[Nonconformity]] = {kind.kind: kind for kind in get_args(get_args(AnyNonconformity)[0])}


def conformal(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Return the p-value of each score, higher being more normal, from the ascending scores of n calibration rows.

    Examples
    --------
    >>> conformal(np.array([-1.0, 2.5, 9.0]), np.array([1.0, 2.0, 3.0])).tolist()
    [0.25, 0.75, 1.0]
    """
    as_strange = np.searchsorted(calibration, scores, side="right")
    p_values: np.ndarray = (1 + as_strange) / (1 + len(calibration))
    return p_values


class AnomalyDetector(BaseEstimator):  # type: ignore[misc]
    r"""Say how strange rows are to a stack, calibrated on rows that it was not trained on.

    A measure of nonconformity A, of `layerwise.density.nonconformity`, gives each row a number. Its unit means nothing
    by itself, so it is compared with those of n calibration rows :math:`x_1 \dots x_n`:

    .. math:: p(x) = \frac{1 + \#\{i : A(x_i) \ge A(x)\}}{n + 1}

    If x and the calibration rows are exchangeable (independent draws of one distribution, for example),
    :math:`P(p(x) \le \alpha) \le \alpha` for every :math:`\alpha`, whatever stack, measure and distribution. That is
    over draws of the calibration rows too: for one set of them the rate is random around it, with a standard deviation
    of about :math:`\sqrt{\alpha (1 - \alpha) / n}`. How many of the anomalies are found is not promised.

    Parameters
    ----------
    stack : Stack
        What `pretrain` returned, or `Stack.load`.
    method : {"neighbours", "reconstruction", "denoising", "energy", "mahalanobis"} or Nonconformity
        A. A name takes the defaults: `NeighbourDistance`, `ReconstructionError`, `DenoisingError`, `Energy`,
        `MahalanobisDistance`. docs/density.md has what each came to on MNIST.
    random_state : int, NumPy generator or None
        Of the split of the calibration rows and of the noise.

    Attributes
    ----------
    calibration_ : ndarray, shape (n,)
        What `score_samples` gives the calibration rows, ascending.
    fitted_ : object
        What the measure has learned of the reference rows.

    References
    ----------
    Vovk, Gammerman & Shafer (2005), Algorithmic learning in a random world. Bates et al. (2023), Testing for outliers
    with conformal p-values, Annals of Statistics 51.

    Examples
    --------
    >>> from torch import nn
    >>> from layerwise import pretrain
    >>> rows = torch.rand(300, 6, generator=torch.Generator().manual_seed(0)) / 2
    >>> network = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 2))
    >>> stack = pretrain(network, rows[:100], epochs=2, random_state=0).stack
    >>> detector = AnomalyDetector(stack).fit(rows[100:])
    >>> detector.predict(torch.tensor([[0.25] * 6, [9.0] * 6]), false_alarm=0.05).tolist()
    [1, -1]
    """

    def __init__(self, stack: Stack, method: str | Nonconformity = "neighbours", *, random_state: Any = 0) -> None:
        self.stack = stack
        self.method = method
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, reference: Any = None) -> AnomalyDetector:
        """Calibrate on held-out rows.

        Parameters
        ----------
        X : array, tensor, path or Source, shape (rows, ...)
            Usual rows that the stack was *not* trained on; it knows those too well, so that every new row would look
            strange beside them. Nothing can tell whether they are; this is up to you.
        y : object
            Not used.
        reference : array, tensor, path or Source, optional
            Rows that "neighbours" and "mahalanobis" learn from before they are calibrated; those that the stack was
            trained on will do. None: a random half of X, which is then no part of the calibration.

        Returns
        -------
        AnomalyDetector
            This one.

        Raises
        ------
        DataError
            When rows do not fit the stack or are not finite, or there are too few of them.
        PlanError
            When the method is unknown, or does not hold for the stack.
        """
        self.method_ = method = _method(self.method)
        randomness = Randomness(as_seed(self.random_state), "anomaly")
        self._randomness = randomness
        rows = _load(X, "X")
        learned = None if reference is None else _load(reference, "reference")
        if method.needs_reference and learned is None:
            order = torch.randperm(len(rows), generator=randomness.generator("split"))
            half = len(rows) // 2
            learned, rows = rows[order[:half]], rows[order[half:]]
        least = getattr(method, "neighbours", 1)
        if learned is not None and len(learned) < least:
            raise DataError(f"there are {len(learned)} reference rows, expected {least} or more", "give more rows")
        self.fitted_ = method.fit(self.stack, learned)
        self.calibration_ = np.sort(self._scores(rows, "calibration"))
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Return minus the nonconformity of each row of X (rows, ...): (rows,), higher is more normal.

        As with scikit-learn's detectors. A row whose measure is no number, having overflowed, gets minus infinity.
        """
        check_is_fitted(self)
        return self._scores(_load(X, "X"), "new")

    def p_values(self, X: Any) -> np.ndarray:
        """Return the share of usual rows at least as strange, (1 + those in the calibration) / (n + 1): (rows,)."""
        return conformal(self.score_samples(X), self.calibration_)

    def predict(self, X: Any, *, false_alarm: float = 0.05) -> np.ndarray:
        """Return -1 for rows that are anomalies, 1 for the others: those with a p-value at or below ``false_alarm``.

        Raises
        ------
        PlanError
            When ``false_alarm`` is not between 0 and 1, or so small that these calibration rows can raise no alarm.
        """
        check_is_fitted(self)
        n = len(self.calibration_)
        if not 0.0 < false_alarm < 1.0:
            raise PlanError(f"false_alarm is {false_alarm}, expected a rate between 0 and 1", "give 0.05, for example")
        if false_alarm * (n + 1) < 1.0:
            raise PlanError(
                f"{n} calibration rows raise no alarm at a rate below 1 in {n + 1}, found false_alarm={false_alarm}",
                f"calibrate on {int(np.ceil(1 / false_alarm)) - 1} rows or more, or allow more false alarms",
            )
        found: np.ndarray = np.where(self.p_values(X) <= false_alarm, -1, 1)
        return found

    def _scores(self, rows: Tensor, purpose: str) -> np.ndarray:
        generator = self._randomness.generator("noise", purpose)
        strange = self.method_.measure(self.stack, self.fitted_, rows, generator).double().cpu().numpy()
        scores: np.ndarray = -np.nan_to_num(strange, nan=np.inf, posinf=np.inf)
        return scores


def _method(method: str | Nonconformity) -> Nonconformity:
    if not isinstance(method, str):
        return method
    if method not in BY_NAME:
        near = nearest(method, BY_NAME)
        raise PlanError(
            f"method is {method!r}, expected one of {', '.join(BY_NAME)}",
            f"did you mean {near!r}?" if near else "give a name, or a value of layerwise.density.nonconformity",
        )
    return BY_NAME[method]()


def _load(rows: Any, name: str) -> Tensor:
    """Read rows into memory, checked to be finite."""
    found = load_rows(open_source(rows))
    if len(found) == 0:
        raise DataError(f"{name} has no rows", "give at least one row")
    return found
