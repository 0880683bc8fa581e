"""The regressor: a network pre-trained on all rows and fine-tuned, by squared error, on those that have a target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ..errors import DataError
from ..stack import Stack
from .labels import check_as_many, quantities_of, warn_of_none_unlabelled
from .outputs import computed, reconstructed
from .rows import checked_rows, training_rows
from .settings import DEFAULTS, OBJECTIVE, settings_of
from .training import has_target, train
from .weights import weights_of


class LayerwiseRegressor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predict one or several quantities with a network that was pre-trained layer by layer on all rows.

    For training, targets are brought to standard units, so that the learning rate does not depend on theirs; afterwards
    the network's head is scaled back, so that ``module_`` gives them in their own.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
        Units of each hidden layer.
    objective : str, Objective, sequence of them, or None
        How each layer is pre-trained, as in `layerwise.pretrain`; None: not at all, the random arm.
    activation : {"sigmoid", "tanh", "relu", "identity"}
        Of the hidden layers.
    batch_norm : bool
        Batch normalisation before each activation.
    dropout : float
        Rate after each hidden layer, in fine-tuning.
    pretrain_epochs, epochs : int
        Of pre-training, for each layer, and of fine-tuning, at most.
    pretrain_learning_rate : "auto", float or sequence of float
        As in `layerwise.pretrain`.
    learning_rate, l2 : float
        Of fine-tuning, as in `layerwise.finetune`.
    batch_size : "auto" or int
        Rows of an update. "auto": a twentieth of the rows, at least 10 and at most 100 in pre-training, 50 in
        fine-tuning.
    early_stopping : "auto" or bool
        Hold out a part of the labelled rows, and keep the weights that were best on it. "auto": where the part is 100
        rows or more.
    validation_fraction : float
        That part.
    n_iter_no_change : int
        Epochs without a better validation loss after which fine-tuning stops.
    warm_start : bool
        Whether `fit` goes on from the weights of the last one; it then fine-tunes only.
    precision : {"bfloat16"} or None
        Of the matrix products of an update.
    device : str or torch.device
        "auto": the GPU when there is one. Predictions fall back to the CPU.
    random_state : int, NumPy generator or None
        The same number gives the same bits on one class of machine.
    verbose : int
        1 prints a line per epoch.

    Attributes
    ----------
    module_ : torch.nn.Sequential
        The network, on the CPU, in evaluation mode.
    stack_ : Stack or None
        The pre-trained layers with their decoders; they share the network's modules. None in the random arm.
    history_ : dict
        "pretrain": one `Stage` per layer; "finetune": one record per epoch, as in `FinetuneResult.history`, in standard
        units.
    loss_curve_ : list of float
        Training loss of each epoch of fine-tuning: half the squared error in standard units, summed over outputs.
    n_iter_ : int
        Epochs of fine-tuning.
    n_outputs_ : int
        Quantities.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Raises
    ------
    PlanError, NetworkError, DataError, DivergenceError
        Each says what was found, where, and what cures it. All but the last are a ``ValueError`` too.

    References
    ----------
    Bengio et al. (2007), Greedy layer-wise training of deep networks.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, scaled=True)
    >>> X, targets = 20 * X, y.copy()
    >>> targets[300:] = np.nan
    >>> regressor = LayerwiseRegressor((40,), pretrain_epochs=3, epochs=20, random_state=0).fit(X, targets)
    >>> bool(regressor.score(X[300:], y[300:]) > 0.3)
    True
    """

    module_: nn.Sequential
    stack_: Stack | None
    n_outputs_: int
    _mean: np.ndarray
    _scale: np.ndarray
    _columns: bool

    def __init__(
        self,
        hidden_layer_sizes: Any = DEFAULTS.hidden_layer_sizes,
        *,
        objective: Any = OBJECTIVE,
        activation: str = DEFAULTS.activation,
        batch_norm: bool = DEFAULTS.batch_norm,
        dropout: float = DEFAULTS.dropout,
        pretrain_epochs: int = DEFAULTS.pretrain_epochs,
        epochs: int = DEFAULTS.epochs,
        pretrain_learning_rate: Any = DEFAULTS.pretrain_learning_rate,
        learning_rate: float = DEFAULTS.learning_rate,
        l2: float = DEFAULTS.l2,
        batch_size: Any = DEFAULTS.batch_size,
        early_stopping: Any = DEFAULTS.early_stopping,
        validation_fraction: float = DEFAULTS.validation_fraction,
        n_iter_no_change: int = DEFAULTS.n_iter_no_change,
        warm_start: bool = False,
        precision: str | None = DEFAULTS.precision,
        device: Any = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.objective = objective
        self.activation = activation
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.pretrain_epochs = pretrain_epochs
        self.epochs = epochs
        self.pretrain_learning_rate = pretrain_learning_rate
        self.learning_rate = learning_rate
        self.l2 = l2
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: Any, *, X_unlabeled: Any = None, sample_weight: Any = None) -> LayerwiseRegressor:
        """Pre-train on all rows, then fine-tune on those that have a target.

        Parameters
        ----------
        X : array or sparse matrix, shape (rows, features)
            Computed in float32.
        y : array-like, shape (rows,) or (rows, outputs)
            Quantities; NaN and None are none. -1 is a number like any other.
        X_unlabeled : array or sparse matrix, shape (more rows, features), optional
            Further rows without a target. docs/estimators.md says what pipelines and cross-validation do with them.
        sample_weight : array-like, shape (rows,), optional
            What each row counts in fine-tuning; pre-training counts all alike.

        Returns
        -------
        LayerwiseRegressor
            This one.
        """
        first = not (self.warm_start and hasattr(self, "module_"))
        return self._train(X, y, X_unlabeled, sample_weight, first)

    def partial_fit(self, X: Any, y: Any, *, X_unlabeled: Any = None, sample_weight: Any = None) -> LayerwiseRegressor:
        """Fine-tune for one epoch; the first call also pre-trains, and takes the standard units, on its rows."""
        return self._train(X, y, X_unlabeled, sample_weight, not hasattr(self, "module_"), epochs=1)

    def _train(
        self, X: Any, y: Any, X_unlabeled: Any, sample_weight: Any, first: bool, **more: Any
    ) -> LayerwiseRegressor:
        settings = settings_of(self)
        rows, count = training_rows(self, X, X_unlabeled, reset=first)
        given, columns = quantities_of(type(self).__name__, y)
        check_as_many(rows[:count], given)
        targets = np.full((rows.shape[0], given.shape[1]), np.nan)
        targets[:count] = given
        known = has_target(targets)
        if first:
            mean, scale = targets[known].mean(0), targets[known].std(0)
            scale[scale == 0] = 1.0
            if settings.objective is not None:
                warn_of_none_unlabelled(int((~known).sum()))
        else:
            mean, scale = self._mean, self._scale
            if given.shape[1] != self.n_outputs_:
                raise DataError(
                    f"y has {given.shape[1]} outputs, the first call had {self.n_outputs_}", "give as many as then"
                )
        weights = weights_of(sample_weight, count, targets)
        standard = (targets - mean) / scale
        train(
            self, settings, rows, standard, weights, first, given.shape[1], loss="squared",
            begin=lambda head, _: to_units(head, mean, scale), units=partial(standard_units, mean=mean, scale=scale),
            **more,
        )  # fmt: skip
        self._mean, self._scale, self.n_outputs_ = mean, scale, given.shape[1]
        self._columns = columns
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the quantities of each row of X: (rows,) or (rows, outputs), as y was given."""
        check_is_fitted(self)
        found = computed(self.module_, checked_rows(self, X), self.device)
        return found if self._columns else found[:, 0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R^2 on those rows of X that have a target, as cross-validation over all rows needs it."""
        check_is_fitted(self)
        targets, _ = quantities_of(type(self).__name__, y)
        predicted = self.predict(X).reshape(-1, self.n_outputs_)
        check_as_many(predicted, targets)
        known = has_target(targets)
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(r2_score(targets[known], predicted[known], sample_weight=weights))

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes of the last hidden layer, as they are after fine-tuning: (rows, units)."""
        check_is_fitted(self)
        return computed(self.module_[:-1], checked_rows(self, X), self.device)

    def reconstruct(self, X: Any) -> np.ndarray:
        """Encode rows by the layers as they are now and decode them by the decoders of pre-training: (rows, features).

        Raises
        ------
        NetworkError
            When there is no way back: the objective has no decoder, or nothing was pre-trained.
        """
        check_is_fitted(self)
        return reconstructed(self.stack_, checked_rows(self, X), self.device)

    @property
    def _n_features_out(self) -> int:
        return int(self.module_[-1].in_features)


def to_units(head: nn.Linear, mean: np.ndarray, scale: np.ndarray) -> None:
    """Make a head that gives standard units give those of the targets.

    Examples
    --------
    >>> head = nn.Linear(1, 1)
    >>> with torch.no_grad(): _ = head.weight.fill_(1.0), head.bias.fill_(0.0)
    >>> to_units(head, np.array([100.0]), np.array([20.0]))
    >>> head(torch.tensor([[0.0], [1.0]])).tolist()
    [[100.0], [120.0]]
    """
    by, add = (torch.from_numpy(value).to(head.weight) for value in (scale, mean))
    with torch.no_grad():
        head.weight.mul_(by[:, None])
        head.bias.mul_(by).add_(add)


@contextmanager
def standard_units(head: nn.Linear, mean: np.ndarray, scale: np.ndarray) -> Iterator[None]:
    """Let a head give standard units inside the block."""
    to_units(head, -mean / scale, 1 / scale)
    yield
    to_units(head, mean, scale)
