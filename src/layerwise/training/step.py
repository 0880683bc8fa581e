"""The step: one update of a learner from one batch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..plan import TrainingPlan, optimizer_class


class Step(Protocol):
    """What the loop needs to make updates."""

    def __call__(self, batch: Batch, generator: Generator) -> Tensor:
        """Make one update; return the loss before it, detached."""

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the updates to come."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what the step remembers between updates."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved state."""


class AutogradStep:
    """Updates by autograd and an optimiser of ``torch.optim``.

    L2 regularisation is on weights only; biases have ``bias_rate`` times the learning rate.

    Parameters
    ----------
    learner : nn.Module
        A `Learner`; its parameters that require gradients are trained.
    plan : TrainingPlan
        Names the optimiser and its settings.
    """

    def __init__(self, learner: nn.Module, plan: TrainingPlan) -> None:
        self.learner = learner
        trained = [(name, p) for name, p in learner.named_parameters() if p.requires_grad]
        self._names = [name for name, _ in trained]
        weights = [p for _, p in trained if p.ndim > 1]
        biases = [p for _, p in trained if p.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": plan.l2, "factor": 1.0},
            {"params": biases, "weight_decay": 0.0, "factor": plan.bias_rate},
        ]
        kind = optimizer_class(plan.optimizer)
        takes_momentum = "momentum" in inspect.signature(kind).parameters
        options: dict[str, Any] = {"momentum": plan.momentum} if takes_momentum else {}
        self.optimizer = kind([group for group in groups if group["params"]], **options)
        self._parameters = dict(trained)

    def __call__(self, batch: Batch, generator: Generator) -> Tensor:
        """Make one update; return the loss before it, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        loss: Tensor = self.learner.loss(batch, generator)  # type: ignore[operator]
        loss.backward()
        self.optimizer.step()
        self.learner.after_update()  # type: ignore[operator]
        return loss.detach()

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the updates to come."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]

    def state_dict(self) -> dict[str, Tensor]:
        """Return the optimiser's memory, as ``parameter/name`` tensors."""
        return {
            f"{name}/{key}": torch.as_tensor(value)
            for name, parameter in self._parameters.items()
            for key, value in self.optimizer.state.get(parameter, {}).items()
            if value is not None
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved state."""
        for path, value in state.items():
            name, key = path.rsplit("/", 1)
            parameter = self._parameters[name]
            # counters stay where the optimiser made them; moments live with their parameter
            place = value.to(parameter.device) if value.shape == parameter.shape else value
            self.optimizer.state[parameter][key] = place.clone()
