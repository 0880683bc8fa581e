"""The encoder: layers pre-trained without labels, as a transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted
from torch import nn

from ..errors import DataError
from ..randomness import Randomness, as_seed
from ..stack import Stack
from .outputs import computed, decoded
from .rows import checked_rows, training_rows
from .settings import DEFAULTS, OBJECTIVE, settings_of
from .training import copied, start


class LayerwiseEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn rows into the codes of layers that were pre-trained one after the other, without labels.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
        Units of each layer; the last is the width of the codes.
    objective : str, Objective, sequence of them, or None
        How each layer is pre-trained, as in `layerwise.pretrain`, by one that needs no labels; None: not at all, which
        leaves random features.
    activation : {"sigmoid", "tanh", "relu", "identity"}
        Of the layers.
    batch_norm : bool
        Batch normalisation before each activation.
    pretrain_epochs : int
        For each layer.
    pretrain_learning_rate : "auto", float or sequence of float
        As in `layerwise.pretrain`.
    batch_size : "auto" or int
        Rows of an update. "auto": a twentieth of the rows, at least 10 and at most 100.
    warm_start : bool
        Whether `fit` goes on from the weights of the last one.
    precision : {"bfloat16"} or None
        Of the matrix products of an update.
    device : str or torch.device
        "auto": the GPU when there is one. Transforming falls back to the CPU.
    random_state : int, NumPy generator or None
        The same number gives the same bits on one class of machine.
    verbose : int
        1 prints a line per epoch.

    Attributes
    ----------
    module_ : torch.nn.Sequential
        The layers, on the CPU, in evaluation mode.
    stack_ : Stack or None
        The layers with their decoders; they share the network's modules. None where nothing was pre-trained.
    history_ : dict
        "pretrain": one `Stage` per layer.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Raises
    ------
    PlanError, NetworkError, DataError, DivergenceError
        Each says what was found, where, and what cures it. All but the last are a ``ValueError`` too.

    References
    ----------
    Vincent et al. (2010), Stacked denoising autoencoders.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data[:500] / 16
    >>> encoder = LayerwiseEncoder((30, 10), pretrain_epochs=3, random_state=0).fit(X)
    >>> encoder.transform(X).shape, encoder.inverse_transform(encoder.transform(X)).shape
    ((500, 10), (500, 64))
    """

    module_: nn.Sequential
    stack_: Stack | None
    _calls: int

    def __init__(
        self,
        hidden_layer_sizes: Any = DEFAULTS.hidden_layer_sizes,
        *,
        objective: Any = OBJECTIVE,
        activation: str = DEFAULTS.activation,
        batch_norm: bool = DEFAULTS.batch_norm,
        pretrain_epochs: int = DEFAULTS.pretrain_epochs,
        pretrain_learning_rate: Any = DEFAULTS.pretrain_learning_rate,
        batch_size: Any = DEFAULTS.batch_size,
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
        self.pretrain_epochs = pretrain_epochs
        self.pretrain_learning_rate = pretrain_learning_rate
        self.batch_size = batch_size
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

    def fit(self, X: Any, y: Any = None) -> LayerwiseEncoder:
        """Pre-train the layers on the rows of X (rows, features), an array or a sparse matrix; y is not used."""
        first = not (self.warm_start and hasattr(self, "module_"))
        settings = settings_of(self)
        rows, _ = training_rows(self, X, reset=first)
        calls = 0 if first else self._calls
        randomness = Randomness(as_seed(self.random_state), "encoder", calls)
        network = None if first else nn.Sequential(*copied(self.module_, None)[0], nn.Linear(self._n_features_out, 1))
        started = start(self, settings, rows, None, 1, randomness, network)
        self.module_, self.stack_ = started.network[:-1].eval(), started.stack  # what stays of the head is its place
        self.history_ = {"pretrain": started.stages}
        self._calls = calls + 1
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes of the last layer: (rows, units)."""
        check_is_fitted(self)
        return computed(self.module_, checked_rows(self, X), self.device)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return the rows (rows, features) that the decoders make of codes (rows, units).

        Raises
        ------
        NetworkError
            When there is no way back: the objective has no decoder, or nothing was pre-trained.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=[np.float64, np.float32])
        if codes.shape[1] != self._n_features_out:
            raise DataError(
                f"X has {codes.shape[1]} columns, the codes have {self._n_features_out}", "give what transform returned"
            )
        return decoded(self.stack_, codes, self.device)

    @property
    def _n_features_out(self) -> int:
        return int([module for module in self.module_ if isinstance(module, nn.Linear)][-1].out_features)
