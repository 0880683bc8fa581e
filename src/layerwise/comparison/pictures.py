"""The first layer's filters and reconstructions, kept as arrays, so that the report needs no model."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from ..errors import NetworkError
from ..nn.layers import CONVOLUTIONS
from ..plan import PretrainPlan
from ..stack import Stack
from ..training.loop import Surroundings
from ..write import write_arrays
from .rows import Rows

SHOWN_FILTERS, SHOWN_ROWS = 100, 10


def keep_pictures(plan: PretrainPlan, before: nn.Module, stack: Stack, rows: Rows, around: Surroundings) -> None:
    """Write ``arrays.npz`` into the run folder: filters before and after pre-training, and some reconstructions."""
    assert around.folder is not None
    layer = stack.layers[0]
    modules = {"filters": layer.module, "filters_random": before.get_submodule(layer.name)}
    found = {name: _filters(module, rows.width) for name, module in modules.items()}
    arrays = {name: filters for name, filters in found.items() if filters is not None}
    arrays |= _reconstructions(plan, stack, rows, around)
    write_arrays(around.folder.path / "arrays.npz", arrays)


def _reconstructions(plan: PretrainPlan, stack: Stack, rows: Rows, around: Surroundings) -> dict[str, np.ndarray]:
    """Return some test rows, the same with noise, and what the first layer makes of those, all flat."""
    objective = plan.objective
    first = objective[0] if isinstance(objective, tuple) else objective
    corruption = getattr(first, "corruption", None)
    clean = rows.test_inputs[:SHOWN_ROWS]
    noisy = corruption(clean, around.randomness.generator("pictures")) if corruption else clean
    try:
        output = stack.reconstruct(noisy, 1)
    except NetworkError:  # there is no way back: no decoder, pooling, captured inputs
        return {}
    shown = {"input": clean, "noisy": noisy, "output": output}
    return {f"reconstruction_{name}": part.flatten(1).cpu().numpy() for name, part in shown.items()}


def _filters(module: nn.Module, width: int) -> np.ndarray | None:
    """Return the first filters: a dense module's (units, features) on whole rows, or a convolution's of one channel."""
    weight: Tensor = module.weight[:SHOWN_FILTERS].detach().cpu()  # type: ignore[index]
    if isinstance(module, CONVOLUTIONS):
        return weight[:, 0].numpy() if weight.ndim == 4 and weight.shape[1] == 1 else None
    return weight.numpy() if weight.shape[1] == width else None
