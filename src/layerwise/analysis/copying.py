"""The copy test: whether an over-complete auto-encoder has learned the rows, or only to copy what it is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..errors import DataError
from ..nn.modes import evaluation
from ..randomness import Randomness
from ..stack import Stack
from .jacobian import jacobians

KINDS = ("rows", "shuffled", "permuted", "white")


@dataclass(frozen=True)
class CopyTest:
    """How an auto-encoder reconstructs rows, and noise that has the rows' values but not their structure.

    Attributes
    ----------
    errors : dict of str to float
        Mean squared error a row, summed over elements, on each kind of rows.
    shares : dict of str to float
        The same as a share of that kind's variance: 0 copies perfectly, 1 does no better than the kind's mean.
    singular_values : Tensor, shape (features,)
        Of the Jacobian of the reconstruction, the largest first, averaged over some rows; the identity's are all 1.
    from_identity : float
        Distance of that Jacobian from the identity's, divided by the identity's norm, averaged over the rows: 0 for a
        copy, 1 for a constant.
    """

    errors: dict[str, float]
    shares: dict[str, float]
    singular_values: Tensor
    from_identity: float


def copy_test(
    stack: Stack, inputs: Tensor, *, depth: int = 1, jacobian_rows: int = 5, random_state: int = 0
) -> CopyTest:
    r"""Measure how near an auto-encoder's reconstruction is to the identity, on the rows and away from them.

    .. math::
        E = \frac1N \sum_n \lVert r(x_n) - x_n \rVert^2, \qquad
        E \Big/ \frac1N \sum_n \lVert x_n - \bar x \rVert^2, \qquad
        \lVert \partial r / \partial x - I \rVert_F / \sqrt d

    An auto-encoder that copies is as good on noise as on the rows, and its Jacobian is the identity's. One that has
    learned where the rows lie is good there alone, and lets through the few directions in which rows vary.

    Parameters
    ----------
    stack : Stack
        Its first ``depth`` layers have decoders; it runs in evaluation mode, without corruption.
    inputs : Tensor, shape (rows, features)
        Rows that it was not trained on.
    depth : int
        How many layers encode and decode.
    jacobian_rows : int
        The first rows, at which the Jacobian is taken.
    random_state : int
        Of the noise: "shuffled" has each column's values in an order of its own, so each element's distribution stays;
        "permuted" has each row's elements in an order of its own, so each row's values stay; "white" is Gaussian with
        the mean and variance of all elements, kept within their range.

    Raises
    ------
    NetworkError
        When there is no way back from a layer.

    Examples
    --------
    >>> from torch import nn
    >>> from layerwise.nn.decoder import Decoder
    >>> from layerwise.nn.layers import Layer
    >>> layer = Layer("0", [], nn.Linear(3, 3), [])
    >>> _ = layer.module.weight.data.copy_(torch.eye(3)), layer.module.bias.data.zero_()
    >>> found = copy_test(Stack([layer], [Decoder(layer.module)]), torch.rand(10, 3))
    >>> round(found.shares["white"], 6), found.singular_values.tolist(), found.from_identity
    (0.0, [1.0, 1.0, 1.0], 0.0)
    """
    if inputs.ndim != 2 or len(inputs) < 2:
        raise DataError(
            f"the copy test was given rows of shape {tuple(inputs.shape)}", "give two or more rows of shape (features,)"
        )
    errors, shares = {}, {}
    for kind, rows in _kinds(inputs, Randomness(random_state, "copy test")):
        errors[kind] = float((stack.reconstruct(rows, depth).cpu() - rows).square().sum(1).mean())
        variance = float((rows - rows.mean(0)).square().sum(1).mean())
        shares[kind] = errors[kind] / variance if variance else float("nan")
    slopes = _slopes(stack, inputs[:jacobian_rows], depth)
    identity = torch.eye(inputs.shape[1], dtype=slopes.dtype, device=slopes.device)
    away = (slopes - identity).flatten(1).norm(dim=1) / identity.norm()
    return CopyTest(errors, shares, torch.linalg.svdvals(slopes).mean(0).cpu(), float(away.mean()))


def _kinds(inputs: Tensor, randomness: Randomness) -> Iterator[tuple[str, Tensor]]:
    yield KINDS[0], inputs
    yield KINDS[1], _in_own_order(inputs.t(), randomness.generator(KINDS[1])).t()
    yield KINDS[2], _in_own_order(inputs, randomness.generator(KINDS[2]))
    draws = torch.randn(inputs.shape, generator=randomness.generator(KINDS[3])).to(inputs)
    yield KINDS[3], (inputs.mean() + inputs.std() * draws).clamp(inputs.min(), inputs.max())


def _in_own_order(rows: Tensor, generator: Generator) -> Tensor:
    """Return rows, the elements of each in a random order of its own."""
    order = torch.rand(rows.shape, generator=generator).argsort(1).to(rows.device)
    return rows.gather(1, order)


def _slopes(stack: Stack, rows: Tensor, depth: int) -> Tensor:
    """Return the Jacobians of the reconstruction at some rows."""
    layers, decoders = stack.layers[:depth], stack.decoders[:depth]

    def reconstruct(row: Tensor) -> Tensor:
        codes = row
        for layer in layers:
            codes = layer.hand_on(codes)
        for decoder in decoders[::-1]:
            assert decoder is not None  # or the stack would have refused to decode
            codes = decoder(codes.reshape(len(codes), *decoder.code_shape))
        return codes

    weight = layers[0].module.weight
    with evaluation(torch.nn.ModuleList(layers)):
        return jacobians(reconstruct, rows.to(weight.device, weight.dtype))
