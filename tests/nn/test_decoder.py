"""Tied and untied decoders."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from layerwise.errors import NetworkError
from layerwise.nn.decoder import Decoder
from layerwise.nn.lista import LISTA


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


CONVOLUTIONS = [
    (nn.Conv2d(1, 4, 5), (1, 28, 28)),
    (nn.Conv2d(3, 4, (3, 2), stride=2), (3, 9, 8)),
    (nn.Conv2d(3, 4, 3, stride=(3, 2), padding=(1, 2)), (3, 10, 7)),
    (nn.Conv2d(2, 6, 3, stride=3, padding=1, dilation=2, groups=2), (2, 13, 17)),
    (nn.Conv2d(4, 4, 3, groups=4, padding="same"), (4, 5, 6)),
    (nn.Conv2d(2, 3, (2, 3), dilation=(2, 3), padding="same"), (2, 7, 9)),
    (nn.Conv2d(2, 3, 3, stride=2, padding="valid"), (2, 8, 8)),
    (nn.Conv2d(2, 3, 2, padding=3), (2, 4, 5)),
    (nn.Conv2d(2, 3, 1, stride=4), (2, 7, 8)),
    (nn.Conv1d(2, 5, 4, stride=3), (2, 17)),
    (nn.Conv1d(2, 4, 3, stride=5, padding=2, dilation=3, groups=2), (2, 21)),
    (nn.Conv1d(1, 3, 5, padding="same", dilation=2), (1, 11)),
    (nn.Conv1d(3, 2, 7, padding="valid"), (3, 7)),
]  # fmt: skip


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(encoder: nn.Module) -> nn.Module:
    encoder = copy.deepcopy(encoder).double()
    with torch.no_grad():
        encoder.weight.copy_(normal(*encoder.weight.shape))
        encoder.bias.zero_()
    return encoder


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("encoder", "shape"), CONVOLUTIONS, ids=[f"{e}"[:6] + str(k) for k, (e, _) in enumerate(CONVOLUTIONS)]
)
def test_a_convolutions_decoder_is_its_adjoint(encoder, shape, tied):
    """<conv(x), y> = <x, decoded y>, and the decoded y is autograd's gradient of <conv(x), y>."""
    encoder = filled(encoder)
    decoder = Decoder(encoder, tied=tied, shape=shape)
    rows = normal(3, *shape, seed=1).requires_grad_()
    codes = encoder(rows)
    assert codes.shape[1:] == decoder.code_shape
    other = normal(*codes.shape, seed=2)
    decoded = decoder.activation(other)
    assert decoded.shape == rows.shape
    assert float(((codes * other).sum() - (rows * decoded).sum()).detach()) == pytest.approx(
        0, abs=1e-10 * codes.numel()
    )
    (adjoint,) = torch.autograd.grad((codes * other).sum(), rows)
    torch.testing.assert_close(decoded, adjoint, rtol=1e-10, atol=1e-10)
    assert len(decoder.bias) == shape[0]
    with torch.no_grad():
        decoder.bias.copy_(torch.arange(1.0, shape[0] + 1))
    shifted = decoder.activation(other) - adjoint
    assert torch.allclose(shifted, decoder.bias.reshape(-1, *[1] * (len(shape) - 1)).expand_as(shifted))


@pytest.mark.parametrize("gradient", ["full", "encoder"])
def test_gradient_of_a_tied_convolution(gradient):
    """The encoder's part alone, or both: against the same loss with an untied weight."""
    encoder = filled(nn.Conv2d(2, 3, 3, stride=2))
    tied, untied = Decoder(encoder, gradient=gradient, shape=(2, 6, 7)), Decoder(encoder, tied=False, shape=(2, 6, 7))
    rows = normal(4, 2, 6, 7, seed=1)
    used = [encoder.weight, untied.weight]
    parts = torch.autograd.grad(untied(torch.tanh(encoder(rows))).square().sum(), used)
    (found,) = torch.autograd.grad(tied(torch.tanh(encoder(rows))).square().sum(), [encoder.weight])
    torch.testing.assert_close(found, parts[0] + parts[1] if gradient == "full" else parts[0])
    assert float(parts[1].abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("encoder", "shape", "message", "hint"),
    [
        (nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), (1, 5, 5), "pads with 'circular'", "zeros"),
        (nn.Conv2d(1, 2, (3, 4), padding="same"), (1, 5, 5), r'kernel \(3, 4\) and padding="same" pads', "odd"),
        (nn.Conv2d(1, 2, 3), (), r"needs the shape of a row, 3 numbers, found \(\)", "channels"),
        (nn.Conv2d(1, 2, 3), (28, 28), r"3 numbers, found \(28, 28\)", "channels"),
        (nn.Conv1d(1, 2, 3), (1, 5, 5), r"2 numbers, found \(1, 5, 5\)", "channels"),
    ],
)  # fmt: skip
def test_convolutions_without_a_decoder(encoder, shape, message, hint):
    with pytest.raises(NetworkError, match=message) as caught:
        Decoder(encoder, shape=shape)
    assert hint in caught.value.hint


def test_a_sparse_encoders_decoder_uses_its_dictionary():
    encoder = LISTA(5, 3)
    decoder = Decoder(encoder)
    codes = torch.rand(4, 3)
    torch.testing.assert_close(decoder(codes), codes @ encoder.weight)


@pytest.mark.parametrize("encoder", [nn.Linear(4, 3), nn.Conv2d(2, 3, 3, stride=2)])
def test_settings_build_the_same_decoder(encoder):
    shape = (2, 6, 7) if isinstance(encoder, nn.Conv2d) else (4,)
    decoder = Decoder(encoder, tied=False, gradient="encoder", output="sigmoid", shape=shape)
    twin = Decoder(encoder, **decoder.settings)
    assert (twin.tied, twin.gradient, twin.output, twin.shape) == (False, "encoder", "sigmoid", shape)
    codes = encoder(torch.rand(3, *shape))
    assert torch.equal(twin(codes), decoder(codes))
