"""The share of training time that goes into checkpoints and history: the default network on MNIST, two epochs a layer.

    python benchmarks/checkpoint_cost.py

Prints seconds written, seconds in all, and their ratio. The bound is 3 %.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from layerwise.data.mnist import load_mnist
from layerwise.nn.networks import build_network
from layerwise.pretraining import pretrain
from layerwise.randomness import Randomness
from layerwise.runs import checkpoint, history


def timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """Return a function that also notes how long each call takes."""

    def call(*arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            spent.append(time.perf_counter() - began)

    return call


def main() -> None:
    """Run and print."""
    spent: list[float] = []
    for module, name in ((checkpoint, "write_tensors"), (history, "append_line")):
        setattr(module, name, timed(getattr(module, name), spent))
    inputs = load_mnist().inputs
    network = build_network(784, (1000, 1000), 10, randomness=Randomness(0))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        pretrain(network, inputs, epochs=2, learning_rate=0.1, random_state=0, run_dir=Path(folder) / "run")
    seconds = time.perf_counter() - began
    print(f"written in {sum(spent):.2f} s ({len(spent)} writes) of {seconds:.1f} s: {100 * sum(spent) / seconds:.2f} %")


if __name__ == "__main__":
    main()
