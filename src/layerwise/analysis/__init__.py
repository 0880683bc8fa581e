"""What a network does, and why pre-training works: measured, and told as data that the report draws.

* What many runs of both arms say (Erhan et al. 2010, Why does unsupervised pre-training help deep learning?):
  `many_runs` fine-tunes one network from pre-trained and from random weights, seed by seed. From it: trajectories in
  function space (`embed`, `regions`), the spread over seeds (`spread`), the test loss at equal training loss
  (`equal_loss`), and which layers it matters to pre-train (`partly_pretrained`).
* What happens in the layers before, while and after they are trained: the distance they move, what a linear probe reads
  off their codes, noise, copying, gradients, Jacobians, units (`LayerHealth` over time).
* What is computed: the graph of a network's operations (`draw_graph`), and whether its gradients are right
  (`check_gradients`).

None of it changes a network or draws from a global generator. Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch_norm import batch_statistics
    from .copying import CopyTest, copy_test
    from .distance import Moved, distance_moved
    from .embedding import embed
    from .function_space import Regions, regions
    from .gradient_check import GradientCheck, check_gradients
    from .gradients import gradient_norms
    from .graph import Graph, graph_of
    from .health import LayerHealth
    from .jacobian import jacobians, layer_jacobians, singular_values
    from .matched_loss import EqualLoss, LossCurve, at_training_loss, equal_loss
    from .noise import error_percent, errors_under_noise
    from .partial import partly_pretrained
    from .picture import draw_graph
    from .probes import LinearProbe, linear_probes
    from .recording import Recording, function_points, record, spaced
    from .repeated_runs import ManyRuns, Start, many_runs
    from .results import depth_results, equal_loss_results, layer_results, trajectory_results, write_page
    from .run import Run, read_runs
    from .spread_over_seeds import Spread, SpreadTest, equal_spreads, spread
    from .units import Activity, activity

_HOMES = {
    "batch_norm": ("batch_statistics",),
    "copying": (
        "CopyTest",
        "copy_test",
    ),
    "distance": (
        "Moved",
        "distance_moved",
    ),
    "embedding": ("embed",),
    "function_space": (
        "Regions",
        "regions",
    ),
    "gradient_check": (
        "GradientCheck",
        "check_gradients",
    ),
    "gradients": ("gradient_norms",),
    "graph": (
        "Graph",
        "graph_of",
    ),
    "health": ("LayerHealth",),
    "jacobian": (
        "jacobians",
        "layer_jacobians",
        "singular_values",
    ),
    "matched_loss": (
        "EqualLoss",
        "LossCurve",
        "at_training_loss",
        "equal_loss",
    ),
    "noise": (
        "error_percent",
        "errors_under_noise",
    ),
    "partial": ("partly_pretrained",),
    "picture": ("draw_graph",),
    "probes": (
        "LinearProbe",
        "linear_probes",
    ),
    "recording": (
        "Recording",
        "function_points",
        "record",
        "spaced",
    ),
    "repeated_runs": (
        "ManyRuns",
        "Start",
        "many_runs",
    ),
    "results": (
        "depth_results",
        "equal_loss_results",
        "layer_results",
        "trajectory_results",
        "write_page",
    ),
    "run": (
        "Run",
        "read_runs",
    ),
    "spread_over_seeds": (
        "Spread",
        "SpreadTest",
        "equal_spreads",
        "spread",
    ),
    "units": (
        "Activity",
        "activity",
    ),
}
__all__ = [
    "Activity",
    "CopyTest",
    "EqualLoss",
    "GradientCheck",
    "Graph",
    "LayerHealth",
    "LinearProbe",
    "LossCurve",
    "ManyRuns",
    "Moved",
    "Recording",
    "Regions",
    "Run",
    "Spread",
    "SpreadTest",
    "Start",
    "activity",
    "at_training_loss",
    "batch_statistics",
    "check_gradients",
    "copy_test",
    "depth_results",
    "distance_moved",
    "draw_graph",
    "embed",
    "equal_loss",
    "equal_loss_results",
    "equal_spreads",
    "error_percent",
    "errors_under_noise",
    "function_points",
    "gradient_norms",
    "graph_of",
    "jacobians",
    "layer_jacobians",
    "layer_results",
    "linear_probes",
    "many_runs",
    "partly_pretrained",
    "read_runs",
    "record",
    "regions",
    "singular_values",
    "spaced",
    "spread",
    "trajectory_results",
    "write_page",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
