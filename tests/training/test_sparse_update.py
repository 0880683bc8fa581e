"""Updates by sparse products: against dense ones, alone and fifty in a row."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.special import expit
from torch import nn

from layerwise.data.batches import Batch
from layerwise.data.sparse import sparse_tensor
from layerwise.errors import PlanError
from layerwise.nn.corruption import Masking
from layerwise.nn.layers import Layer
from layerwise.objectives.denoising import DenoisingAutoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.objectives.sampled import draw_kept
from layerwise.plan import TrainingPlan
from layerwise.training.analytic import SparseStep, step_for
from layerwise.training.sparse_update import columns_together, subtract_products


def sparse(rows: int, width: int, seed: int, share: float = 0.2) -> scipy.sparse.csr_array:
    generator = np.random.default_rng(seed)
    return scipy.sparse.csr_array(generator.random((rows, width)) * (generator.random((rows, width)) < share))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("together", [True, False])
def test_products_equal_numpy(together, threads, monkeypatch):
    """Two products at once, of different numbers of rows; the columns in one piece of memory or apart."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    generator = np.random.default_rng(0)
    pairs = [(generator.random((rows, 5)), sparse(rows, 37, rows)) for rows in (6, 9)]
    start = generator.random((5, 37))
    expected = start - 0.3 * sum(left.T @ right.toarray() for left, right in pairs)
    weight = torch.from_numpy(start.copy())
    weight = weight.t().contiguous().t() if together else weight
    strides = weight.stride()
    subtract_products(weight, [(torch.from_numpy(left), sparse_tensor(right)) for left, right in pairs], 0.3)
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-12)
    assert weight.stride() == strides


def test_columns_that_no_row_touches_keep_their_bits():
    rows = sparse(4, 50, 1, 0.05)
    weight = torch.rand(3, 50, generator=seeded()).t().contiguous().t()
    before = weight.clone()
    subtract_products(weight, [(torch.rand(4, 3), sparse_tensor(rows.astype(np.float32)))], 1.0)
    touched = torch.from_numpy(rows.toarray().any(0))
    assert torch.equal(weight[:, ~touched], before[:, ~touched])
    assert (weight[:, touched] != before[:, touched]).all()


def test_no_rows_and_empty_rows_change_nothing():
    weight = torch.ones(3, 50).t().contiguous().t()
    subtract_products(
        weight, [(torch.rand(4, 3), sparse_tensor(scipy.sparse.csr_array((4, 50), dtype="float32")))], 1.0
    )
    assert (weight == 1).all()


def test_the_sum_over_rows_equals_numpy():
    rows, start = sparse(6, 30, 2), np.random.default_rng(1).random(30)
    parameter = torch.from_numpy(start.copy())
    subtract_products(parameter, [(sparse_tensor(rows), None)], 0.7)
    np.testing.assert_allclose(parameter.numpy(), start - 0.7 * rows.toarray().sum(0), rtol=1e-12)


def test_threads_change_no_bit(monkeypatch):
    results = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        weight = torch.rand(64, 4000, generator=seeded()).t().contiguous().t()
        rows = sparse(40, 4000, 3, 0.02).astype(np.float32)
        subtract_products(weight, [(torch.rand(40, 64, generator=seeded(1)), sparse_tensor(rows))], 0.1)
        results.append(weight)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_columns_are_put_back():
    weight = nn.Parameter(torch.rand(3, 5))
    before, identity = weight.detach().clone(), id(weight)
    with columns_together([weight]):
        assert weight.t().is_contiguous() and torch.equal(weight, before)
        weight.data[0, 0] = 7.0
    assert weight.is_contiguous() and id(weight) == identity
    assert weight[0, 0] == 7.0 and torch.equal(weight[1:], before[1:])


@pytest.mark.parametrize("decay", [0.0, 0.05, 1.6, 2.0, 3.0])
@pytest.mark.parametrize("weights", ["full", "encoder", "untied"])
def test_fifty_updates_equal_dense_ones_in_numpy(weights, decay):
    """The decay is one number here and a product with every element there; 2.0 takes all that was there before."""
    rows, rate, size, units = sparse(40, 60, 5, 0.1), 0.5, 8, 7
    learner = learner_of(rows, units, weights)
    module, decoder = learner.layer.module, learner.decoder
    w, b, c = (p.detach().numpy().copy() for p in (module.weight, module.bias, decoder.bias))
    v = w if decoder.tied else decoder.weight.detach().numpy().copy()
    step = step_for(learner, TrainingPlan(epochs=1, batch_size=size, l2=decay), (60,))
    assert isinstance(step, SparseStep)
    step.set_learning_rate(rate)
    with columns_together(learner.wide):
        for update in range(50):
            batch = sparse_tensor(rows[np.random.default_rng(update).permutation(40)[:size]])
            noisy, mask = drawn(learner, batch, update)
            clean = batch.to_dense().numpy()
            h = expit(noisy @ w.T + b)
            dz = mask * (expit(h @ v + c) - clean)
            dh = dz @ v.T * h * (1 - h)
            encoder, back = dh.T @ noisy / size, h.T @ dz / size
            if decoder.tied:
                w = v = w - rate * (encoder + (back if weights == "full" else 0) + decay * w)
            else:
                w, v = w - rate * (encoder + decay * w), v - rate * (back + decay * v)
            b, c = b - rate * dh.mean(0), c - rate * dz.mean(0)
            step(Batch(batch), seeded(update))
        assert decay != 0.05 or learner.shrunk < 0.9
        step.settle()
    for parameter, expected in ((module.weight, w), (module.bias, b), (decoder.bias, c), (learner.wide[-1], v)):
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-10, atol=1e-13)


def learner_of(rows: scipy.sparse.csr_array, units: int, weights: str):
    tied = weights != "untied"
    with torch.random.fork_rng():
        torch.manual_seed(5)
        layer = Layer("0", [], nn.Linear(rows.shape[1], units), [nn.Sigmoid()]).double()
    facts = FeatureFacts(rows.shape[0], 0.0, 1.0, torch.from_numpy(rows.toarray().mean(0)), sparse=True)
    objective = DenoisingAutoencoder(
        Masking(0.3), tied=tied, tied_gradient=weights if tied else "full", reconstruction="sampled"
    )
    return objective.build(layer, facts, torch.Generator())


def drawn(learner, batch: torch.Tensor, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The noisy rows of an update, and the weights of the elements kept; both dense."""
    generator = seeded(seed)
    noisy = learner.corruption(batch, generator).to_dense().numpy()
    kept = draw_kept(batch, generator)
    mask = np.zeros(batch.shape)
    mask[kept.rows.numpy(), kept.columns.numpy()] = kept.weights.numpy()
    return noisy, mask


def test_weights_that_are_not_trained_stay():
    learner = learner_of(sparse(10, 20, 0), 3, "untied")
    weight, bias = learner.layer.module.weight, learner.layer.module.bias
    weight.requires_grad_(False)
    before, bias_before = weight.clone(), bias.clone()
    step_for(learner, TrainingPlan(epochs=1, batch_size=5), (20,))(Batch(sparse_tensor(sparse(5, 20, 1))), seeded(0))
    assert torch.equal(weight, before)
    assert not torch.equal(bias, bias_before)


def test_decay_with_weights_that_are_not_trained_is_refused():
    learner = learner_of(sparse(10, 20, 0), 3, "untied")
    learner.layer.module.weight.requires_grad_(False)
    with pytest.raises(PlanError, match=r"some of them are not trained\nhint: leave l2 out"):
        step_for(learner, TrainingPlan(epochs=1, batch_size=5, l2=0.1), (20,))
