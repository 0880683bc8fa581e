"""The loss of a batch as a function of a network's parameters, in float64: its gradients, and its slopes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batches import Batch
from ..errors import NetworkError, PlanError
from ..nn.products import add_product
from ..objectives.objective import HasFactors
from ..randomness import Randomness
from .example import Loss, drawn_from, loss_of, rows_for, scalar_loss

# In float64 the best distance for central differences is near the cube root of the precision, 6e-6. The second is for
# where the loss bends sharply.
DISTANCES = (1e-5, 1e-6)
Slopes = list[tuple[float, float]]  # left and right of the point, for each distance


class Subject:
    """A copy in float64 of what is checked, with its loss as a function of its parameters."""

    def __init__(self, network: nn.Module, batch: Any, targets: Any, loss: Loss, randomness: Randomness) -> None:
        self.randomness = randomness
        try:
            self.network = copy.deepcopy(network).double()
        except Exception as error:  # whatever a module's own __deepcopy__ raises
            raise NetworkError(
                f"the network, a {type(network).__name__}, cannot be copied to float64: {error}",
                "check a module within it, or build it anew without tensors that hang on a computation",
            ) from error
        self.parameters = {name: p for name, p in self.network.named_parameters() if p.requires_grad and p.numel()}
        if not self.parameters:
            raise NetworkError(
                "the network has no parameter that requires a gradient", "set requires_grad of those to check"
            )
        self.device = next(iter(self.parameters.values())).device
        self.buffers = [(buffer, buffer.clone()) for buffer in self.network.buffers()]
        self.batch: Batch | None = None
        if isinstance(batch, Batch):
            self.batch = Batch(*(None if part is None else self._double(part) for part in batch))  # type: ignore[arg-type]
            if not callable(getattr(self.network, "loss", None)):
                raise PlanError(
                    f"the batch is a Batch, which is for learners, and a {type(network).__name__} has no loss",
                    "give the rows as batch and the labels as targets",
                )
            return
        self.rows = rows_for(self.network, batch)
        wanted = None if targets is None else self._double(torch.as_tensor(targets))
        self.name, self.of_outputs = loss_of(wanted, loss)
        if targets is None and loss == "auto":
            self.of_outputs = self._weighted

    def _double(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, torch.float64 if tensor.is_floating_point() else tensor.dtype)

    def _weighted(self, outputs: Any) -> Tensor:
        generator = self.randomness.generator("weights")

        def times(tensor: Any) -> Any:
            if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
                return tensor
            return tensor * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype).to(tensor.device)

        return loss_of(None, "auto")[1](torch.utils._pytree.tree_map(times, outputs))

    def loss(self) -> Tensor:
        """Return the loss at the parameters as they are, with the same draws each time."""
        seed = self.randomness.seed("noise")
        with torch.no_grad():
            for buffer, found in self.buffers:
                buffer.copy_(found)
        with drawn_from(seed, self.device), torch.enable_grad():
            try:
                if self.batch is not None:
                    made: Tensor = self.network.loss(self.batch, self._generator())  # type: ignore[operator]
                    return made
                outputs = self.network(self.rows)
            except Exception as error:  # whatever the user's forward raises
                raise NetworkError(
                    f"the network cannot be run on the batch in float64: {error}",
                    "give a few rows in the shape that the network takes, and leave out casts to other types",
                ) from error
            return scalar_loss(self.of_outputs, outputs, self.name)

    def _generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(self.randomness.seed("noise"))

    def value(self) -> float:
        """Return the loss as a number."""
        return float(self.loss().detach())

    def sources(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Yield each way to the gradients, by name, with the gradients by the parameters' names."""
        loss, parameters = self.loss(), list(self.parameters.values())
        if loss.requires_grad:
            found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        else:
            found = tuple(torch.zeros_like(parameter) for parameter in parameters)
        yield "autograd", dict(zip(self.parameters, found, strict=True))
        learner, batch = self.network, self.batch
        if batch is None or not isinstance(learner, HasFactors) or not learner.factored(batch.inputs.shape[1:]):
            return
        for buffer, value in self.buffers:
            buffer.copy_(value)
        with drawn_from(self.randomness.seed("noise"), self.device), torch.no_grad():
            factors = learner.factors(batch, self._generator())
        gradients = {}
        for name, parameter in self.parameters.items():
            gradients[name] = torch.zeros_like(parameter)
            for left, right in factors.products.get(parameter, []):
                add_product(gradients[name], *_dense(left, right), alpha=factors.scale)
        yield "factors", gradients

    @torch.no_grad()
    def slopes(self, parameter: Tensor, way: Tensor, here: float) -> Slopes:
        """Return the slopes of the loss on both sides along a direction, for each distance."""
        before = parameter.clone()
        found = []
        for distance in DISTANCES:
            ends = []
            for sign in (-1.0, 1.0):
                parameter.copy_(before + sign * distance * way)
                ends.append(self.value())
            found.append(((here - ends[0]) / distance, (ends[1] - here) / distance))
        parameter.copy_(before)
        return found


def _dense(left: Tensor, right: Tensor | None) -> tuple[Tensor, Tensor | None]:
    strided = torch.strided
    return (
        left if left.layout is strided else left.to_dense(),
        right if right is None or right.layout is strided else right.to_dense(),
    )
