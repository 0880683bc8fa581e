"""Batch normalisation as elementary operations: against nn.BatchNorm and against NumPy by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from layerwise.analysis.graph import graph_of
from traced_networks import network_of

CLOSE = {"rtol": 0.0, "atol": 1e-10}


def norm(kind, seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    module = kind(3, **settings).double()
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
    return module


def data(shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2)]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape", "settings"),
    [
        (nn.BatchNorm1d, (5, 3), {}),
        (nn.BatchNorm1d, (5, 3), {"eps": 0.1}),
        (nn.BatchNorm1d, (4, 3, 6), {}),
        (nn.BatchNorm2d, (2, 3, 4, 5), {}),
        (nn.BatchNorm3d, (2, 3, 2, 2, 3), {"affine": False}),
        (nn.BatchNorm1d, (5, 3), {"track_running_stats": False}),
    ],
)
def test_equals_the_module(kind, shape, settings, training):
    module = norm(kind, **settings).train(training)
    rows, targets = data(shape)
    network = nn.Sequential(module)
    before = copy.deepcopy(network.state_dict())
    graph = graph_of(network, rows, targets=targets, opened=["batch_norm"])
    given = rows.clone().requires_grad_()
    outputs = copy.deepcopy(module)(given)
    (0.5 * (outputs - targets).square().sum() / len(rows)).backward()
    last = graph[graph["output"].inputs[0]]
    torch.testing.assert_close(last.value, outputs.detach(), **CLOSE)
    torch.testing.assert_close(graph["input"].gradient, given.grad, **CLOSE)
    own = copy.deepcopy(module)
    (0.5 * (own(rows) - targets).square().sum() / len(rows)).backward() if settings.get("affine", True) else None
    for name, parameter in own.named_parameters():
        torch.testing.assert_close(graph[f"0.{name}"].gradient, parameter.grad, **CLOSE)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), "running statistics are not touched"


def test_each_value_and_gradient_by_hand():
    """The chain rule of every elementary operation, in NumPy."""
    module = norm(nn.BatchNorm1d)
    rows, targets = data((4, 3))
    graph = graph_of(nn.Sequential(module), rows, targets=targets, opened=["batch_norm"])
    gamma, beta = module.weight.detach().numpy(), module.bias.detach().numpy()
    x, t, n = rows.numpy(), targets.numpy(), 4
    mean = x.mean(0, keepdims=True)
    centred = x - mean
    variance = (centred**2).mean(0, keepdims=True)
    root = np.sqrt(variance + module.eps)
    normalised = centred / root
    by_shifted = (normalised * gamma + beta - t) / n
    by_normalised = by_shifted * gamma
    by_reciprocal = (by_normalised * centred).sum(0, keepdims=True)
    by_root = -by_reciprocal / root**2
    by_variance = by_root / (2 * root)
    by_squares = np.repeat(by_variance / n, n, axis=0)
    both = {"0.squares": by_squares * 2 * centred, "0.normalised": by_normalised / root}
    by_centred = sum(both.values())
    by_mean = -by_centred.sum(0, keepdims=True)
    expected = {
        "0.mean": (mean, by_mean), "0.centred": (centred, by_centred), "0.squares": (centred**2, by_squares),
        "0.variance": (variance, by_variance), "0.plus_eps": (variance + module.eps, by_variance),
        "0.root": (root, by_root), "0.reciprocal": (1 / root, by_reciprocal),
        "0.normalised": (normalised, by_normalised), "0.scaled": (normalised * gamma, by_shifted),
        "0.shifted": (normalised * gamma + beta, by_shifted), "0.bias": (beta, by_shifted.sum(0)),
        "0.weight": (gamma, (by_shifted * normalised).sum(0)),
        "input": (x, by_centred + np.repeat(by_mean / n, n, axis=0)),
    }  # fmt: skip
    assert {operation.name for operation in graph.operations} == {*expected, "output"}
    for name, (value, gradient) in expected.items():
        np.testing.assert_allclose(graph[name].value, value, atol=1e-10, err_msg=name)
        np.testing.assert_allclose(graph[name].gradient, gradient, atol=1e-10, err_msg=name)
    for user, gradient in graph["0.centred"].arriving:
        np.testing.assert_allclose(gradient, both[user], atol=1e-10)
    assert [user for user, _ in graph["input"].arriving] == ["0.mean", "0.centred"]


@pytest.mark.parametrize("name", ["dense", "normalised", "flat", "blocks", "convolutional"])
def test_opening_changes_no_value(name):
    network, rows = network_of(name)
    whole, opened = (graph_of(network, rows, opened=kinds) for kinds in ((), ("batch_norm", "dense")))
    torch.testing.assert_close(opened["output"].value, whole["output"].value, **CLOSE)
    torch.testing.assert_close(opened["input"].gradient, whole["input"].gradient, **CLOSE)
    assert not {"Linear", "BatchNorm1d", "BatchNorm2d"} & {operation.does for operation in opened.operations}


def test_a_dense_module_is_a_product_and_a_sum():
    graph = graph_of(nn.Sequential(nn.Linear(2, 3)), torch.ones(4, 2), opened=["dense"])
    assert graph["0.product"].inputs == ("input", "0.weight") and graph["0.sum"].inputs == ("0.product", "0.bias")
    assert graph["0.bias"].gradient.tolist() == [4.0] * 3
    assert graph["0.weight"].parameters[0].name == "0.weight"
    bare = graph_of(nn.Sequential(nn.Linear(2, 3, bias=False)), opened=["dense"])
    assert [operation.name for operation in bare.operations] == ["0.weight", "input", "0.product", "output"]


def test_a_module_that_is_used_twice_has_its_parameters_once():
    module = nn.Linear(2, 2).double()
    network, rows = nn.Sequential(module, nn.Tanh(), module), data((3, 2))[0]
    graph = graph_of(network, rows, opened=["dense"])
    assert [user for user, _ in graph["0.weight"].arriving] == ["0.product", "0.product (2)"]
    network(rows).sum().backward()
    torch.testing.assert_close(graph["0.weight"].gradient, module.weight.grad, **CLOSE)
