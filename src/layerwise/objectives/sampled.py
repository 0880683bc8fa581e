r"""Sampled reconstruction: the loss of sparse rows from some of their elements, without bias (Dauphin et al. 2011).

.. math::
    C = \{k : x_k \ne 0\}, \qquad q_k = 1 \text{ on } C, \text{ else } \max(|C|, 1) / d, \qquad
    \hat\ell = \sum_k \frac{\kappa_k}{q_k} \ell(x_k, z_k), \qquad \kappa_k \sim \mathrm{Bernoulli}(q_k), \qquad
    E[\hat\ell] = \sum_k \ell(x_k, z_k)

Masking noise makes no element of a zero, so C holds every element that the noisy row has. About 2 \|C\| elements of a
row are kept, and the cost of an update follows them, not the width d.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..data.sparse import csr_tensor
from ..errors import NetworkError
from ..nn.chain import Products
from ..nn.corruption import Masking
from ..nn.layers import Layer
from ..nn.sparse_products import dots, gathered
from .autoencoder import AutoencoderLearner, AutoencoderSettings
from .objective import Factors, FeatureFacts


class Kept(NamedTuple):
    """The elements that stand for whole rows, row after row, columns in ascending order.

    Attributes
    ----------
    pointers : Tensor of int64, shape (B + 1,)
        Where each row's elements begin and end.
    rows, columns : Tensor of int64, shape (n,)
        Row and column of each.
    clean : Tensor, shape (n,)
        Its value.
    weights : Tensor, shape (n,)
        :math:`1 / q_k`.
    """

    pointers: Tensor
    rows: Tensor
    columns: Tensor
    clean: Tensor
    weights: Tensor


def draw_kept(clean: Tensor, generator: Generator) -> Kept:
    r"""Draw which elements of sparse rows are kept, each on its own, in time that follows their non-zeros.

    A row's number of draws is Poisson with mean :math:`-d \log(1 - q)`, and each draw is a column, any with the same
    chance. So a column's number of draws is Poisson with mean :math:`-\log(1 - q)`, independent of every other's, and
    it is drawn at all with probability q exactly. A column that is drawn twice, or that is in C, counts once.

    Parameters
    ----------
    clean : Tensor in CSR layout, shape (B, d)
        The rows; an element that is stored belongs to C.
    generator : Generator
        Source of the draws.

    Examples
    --------
    >>> clean = csr_tensor(torch.tensor([0, 20]), torch.arange(20), torch.ones(20), (1, 1000))
    >>> kept = draw_kept(clean, torch.Generator().manual_seed(0))
    >>> kept.columns[:20].tolist() == list(range(20)), kept.weights.unique().tolist()
    (True, [1.0, 50.0])
    """
    width, stored = clean.shape[1], clean.crow_indices().diff().cpu().numpy()
    chance = np.maximum(stored, 1) / width
    mean = np.where(stored < width, -width * np.log1p(-np.minimum(chance, 1 - 0.5 / width)), 0.0)
    draws = torch.poisson(torch.from_numpy(mean).to(generator.device), generator=generator).long().cpu().numpy()
    # 53 random bits: a column's chance is 1 / d to 1e-11
    drawn = torch.rand(int(draws.sum()), generator=generator, dtype=torch.float64, device=generator.device)
    starts = np.arange(len(stored) + 1) * width
    inside = clean.col_indices().cpu().numpy() + np.repeat(starts[:-1], stored)
    outside = (drawn.cpu().numpy() * width).astype(np.int64) + np.repeat(starts[:-1], draws)
    places, sources = _first_of_each(np.concatenate([inside, outside]))
    pointers = np.searchsorted(places, starts)
    rows = np.repeat(np.arange(len(stored)), np.diff(pointers))
    in_row = torch.from_numpy(np.flatnonzero(sources < len(inside))).to(clean.device)
    values = clean.values().index_select(0, torch.from_numpy(sources).to(clean.device)[in_row])
    ends, row, column = (torch.from_numpy(part).to(clean.device) for part in (pointers, rows, places - starts[rows]))
    weights = torch.from_numpy((1 / chance)[rows]).to(values)
    held = values.new_zeros(len(rows)).index_copy_(0, in_row, values)
    return Kept(ends, row, column, held, weights.index_fill_(0, in_row, 1.0))


def _first_of_each(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct places in ascending order, and where each stood first.

    Examples
    --------
    >>> [part.tolist() for part in _first_of_each(np.array([7, 3, 7]))]
    [[3, 7], [1, 0]]
    """
    # one sort of (place, position) as one number: a sort that also carries an index takes several times as long
    bits = len(places).bit_length()
    keys = (places << bits) + np.arange(len(places))
    keys.sort()
    places = keys >> bits
    first = np.flatnonzero(np.diff(places, prepend=-1))
    return places[first], keys[first] & ((1 << bits) - 1)


