"""The automatic learning rate: from the curvature of the loss where training starts."""

from __future__ import annotations

import math

import torch
from torch import Generator, nn

from ..data.batches import Batch
from ..nn.modes import buffers_kept

ITERATIONS = 12
# Gradient descent on a quadratic converges below 2 / curvature. Half of that leaves room for the noise of mini-batches,
# and half again for curvature that grows as codes spread out.
SAFETY = 0.5


def automatic_rate(learner: nn.Module, batch: Batch, generator: Generator) -> float:
    r"""Return a learning rate from the largest curvature of the loss on one batch.

    .. math::
        \epsilon_0 = \tfrac12 \lambda_{\max}^{-1}, \qquad v \leftarrow H v / |H v|, \qquad \lambda_{\max} \approx |H v|

    Power iteration with Hessian-vector products by double differentiation: about thirty updates' worth of time.

    Parameters
    ----------
    learner : nn.Module
        A `Learner` at the weights where training starts.
    batch : Batch
        Rows on which the curvature is measured.
    generator : Generator
        Source of the corruption and of the first direction; every product sees the same corruption.

    References
    ----------
    LeCun, Simard & Pearlmutter (1993), Automatic learning rate maximization by on-line estimation of the Hessian's
    eigenvectors.
    """
    parameters = [p for p in learner.parameters() if p.requires_grad]
    learner.train()
    curvature = 0.0
    with torch.enable_grad(), buffers_kept(learner):
        loss = learner.loss(batch, generator)  # type: ignore[operator]
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        direction = [torch.randn(p.shape, generator=generator, device=p.device).to(p.dtype) for p in parameters]
        for _ in range(ITERATIONS):
            norm = math.sqrt(sum(float(d.square().sum()) for d in direction))
            if norm == 0.0 or not math.isfinite(norm):
                break
            direction = [d / norm for d in direction]
            product = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True))
            direction = list(torch.autograd.grad(product, parameters, retain_graph=True))  # type: ignore[arg-type]
            curvature = math.sqrt(sum(float(d.square().sum()) for d in direction))
    return SAFETY / curvature if curvature > 0.0 else SAFETY
