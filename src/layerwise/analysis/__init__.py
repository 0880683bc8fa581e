"""Why pre-training works, measured: what happens in a network's layers, before, while and after it is trained.

Each measurement is a function of networks and rows and has a file of its own. None changes a network or draws from a
global generator. Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch_norm import batch_statistics
    from .copying import CopyTest, copy_test
    from .distance import Moved, distance_moved
    from .gradients import gradient_norms
    from .health import LayerHealth
    from .jacobian import jacobians, layer_jacobians, singular_values
    from .noise import error_percent, errors_under_noise
    from .probes import LinearProbe, linear_probes
    from .units import Activity, activity

_HOMES = {
    "units": ("Activity", "activity"),
    "batch_norm": ("batch_statistics",),
    "copying": ("CopyTest", "copy_test"),
    "distance": ("Moved", "distance_moved"),
    "gradients": ("gradient_norms",),
    "health": ("LayerHealth",),
    "jacobian": ("jacobians", "layer_jacobians", "singular_values"),
    "noise": ("error_percent", "errors_under_noise"),
    "probes": ("LinearProbe", "linear_probes"),
}
__all__ = [
    "Activity",
    "CopyTest",
    "LayerHealth",
    "LinearProbe",
    "Moved",
    "activity",
    "batch_statistics",
    "copy_test",
    "distance_moved",
    "error_percent",
    "errors_under_noise",
    "gradient_norms",
    "jacobians",
    "layer_jacobians",
    "linear_probes",
    "singular_values",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
