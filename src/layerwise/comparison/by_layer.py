"""What pre-training did to the layers: one arm's network before and after fine-tuning, layer by layer.

The measurements are those of `layerwise.analysis`. They choose nothing, and look at no test row: probes are fitted on
the budget's labelled rows, and tested, like the errors under noise, on the rows that give the curves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..analysis.batch_norm import batch_statistics
from ..analysis.codes import codes_by_layer
from ..analysis.distance import distance_moved
from ..analysis.gradients import gradient_norms
from ..analysis.noise import errors_under_noise
from ..analysis.probes import linear_probes
from ..analysis.units import activity
from ..errors import NetworkError
from ..nn.corruption import Masking
from ..nn.cutting import cut
from ..nn.layers import Layer
from ..plan import PretrainPlan
from ..training.device import exact_float32
from .arms import Budget

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # of the masking noise
MOST_ROWS = 1000  # of the budget, which probes are fitted on: more would take minutes
GRADIENT_ROWS = 250
MOST_ELEMENTS = 50_000_000  # of the codes of all those rows: 200 MiB, which wide convolutions reach
WIDEST_PROBED = 20_000  # elements of a code; a classifier on more would take minutes


def measure_layers(
    before: nn.Module, after: nn.Module, budget: Budget, plan: PretrainPlan, probed: bool, noise_seed: int
) -> dict[str, Any]:
    """Measure an arm's network layer by layer.

    Parameters
    ----------
    before, after : nn.Module
        Where fine-tuning began and ended.
    budget : Budget
        Its labelled rows and monitor rows are used, never its test rows.
    plan : PretrainPlan
        Says how the network is cut into layers.
    probed : bool
        Whether the monitor rows are no test rows; else probes and noise are left out.
    noise_seed : int
        Of the masks, which both arms share.

    Returns
    -------
    dict
        ``layers``: one dict a module with a weight, those that were cut first (they have ``units``);
        ``inputs_probe``: the error in percent of a linear classifier on the rows themselves; ``noise_errors``: the
        network's at each of ``STRENGTHS``; ``left_out``: why something is missing; ``seconds``.
    """
    began = time.perf_counter()
    labelled = budget.inputs[:MOST_ROWS], budget.codes[:MOST_ROWS]
    tested = budget.monitor if probed else None
    gradients = gradient_norms(before, budget.inputs[:GRADIENT_ROWS], budget.codes[:GRADIENT_ROWS])
    layers: dict[str, dict[str, Any]] = {
        moved.layer: {**vars(moved), "gradient_norm": gradients.get(moved.layer)}
        for moved in distance_moved(before, after)
    }
    left_out = [] if probed else ["there are no labelled rows outside the budgets to test on"]
    inputs_probe, noise_errors = None, []
    with exact_float32():
        try:
            cuts = [cut(network, plan.layers, plan.activation) for network in (before, after)]
            layers = {layer.name: layers[layer.name] for layer in cuts[0]} | layers  # from the input up, then others
            left_out += _measure_codes(layers, before, cuts, labelled, tested)
        except NetworkError as error:
            left_out.append(f"the network cannot be cut into layers ({error.message})")
        if tested is not None:
            if labelled[0][0].numel() <= WIDEST_PROBED:
                (raw,) = linear_probes([], *labelled)
                inputs_probe = raw.error(*tested)
            noise_errors = errors_under_noise(after, *tested, [Masking(rate) for rate in STRENGTHS], noise_seed)
    return {
        "layers": list(layers.values()),
        "inputs_probe": inputs_probe,
        "noise_errors": noise_errors,
        "left_out": left_out,
        "seconds": time.perf_counter() - began,
    }


def _measure_codes(
    found: dict[str, dict[str, Any]],
    before: nn.Module,
    cuts: Sequence[Sequence[Layer]],
    labelled: tuple[Tensor, Tensor],
    tested: tuple[Tensor, Tensor] | None,
) -> list[str]:
    """Add what the layers' codes say before and after; return what was left out, since codes may be very wide."""
    widths = [(own[0].numel(), handed[0].numel()) for _, own, handed in codes_by_layer(cuts[0], labelled[0][:1])]
    rows = max(2, MOST_ELEMENTS // max(own for own, _ in widths))
    inputs, codes = labelled[0][:rows], labelled[1][:rows]
    left_out = []
    if tested is not None and max(handed for _, handed in widths) > WIDEST_PROBED:
        tested = None
        left_out = [f"codes of more than {WIDEST_PROBED:,} elements are not probed"]
    # before fine-tuning, batch normalisation may not have seen any row yet
    with batch_statistics(before, inputs):
        _add(found, "before", cuts[0], inputs, codes, tested)
    _add(found, "after", cuts[1], inputs, codes, tested)
    return left_out


def _add(
    found: dict[str, dict[str, Any]],
    when: str,
    layers: Sequence[Layer],
    inputs: Tensor,
    codes: Tensor,
    tested: tuple[Tensor, Tensor] | None,
) -> None:
    """Add what the layers' units do over rows, and the error of a linear classifier on their codes."""
    for layer, units in zip(layers, activity(layers, inputs), strict=True):
        found[layer.name] |= {"units": layer.units, f"saturated_{when}": units.saturated, f"dead_{when}": units.dead}
    if tested is not None:
        for probe in linear_probes(layers, inputs, codes, inputs_too=False):
            found[probe.name][f"probe_{when}"] = probe.error(*tested)
