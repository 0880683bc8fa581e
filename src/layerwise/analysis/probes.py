"""Linear probes: how well a linear classifier reads the classes off each layer's codes (Alain & Bengio 2017)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor

from ..errors import DataError
from ..nn.layers import Layer
from .codes import Model, codes_by_layer, layers_of

BLOCK = 250  # rows whose codes are held at once: a convolution's are wide
UPDATES = 300  # of L-BFGS; that regularised, it has converged long before on most codes


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier on the codes of a layer; called with rows, it returns the class of each.

    Attributes
    ----------
    name : str
        Of the layer, "inputs" of the rows themselves.
    layers : sequence of Layer
        From the input up to the probed one; they aren't trained by it.
    model : LogisticRegression
        On codes less ``mean``, divided by ``scale``.
    mean, scale : array of shape (units,), float
        Of the training rows' codes: each unit's mean, and the root of the mean variance, one for all units.
    """

    name: str
    layers: Sequence[Layer]
    model: Any
    mean: np.ndarray
    scale: float

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the class of each row (rows, ...)."""
        found = [self.predict_codes(_codes(self.layers, block)) for block in inputs.split(BLOCK)]
        return torch.from_numpy(np.concatenate(found))

    def predict_codes(self, codes: np.ndarray) -> np.ndarray:
        """Return the class of each code (rows, units)."""
        return np.asarray(self.model.predict((codes - self.mean) / self.scale))

    def error(self, inputs: Tensor, targets: Tensor) -> float:
        """Return the error in percent on rows and their classes."""
        return 100 * float((self(inputs) != targets.cpu()).double().mean())


def linear_probes(
    model: Model, inputs: Tensor, targets: Tensor, *, C: float = 0.1, inputs_too: bool = True
) -> list[LinearProbe]:
    r"""Fit a linear classifier on the rows themselves and on the codes of each layer, without training the layers.

    .. math:: \min_{V, b}\; \tfrac12 \lVert V \rVert^2 + C \sum_n -\log \mathrm{softmax}(V \hat h_n + b)_{y_n},
        \qquad \hat h = (h - \bar h) / s

    with :math:`s^2` the mean of the units' variances over the training rows, so that C means the same at every layer.

    Parameters
    ----------
    model : Stack, nn.Module or sequence of Layer
        Codes are made in evaluation mode.
    inputs, targets : Tensor, shapes (rows, ...) and (rows,)
        Labelled rows to fit on, and their classes; measure on others (`LinearProbe.error`).
    C : float
        Of scikit-learn's ``LogisticRegression``: the smaller, the more regularised.
    inputs_too : bool
        Whether the first probe is on the rows themselves.

    Returns
    -------
    list of LinearProbe
        One on the rows, then one for each layer.

    References
    ----------
    Alain & Bengio (2017), Understanding intermediate layers using linear classifier probes.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> inputs = torch.tensor([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0], [0.9, 0.1]])
    >>> probes = linear_probes(network, inputs, torch.tensor([0, 0, 1, 1]), C=10.0)
    >>> [(probe.name, probe.error(inputs, torch.tensor([0, 0, 1, 1]))) for probe in probes]
    [('inputs', 0.0), ('0', 0.0)]
    """
    if len(inputs) != len(targets) or len(targets.unique()) < 2:
        raise DataError(
            f"a probe was given {len(inputs)} rows and {len(targets)} targets of {len(targets.unique())} classes",
            "give one target for each row, of two classes or more",
        )
    layers = layers_of(model)
    codes = [("inputs", inputs), *((layer.name, handed) for layer, _, handed in codes_by_layer(layers, inputs))]
    classes = targets.cpu().numpy()
    return [
        _fitted(name, layers[:depth], handed.flatten(1).cpu().numpy(), classes, C)
        for depth, (name, handed) in enumerate(codes)
        if depth or inputs_too
    ]


def _fitted(name: str, layers: Sequence[Layer], codes: np.ndarray, classes: np.ndarray, strength: float) -> LinearProbe:
    mean, scale = codes.mean(0), float(np.sqrt(codes.var(0).mean())) or 1.0
    # one thread: with more the sums' order, and so the last bits, would depend on the machine
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit still moving by then predicts as a converged one
        model = LogisticRegression(C=strength, max_iter=UPDATES).fit((codes - mean) / scale, classes)
    return LinearProbe(name, layers, model, mean, scale)


def _codes(layers: Sequence[Layer], rows: Tensor) -> np.ndarray:
    handed = rows
    for _, _, codes in codes_by_layer(layers, rows):
        handed = codes
    return np.asarray(handed.flatten(1).cpu().numpy())
