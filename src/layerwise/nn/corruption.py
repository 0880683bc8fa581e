"""Corruption: the noise that a denoising auto-encoder learns to undo (Vincent et al. 2010, section 3.3).

Each kind is a frozen value that is called with rows and a generator. The rows are never changed in place, because the
clean rows are the target. Sparse rows (``torch.sparse_csr``) can be masked; other noise would make them dense.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor

from ..data.sparse import csr_tensor
from ..errors import DataError
from .draws import happens, whole_numbers

VALUE = ConfigDict(extra="forbid", arbitrary_types_allowed=False)


@dataclass(frozen=True, config=VALUE)
class Masking:
    r"""Set a random part of the elements to zero; the others are not rescaled.

    .. math:: \tilde x_i = x_i m_i, \qquad m_i \sim \mathrm{Bernoulli}(1 - \text{rate})

    Parameters
    ----------
    rate : float
        Probability that an element is set to zero, in [0, 1]; rounded to a multiple of :math:`2^{-16}`.

    References
    ----------
    Vincent et al. (2010), Stacked denoising autoencoders, JMLR 11.

    Examples
    --------
    >>> noisy = Masking(0.5)(torch.ones(2, 1000), torch.Generator().manual_seed(0))
    >>> 0.45 < float(noisy.mean()) < 0.55
    True
    """

    rate: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
    kind: Literal["masking"] = "masking"

    def __call__(self, inputs: Tensor, generator: Generator) -> Tensor:
        """Return a corrupted copy of ``inputs``, any shape; of sparse rows one with fewer stored elements."""
        if inputs.layout is not torch.strided:
            return self._drop(inputs, generator)
        return inputs * ~happens(whole_numbers(inputs, generator), self.rate)

    def corrupt(self, inputs: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return a corrupted copy, and which elements the noise chose (an element that was 0 already among them)."""
        chosen = happens(whole_numbers(_dense(inputs, "a choice of elements, zeros included,"), generator), self.rate)
        return inputs * ~chosen, chosen

    def _drop(self, inputs: Tensor, generator: Generator) -> Tensor:
        """Mask sparse rows: a zero stays one, so that only stored elements need a draw."""
        kept = (~happens(whole_numbers(inputs.values(), generator), self.rate)).nonzero().squeeze(1)
        pointers = torch.searchsorted(kept, inputs.crow_indices())
        columns, values = (part.index_select(0, kept) for part in (inputs.col_indices(), inputs.values()))
        return csr_tensor(pointers, columns, values, inputs.shape)


