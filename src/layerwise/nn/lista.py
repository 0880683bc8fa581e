"""LISTA: a few proximal steps of sparse coding, unrolled into an encoder whose matrices are learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import NetworkError

# Small beside the codes of rows with a standard deviation near 1, so that units are used before they learn not to be.
FIRST_THRESHOLD = 0.05


class LISTA(nn.Module):
    r"""Predict a sparse code by unrolled iterative shrinkage and thresholding, with learned matrices.

    .. math::
        h_0 = \operatorname{soft}(W x, \theta), \qquad h_{k+1} = \operatorname{soft}(W x + S h_k, \theta), \qquad
        \operatorname{soft}(a, \theta) = \operatorname{sign}(a) \max(|a| - |\theta|, 0)

    With :math:`W = D^\top / L`, :math:`S = I - D^\top D / L` and :math:`\theta = \lambda / (2 L)`, where L is at least
    the largest eigenvalue of :math:`D^\top D`, these are the iterates of ISTA on :math:`|x - D h|^2 + \lambda |h|_1`,
    started at 0. An activation after it is not needed.

    W starts as the weight of ``nn.Linear`` does, from torch's global generator. S starts at
    :math:`I - W W^\top / |W|_2^2`: the S of ISTA for the dictionary :math:`D = W^\top / |W|_2^2`, the one that W is the
    first step of. All its eigenvalues lie in [0, 1], so that no number of iterations makes the first codes blow up.
    (With S = 0 every iteration would repeat the first.) Nothing is added to W x: rows should be centred.

    Parameters
    ----------
    features, units : int
        Width of a row and of its code.
    iterations : int
        How many times S is used, 0 or more.
    device, dtype
        As in ``nn.Linear``.

    Attributes
    ----------
    weight : Tensor, shape (units, features)
        W.
    lateral : Tensor, shape (units, units)
        S.
    threshold : Tensor, shape (units,)
        :math:`\theta`; its absolute value is used, so that a threshold of ISTA can be copied in as it is and no update
        makes it negative.

    Raises
    ------
    NetworkError
        When there are fewer than 0 iterations.

    References
    ----------
    Gregor & LeCun (2010), Learning fast approximations of sparse coding, ICML.

    Examples
    --------
    >>> LISTA(8, 16)(torch.zeros(5, 8)).shape
    torch.Size([5, 16])
    """

    bias = None

    def __init__(
        self,
        features: int,
        units: int,
        iterations: int = 3,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if iterations < 0:
            raise NetworkError(f"LISTA has {iterations} iterations, expected 0 or more", "give 0, 1, 2 ...")
        self.in_features, self.out_features, self.iterations = features, units, iterations
        self.weight = nn.Parameter(torch.empty(units, features, device=device, dtype=dtype))
        self.lateral = nn.Parameter(torch.empty(units, units, device=device, dtype=dtype))
        self.threshold = nn.Parameter(torch.empty(units, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw W anew; S and the thresholds follow."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.follow_weight()

    def follow_weight(self) -> None:
        """Set S to what ISTA would use with W, and the thresholds to their first value."""
        with torch.no_grad():
            gram = self.weight @ self.weight.T
            self.lateral.copy_(torch.eye(self.out_features).to(gram) - gram / torch.linalg.matrix_norm(gram, 2))
            self.threshold.fill_(FIRST_THRESHOLD)

    def forward(self, inputs: Tensor) -> Tensor:
        """Encode rows (rows, features) to (rows, units)."""
        threshold = self.threshold.abs()
        drive = nn.functional.linear(inputs, self.weight)
        codes = soft_threshold(drive, threshold)
        for _ in range(self.iterations):
            codes = soft_threshold(drive + nn.functional.linear(codes, self.lateral), threshold)
        return codes

    def extra_repr(self) -> str:
        """Return the sizes, as in ``nn.Linear``."""
        return f"in_features={self.in_features}, out_features={self.out_features}, iterations={self.iterations}"


def soft_threshold(values: Tensor, threshold: Tensor) -> Tensor:
    r"""Return :math:`\operatorname{sign}(a) \max(|a| - \theta, 0)`, the proximal operator of :math:`\theta |a|`.

    Examples
    --------
    >>> soft_threshold(torch.tensor([-3.0, 0.5, 2.0]), torch.tensor(1.0)).tolist()
    [-2.0, 0.0, 1.0]
    """
    return torch.relu(values - threshold) - torch.relu(-values - threshold)
