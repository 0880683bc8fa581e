"""Gradient norms against gradients written by hand, and what measuring them leaves as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from layerwise.analysis import gradient_norms
from layerwise.nn.capture import captured_layers
from small_network import build, inputs, same, weights


def by_hand(network: nn.Sequential, rows: np.ndarray, classes: np.ndarray) -> list[float]:
    """Back-propagate through two sigmoid layers and a head by hand."""
    layers = [module for module in network if isinstance(module, nn.Linear)]
    weight = [layer.weight.detach().numpy() for layer in layers]
    bias = [layer.bias.detach().numpy() for layer in layers]
    codes = [rows]
    for w, b in zip(weight[:2], bias[:2], strict=True):
        codes.append(1 / (1 + np.exp(-(codes[-1] @ w.T + b))))
    outputs = codes[-1] @ weight[2].T + bias[2]
    share = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    error = (share - np.eye(outputs.shape[1])[classes]) / len(rows)
    norms = []
    for number in (2, 1, 0):
        norms.append(float(np.linalg.norm(error.T @ codes[number])))
        if number:
            error = (error @ weight[number]) * codes[number] * (1 - codes[number])
    return norms[::-1]


def test_equal_those_written_by_hand() -> None:
    network, rows, classes = build(dtype=torch.float64), inputs().double(), torch.arange(50) % 3
    found = gradient_norms(network, rows, classes)
    assert list(found) == ["0", "2", "4"]
    np.testing.assert_allclose(list(found.values()), by_hand(network, rows.numpy(), classes.numpy()), rtol=1e-12)


@pytest.mark.parametrize("training", [False, True])
def test_a_network_stays_as_it_is(training: bool) -> None:
    network = nn.Sequential(nn.Linear(12, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 3))
    network.train(training)
    network[0].weight.requires_grad_(False)
    network[4].weight.grad = torch.ones(3, 5)
    before, drawn = weights(network), torch.get_rng_state()
    found = gradient_norms(network, inputs(), torch.arange(50) % 3)
    assert found["0"] > 0  # of a frozen layer too
    assert same(before, weights(network)) and torch.equal(drawn, torch.get_rng_state())
    assert all(module.training == training for module in network.modules())
    assert not network[0].weight.requires_grad and bool((network[4].weight.grad == 1).all())


def test_batch_normalisation_is_that_of_training_and_dropout_is_off() -> None:
    network = nn.Sequential(nn.Linear(12, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 3))
    rows, classes = inputs(), torch.arange(50) % 3
    plain = nn.Sequential(*[copy.deepcopy(module) for number, module in enumerate(network) if number != 3]).train()
    nn.functional.cross_entropy(plain(rows), classes).backward()
    expected = {"0": float(plain[0].weight.grad.norm()), "4": float(plain[3].weight.grad.norm())}
    assert gradient_norms(network.eval(), rows, classes) == pytest.approx(expected)


def test_a_module_that_the_loss_does_not_reach_has_none() -> None:
    network = build()
    network.add_module("unused", nn.Linear(2, 2))
    network.forward = network[:5].forward  # type: ignore[method-assign]
    assert captured_layers(network, ["0"], "sigmoid")[0].name == "0"
    assert gradient_norms(network, inputs(), torch.arange(50) % 3)["unused"] == 0.0
