"""Distances in closed form: a layer that is scaled, one that is turned, one that stays."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

import layerwise as lw
from layerwise.analysis import distance_moved
from layerwise.errors import NetworkError
from small_network import build, inputs


def test_scaled_turned_and_left() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.Linear(2, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
        network[0].bias.zero_()
        network[2].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    before = copy.deepcopy(network)
    with torch.no_grad():
        network[0].weight.mul_(3)
        network[0].bias.copy_(torch.tensor([0.6, 0.8]))
        network[2].weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
        network[3].weight.add_(1)  # normalisation is no layer of its own
    scaled, turned, left = distance_moved(before, network)
    assert (scaled.layer, scaled.distance, scaled.relative, scaled.cosine) == ("0", 10.0, 2.0, 1.0)
    assert scaled.bias_distance == pytest.approx(1.0) and scaled.bias_relative is None and scaled.bias_cosine is None
    assert (turned.distance, turned.relative) == (1.0, 1.0) and turned.cosine == pytest.approx(math.sqrt(0.5))
    assert turned.bias_distance is None
    assert (left.layer, left.distance, left.relative, left.bias_distance) == ("4", 0.0, 0.0, 0.0)


def test_equals_numpy_after_fine_tuning_and_takes_state_dicts() -> None:
    network = build()
    before = copy.deepcopy(network.state_dict())
    lw.finetune(network, inputs(), torch.arange(50) % 3, epochs=3, random_state=0)
    found = distance_moved(before, network)
    assert found == distance_moved(before, network.state_dict())
    for moved in found:
        old = before[f"{moved.layer}.weight"].numpy().astype(float)
        new = network.state_dict()[f"{moved.layer}.weight"].numpy().astype(float)
        assert moved.distance == pytest.approx(np.linalg.norm(new - old)) and moved.distance > 0
        assert moved.relative == pytest.approx(np.linalg.norm(new - old) / np.linalg.norm(old))
        assert moved.cosine == pytest.approx((old * new).sum() / np.linalg.norm(old) / np.linalg.norm(new))


def test_another_network_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"'0.weight' has shape \(3, 2\) after, and before there is shape \(3, 4\)"):
        distance_moved(nn.Sequential(nn.Linear(4, 3)), nn.Sequential(nn.Linear(2, 3)))
    with pytest.raises(NetworkError, match="no such parameter"):
        distance_moved(nn.Linear(2, 3), nn.Sequential(nn.Linear(2, 3)))
    with pytest.raises(NetworkError, match="no weight"):
        distance_moved(nn.ReLU(), nn.ReLU())
