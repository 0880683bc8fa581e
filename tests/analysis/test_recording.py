"""Recording sees what the network gives, where it is asked to, and changes no bit of the training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_runs import CODES, ROWS
from torch import nn

import layerwise as lw
from layerwise.analysis import function_points, record, spaced
from small_network import same, weights


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 7), nn.BatchNorm1d(7), nn.Sigmoid(), nn.Dropout(0.3), nn.Linear(7, 2))


def tuned(model: nn.Module, *callbacks: lw.analysis.Recording) -> lw.FinetuneResult:
    return lw.finetune(
        model, ROWS, CODES, epochs=3, batch_size=20, random_state=3, summary_every=2, callbacks=callbacks
    )  # fmt: skip


def test_it_changes_no_bit_of_the_training() -> None:
    watched, alone = network(), network()
    recording = record(watched, ROWS)
    histories = [tuned(watched, recording).history, tuned(alone).history]
    assert recording.updates
    assert same(weights(watched), weights(alone))
    losses = [[line["training_loss"] for line in history] for history in histories]
    assert losses[0] == losses[1]


def test_it_sees_the_network_as_it_is_in_evaluation() -> None:
    model = network()
    model.eval()
    with torch.no_grad():
        before = model(ROWS[:9]).softmax(1)
    model.train()
    recording = record(model, ROWS[:9])
    tuned(model, recording)
    model.eval()
    with torch.no_grad():
        after = model(ROWS[:9])
    seen = recording.probabilities()
    assert np.allclose(seen[0], before, atol=1e-6) and np.allclose(seen[-1], after.softmax(1), atol=1e-6)
    assert recording.losses(CODES[:9])[-1] == pytest.approx(float(nn.functional.cross_entropy(after, CODES[:9])))
    assert recording.errors(CODES[:9])[-1] == pytest.approx(100 * float((after.argmax(1) != CODES[:9]).double().mean()))


def test_it_records_at_the_wanted_updates_alone() -> None:
    model = network()
    wanted, all_records = record(model, ROWS[:3], [0, 4, 7, 14]), record(model, ROWS[:3])
    history = tuned(model, wanted, all_records).history
    assert wanted.updates == [0, 4, 14]  # 7 has no record
    assert all_records.updates == [line["update"] for line in history]
    assert all_records.epochs == pytest.approx([update / 5 for update in all_records.updates], abs=1e-4)


@pytest.mark.parametrize(("updates", "count", "every"), [(1, 5, 1), (7, 3, 2), (6000, 40, 6), (100, 1000, 1)])
def test_spaced_updates_rise_from_0_to_the_last(updates: int, count: int, every: int) -> None:
    found = spaced(updates, count, every)
    assert found == sorted(set(found)) and found[0] == 0 and found[-1] == updates
    assert all(update % every == 0 for update in found[:-1])


def test_the_distance_of_functions_is_the_root_mean_square_over_rows() -> None:
    outputs = np.random.default_rng(0).dirichlet([1.0, 1.0, 1.0], (2, 50))
    points = function_points(outputs)
    by_hand = np.sqrt(((outputs[0] - outputs[1]) ** 2).sum(1).mean())
    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(by_hand)
    doubled = function_points(np.concatenate([outputs, outputs], 1))
    assert np.linalg.norm(doubled[0] - doubled[1]) == pytest.approx(by_hand)


def test_outputs_of_another_shape_are_refused() -> None:
    with pytest.raises(lw.LayerwiseError, match=r"shape \(4, 3\), expected \(points, rows, classes\)"):
        function_points(np.zeros((4, 3)))
