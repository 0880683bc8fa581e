r"""One transition of a chain: pure functions of a state and a generator.

Each takes rows as a layer's module takes them and returns rows as the layer was handed them: the next state, and the
mean of the distribution that it was drawn from.

* Denoising auto-encoder: corrupt, reconstruct, draw (Bengio, Yao, Alain & Vincent 2013).
* Contractive auto-encoder: a step in the code along the directions in which the code moves, decode (Rifai et al. 2012).
* Boltzmann machine: all hidden units, then all visible ones (Gibbs sampling).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..nn.corruption import Corruption
from ..nn.decoder import Decoder
from ..nn.draws import bernoulli
from ..nn.layers import Layer
from ..stack import handed
from .visible import Visible, draw


class Moved(NamedTuple):
    """Where a transition has led.

    Attributes
    ----------
    state : Tensor, shape (chains, features ...)
        From here the chain goes on.
    mean : Tensor, same shape
        The mean of the distribution that the state was drawn from.
    """

    state: Tensor
    mean: Tensor


def denoise(
    layer: Layer, decoder: Decoder, corruption: Corruption, visible: Visible, rows: Tensor, generator: Generator
) -> Moved:
    r"""Corrupt rows, reconstruct them, and draw from the reconstruction.

    .. math:: \tilde x \sim q(\cdot \mid x_t), \qquad z = r(\tilde x), \qquad x_{t+1} \sim p(\cdot \mid z)

    Parameters
    ----------
    layer, decoder : Layer, Decoder
        r, in evaluation mode.
    corruption : Corruption
        q, the noise of training.
    visible : {"bernoulli", "normal", "mean"}
        p: see `layerwise.sampling.visible`.
    rows : Tensor, shape (chains, features ...)
        :math:`x_t`, as the layer's module takes them.
    generator : Generator
        Source of the noise and the draws.
    """
    mean = handed(layer, decoder, layer(corruption(rows, generator)))
    return Moved(draw(mean, visible, generator), mean)


def contract(layer: Layer, decoder: Decoder, step: float, rows: Tensor, generator: Generator) -> Moved:
    r"""Move the code of rows along the directions in which it is free to move, and decode it.

    .. math::
        h = f(x_t), \quad J = \frac{\partial f}{\partial x}(x_t), \quad \varepsilon \sim N(0, \sigma^2 I), \qquad
        x_{t+1} = g(h + J J^\top \varepsilon)

    A contractive auto-encoder has singular values near 0 in all directions but those along the data, so
    :math:`J J^\top` lets noise through along the data only. Nothing is drawn from the decoder's distribution: the next
    state is the mean, and its code :math:`f(g(\cdot))` is where the next transition begins.

    Parameters
    ----------
    layer, decoder : Layer, Decoder
        f and g, in evaluation mode.
    step : float
        :math:`\sigma`, the size of the step: it trades speed against accuracy, as a temperature does.
    rows : Tensor, shape (chains, features ...)
        :math:`x_t`, as the layer's module takes them.
    generator : Generator
        Source of :math:`\varepsilon`: one number per unit of the code.

    References
    ----------
    Rifai, Bengio, Dauphin & Vincent (2012), A generative process for sampling contractive auto-encoders, ICML.
    """
    with torch.enable_grad():
        start = rows.detach().requires_grad_()
        codes = layer(start)
        probe = torch.zeros_like(codes, requires_grad=True)
        # the transpose times any vector: linear in it, so that its own derivative is the Jacobian
        (pulled,) = torch.autograd.grad(codes, start, probe, create_graph=True)
        noise = torch.randn(codes.shape, generator=generator, device=generator.device, dtype=torch.float32)
        (along,) = torch.autograd.grad(codes, start, step * noise.to(codes), retain_graph=True)
        (moved,) = torch.autograd.grad(pulled, probe, along)
    mean = handed(layer, decoder, codes.detach() + moved)
    return Moved(mean, mean)


def gibbs(layer: Layer, decoder: Decoder, visible: Visible, rows: Tensor, generator: Generator) -> Moved:
    r"""Draw the hidden units of a Boltzmann machine given the visible ones, then the visible ones given those.

    .. math:: h \sim p(\cdot \mid v_t), \qquad v_{t+1} \sim p(\cdot \mid h)

    Parameters
    ----------
    layer, decoder : Layer, Decoder
        :math:`p(h = 1 \mid v)` and the mean of :math:`p(v \mid h)`, in evaluation mode.
    visible : {"bernoulli", "normal"}
        Kind of the visible units.
    rows : Tensor, shape (chains, features ...)
        :math:`v_t`, as the layer's module takes them.
    generator : Generator
        Source of the draws: the hidden units' first.
    """
    mean = handed(layer, decoder, bernoulli(layer(rows), generator))
    return Moved(draw(mean, visible, generator), mean)