class SampledLearner(AutoencoderLearner):
    r"""A dense layer with a decoder, trained on some elements of each sparse row's reconstruction.

    Parameters
    ----------
    settings : DenoisingAutoencoder
    layer : Layer
        A dense one.
    facts : FeatureFacts
        Of sparse rows.
    corruption : Masking

    Attributes
    ----------
    shrunk : Tensor of float64, shape ()
        The weights are this times what their parameters hold, so that weight decay of all of them is one product
        (Bottou 2012). A step that decays weights so sets it; `settle` brings it back to 1.

    Raises
    ------
    NetworkError
        When the layer is not dense.

    References
    ----------
    Dauphin, Glorot & Bengio (2011), Large-scale learning of embeddings with reconstruction sampling, ICML. Bottou
    (2012), Stochastic gradient descent tricks, section 5.1.
    """

    def __init__(self, settings: AutoencoderSettings, layer: Layer, facts: FeatureFacts, corruption: Masking) -> None:
        if not isinstance(layer.module, nn.Linear):
            raise NetworkError(
                f"layer {layer.name!r} is a {type(layer.module).__name__}, expected a dense one to sample its inputs",
                "begin the network with an nn.Linear",
            )
        super().__init__(settings, layer, facts, corruption=corruption)
        self.shrunk: Tensor
        self.register_buffer("shrunk", torch.ones((), dtype=torch.float64))

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return the sampled loss of reconstructing the batch's clean rows from noisy ones."""
        clean = batch.inputs
        noisy, _ = self._corrupted(batch, generator)
        kept = draw_kept(clean, generator)
        codes, back = self.layer(noisy), self._back
        if self.decoder.tied and self.decoder.gradient == "encoder":
            back = back.detach()
        products = codes.index_select(0, kept.rows) * back.t().index_select(0, kept.columns)
        activation = products.sum(1) + self.decoder.bias.index_select(0, kept.columns)
        return self._total(activation, kept.clean, kept.weights) / len(clean)

    @property
    def _back(self) -> Tensor:
        weight: Tensor = self.layer.module.weight if self.decoder.weight is None else self.decoder.weight
        return weight

    def factored(self, shape: Sequence[int]) -> bool:
        """Say whether `factors` holds: always."""
        return True

    @torch.no_grad()
    def factors(self, batch: Batch, generator: Generator) -> Factors:
        """Return the loss, and the factors of its gradient by the weights; those of d columns are sparse."""
        clean, module, decoder, shrunk = batch.inputs, self.layer.module, self.decoder, float(self.shrunk)
        noisy, _ = self._corrupted(batch, generator)
        kept = draw_kept(clean, generator)
        outside = [parameter for parameter in self.layer.after.parameters() if parameter.requires_grad]
        hidden = gathered(noisy, module.weight).mul_(shrunk)
        if module.bias is not None:
            hidden += module.bias
        with torch.enable_grad():
            codes = self.layer.after(hidden.requires_grad_())
        decoded = dots(codes.detach(), self._back, kept.pointers, kept.rows, kept.columns)
        activation = decoder.bias.index_select(0, kept.columns).add_(decoded, alpha=shrunk)
        loss = self._total(activation, kept.clean, kept.weights) / len(clean)
        by_activation = self._by_activation(activation, kept.clean, kept.weights, out=torch.empty_like(activation))
        by_output = csr_tensor(kept.pointers, kept.columns, by_activation, clean.shape)
        by_code = gathered(by_output, self._back).mul_(shrunk)
        by_hidden, *others = torch.autograd.grad(codes, [hidden, *outside], by_code)
        products: Products = {module.weight: [(by_hidden, noisy)]}
        if decoder.weight is not None:
            products[decoder.weight] = [(codes.detach(), by_output)]
        elif decoder.gradient == "full":
            products[module.weight].append((codes.detach(), by_output))
        products[decoder.bias] = [(by_output, None)]
        if module.bias is not None:
            products[module.bias] = [(by_hidden, None)]
        products |= {p: [(gradient[None], None)] for p, gradient in zip(outside, others, strict=True)}
        return Factors(loss, products, 1 / len(clean))

    @property
    def wide(self) -> list[nn.Parameter]:
        """The weights that have a column for each of the d."""
        return [weight for weight in (self.layer.module.weight, self.decoder.weight) if weight is not None]

    def settle(self) -> None:
        """Bring the parameters to the weights that they stand for."""
        if self.shrunk != 1.0:
            with torch.no_grad():
                for weight in self.wide:
                    weight.mul_(self.shrunk.to(weight.dtype))
                self.shrunk.fill_(1.0)
