"""The other side as people write it in PyTorch: a DataLoader, a module, autograd and an optimiser."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from .engine import BATCH, RATE, Portions
from .timing import Side, stopwatch


class PlainDenoisingAutoencoder(nn.Module):
    """Tied weights, sigmoid code, sigmoid decoder; a quarter of the inputs masked."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(features, units)
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the decoder's activation, before its sigmoid."""
        noisy = rows * (torch.rand_like(rows) >= 0.25)
        codes = torch.sigmoid(self.encoder(noisy))
        return nn.functional.linear(codes, self.encoder.weight.t(), self.bias)

    def loss(self, rows: Tensor) -> Tensor:
        """Return the cross-entropy, summed over features and averaged over rows."""
        return nn.functional.binary_cross_entropy_with_logits(self(rows), rows, reduction="sum") / len(rows)


def plain(
    name: str, model: nn.Module, loss_of: Callable[..., Tensor], portions: Portions, loss: Callable[[], float]
) -> Side:
    """Return the side that trains a module by a loop of its own, one epoch of a portion of the rows a round."""
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

    def updates(count: int) -> float:
        loader = DataLoader(TensorDataset(*portions(count)), batch_size=BATCH, shuffle=True)

        def epoch() -> None:
            total = 0.0
            for batch in loader:
                optimizer.zero_grad()
                current = loss_of(*batch)
                current.backward()
                optimizer.step()
                total += current.item()

        return stopwatch(epoch)

    return Side(name, updates, loss)
