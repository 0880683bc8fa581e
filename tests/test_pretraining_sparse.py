"""Sparse rows through the whole greedy procedure: in full as dense rows, sampled on their own, resumed bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch
from torch import nn

import layerwise as lw
from layerwise.errors import DataError, PlanError
from layerwise.nn.corruption import GaussianNoise, Masking
from layerwise.objectives.autoencoder import Autoencoder
from layerwise.objectives.denoising import DenoisingAutoencoder
from layerwise.objectives.penalties import Contraction
from layerwise.objectives.rbm import RBM
from layerwise.objectives.sparse import SparseAutoencoder
from layerwise.pretraining import pretrain
from layerwise.training.loop import Progress
from small_network import same, weights

WIDTH, ROWS = 80, 60
SAMPLED = DenoisingAutoencoder(Masking(0.25), reconstruction="sampled")


def csr(rows: int = ROWS, width: int = WIDTH, seed: int = 0) -> scipy.sparse.csr_array:
    """Rows of a few elements each, from one of four groups of columns."""
    generator = np.random.default_rng(seed)
    dense = np.zeros((rows, width), np.float32)
    for row in dense:
        start = generator.integers(4) * width // 4
        row[start + generator.choice(width // 4, 8, replace=False)] = generator.uniform(0.5, 1.0, 8)
    dense[3] = 0.0
    return scipy.sparse.csr_array(dense)


def network(dtype: torch.dtype = torch.float32, first: tuple[nn.Module, ...] = ()) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        layers = nn.Linear(WIDTH, 12), nn.Sigmoid(), nn.Linear(12, 6), nn.Sigmoid(), nn.Linear(6, 3)
    return nn.Sequential(*first, *layers).to(dtype)


@pytest.mark.parametrize("first", [(), (nn.Flatten(),)], ids=["dense", "flatten"])
def test_full_reconstruction_of_sparse_rows_is_that_of_dense_ones(first):
    """Without noise, whose draws differ; all that follows the first layer is trained on its dense codes."""
    rows, results = csr(), []
    for inputs in (rows, rows.toarray()):
        own = network(torch.float64, first)
        result = pretrain(own, inputs, objective=Autoencoder(), epochs=3, validation=0.2, random_state=0)
        results.append((weights(own), [stage.loss for stage in result.history], result.stack.encode(inputs_of(inputs))))
    for name, value in results[0][0].items():
        torch.testing.assert_close(value, results[1][0][name], rtol=1e-9, atol=1e-12)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-9)
    torch.testing.assert_close(results[0][2], results[1][2], rtol=1e-9, atol=1e-12)


def inputs_of(rows):
    return rows if scipy.sparse.issparse(rows) else torch.from_numpy(rows)


@pytest.mark.parametrize(
    "objective",
    [RBM(), DenoisingAutoencoder(GaussianNoise(0.1)), DenoisingAutoencoder(emphasis=(1.0, 0.5)), SparseAutoencoder(),
     DenoisingAutoencoder(walkback=1),
     Autoencoder(penalties=(Contraction(0.1),))],
    ids=lambda objective: objective.kind,
)  # fmt: skip
def test_objectives_without_a_use_for_sparse_rows_are_fed_dense_ones(objective):
    rows, results = csr(), []
    for inputs in (rows, rows.toarray()):
        own = network()
        pretrain(own, inputs, objective=objective, epochs=2, learning_rate=0.05, random_state=0)
        results.append(weights(own))
    for name, value in results[0].items():
        torch.testing.assert_close(value, results[1][name], rtol=1e-4, atol=1e-6)


def test_sampled_reconstruction_learns_what_the_full_one_learns():
    losses = {}
    for objective in (SAMPLED, DenoisingAutoencoder(Masking(0.25))):
        result = pretrain(
            network(), csr(400), objective=objective, epochs=30, batch_size=20, learning_rate=0.05, random_state=0
        )
        losses[objective.reconstruction] = result.history[0].loss
    mean = result.history[0].mean_predictor_loss
    assert losses["full"] < 0.8 * mean
    assert losses["sampled"] < 0.8 * mean
    assert losses["sampled"] == pytest.approx(losses["full"], rel=0.1)


def test_the_automatic_rate_and_every_door_of_a_run(tmp_path):
    own = network()
    before = weights(own)
    result = pretrain(
        own, csr(), objective=SAMPLED, epochs=4, l2=1e-3, validation=csr(20, seed=1), random_state=0,
        early_stopping=lw.EarlyStopping(), run_dir=tmp_path / "run",
    )  # fmt: skip
    first = result.history[0]
    assert first.learning_rate > 0 and np.isfinite(first.loss)
    assert "validation_loss" in first.records[-1]
    assert own[0].weight.is_contiguous() and not same(before, weights(own))
    assert result.stack.encode(csr(5)).shape == (5, 6)
    assert result.stack.reconstruct(csr(5)).shape == (5, WIDTH)
    torch.testing.assert_close(result.stack.encode(csr(5)), result.stack.encode(torch.from_numpy(csr(5).toarray())))
    result.stack.save(tmp_path / "stack")
    assert torch.equal(lw.Stack.load(tmp_path / "stack").encode(csr(5)), result.stack.encode(csr(5)))


class Stop(Exception):
    pass


@pytest.mark.parametrize("objective", [SAMPLED, DenoisingAutoencoder()], ids=["sampled", "full"])
@pytest.mark.parametrize("stop", [3, 7, 11])
def test_a_run_is_resumed_bit_for_bit(tmp_path, objective, stop):
    """The decay is held apart from the weights; neither that nor a checkpoint leaves a trace in them."""
    settings = {
        "objective": objective, "epochs": 4, "batch_size": 15, "learning_rate": 0.1, "l2": 0.01, "random_state": 3,
    }  # fmt: skip
    whole = network()
    pretrain(whole, csr(), validation=0.2, **settings)

    def interrupt(progress: Progress) -> None:
        if progress.update >= stop:
            raise Stop

    stopped = network()
    run = {"validation": 0.2, "run_dir": tmp_path / "run", "checkpoint_every": 1, "summary_every": 1, **settings}
    with pytest.raises(Stop):
        pretrain(stopped, csr(), callbacks=[interrupt], **run)
    resumed = network()
    pretrain(resumed, csr(), resume=True, **run)
    assert same(weights(whole), weights(resumed))


def test_another_matrix_is_another_run(tmp_path):
    pretrain(network(), csr(), objective=SAMPLED, epochs=1, random_state=0, run_dir=tmp_path / "run")
    other = csr()
    other.data[5] += 0.01
    with pytest.raises(lw.LayerwiseError, match="other settings, data or seed"):
        pretrain(network(), other, objective=SAMPLED, epochs=1, random_state=0, run_dir=tmp_path / "run", resume=True)


def test_noise_on_the_input_passes_the_first_layer_sparse():
    own = network()
    result = pretrain(own, csr(), objective=DenoisingAutoencoder(), corrupt="input", epochs=2, random_state=0)
    assert all(np.isfinite(stage.loss) for stage in result.history)


def test_sampling_dense_rows_is_refused():
    with pytest.raises(PlanError, match=r"first layer is fed dense rows\nhint: give a scipy.sparse matrix"):
        pretrain(network(), csr().toarray(), objective=SAMPLED, epochs=1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"momentum": 0.9}, "momentum would change every weight"),
        ({"optimizer": "adam", "l1": 0.1}, "l1 and optimizer would"),
        ({"max_norm": 1.0}, "max_norm"),
        ({"clip_norm": 1.0}, "clip_norm"),
        ({"precision": "bfloat16"}, "precision"),
    ],
)
def test_what_needs_every_weight_is_refused(settings, said):
    with pytest.raises(PlanError, match=rf"{said}[^\n]*\nhint: leave .* out, or reconstruction at 'full'"):
        pretrain(network(), csr(), objective=SAMPLED, epochs=1, **settings)


def test_compare_and_finetune_take_small_sparse_rows_and_refuse_wide_ones(monkeypatch):
    labels = np.arange(ROWS) % 3
    own = network()
    lw.finetune(own, csr(), labels, epochs=1, random_state=0)
    monkeypatch.setattr("layerwise.data.source.DENSE_BYTES", 1000)
    with pytest.raises(DataError, match="only dense rows of at most"):
        lw.finetune(own, csr(), labels, epochs=1, random_state=0)
