"""The probe is scikit-learn's classifier on each layer's codes, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

import layerwise as lw
from layerwise.analysis import errors_under_noise, linear_probes
from layerwise.errors import DataError
from small_network import same, weights

DIGITS = load_digits()
ROWS, CLASSES = torch.tensor(DIGITS.data / 16, dtype=torch.float32), torch.tensor(DIGITS.target)
TRAIN, TEST = (ROWS[:300], CLASSES[:300]), (ROWS[300:900], CLASSES[300:900])


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 15), nn.Sigmoid(), nn.Linear(15, 10))


def scikit_learns(codes: torch.Tensor, tested: torch.Tensor) -> float:
    mean = codes.mean(0)
    scale = codes.var(0, unbiased=False).mean().sqrt()
    model = LogisticRegression(C=0.1, max_iter=300).fit(((codes - mean) / scale).numpy(), TRAIN[1].numpy())
    return 100 * float(np.mean(model.predict(((tested - mean) / scale).numpy()) != TEST[1].numpy()))


def test_equals_scikit_learn_on_the_codes() -> None:
    made = network()
    before = weights(made)
    probes = linear_probes(made, *TRAIN)
    assert [probe.name for probe in probes] == ["inputs", "0", "2"]
    with torch.no_grad():
        for probe, part in zip(probes, (made[:0], made[:2], made[:4]), strict=True):
            assert probe.error(*TEST) == pytest.approx(scikit_learns(part(TRAIN[0]), part(TEST[0])), abs=0.17)
    assert same(before, weights(made))
    assert [probe.name for probe in linear_probes(made, *TRAIN, inputs_too=False)] == ["0", "2"]


def test_a_stack_has_the_probes_of_its_network() -> None:
    made = network()
    stack = lw.pretrain(made, TRAIN[0], epochs=1, random_state=0).stack
    own, stacks = ([probe.error(*TEST) for probe in linear_probes(model, *TRAIN)] for model in (made, stack))
    assert own == stacks and len(set(own)) == 3


def test_a_probe_reads_what_is_there_and_nothing_where_nothing_is() -> None:
    """The first layer forgets all but one element, on which the class depends; the second forgets that too."""
    made = nn.Sequential(nn.Linear(64, 1), nn.Identity(), nn.Linear(1, 3), nn.Sigmoid(), nn.Linear(3, 2))
    with torch.no_grad():
        made[0].weight.zero_(), made[0].bias.zero_(), made[2].weight.zero_()
        made[0].weight[0, 20] = 1.0
    classes = (ROWS[:, 20] > 0.5).long()
    common = 100 * float((classes[300:900] == 0).double().mean())
    _, told, forgotten = linear_probes(made, ROWS[:300], classes[:300], C=100.0)
    assert told.error(ROWS[300:900], classes[300:900]) < 3
    assert forgotten.error(ROWS[300:900], classes[300:900]) in (pytest.approx(common), pytest.approx(100 - common))


def test_a_probe_can_be_asked_under_noise() -> None:
    probe = linear_probes(network(), *TRAIN)[1]
    clean, noisy = errors_under_noise(probe, *TEST, [lw.Masking(0.0), lw.Masking(0.6)])
    assert clean == probe.error(*TEST) and noisy > clean + 5


@pytest.mark.parametrize("classes", [CLASSES[:299], torch.zeros(300, dtype=torch.int64)])
def test_rows_without_classes_to_tell_apart_are_refused(classes: torch.Tensor) -> None:
    with pytest.raises(DataError, match="of two classes or more"):
        linear_probes(network(), TRAIN[0], classes)
