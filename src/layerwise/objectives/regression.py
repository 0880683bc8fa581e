"""The learner around a whole network that gives quantities: squared error."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..data.weights import weighted_mean
from ..nn.chain import backward, chain_of, forward, takes
from .objective import Factors


class Regressor(nn.Module):
    r"""The learner of fine-tuning where targets are quantities.

    .. math:: \ell = \tfrac12 \sum_k (f_k(x) - y_k)^2, \text{ averaged over rows, each times its weight}

    Parameters
    ----------
    network : nn.Module
        Maps rows to one output per quantity.

    Examples
    --------
    >>> import torch
    >>> batch = Batch(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [0.0]]))
    >>> float(Regressor(nn.Identity()).loss(batch, torch.Generator()))
    1.25
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._chain = chain_of(network)

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean loss of a batch; noise is the network's dropout."""
        assert batch.targets is not None
        return _loss(self.network(batch.inputs) - batch.targets, batch.weights)

    def factored(self, shape: Sequence[int]) -> bool:
        """Say whether `factors` holds: for a multi-layer perceptron."""
        return self._chain is not None and takes(self._chain, shape)

    def factors(self, batch: Batch, generator: Generator) -> Factors:
        """Return the loss and the factors of its gradient by every weight and bias that is trained."""
        assert self._chain is not None and batch.targets is not None
        outputs, kept = forward(self._chain, batch.inputs)
        residual = outputs - batch.targets
        loss = _loss(residual, batch.weights)
        if batch.weights is not None:
            residual = residual * batch.weights[:, None]
        return Factors(loss, backward(self._chain, kept, residual), 1 / len(residual))

    def after_update(self) -> None:
        """Nothing to project."""


def _loss(residual: Tensor, weights: Tensor | None) -> Tensor:
    return 0.5 * weighted_mean(residual.square().sum(1), weights)
