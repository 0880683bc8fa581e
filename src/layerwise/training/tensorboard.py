"""Histories as TensorBoard shows them: a callback that writes every record as it is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import PlanError, install
from .loop import Progress

PLACES = ("update", "epoch", "seconds")  # where a record is; the rest is what it says


class TensorBoard:
    """A callback that writes records of any training as TensorBoard's event files.

    Each fit is a run of its own in TensorBoard, in the folder of its name: ``pretrain/1``, ``finetune``, or
    ``seed-0/labels-100/random``. Records are on disk as soon as they are made.

    Parameters
    ----------
    log_dir : str or Path
        What ``tensorboard --logdir`` is given.

    Raises
    ------
    PlanError
        When tensorboard is not installed; the hint has the line that installs it.

    Examples
    --------
    >>> import tempfile, torch, layerwise as lw
    >>> folder = tempfile.mkdtemp()
    >>> network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Sigmoid(), torch.nn.Linear(3, 2))
    >>> _ = lw.pretrain(network, torch.rand(20, 4), epochs=1, random_state=0, callbacks=[TensorBoard(folder)])
    >>> [file.parent.name for file in Path(folder).rglob("events.*")]
    ['1']
    """

    def __init__(self, log_dir: str | Path) -> None:
        self.log_dir = Path(log_dir)
        self._fit: str | None = None
        self._writer: Any = None
        _summary_writer()  # refuse before anything is trained, not at the first record

    def __call__(self, progress: Progress) -> None:
        """Write a record, where there is one: each of its statistics at its update."""
        if progress.record is None:
            return
        if progress.fit != self._fit:
            self.close()
            self._fit, self._writer = progress.fit, _summary_writer()(str(self.log_dir / progress.fit))
        for word, value in progress.record.items():
            if word not in PLACES and value is not None:
                self._writer.add_scalar(word, value, progress.update)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file of the fit that was written last; it is whole before this, too."""
        if self._writer is not None:
            self._writer.close()
        self._fit = self._writer = None


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise PlanError(
            "TensorBoard's files are written by tensorboard, which is not installed",
            install(["tensorboard"], "tensorboard"),
        ) from error
    return SummaryWriter
