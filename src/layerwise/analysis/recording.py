"""Recording what a network says of fixed rows while it is fine-tuned: one point of function space per checkpoint."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import DataError
from ..finetuning import predict_outputs
from ..training.loop import Progress


class Recording:
    """A callback of fine-tuning that keeps a network's log-probabilities of fixed rows; `record` makes one.

    Parameters
    ----------
    network : nn.Module
        The network that is fine-tuned.
    rows : Tensor, shape (R, features)
        What it is asked about; in their order, in evaluation mode, without gradients.
    wanted : collection of int or None
        The updates to record at.

    Attributes
    ----------
    updates, epochs : list
        Where the recordings were made.
    log_probabilities : list of Tensor, shape (R, classes)
        One for each, float32 on the CPU.
    """

    def __init__(self, network: nn.Module, rows: Tensor, wanted: Collection[int] | None = None) -> None:
        self.network, self.rows = network, rows
        self.wanted = None if wanted is None else frozenset(wanted)
        self.updates: list[int] = []
        self.epochs: list[float] = []
        self.log_probabilities: list[Tensor] = []

    def __call__(self, progress: Progress) -> None:
        """Record, if the loop has just written a record of a wanted update."""
        if progress.record is None or (self.wanted is not None and progress.update not in self.wanted):
            return
        self.updates.append(progress.update)
        self.epochs.append(float(progress.record["epoch"]))
        self.log_probabilities.append(predict_outputs(self.network, self.rows).float().log_softmax(1).cpu())

    def probabilities(self) -> np.ndarray:
        """Return the recorded probabilities, shape (recordings, R, classes)."""
        return torch.stack(self.log_probabilities).exp().numpy()

    def losses(self, codes: Tensor) -> np.ndarray:
        """Return the mean cross-entropy at each recording, for the rows' classes."""
        return np.array([float(nn.functional.nll_loss(said, codes)) for said in self.log_probabilities])

    def errors(self, codes: Tensor) -> np.ndarray:
        """Return the error in percent at each recording, for the rows' classes."""
        return np.array([100.0 * float((said.argmax(1) != codes).double().mean()) for said in self.log_probabilities])


def record(network: nn.Module, rows: Tensor, updates: Collection[int] | None = None) -> Recording:
    """Return a callback for `layerwise.finetune` that records what a network says of fixed rows.

    It draws nothing and changes nothing: the training ends in the same weights, bit for bit.

    Parameters
    ----------
    network : nn.Module
        The network that will be fine-tuned.
    rows : Tensor, shape (R, features)
        What it is asked about, for example test rows: they are looked at and choose nothing.
    updates : collection of int, optional
        Where to record; None: wherever the history has a record, which is once an epoch unless ``summary_every`` says
        otherwise. An update that has no record is passed over (`spaced` gives some that have).

    Returns
    -------
    Recording
        Grows while the network is trained.

    Examples
    --------
    >>> from layerwise import finetune
    >>> network, rows = nn.Sequential(nn.Linear(8, 4), nn.Sigmoid(), nn.Linear(4, 2)), torch.rand(60, 8)
    >>> recording = record(network, rows[:5])
    >>> _ = finetune(network, rows, rows[:, 0] > 0.5, epochs=3, batch_size=20, random_state=0, callbacks=[recording])
    >>> recording.updates, recording.probabilities().shape
    ([0, 3, 6, 9], (4, 5, 2))
    """
    return Recording(network, rows, updates)


def spaced(updates: int, count: int, every: int = 1) -> list[int]:
    """Return about ``count`` updates from 0 to the last, spaced logarithmically, each a multiple of ``every``.

    Examples
    --------
    >>> spaced(1000, 6)
    [0, 1, 6, 32, 178, 1000]
    >>> spaced(1000, 6, every=10)
    [0, 10, 30, 100, 320, 1000]
    """
    steps = updates / every
    places = np.unique(np.rint(np.geomspace(1, max(steps, 1), max(count - 1, 1))).astype(int)) * every
    return sorted({0, *(int(place) for place in places if place <= updates), updates})


def function_points(outputs: np.ndarray) -> np.ndarray:
    r"""Turn recorded probabilities into points whose distance is that of the functions on the rows.

    .. math:: |p - q|^2 = \frac1R \sum_r \sum_c (p_{rc} - q_{rc})^2

    so the distance lies between 0 (the same probabilities for every row) and sqrt(2) (certain of different classes for
    every row), whatever the number of rows.

    Parameters
    ----------
    outputs : array, shape (points, R, classes)
        Probabilities.

    Returns
    -------
    array, shape (points, R * classes)

    Examples
    --------
    >>> points = function_points(np.array([[[1.0, 0.0]] * 3, [[0.0, 1.0]] * 3]))
    >>> round(float(np.linalg.norm(points[0] - points[1])), 4)
    1.4142
    """
    if outputs.ndim != 3 or not outputs.size:
        raise DataError(
            f"the outputs have shape {outputs.shape}, expected (points, rows, classes)",
            "give what Recording.probabilities() returns",
        )
    points: np.ndarray = outputs.reshape(len(outputs), -1) / np.sqrt(outputs.shape[1])
    return points
