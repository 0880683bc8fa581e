"""Why pre-training works: what many runs of both arms say.

`many_runs` fine-tunes the same network from pre-trained and from random weights, seed by seed, and keeps what each run
gave at checkpoints. From those: trajectories in function space (`embed`, `regions`), the spread over seeds (`spread`),
the test loss at equal training loss (`equal_loss`), and which layers it matters to pre-train (`partly_pretrained`).
(Erhan et al. 2010, Why does unsupervised pre-training help deep learning?)
"""

from __future__ import annotations

from .embedding import embed
from .equal_loss import EqualLoss, LossCurve, at_training_loss, equal_loss
from .intervals import Interval, mean_interval
from .many_runs import ManyRuns, Start, many_runs
from .partial import partly_pretrained
from .recording import Recording, function_points, record, spaced
from .regions import Regions, regions
from .results import depth_results, equal_loss_results, layer_results, trajectory_results, write_page
from .run import Run, read_runs
from .spread import Spread, SpreadTest, equal_spreads, spread

__all__ = [
    "EqualLoss",
    "Interval",
    "LossCurve",
    "ManyRuns",
    "Recording",
    "Regions",
    "Run",
    "Spread",
    "SpreadTest",
    "Start",
    "at_training_loss",
    "depth_results",
    "embed",
    "equal_loss",
    "equal_loss_results",
    "equal_spreads",
    "function_points",
    "layer_results",
    "many_runs",
    "mean_interval",
    "partly_pretrained",
    "read_runs",
    "record",
    "regions",
    "spaced",
    "spread",
    "trajectory_results",
    "write_page",
]
