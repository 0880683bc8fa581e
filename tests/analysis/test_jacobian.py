"""Jacobians and their singular values against closed forms of NumPy and torch's own row-by-row Jacobian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from layerwise.analysis import batch_statistics, jacobians, layer_jacobians, singular_values
from layerwise.errors import NetworkError
from layerwise.nn.cutting import cut
from small_network import build, inputs


def numpy_jacobian(layer: nn.Linear, row: np.ndarray) -> np.ndarray:
    """diag(h (1 - h)) W of a sigmoid layer."""
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    codes = 1 / (1 + np.exp(-(weight @ row + bias)))
    return (codes * (1 - codes))[:, None] * weight


def test_a_dense_sigmoid_layer_equals_its_closed_form_and_torch() -> None:
    network, rows = build(dtype=torch.float64), inputs(5).double()
    found = dict(layer_jacobians(network, rows))
    values = singular_values(network, rows)
    handed = rows
    for name, layer in (("0", network[:2]), ("2", network[2:4])):
        for number, row in enumerate(handed):
            closed = numpy_jacobian(layer[0], row.detach().numpy())
            torchs = torch.autograd.functional.jacobian(layer, row)
            np.testing.assert_allclose(found[name][number].numpy(), closed, atol=1e-12)
            np.testing.assert_allclose(torchs.numpy(), closed, atol=1e-12)
            np.testing.assert_allclose(values[name][number].numpy(), np.linalg.svd(closed)[1], atol=1e-12)
        handed = layer(handed).detach()


def test_the_networks_jacobian_is_the_product_of_its_layers() -> None:
    network, rows = build(dtype=torch.float64), inputs(4).double()
    first, second = (found for _, found in layer_jacobians(network, rows))
    product = network[4].weight.detach() @ second @ first
    np.testing.assert_allclose(jacobians(network, rows).numpy(), product.numpy(), atol=1e-12)
    expected = np.linalg.svd(product.numpy())[1]
    np.testing.assert_allclose(singular_values(network, rows)["network"].numpy(), expected, atol=1e-12)
    assert "network" not in singular_values(cut(network), rows)


def test_a_convolution_with_pooling_equals_torch() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.MaxPool2d(2), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(12, 5), nn.Tanh(),
        nn.Linear(5, 2),
    ).double()  # fmt: skip
    rows = torch.randn(3, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = dict(layer_jacobians(network, rows))
    assert found["0"].shape == (3, 12, 36) and found["4"].shape == (3, 5, 12)
    for number, row in enumerate(rows):
        expected = torch.autograd.functional.jacobian(lambda x: network[:4](x[None])[0], row).reshape(12, 36)
        assert torch.allclose(found["0"][number], expected, atol=1e-12)


def test_with_batch_normalisation_each_row_is_alone_and_normalised_as_in_training() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Sigmoid(), nn.Linear(3, 2)).double().eval()
    rows = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sums = rows @ network[0].weight.detach().T + network[0].bias.detach()
    scale = 1 / (sums.var(0, unbiased=False) + network[1].eps).sqrt()
    codes = torch.sigmoid((sums - sums.mean(0)) * scale)
    with batch_statistics(network, rows):
        ((_, found),) = layer_jacobians(network, rows[:2])
        assert torch.allclose(network[:3](rows), codes)
    expected = (codes * (1 - codes) * scale)[:2, :, None] * network[0].weight.detach()
    assert torch.allclose(found, expected, atol=1e-12)


def test_one_too_large_is_refused() -> None:
    with pytest.raises(NetworkError, match="5,000 outputs by 5,000 inputs has more"):
        jacobians(lambda row: row, torch.zeros(1, 5000))


def test_nothing_is_left_behind() -> None:
    network, rows = build(), inputs(3)
    network.train()
    singular_values(network, rows)
    assert all(module.training for module in network.modules())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
