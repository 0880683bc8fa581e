"""Say whether pre-training helps a module of your own, whose activations stand in its `forward`.

    python examples/any_network.py runs/any-network

On MNIST with 1,000 labels and three seeds; the run can be stopped and resumed. Prints the test error of both arms by
seed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import layerwise as lw


class Digits(nn.Module):
    """Two dense layers on the image and a linear head, written the usual way."""

    def __init__(self) -> None:
        super().__init__()
        self.lower = nn.Linear(784, 500)
        self.upper = nn.Linear(500, 500)
        self.head = nn.Linear(500, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return one output per class."""
        rows = images.view(images.size(0), -1)
        codes = torch.tanh(self.upper(torch.tanh(self.lower(rows))))
        return self.head(codes)


def main(run_dir: Path) -> None:
    """Compare the network pre-trained and random."""
    mnist = lw.load_mnist()
    found = lw.compare(
        mnist.inputs.reshape(-1, 1, 28, 28),
        mnist.targets,
        test=(mnist.test_inputs.reshape(-1, 1, 28, 28), mnist.test_targets),
        network=Digits,
        objective=lw.DenoisingAutoencoder(lw.Masking(0.4)),
        budgets=[1000],
        seeds=3,
        learning_rates=(0.01, 0.03, 0.1),
        baselines=[],
        settings={"pretrain": {"epochs": 5, "schedule": {"kind": "linear"}}, "finetune": {"epochs": 40}},
        run_dir=run_dir,
        resume=run_dir.exists(),
        verbose=1,
    )
    budget = found.results["budgets"][0]
    print(f"{found.verdict}: gain {budget['gain']:.2f} points ({budget['low']:.2f} to {budget['high']:.2f})")
    for arm in ("pretrained", "random"):
        print(f"{arm}: {', '.join(f'{error:.2f}' for error in budget[f'{arm}_errors'])} %")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
