"""One run: what a network gave at its checkpoints, as it is kept on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..errors import RunError
from .matched_loss import LossCurve


@dataclass(frozen=True)
class Run:
    """One run: an arm of a seed, at its checkpoints.

    Attributes
    ----------
    arm : str
        Its name.
    seed : int
        Its number.
    updates, epochs : array, shape (T,)
        Where the checkpoints are.
    training_loss, test_loss : array, shape (T,)
        Mean cross-entropy of all labelled rows and of all test rows.
    test_error : array, shape (T,)
        In percent.
    outputs : array, shape (T, watched, classes)
        Probabilities of the watched test rows.
    """

    arm: str
    seed: int
    updates: np.ndarray
    epochs: np.ndarray
    training_loss: np.ndarray
    test_loss: np.ndarray
    test_error: np.ndarray
    outputs: np.ndarray

    @property
    def curve(self) -> LossCurve:
        """The test loss beside the training loss."""
        return LossCurve(self.training_loss, self.test_loss)


def read_runs(run_dir: str | Path) -> list[Run]:
    """Read the finished runs of a run folder, by seed, then by name of the arm.

    Raises
    ------
    RunError
        When there are none, or a file is damaged.
    """
    files = sorted(Path(run_dir).glob("seed-*/*.npz"))
    if not files:
        raise RunError(f"there are no finished runs in {run_dir}", "give the folder that many_runs wrote to")
    return [read_run(file) for file in files]


def read_run(file: Path) -> Run:
    """Read one run's file, ``seed-000/ARM.npz``."""
    try:
        with np.load(file) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        return Run(arm=file.stem, seed=int(file.parent.name.removeprefix("seed-")), **found)
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        raise RunError(f"{file} cannot be read: {error}", "delete this file, and resume the run") from error