@dataclass(frozen=True, config=VALUE)
class GaussianNoise:
    r"""Add independent Gaussian noise.

    .. math:: \tilde x = x + \text{std}\cdot\varepsilon, \qquad \varepsilon \sim N(0, I)

    Parameters
    ----------
    std : float
        Standard deviation in the unit of the inputs, 0 or more.

    References
    ----------
    Vincent et al. (2010), Stacked denoising autoencoders, JMLR 11.

    Examples
    --------
    >>> noisy = GaussianNoise(0.1)(torch.zeros(2, 1000), torch.Generator().manual_seed(0))
    >>> 0.09 < float(noisy.std()) < 0.11
    True
    """

    std: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.1
    kind: Literal["gaussian"] = "gaussian"

    def __call__(self, inputs: Tensor, generator: Generator) -> Tensor:
        """Return a corrupted copy of ``inputs``, any shape."""
        return self.corrupt(inputs, generator)[0]

    def corrupt(self, inputs: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return a corrupted copy, and which elements the noise chose: all of them."""
        shape = _dense(inputs, "Gaussian noise").shape
        noise = torch.randn(shape, generator=generator, dtype=inputs.dtype, device=generator.device)
        noisy = inputs.add(noise.to(inputs.device), alpha=self.std)
        return noisy, torch.ones_like(inputs, dtype=torch.bool)


@dataclass(frozen=True, config=VALUE)
class SaltAndPepper:
    r"""Set a random part of the elements to 0 or to 1, each with equal probability.

    .. math:: \tilde x_i = 0 \text{ or } 1 \text{ with probability } \text{rate}/2 \text{ each, else } x_i

    Parameters
    ----------
    rate : float
        Probability that an element is replaced, in [0, 1]; rounded to a multiple of :math:`2^{-16}`.

    References
    ----------
    Vincent et al. (2010), Stacked denoising autoencoders, JMLR 11.

    Examples
    --------
    >>> noisy = SaltAndPepper(1.0)(torch.full((1, 1000), 0.5), torch.Generator().manual_seed(0))
    >>> sorted(set(noisy.flatten().tolist()))
    [0.0, 1.0]
    """

    rate: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    kind: Literal["salt-and-pepper"] = "salt-and-pepper"

    def __call__(self, inputs: Tensor, generator: Generator) -> Tensor:
        """Return a corrupted copy of ``inputs``, any shape."""
        return self.corrupt(inputs, generator)[0]

    def corrupt(self, inputs: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return a corrupted copy, and which elements the noise chose (whatever they were before)."""
        numbers = whole_numbers(_dense(inputs, "salt-and-pepper noise"), generator)
        chosen, pepper = happens(numbers, self.rate), happens(numbers, self.rate / 2)
        noisy = torch.where(chosen, torch.ones_like(inputs), inputs)
        return torch.where(pepper, torch.zeros_like(inputs), noisy), chosen


@dataclass(frozen=True, config=VALUE)
class SwapNoise:
    r"""Put another row's value of the same column in the place of a random part of the elements.

    .. math::
        \tilde x_{ni} = x_{mi} \text{ with probability } \text{rate}, \text{ else } x_{ni}, \qquad
        m \text{ uniform on the batch's other rows}

    Whatever a column holds, what is put there is a value that it has: of use for tables, whose columns differ in scale
    and where 0 may mean anything. Each element is drawn by itself, and so is each of the 0s and 1s that a text column
    became: a row may show two levels or none for a while. A batch of one row stays as it is.

    Parameters
    ----------
    rate : float
        Probability that an element is replaced, in [0, 1], whether or not the other row's value differs; rounded to a
        multiple of :math:`2^{-16}`, as are the chances of the other rows.

    References
    ----------
    Jahrer (2018), first place in Porto Seguro's safe driver prediction, Kaggle, who takes 0.15. Collobert & Weston
    (2008), A unified architecture for natural language processing, ICML, draw the negatives of `RankingLayer` so.

    Examples
    --------
    >>> rows = torch.tensor([[0.0, 10.0], [1.0, 20.0]])
    >>> SwapNoise(1.0)(rows, torch.Generator().manual_seed(0))
    tensor([[ 1., 20.],
            [ 0., 10.]])
    """

    rate: Annotated[float, Field(ge=0.0, le=1.0)] = 0.15
    kind: Literal["swap"] = "swap"

    def __call__(self, inputs: Tensor, generator: Generator) -> Tensor:
        """Return a corrupted copy of ``inputs``, shape (rows, ...)."""
        return self.corrupt(inputs, generator)[0]

    def corrupt(self, inputs: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return a corrupted copy, and which elements the noise chose (whatever the other row has there)."""
        chosen = happens(whole_numbers(_dense(inputs, "swap noise"), generator), self.rate)
        count = len(inputs)
        # 1 to count - 1 rows further on, by a 16-bit number: never the row itself
        further = ((whole_numbers(inputs, generator).long() + 2**15) * (count - 1) >> 16) + 1
        own = torch.arange(count, device=inputs.device).view(-1, *[1] * (inputs.ndim - 1))
        return torch.where(chosen, inputs.gather(0, (own + further) % count), inputs), chosen


Corruption = Annotated[Masking | GaussianNoise | SaltAndPepper | SwapNoise, Field(discriminator="kind")]


def _dense(inputs: Tensor, what: str) -> Tensor:
    if inputs.layout is not torch.strided:
        raise DataError(f"{what} would make sparse rows dense", "take Masking, without emphasis, or give dense rows")
    return inputs
