"""The step: one update of a learner from one batch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..nn.layers import LEARNED
from ..nn.products import mixed_precision
from ..plan import TrainingPlan, optimizer_class, takes_momentum


class Step(Protocol):
    """What the loop needs to make updates."""

    def __call__(self, batch: Batch, generator: Generator) -> Tensor:
        """Make one update; return the loss before it, detached."""

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the updates to come."""

    def set_momentum(self, momentum: float) -> None:
        """Set the momentum of the updates to come."""

    def settle(self) -> None:
        """Bring the parameters to the values that they stand for, before they are read."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what the step remembers between updates."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved state."""


class AutogradStep:
    r"""Updates by autograd and an optimiser of ``torch.optim``.

    .. math::
        g = \min\!\Big(1, \frac{c}{\lVert \nabla \ell \rVert}\Big) \nabla \ell
            + \lambda_1 \operatorname{sign}(W) + \lambda_2 W, \qquad
        W_j \leftarrow W_j \min\!\Big(1, \frac{m}{\lVert W_j \rVert}\Big) \text{ after the update}

    with c ``clip_norm`` (the norm is over all parameters together), :math:`\lambda_1` ``l1``, :math:`\lambda_2` ``l2``,
    and m ``max_norm`` (:math:`W_j` are the weights into unit j of a dense or convolutional module). Weights alone have
    the terms of l1 and l2. Biases have ``bias_rate`` times the learning rate. With ``fan_in_scaling`` a neuron's
    weights and its bias have :math:`1/\sqrt{\text{fan-in}}` times theirs; parameters of no neuron (batch
    normalisation's) keep it.

    Parameters
    ----------
    learner : nn.Module
        A `Learner`; its parameters that require gradients are trained.
    plan : TrainingPlan
        Names the optimiser and its settings.

    References
    ----------
    Collobert et al. (2011), Natural language processing (almost) from scratch, JMLR 12 (rates by fan-in). Srivastava
    et al. (2014), Dropout, JMLR 15 (the constraint on norms).
    """

    def __init__(self, learner: nn.Module, plan: TrainingPlan) -> None:
        self.learner, self.plan = learner, plan
        self._parameters = {name: p for name, p in learner.named_parameters() if p.requires_grad}
        trained = list(self._parameters.values())
        self._weights = [p for p in trained if p.ndim > 1]
        self._constrained = [m.weight for m in learner.modules() if isinstance(m, LEARNED) and m.weight.requires_grad]
        fan_in = fan_ins(learner) if plan.fan_in_scaling else {}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for parameter in sorted(trained, key=lambda p: p.ndim <= 1):
            decay, factor = (plan.l2, 1.0) if parameter.ndim > 1 else (0.0, plan.bias_rate)
            factor /= fan_in.get(parameter, 1) ** 0.5
            groups.setdefault((decay, factor), []).append(parameter)
        kind = optimizer_class(plan.optimizer)
        options: dict[str, Any] = {"momentum": plan.momentum} if takes_momentum(kind) else {}
        self.optimizer = kind(
            [{"params": p, "weight_decay": decay, "factor": factor} for (decay, factor), p in groups.items()], **options
        )

    def __call__(self, batch: Batch, generator: Generator) -> Tensor:
        """Make one update; return the loss before it, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        with mixed_precision(batch.inputs.device):
            loss: Tensor = self.learner.loss(batch, generator)  # type: ignore[operator]
        loss.backward()
        self._finish()
        return loss.detach()

    def _finish(self) -> None:
        """Change the weights by the gradients that stand with the parameters."""
        with torch.no_grad():
            self._change_gradients()
        self.optimizer.step()
        self._project()

    def _project(self) -> None:
        with torch.no_grad():
            self._constrain()
        self.learner.after_update()  # type: ignore[operator]

    def _change_gradients(self) -> None:
        if self.plan.clip_norm is not None:
            gradients = [p.grad for p in self._parameters.values() if p.grad is not None]
            shrink = (self.plan.clip_norm / torch.nn.utils.get_total_norm(gradients)).clamp(max=1.0)
            for gradient in gradients:
                gradient.mul_(shrink)
        if self.plan.l1:
            for weight in self._weights:
                if weight.grad is not None:
                    weight.grad.add_(weight.sign(), alpha=self.plan.l1)

    def _constrain(self) -> None:
        if self.plan.max_norm is not None:
            for weight in self._constrained:
                norms = weight.flatten(1).norm(dim=1).clamp(min=self.plan.max_norm)
                weight.mul_((self.plan.max_norm / norms).reshape(-1, *[1] * (weight.ndim - 1)))

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the updates to come."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]

    def set_momentum(self, momentum: float) -> None:
        """Set the momentum of the updates to come; an optimiser without one is left as it is."""
        for group in self.optimizer.param_groups:
            if "momentum" in group:
                # at exactly 0 torch keeps no velocity, and one that is needed later is missing or out of date
                group["momentum"] = max(momentum, sys.float_info.min)

    def settle(self) -> None:
        """Nothing to do: every update leaves the parameters as they are meant."""

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


def fan_ins(learner: nn.Module) -> dict[nn.Parameter, int]:
    """Return the number of inputs of a neuron, for the weights and the bias of each neuron of a learner.

    A visible neuron's inputs are the codes that a decoder feeds it; tied weights are the hidden neurons'.

    Examples
    --------
    >>> sorted(fan_ins(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(100, 10))).values())
    [75, 75, 100, 100]
    """
    return {parameter: count for parameter, count in _fan_ins(learner)}


def _fan_ins(learner: nn.Module) -> Iterator[tuple[nn.Parameter, int]]:
    decoder = getattr(learner, "decoder", None)
    if decoder is not None:
        module: Any = learner.layer.module  # type: ignore[union-attr]
        codes = module.weight.numel() // (module.weight.shape[1] * getattr(module, "groups", 1))
        yield from ((parameter, codes) for parameter in decoder.parameters())
    for module in learner.modules():
        if isinstance(module, LEARNED):
            yield from ((p, module.weight[0].numel()) for p in module.parameters(recurse=False))
