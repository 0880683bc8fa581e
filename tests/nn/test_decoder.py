"""Tied and untied decoders."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from layerwise.nn.decoder import Decoder


def seeded_dense() -> nn.Linear:
    dense = nn.utils.skip_init(nn.Linear, 5, 3)
    with torch.no_grad():
        dense.weight.copy_(torch.randn(3, 5, generator=torch.Generator().manual_seed(0)))
        dense.bias.zero_()
    return dense


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("output", ["linear", "sigmoid"])
def test_decodes_by_the_transposed_weight(tied, output):
    dense = seeded_dense()
    decoder = Decoder(dense, tied=tied, output=output)
    with torch.no_grad():
        decoder.bias.copy_(torch.arange(5.0))
    codes = torch.rand(4, 3, generator=torch.Generator().manual_seed(1))
    expected = codes @ dense.weight + torch.arange(5.0)
    torch.testing.assert_close(decoder.activation(codes), expected)
    torch.testing.assert_close(decoder(codes), torch.sigmoid(expected) if output == "sigmoid" else expected)


def test_tied_follows_the_encoder_and_untied_does_not():
    dense = seeded_dense()
    tied, untied = Decoder(dense), Decoder(dense, tied=False)
    codes = torch.ones(1, 3)
    torch.testing.assert_close(tied(codes), untied(codes))  # both begin with the same reconstruction
    with torch.no_grad():
        dense.weight.add_(1.0)
    torch.testing.assert_close(tied(codes), untied(codes) + 3.0)
    assert [name for name, _ in tied.named_parameters()] == ["bias"]
    assert sorted(name for name, _ in untied.named_parameters()) == ["bias", "weight"]
    assert (tied.tied, untied.tied) == (True, False)


def test_a_copied_learner_is_tied_to_its_own_copy():
    """A deep copy whose decoder still used the original's weight would train the wrong network."""
    pair = nn.ModuleList([seeded_dense()])
    pair.append(Decoder(pair[0]))
    twin = copy.deepcopy(pair)
    with torch.no_grad():
        twin[0].weight.zero_()
    assert not twin[1](torch.ones(1, 3)).any()
    assert pair[1](torch.ones(1, 3)).any()


@pytest.mark.parametrize("gradient", ["full", "encoder"])
def test_gradient_of_the_decoders_use(gradient):
    dense = seeded_dense()
    Decoder(dense, gradient=gradient)(torch.ones(1, 3, requires_grad=True)).sum().backward()
    if gradient == "full":
        assert torch.equal(dense.weight.grad, torch.ones(3, 5))
    else:
        assert dense.weight.grad is None


def test_moves_with_the_encoders_precision():
    dense = seeded_dense().double()
    decoder = Decoder(dense, tied=False)
    assert decoder(torch.ones(2, 3, dtype=torch.float64)).dtype == torch.float64
