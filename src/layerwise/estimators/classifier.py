"""The classifier: a network pre-trained on all rows and fine-tuned on those that have a label."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ..data.targets import UNLABELLED
from ..errors import DataError
from ..nn.initialization import initialize_output_bias
from ..stack import Stack
from .labels import (
    check_as_many,
    classes_of,
    codes_of,
    labels_of,
    warn_of_lone,
    warn_of_none_unlabelled,
)
from .outputs import computed, reconstructed
from .rows import checked_rows, training_rows
from .settings import DEFAULTS, OBJECTIVE, settings_of
from .training import train
from .weights import weights_of


class LayerwiseClassifier(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classify with a network that was pre-trained layer by layer, without labels, on all rows.

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
        That part; it is taken of each class.
    n_iter_no_change : int
        Epochs without a better validation error after which fine-tuning stops.
    class_weight : "balanced", dict or None
        What the rows of each class count in fine-tuning, by label.
    unlabeled : object
        Mark of a row without a label, besides NaN and None; None: there is no further mark.
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
    classes_ : ndarray
        The labels, sorted.
    module_ : torch.nn.Sequential
        The network, on the CPU, in evaluation mode.
    stack_ : Stack or None
        The pre-trained layers with their decoders; they share the network's modules. None in the random arm.
    history_ : dict
        "pretrain": one `Stage` per layer; "finetune": one record per epoch, as in `FinetuneResult.history`.
    loss_curve_ : list of float
        Training loss of each epoch of fine-tuning.
    n_iter_ : int
        Epochs of fine-tuning.
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
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> X, labels = X[:900] / 16, y[:900].copy()
    >>> labels[200:] = -1
    >>> classifier = LayerwiseClassifier((40,), pretrain_epochs=3, epochs=20, random_state=0).fit(X, labels)
    >>> bool(classifier.score(X[200:], y[200:900]) > 0.8)
    True
    """

    module_: nn.Sequential
    stack_: Stack | None
    classes_: np.ndarray

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
        class_weight: Any = None,
        unlabeled: Any = -1,
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
        self.class_weight = class_weight
        self.unlabeled = unlabeled
        self.warm_start = warm_start
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: Any, *, X_unlabeled: Any = None, sample_weight: Any = None) -> LayerwiseClassifier:
        """Pre-train on all rows, then fine-tune on those that have a label.

        Parameters
        ----------
        X : array or sparse matrix, shape (rows, features)
            Computed in float32.
        y : array-like, shape (rows,)
            Labels of any type; NaN, None and ``unlabeled`` are none.
        X_unlabeled : array or sparse matrix, shape (more rows, features), optional
            Further rows without a label. docs/estimators.md says what pipelines and cross-validation do with them.
        sample_weight : array-like, shape (rows,), optional
            What each row counts in fine-tuning; pre-training counts all alike.

        Returns
        -------
        LayerwiseClassifier
            This one.
        """
        first = not (self.warm_start and hasattr(self, "module_"))
        return self._train(X, y, X_unlabeled, sample_weight, first)

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, *, X_unlabeled: Any = None, sample_weight: Any = None
    ) -> LayerwiseClassifier:
        """Fine-tune for one epoch; the first call also pre-trains, on its rows.

        ``classes`` are those of all calls; the first needs them. The rest is as in `fit`.
        """
        first = not hasattr(self, "module_")
        if first and classes is None:
            raise DataError(
                "classes is None in the first call to partial_fit, which cannot know those of later calls",
                "give all of them: partial_fit(X, y, classes=...)",
            )
        return self._train(X, y, X_unlabeled, sample_weight, first, classes, epochs=1)

    def _train(
        self, X: Any, y: Any, X_unlabeled: Any, sample_weight: Any, first: bool, classes: Any = None, **more: Any
    ) -> LayerwiseClassifier:
        settings = settings_of(self)
        rows, count = training_rows(self, X, X_unlabeled, reset=first)
        labels, labelled = labels_of(type(self).__name__, y, self.unlabeled)
        check_as_many(rows[:count], labelled)
        known = self.classes_ if not first else classes_of(labels, labelled, self.unlabeled, classes)
        codes = np.full(rows.shape[0], UNLABELLED)
        codes[:count] = codes_of(labels, labelled, known)
        weights = weights_of(sample_weight, count, codes, self.class_weight, known)
        if first:
            warn_of_lone(codes, known)
            if settings.objective is not None:
                warn_of_none_unlabelled(rows.shape[0] - len(labels))
        train(self, settings, rows, codes, weights, first, len(known), begin=_begin, classes=range(len(known)), **more)
        self.classes_ = known
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest label of each row of X: (rows,)."""
        codes = self._outputs(X).argmax(1)
        found: np.ndarray = self.classes_[codes]
        return found

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, in the order of ``classes_``: (rows, classes)."""
        found: np.ndarray = softmax(self._outputs(X), axis=1)
        return found

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on those rows of X that have a label, as cross-validation over all rows needs it."""
        check_is_fitted(self)
        labels, labelled = labels_of(type(self).__name__, y, self.unlabeled)
        predicted = self.predict(X)
        check_as_many(predicted, labelled)
        weights = None if sample_weight is None else np.asarray(sample_weight)[labelled]
        return float(accuracy_score(labels, predicted[labelled], sample_weight=weights))

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

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return computed(self.module_, checked_rows(self, X), self.device)

    @property
    def _n_features_out(self) -> int:
        return int(self.module_[-1].in_features)


def _begin(head: nn.Linear, codes: np.ndarray) -> None:
    initialize_output_bias(head, torch.from_numpy(codes[codes >= 0]))
