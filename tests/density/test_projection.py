"""Repeated reconstruction against a loop by hand, a closed form, and rows that are known to lie on a line."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import layerwise as lw
from layerwise.density.projection import project
from layerwise.errors import DataError, NetworkError, PlanError
from layerwise.stack import BLOCK
from random_stack import GAUSSIAN, drawn, stack_of
from small_network import build, inputs


def two_layers() -> lw.Stack:
    return lw.pretrain(build(), inputs(), epochs=1, random_state=0).stack


@pytest.mark.parametrize("depth", [1, 2, None])
def test_equals_a_loop_by_hand(depth):
    stack, rows = two_layers(), inputs(9, seed=3)
    found = project(stack, rows, repeats=3, depth=depth)
    path = [rows]
    for _ in range(3):
        path.append(stack.decode(stack.encode(path[-1], depth), depth))
    assert torch.equal(found.rows, path[3])
    torch.testing.assert_close(found.distances, (path[3] - rows).square().sum(1).sqrt())
    by_hand = torch.stack([(path[i + 1] - path[i]).square().sum(1).sqrt() for i in range(3)])
    torch.testing.assert_close(found.moves, by_hand)


def test_a_linear_projector_arrives_at_once_and_at_the_nearest_point():
    stack = stack_of(GAUSSIAN, nn.Identity, module=nn.Linear(5, 2))
    basis = torch.linalg.qr(drawn(5, 2, seed=9)).Q
    with torch.no_grad():
        stack.layers[0].module.weight.copy_(basis.T)
        stack.layers[0].module.bias.zero_()
        stack.decoders[0].bias.zero_()
    rows = drawn(8, 5, seed=2)
    found = project(stack, rows, repeats=4)
    torch.testing.assert_close(found.rows, rows @ basis @ basis.T)
    torch.testing.assert_close(found.distances, found.moves[0])
    assert found.moves[1:].max() < 1e-12


def test_rows_off_a_curve_come_nearer_to_it():
    """A circle of radius 4; off it by noise as large as that trained with. Every random choice has a fixed seed."""
    angle = 2 * torch.pi * torch.rand(3000, generator=torch.Generator().manual_seed(0))
    circle = 4 * torch.stack([angle.cos(), angle.sin()], 1)
    network = nn.Sequential(nn.Linear(2, 40), nn.Sigmoid(), nn.Linear(40, 1))
    objective = lw.DenoisingAutoencoder(lw.GaussianNoise(1.0), decoder="linear")
    stack = lw.pretrain(
        network, circle, objective=objective, epochs=40, learning_rate=0.05, optimizer="adam", batch_size=300,
        initializer="glorot-sigmoid", random_state=0,
    ).stack  # fmt: skip
    noisy = circle[:500] + torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    found = project(stack, noisy, repeats=5)

    def off(rows: torch.Tensor) -> float:
        return float((rows.norm(dim=1) - 4).abs().mean())

    assert off(found.rows) < 0.5 * off(noisy)
    assert found.moves[-1].mean() < 0.5 * found.moves[0].mean()


def test_shape_stays_and_blocks_do_not_matter():
    stack = stack_of(GAUSSIAN, module=nn.Linear(6, 4), preamble=(nn.Flatten(),))
    images = drawn(BLOCK + 3, 1, 2, 3)
    found = project(stack, images, repeats=1)
    assert found.rows.shape == images.shape and found.moves.shape == (1, BLOCK + 3)
    torch.testing.assert_close(found.rows[-3:], project(stack, images[-3:], repeats=1).rows)


def test_rows_that_run_away_are_an_error():
    stack = stack_of(GAUSSIAN, nn.Identity)
    with torch.no_grad():
        stack.layers[0].module.weight.mul_(1e20)
    with pytest.raises(DataError, match="no longer finite after 20 repeats"):
        project(stack, drawn(3, 5), repeats=20)


def test_misuse():
    stack = two_layers()
    for depth in (0, 3):
        with pytest.raises(PlanError, match=f"depth is {depth}, the stack has 2 layers"):
            project(stack, inputs(), depth=depth)
    with pytest.raises(PlanError, match="repeats is 0"):
        project(stack, inputs(), repeats=0)
    with pytest.raises(DataError, match="no rows to project"):
        project(stack, inputs()[:0])
    with pytest.raises(NetworkError, match="no way back"):
        project(lw.Stack(stack.layers, [None, None]), inputs())
