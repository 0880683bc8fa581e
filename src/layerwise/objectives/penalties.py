"""Penalties: what an auto-encoder pays besides its reconstruction, so that its code has a shape we want.

Each is a frozen value that is called with the layer, its inputs and its codes, and returns a number in the unit of the
loss: summed over units, averaged over rows. Its ``check`` refuses a layer that it does not suit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from ..errors import PlanError
from ..nn.layers import Layer

VALUE = ConfigDict(extra="forbid")
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
# Mean activations below this have no gradient: far enough down that a silent unit can come back, and that the second
# derivative, which has a square of it in its denominator, stays finite in float32.
LEAST_MEAN = 1e-12


@dataclass(frozen=True, config=VALUE)
class Contraction:
    r"""The squared Frobenius norm of the encoder's Jacobian: how far a small change of the input moves the code.

    .. math:: \lambda \lVert \partial h / \partial x \rVert_F^2 = \lambda \sum_j s'(a_j)^2 \sum_i W_{ji}^2

    The sum on the right is the exact value for a dense layer followed by a sigmoid, tanh, ReLU or nothing. For every
    other layer, or on request, it is estimated without bias, with random signs :math:`\varepsilon`, by
    :math:`E_\varepsilon \lVert \varepsilon^\top \partial h / \partial x \rVert^2`. In batch normalisation a row moves
    the codes of the other rows too; the estimate counts that.

    Parameters
    ----------
    weight : float
        :math:`\lambda`, 0 or more.
    method : {"auto", "analytic", "stochastic"}
        "auto": analytic where the formula holds.
    samples : int
        Random directions a batch, of the stochastic estimate.

    References
    ----------
    Rifai et al. (2011), Contractive auto-encoders. Hutchinson (1990), A stochastic estimator of the trace.

    Examples
    --------
    >>> layer = Layer("0", [], nn.Linear(3, 2), [])
    >>> rows = torch.zeros(5, 3)
    >>> penalty = Contraction(1.0)(layer, rows, layer(rows), torch.Generator())
    >>> bool(torch.isclose(penalty, layer.module.weight.square().sum()))
    True
    """

    weight: NotNegative = 0.1
    method: Literal["auto", "analytic", "stochastic"] = "auto"
    samples: Annotated[int, Field(ge=1)] = 1
    kind: Literal["contraction"] = "contraction"

    def __call__(self, layer: Layer, inputs: Tensor, codes: Tensor, generator: Generator) -> Tensor:
        """Return the penalty of a batch."""
        slope = None if self.method == "stochastic" else _slope(layer, codes)
        if slope is None:
            return self.weight * _estimated(layer, inputs, self.samples, generator)
        penalty: Tensor = self.weight * (slope.square() @ layer.module.weight.square().sum(1)).mean()
        return penalty

    def check(self, layer: Layer) -> None:
        """Refuse a layer for which the analytic penalty is asked but does not hold.

        Raises
        ------
        PlanError
            Naming the layer.
        """
        if self.method == "analytic" and _slope(layer, torch.zeros(1)) is None:
            raise PlanError(
                f"layer {layer.name!r} is more than a dense module with a sigmoid, tanh, ReLU or nothing after it: "
                "the analytic contraction does not hold for it",
                'set method to "auto" or "stochastic"',
            )


@dataclass(frozen=True, config=VALUE)
class KLSparsity:
    r"""Keep each unit's mean activation near a small target.

    .. math:: \lambda \sum_j \rho \log\frac{\rho}{\hat\rho_j} + (1 - \rho) \log\frac{1 - \rho}{1 - \hat\rho_j},
        \qquad \hat\rho_j = \text{mean of } h_j \text{ over the batch}

    For codes in [0, 1].

    Parameters
    ----------
    weight : float
        :math:`\lambda`, 0 or more.
    target : float
        :math:`\rho`, between 0 and 1.

    References
    ----------
    Lee, Ekanadham & Ng (2008), Sparse deep belief net model for visual area V2. Ng (2011), Sparse autoencoder.

    Examples
    --------
    >>> float(KLSparsity(1.0, target=0.5)(None, None, torch.full((4, 3), 0.5), None))
    0.0
    """

    weight: NotNegative = 1.0
    target: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    kind: Literal["kl"] = "kl"

    def __call__(self, layer: Layer, inputs: Tensor, codes: Tensor, generator: Generator) -> Tensor:
        """Return the penalty of a batch."""
        mean = codes.transpose(0, 1).flatten(1).mean(1).clamp(LEAST_MEAN, 1 - torch.finfo(codes.dtype).eps)
        target = torch.full_like(mean, self.target)
        divergence = torch.special.xlogy(target, target / mean) + torch.special.xlogy(
            1 - target, (1 - target) / (1 - mean)
        )
        penalty: Tensor = self.weight * divergence.sum()
        return penalty

    def check(self, layer: Layer) -> None:
        """Refuse a layer whose codes leave [0, 1].

        Raises
        ------
        PlanError
            Naming the layer.
        """
        if layer.activation != "sigmoid":
            raise PlanError(
                f"layer {layer.name!r} has the activation {layer.activation!r}, expected 'sigmoid': KL sparsity needs "
                "codes in [0, 1]",
                'use a sigmoid layer, or sparsity of kind "l1"',
            )


@dataclass(frozen=True, config=VALUE)
class L1Sparsity:
    r"""Pay for the size of the code.

    .. math:: \lambda \sum_j |h_j|, \text{ averaged over rows}

    Parameters
    ----------
    weight : float
        :math:`\lambda`, 0 or more.

    References
    ----------
    Olshausen & Field (1996), Emergence of simple-cell receptive field properties by learning a sparse code.

    Examples
    --------
    >>> float(L1Sparsity(0.5)(None, None, torch.tensor([[1.0, -2.0], [0.0, 1.0]]), None))
    1.0
    """

    weight: NotNegative = 0.01
    kind: Literal["l1"] = "l1"

    def __call__(self, layer: Layer, inputs: Tensor, codes: Tensor, generator: Generator) -> Tensor:
        """Return the penalty of a batch."""
        return self.weight * codes.abs().sum() / len(codes)

    def check(self, layer: Layer) -> None:
        """Accept every layer."""


Sparsity = Annotated[KLSparsity | L1Sparsity, Field(discriminator="kind")]
Penalty = Annotated[Contraction | KLSparsity | L1Sparsity, Field(discriminator="kind")]


def _slope(layer: Layer, codes: Tensor) -> Tensor | None:
    """Return the activation's derivative, written in its value; None where a layer is more than dense and pointwise."""
    pointwise = [module for module in layer.after if not isinstance(module, (nn.Dropout, nn.Identity))]
    if not isinstance(layer.module, nn.Linear) or len(pointwise) > 1:
        return None
    match pointwise:
        case []:
            return torch.ones_like(codes)
        case [nn.Sigmoid()]:
            return codes * (1 - codes)
        case [nn.Tanh()]:
            return 1 - codes.square()
        case [nn.ReLU()]:
            return (codes > 0).to(codes.dtype)
        case _:
            return None


def _estimated(layer: Layer, inputs: Tensor, samples: int, generator: Generator) -> Tensor:
    total = inputs.new_zeros(())
    with torch.enable_grad(), _running_means_kept(layer):
        inputs = inputs.detach().requires_grad_()
        codes = layer(inputs)
        for _ in range(samples):
            signs = torch.randint(0, 2, codes.shape, generator=generator, device=generator.device) * 2 - 1
            (row,) = torch.autograd.grad(codes, inputs, signs.to(codes), create_graph=True)
            total = total + row.square().sum()
    return total / (samples * len(inputs))


@contextmanager
def _running_means_kept(layer: Layer) -> Iterator[None]:
    """Let batch normalisation see the batch a second time without counting it twice."""
    norms = [
        (module, module.track_running_stats)
        for module in layer.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
    ]
    for module, _ in norms:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module, tracked in norms:
            module.track_running_stats = tracked
