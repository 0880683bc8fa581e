"""Updates of a first layer of 500 units on sparse rows, 100 non-zeros each, batch 100, two threads; interleaved.

    OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE python benchmarks/sparse_rows.py

Prints two ratios of median times: sampled reconstruction at width 100,000 to the same at 10,000 (bound 1.5), and full
reconstruction to sampled at width 15,000 (bound 8). The columns of the non-zeros are drawn from all with the same
chance, which is the worst case for the first ratio: no column comes twice as often as others, as a frequent word would.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import scipy.sparse
import torch
from torch import nn

from layerwise.data.batches import Batch
from layerwise.data.sparse import sparse_tensor
from layerwise.nn.layers import Layer
from layerwise.objectives.denoising import DenoisingAutoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.objectives.sampled import SampledLearner
from layerwise.plan import TrainingPlan
from layerwise.training.sparse_update import columns_together
from layerwise.training.step import step_for

UNITS, ROWS, NONZEROS, BATCHES, WARM = 500, 100, 100, 20, 5


def batches(width: int) -> list[Batch]:
    """Return batches of sparse rows."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(BATCHES):
        columns = [np.sort(generator.choice(width, NONZEROS, replace=False)) for _ in range(ROWS)]
        values = generator.random(ROWS * NONZEROS, dtype=np.float32)
        parts = values, np.concatenate(columns), np.arange(0, ROWS * NONZEROS + 1, NONZEROS)
        found.append(Batch(sparse_tensor(scipy.sparse.csr_array(parts, shape=(ROWS, width)))))
    return found


class Case:
    """One learner with its step and its rows."""

    def __init__(self, width: int, reconstruction: str) -> None:
        layer = Layer("0", [], nn.Linear(width, UNITS), [nn.Sigmoid()])
        mean = torch.full((width,), NONZEROS / width / 2, dtype=torch.float64)
        facts = FeatureFacts(ROWS * BATCHES, 0.0, 1.0, mean, sparse=True)
        learner = DenoisingAutoencoder(reconstruction=reconstruction).build(layer, facts, torch.Generator())  # type: ignore[arg-type]
        if isinstance(learner, SampledLearner):
            columns_together(learner.wide).__enter__()
        self.step = step_for(learner, TrainingPlan(epochs=1, batch_size=ROWS), (width,))
        self.step.set_learning_rate(1e-3)
        self.batches, self.generator, self.seconds = batches(width), torch.Generator().manual_seed(0), []  # type: ignore[var-annotated]

    def update(self, number: int) -> None:
        """Make one update and note its time."""
        began = time.perf_counter()
        self.step(self.batches[number % BATCHES], self.generator)
        self.seconds.append(time.perf_counter() - began)

    def spent(self, share: float) -> float:
        """Return a quantile of the time of an update, in milliseconds."""
        return float(np.quantile(self.seconds[WARM:], share)) * 1e3


def main(updates: int) -> None:
    """Run and print."""
    kinds = [(10_000, "sampled"), (100_000, "sampled"), (15_000, "sampled"), (15_000, "full")]
    cases = {kind: Case(*kind) for kind in kinds}
    for number in range(updates + WARM):
        for case in cases.values():
            case.update(number)
    for (width, reconstruction), case in cases.items():
        print(f"width {width:7,} {reconstruction:7}: {case.spent(0.5):7.2f} ms (fastest {case.spent(0.0):.2f})")
    for name, share in (("median", 0.5), ("fastest", 0.0)):
        ten, hundred, sampled, full = (cases[kind].spent(share) for kind in kinds)
        print(
            f"{name}: width 100,000 / 10,000 {hundred / ten:.2f} (bound 1.5), full / sampled {full / sampled:.1f} (8)"
        )


if __name__ == "__main__":
    torch.set_num_threads(2)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
