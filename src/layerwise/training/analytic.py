"""Steps without autograd: updates from the factors in which learners state their gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..errors import PlanError
from ..nn.products import add_product
from ..objectives.objective import Factors, HasFactors
from ..objectives.sampled import SampledLearner
from ..plan import TrainingPlan
from .sparse_update import subtract_products
from .step import AutogradStep

LEAST_SHRUNK = 1e-3  # weights stored a thousand times as large still have float32's relative precision
Pairs = Sequence[tuple[Tensor, Tensor | None]]


class AnalyticStep(AutogradStep):
    r"""Updates from the factors in which a learner states its gradient, with the same result as `AutogradStep`.

    .. math:: W \leftarrow (1 - \epsilon \lambda_2) W - \epsilon s \sum A^\top B

    Plain descent changes the weights as the products are made: no gradient is stored and no pass of an optimiser
    follows. With momentum the velocity takes the gradient's place. What needs the gradient itself, other optimisers,
    ``l1`` and ``clip_norm``, is given it.

    Parameters
    ----------
    learner : nn.Module
        A learner that has factors (`HasFactors`).
    plan : TrainingPlan
        Names the optimiser and its settings.
    """

    def __init__(self, learner: nn.Module, plan: TrainingPlan) -> None:
        super().__init__(learner, plan)
        self._direct = isinstance(self.optimizer, torch.optim.SGD) and not plan.l1 and plan.clip_norm is None

    @torch.no_grad()
    def __call__(self, batch: Batch, generator: Generator) -> Tensor:
        """Make one update; return the loss before it, detached."""
        factors: Factors = self.learner.factors(batch, generator)  # type: ignore[operator]
        if self._direct:
            for group in self.optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter in factors.products:
                        self._change(parameter, factors.products[parameter], factors.scale, group)
            self._project()
            return factors.loss
        for parameter in self._parameters.values():
            parameter.grad = None
            if parameter in factors.products:
                parameter.grad = torch.empty_like(parameter)
                _sum(parameter.grad, factors.products[parameter], factors.scale, beta=0.0)
        self._finish()
        return factors.loss

    def _change(self, parameter: nn.Parameter, pairs: Pairs, scale: float, group: Mapping[str, Any]) -> None:
        rate, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
        if momentum == 0.0:
            _sum(parameter, pairs, -rate * scale, beta=1.0 - rate * decay)
            return
        state = self.optimizer.state[parameter]
        velocity = state.get("momentum_buffer")
        if velocity is None:
            velocity = state["momentum_buffer"] = torch.zeros_like(parameter)
        _sum(velocity, pairs, scale, beta=momentum)
        if decay:
            velocity.add_(parameter, alpha=decay)
        parameter.add_(velocity, alpha=-rate)


class SparseStep(AutogradStep):
    r"""Updates of a weight's columns that a batch of sparse rows touches, and of no others.

    .. math::
        s \leftarrow (1 - \epsilon \lambda_2) s, \qquad V \leftarrow V - \epsilon s^{-1} \sum A^\top B, \qquad W = s V

    The decay of all columns is one number, the learner's ``shrunk``; W itself is there after `settle`. What would need
    every column in every update, such as a momentum, is refused by `layerwise.checks` before training.

    Parameters
    ----------
    learner : SampledLearner
        States its gradient as products with sparse rows.
    plan : TrainingPlan
        Plain descent.

    References
    ----------
    Bottou (2012), Stochastic gradient descent tricks, section 5.1.
    """

    learner: SampledLearner

    def __init__(self, learner: SampledLearner, plan: TrainingPlan) -> None:
        super().__init__(learner, plan)
        if plan.l2 and not all(weight.requires_grad for weight in learner.wide):
            raise PlanError(
                f"layer {learner.layer.name!r}: l2 with sampled reconstruction decays all weights alike, and some of "
                "them are not trained",
                "leave l2 out, or tie the decoder",
            )

    @torch.no_grad()
    def __call__(self, batch: Batch, generator: Generator) -> Tensor:
        """Make one update; return the loss before it, detached."""
        factors = self.learner.factors(batch, generator)
        for group in self.optimizer.param_groups:
            if group["weight_decay"]:  # only the learner's weights have one, all the same
                self.learner.shrunk.mul_(1.0 - group["lr"] * group["weight_decay"])
        if not self.learner.shrunk > LEAST_SHRUNK:
            self.learner.settle()
        shrunk = float(self.learner.shrunk)
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                pairs = factors.products.get(parameter, [])
                if all(part is None or part.layout is torch.strided for pair in pairs for part in pair):
                    _sum(parameter, pairs, -group["lr"] * factors.scale, beta=1.0)
                else:
                    stored = shrunk if parameter.ndim > 1 else 1.0
                    subtract_products(parameter, pairs, group["lr"] * factors.scale / stored)
        return factors.loss

    def settle(self) -> None:
        """Bring the weights to the values that they stand for."""
        self.learner.settle()


def _sum(into: Tensor, pairs: Pairs, alpha: float, beta: float) -> None:
    """Add to a tensor alpha times the sum of A.T @ B, after it was multiplied by beta."""
    for number, (left, right) in enumerate(pairs):
        add_product(into, left, right, alpha, 1.0 if number else beta)


def step_for(learner: nn.Module, plan: TrainingPlan, shape: Sequence[int]) -> AutogradStep:
    """Return the fastest step for a learner and rows of this shape: analytic where it has factors, else by autograd.

    Examples
    --------
    >>> from layerwise.objectives.classification import Classifier
    >>> plan = TrainingPlan(epochs=1, batch_size=10)
    >>> type(step_for(Classifier(nn.Linear(3, 2)), plan, (3,))).__name__
    'AnalyticStep'
    """
    if isinstance(learner, SampledLearner):
        return SparseStep(learner, plan)
    analytic = isinstance(learner, HasFactors) and learner.factored(shape)
    return (AnalyticStep if analytic else AutogradStep)(learner, plan)
