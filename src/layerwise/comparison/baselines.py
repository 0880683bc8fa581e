"""Simple models beside the arms: a gain is worth little where logistic regression beats both.

They see the rows an arm sees: tuned once per budget on the same validation rows, then fitted on the whole
budget of each seed. Tuning is a function of its own that is never handed a test row.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor

from ..errors import PlanError, nearest

# From the more to the less regularised: of equals the first is chosen.
GRIDS: dict[str, tuple[dict[str, float], ...]] = {
    "logistic regression": tuple({"C": c} for c in (0.01, 0.1, 1.0)),
    "gradient boosting": tuple({"learning_rate": rate} for rate in (0.1, 0.2)),
}
BASELINES = tuple(GRIDS)

UPDATES = 500  # of L-BFGS; a fit still moving then is as good as converged for predicting, and says so
ROUNDS = 60  # of boosting; bounds the time, the learning rate is tuned to it
COLUMNS_TRIED = 80  # per split
WIDE = 256  # columns; beyond, coarse bins: of 784 columns they save half of the time and cost no accuracy
# Below, threads mostly wait for each other: boosting 1,000 rows took 3 s on one, 23 s on two shared cores.
MANY_ROWS = 20_000


@dataclass(frozen=True)
class BaselineRun:
    """Predicted codes of the test rows, the settings, rows for `tuning.json`, and the seconds it all took."""

    predictions: np.ndarray
    settings: dict[str, float]
    tuning: list[dict[str, object]]
    seconds: float


class Baseline:
    """A fitted baseline: drops the columns that were constant in training, scales if need be, predicts codes.

    Parameters
    ----------
    name : str
        One of `BASELINES`.
    settings : dict
        One entry of the baseline's grid.
    seed : int
        Of the boosting's choice of columns.

    Raises
    ------
    PlanError
        When the name is none of `BASELINES`.

    Examples
    --------
    >>> model = Baseline("logistic regression", {"C": 1.0}, seed=0).fit([[0.0, 5.0], [1.0, 5.0]], [0, 1])
    >>> model.predict([[0.1, 5.0], [0.9, 5.0]]).tolist()
    [0, 1]
    """

    def __init__(self, name: str, settings: dict[str, float], seed: int) -> None:
        check_baselines([name])
        self.name, self.settings, self.seed = name, settings, seed
        self.converged = True
        self.mean: np.ndarray = np.zeros(1, np.float32)
        self.std: np.ndarray = np.ones(1, np.float32)

    def fit(self, inputs: ArrayLike | Tensor, codes: ArrayLike | Tensor) -> Baseline:
        """Fit to rows of shape (rows, ...), flattened, and their class codes."""
        rows, targets = flat_rows(inputs), np.asarray(codes)
        varies = np.ptp(rows, axis=0) > 0
        self.columns = varies if varies.any() else np.ones_like(varies)
        rows = rows[:, self.columns]
        with _threads(len(rows)):
            if self.name == "logistic regression":
                self._fit_logistic(rows, targets)
            else:
                self.model = _boosting(rows.shape, self.settings, self.seed % 2**32).fit(rows, targets)
        return self

    def predict(self, inputs: ArrayLike | Tensor) -> np.ndarray:
        """Return the predicted class code of every row, shape (rows,)."""
        rows = flat_rows(inputs)[:, self.columns]
        with _threads(len(rows)):
            return np.asarray(self.model.predict((rows - self.mean) / self.std))

    def _fit_logistic(self, rows: np.ndarray, targets: np.ndarray) -> None:
        self.mean, std = rows.mean(axis=0), rows.std(axis=0)
        # Columns in [0, 1], such as pixels, share one factor: own ones would inflate those that hardly vary.
        alike = rows.min() >= 0 and rows.max() <= 1
        std = np.sqrt(np.mean(std**2, keepdims=True)) if alike else std
        self.std = np.where(std > 0, std, np.float32(1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # kept as `converged` instead
            model = LogisticRegression(C=self.settings["C"], max_iter=UPDATES)
            self.model = model.fit((rows - self.mean) / self.std, targets)
        self.converged = bool(np.max(model.n_iter_) < UPDATES)


def check_baselines(names: Sequence[str]) -> None:
    """Raise PlanError when a name is none of `BASELINES`, naming all that are not."""
    wrong = [name for name in names if name not in GRIDS]
    if wrong:
        near = [found for name in wrong if (found := nearest(name, BASELINES))]
        hint = f"did you mean {', '.join(near)}? " if near else ""
        raise PlanError(
            f"unknown baselines: {', '.join(map(repr, wrong))}",
            f"{hint}the baselines are {', '.join(BASELINES)}",
        )


def tune_baseline(
    name: str,
    inputs: ArrayLike | Tensor,
    codes: ArrayLike | Tensor,
    folds: Sequence[tuple[Tensor, Tensor]],
    seed: int,
) -> tuple[dict[str, float], list[dict[str, object]]]:
    """Choose a baseline's settings by its error on the validation rows of a label budget.

    Parameters
    ----------
    inputs, codes : array, shapes (budget, ...) and (budget,)
        The budget's rows and their classes, and no other row.
    folds : sequence of (training, validation)
        Positions within the budget, from `validation_folds`.
    seed : int
        Of the fits.

    Returns
    -------
    settings : dict
        The entry of the grid with the smallest error; of equals the first.
    rows : list of dict
        One row for `tuning.json` per entry.
    """
    check_baselines([name])
    features, targets = flat_rows(inputs), np.asarray(codes)
    rows: list[dict[str, object]] = []
    wrongs = []
    for settings in GRIDS[name]:
        began, wrong, converged = time.perf_counter(), 0, True
        for training, held_out in ((np.asarray(t), np.asarray(v)) for t, v in folds):
            model = Baseline(name, settings, seed).fit(features[training], targets[training])
            wrong += int((model.predict(features[held_out]) != targets[held_out]).sum())
            converged &= model.converged
        validated = sum(len(held_out) for _, held_out in folds)
        wrongs.append(wrong)
        rows.append(
            {"labels": len(targets), "arm": name, "settings": settings, "folds": len(folds)}
            | {"rows_trained": len(folds[0][0]), "rows_validated": validated, "converged": converged}
            | {"validation_error": 100 * wrong / validated, "chosen": False}
            | {"seconds": time.perf_counter() - began}
        )
    chosen = int(np.argmin(wrongs))
    rows[chosen]["chosen"] = True
    return dict(GRIDS[name][chosen]), rows


def run_baseline(
    name: str,
    inputs: ArrayLike | Tensor,
    codes: ArrayLike | Tensor,
    folds: Sequence[tuple[Tensor, Tensor]],
    test_inputs: ArrayLike | Tensor,
    seed: int,
    settings: dict[str, float] | None = None,
) -> BaselineRun:
    """Tune a baseline unless its settings are given, fit it on the whole budget and predict the test rows.

    Parameters
    ----------
    name, inputs, codes, folds, seed
        As of `tune_baseline`; the folds are not looked at when settings are given.
    test_inputs : array, shape (test rows, ...)
        Rows to predict; they reach no choice.
    settings : dict, optional
        What an earlier seed of the same budget chose.

    Examples
    --------
    >>> x = np.array([[0.0], [0.1], [0.2], [0.8], [0.9], [1.0]])
    >>> fold = (np.array([0, 1, 4, 5]), np.array([2, 3]))
    >>> found = run_baseline("logistic regression", x, [0, 0, 0, 1, 1, 1], [fold], [[0.05], [0.95]], seed=0)
    >>> found.predictions.tolist(), len(found.tuning)
    ([0, 1], 3)
    """
    began = time.perf_counter()
    tuning: list[dict[str, object]] = []
    if settings is None:
        settings, tuning = tune_baseline(name, inputs, codes, folds, seed)
    predictions = Baseline(name, settings, seed).fit(inputs, codes).predict(test_inputs)
    return BaselineRun(predictions, dict(settings), tuning, time.perf_counter() - began)


def flat_rows(inputs: ArrayLike | Tensor) -> np.ndarray:
    """Return rows of any shape as a float32 matrix, shape (rows, columns)."""
    rows = np.asarray(inputs, dtype=np.float32)
    return rows.reshape(len(rows), -1)


def _threads(rows: int) -> Any:
    return threadpool_limits(1 if rows < MANY_ROWS else None)


def _boosting(shape: tuple[int, ...], settings: dict[str, float], seed: int) -> Any:
    rows, columns = shape
    return HistGradientBoostingClassifier(
        learning_rate=settings["learning_rate"],
        max_iter=ROUNDS,
        max_leaf_nodes=15,
        min_samples_leaf=20 if rows >= 500 else 5,  # 20 of 30 rows would leave nothing to split
        max_features=min(1.0, COLUMNS_TRIED / columns),
        max_bins=16 if columns > WIDE else 255,
        early_stopping=False,
        random_state=seed,
    )
