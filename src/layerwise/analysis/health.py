"""Health over time: gradients, Jacobians, saturation, dead units and movement of each layer while a network trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import DataError
from ..nn.cutting import cut
from ..nn.layers import LEARNED
from ..nn.modes import evaluation
from ..training.loop import Progress
from .batch_norm import batch_statistics
from .gradients import loss_and_gradient_norms
from .jacobian import jacobians, singular_values
from .units import activity_of

NETWORK = "network"  # the name under which a record is of the whole, from rows to outputs
_VALUES: dict[str, Callable[[Tensor], Tensor]] = {
    "largest": lambda values: values[:, 0],
    "median": lambda values: values.median(1).values,
    "smallest": lambda values: values[:, -1],
}
_EMPTY = dict.fromkeys(("loss", "gradient_norm", "weight_norm", "moved", "update_ratio", "saturated", "dead", *_VALUES))


class LayerHealth:
    r"""A callback that measures each layer at every record of a fit, on rows of its own; it leaves the fit as it is.

    Parameters
    ----------
    network : nn.Module
        The network that is trained.
    inputs : Tensor, shape (rows, ...)
        Some hundred rows as the network takes them.
    targets : Tensor of int64, shape (rows,), optional
        Class of each; without them there are no gradients and no loss.
    jacobian_rows : int
        The first rows, at which singular values are taken; 0 leaves them out.
    layers, activation
        As in `layerwise.pretrain`, for networks that cannot be cut by themselves.

    Attributes
    ----------
    records : list of dict
        For each record of the fit one dict a dense or convolutional module, the output head included, with

        - ``fit``, ``update``: of the record; ``layer``: the module's name
        - ``gradient_norm``: :math:`\lVert \partial \ell / \partial W \rVert_F` of the cross-entropy on the rows
        - ``weight_norm``: :math:`\lVert W \rVert_F`; ``moved``: :math:`\lVert W_t - W_0 \rVert_F / \lVert W_0 \rVert_F`
          since the fit's first record
        - ``update_ratio``: :math:`\lVert W_t - W_s \rVert_F / ((t - s) \lVert W_s \rVert_F)` since the record before,
          at update s; with ``summary_every=1`` that of one update, with more the net movement
        - ``saturated``, ``dead``: as `activity` says
        - ``largest``, ``median``, ``smallest``: singular values of the layer's Jacobian, each averaged over the rows

        and one whose ``layer`` is "network", with ``loss`` and the singular values from the rows to the outputs. What a
        module doesn't have is None.

    Notes
    -----
    Dropout is off, and batch normalisation uses the rows' own statistics, as in training; the running ones stay as they
    are. Nothing is drawn, and no gradient is left with a parameter: weights after training are the same, bit for bit,
    with and without the callback. What it costs is said in the documentation; most of it are the decompositions.

    Examples
    --------
    >>> import layerwise as lw
    >>> network = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 2))
    >>> inputs = torch.rand(100, 4)
    >>> targets = (inputs[:, 0] > 0.5).long()
    >>> watch = lw.analysis.LayerHealth(network, inputs[:50], targets[:50])
    >>> _ = lw.finetune(network, inputs, targets, epochs=2, callbacks=[watch], random_state=0)
    >>> [(record["update"], record["layer"]) for record in watch.records][:4]
    [(0, '0'), (0, '2'), (0, 'network'), (2, '0')]
    """

    def __init__(
        self,
        network: nn.Module,
        inputs: Tensor,
        targets: Tensor | None = None,
        *,
        jacobian_rows: int = 4,
        layers: Literal["auto"] | Sequence[str] = "auto",
        activation: str = "auto",
    ) -> None:
        if len(inputs) < 2 or (targets is not None and len(targets) != len(inputs)):
            raise DataError(
                f"LayerHealth was given {len(inputs)} rows and {0 if targets is None else len(targets)} targets",
                "give two or more rows, and a target for each of them or none",
            )
        self.network, self.inputs, self.targets, self.jacobian_rows = network, inputs, targets, jacobian_rows
        self.layers = cut(network, layers, activation)
        self.weights = {name: module.weight for name, module in network.named_modules() if isinstance(module, LEARNED)}
        self.records: list[dict[str, Any]] = []
        self._fit, self._update = "", 0
        self._first: dict[str, Tensor] = {}
        self._last: dict[str, Tensor] = {}

    def __call__(self, progress: Progress) -> None:
        """Measure, where the fit has just written a record."""
        if progress.record is None:
            return
        self.records += self.measure(progress.fit, progress.update)

    def measure(self, fit: str, update: int) -> list[dict[str, Any]]:
        """Return the records of the network as it now is."""
        weight = next(self.network.parameters())
        inputs = self.inputs.to(weight.device, weight.dtype)
        measured: dict[str, dict[str, Any]] = {name: {} for name in (*self.weights, NETWORK)}
        if self.targets is not None:
            loss, norms = loss_and_gradient_norms(self.network, inputs, self.targets)
            measured[NETWORK]["loss"] = loss
            for name, norm in norms.items():
                measured[name]["gradient_norm"] = norm
        with batch_statistics(self.network, inputs):
            for found in activity_of(self.layers, inputs):
                measured[found.layer] |= {"saturated": found.saturated, "dead": found.dead}
            if self.jacobian_rows:
                self._add_singular_values(measured, inputs[: self.jacobian_rows])
        for name, movement in self._movements(fit, update).items():
            measured[name] |= movement
        return [{"fit": fit, "update": update, "layer": name, **_EMPTY, **own} for name, own in measured.items()]

    def _add_singular_values(self, measured: dict[str, dict[str, Any]], rows: Tensor) -> None:
        found = singular_values(self.layers, rows)
        with evaluation(self.network):
            found[NETWORK] = torch.linalg.svdvals(jacobians(self.network, rows))
        for name, values in found.items():
            measured[name] |= {key: float(take(values).mean()) for key, take in _VALUES.items()}

    def _movements(self, fit: str, update: int) -> dict[str, dict[str, float | None]]:
        """Return how far each weight moved since the fit's first record, and since the one before."""
        now = {name: weight.detach().clone() for name, weight in self.weights.items()}
        if fit != self._fit or update <= self._update:
            self._fit, self._first, self._last = fit, now, {}
        moved = {}
        for name, weight in now.items():
            last, norm = self._last.get(name), float(weight.norm())
            ratio = None if last is None else _ratio(weight, last) / (update - self._update)
            moved[name] = {
                "weight_norm": norm, "moved": _ratio(weight, self._first[name]), "update_ratio": ratio
            }  # fmt: skip
        self._last, self._update = now, update
        return moved


def _ratio(weight: Tensor, before: Tensor) -> float:
    length = float(before.norm())
    return float((weight - before).norm()) / length if length else math.inf
