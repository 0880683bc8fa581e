"""The door to sampling: rows that a stack's own chains visit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from ..data.source import load_rows, open_source
from ..errors import PlanError
from ..randomness import Randomness, as_seed
from ..stack import Stack
from .chain import down, noise, transition_of, visits
from .transitions import Moved
from .visible import draw, visible_of

Output = Literal["mean", "sample"]


@dataclass(frozen=True)
class Samples:
    """Rows drawn by chains, as `sample` returns them.

    Attributes
    ----------
    inputs : Tensor, shape (n, features ...)
        The visited points in the input space: first one of each chain, then the next of each, and so on.
    codes : Tensor, shape (n, features ...)
        The same points, as means, in the representation in which the chains ran; with depth 0 the means of ``inputs``.
    depth : int
        That representation.
    chains : int
        How many chains ran side by side.

    Examples
    --------
    >>> drawn = Samples(torch.arange(5.0)[:, None], torch.zeros(5, 1), depth=0, chains=2)
    >>> drawn.by_chain()[..., 0].tolist()
    [[0.0, 2.0], [1.0, 3.0]]
    """

    inputs: Tensor
    codes: Tensor
    depth: int
    chains: int

    def by_chain(self) -> Tensor:
        """Return the inputs as (chains, visits, features ...), without a last visit that not every chain made."""
        visited = len(self.inputs) // self.chains
        whole: Tensor = self.inputs[: visited * self.chains].unflatten(0, (visited, self.chains))
        return whole.transpose(0, 1)


def sample(
    stack: Stack,
    n: int,
    *,
    depth: int | None = None,
    start: Any = None,
    chains: int = 100,
    burn_in: int = 500,
    thinning: int = 1,
    step: float | None = None,
    output: Output = "mean",
    random_state: int | None = None,
) -> Samples:
    r"""Draw rows from what a stack has learnt, by chains in the representation of any depth.

    .. math::
        h_{t+1} \sim T(\cdot \mid h_t) \;\text{ at depth } d, \qquad x_t = g_1(g_2(\dots g_d(h_t)))

    The chain in the codes of d layers is driven by the model that layer d + 1 was trained as:

    * denoising auto-encoder: corrupt with its own noise, reconstruct, draw (Bernoulli where the loss is cross-entropy;
      for squared loss the reconstruction itself);
    * contractive auto-encoder: :math:`h + J J^\top \varepsilon` with :math:`\varepsilon \sim N(0, \sigma^2 I)`, decode;
    * Boltzmann machine: Gibbs sampling. In a stack of them, a deep belief network, the lower layers' units are then
      drawn on the way down.

    Parameters
    ----------
    stack : Stack
        Of `pretrain`, or loaded.
    n : int
        Number of rows.
    depth : int, optional
        The representation in which the chains run: 0 is the input space; the stack's depth - 1, that of the top
        layer's model, when not given.
    start : array, tensor, path or Source, optional
        Rows of the input, one for each chain; of more, ``chains`` are drawn at random. Noise when not given: uniform in
        [0, 1] or normal.
    chains : int
        Chains side by side; no more than ``n`` run.
    burn_in : int
        Transitions of each chain that are thrown away.
    thinning : int
        Every so many-th visit is kept.
    step : float, optional
        :math:`\sigma` of a contractive auto-encoder's chain, 1 when not given: longer steps mix faster and are less
        accurate, as at a higher temperature.
    output : {"mean", "sample"}
        "mean": of the input's distribution, given all that was drawn before; published images and Parzen estimates are
        of means. "sample": drawn from it; the mean all the same where a loss stands for none (squared error).
    random_state : int, optional
        The same number gives the same rows.

    Returns
    -------
    Samples
        ``.inputs``, the rows; ``.codes``; ``.by_chain()``.

    Raises
    ------
    PlanError
        When a number is out of range, or ``start`` has fewer rows than there are chains.
    NetworkError
        When no chain runs at that depth, or there is no way back from it.
    DataError
        When ``start`` does not fit the stack.

    References
    ----------
    Bengio, Yao, Alain & Vincent (2013), Generalized denoising auto-encoders as generative models. Rifai, Bengio,
    Dauphin & Vincent (2012), A generative process for sampling contractive auto-encoders. Hinton, Osindero & Teh
    (2006), A fast learning algorithm for deep belief nets. Bengio, Mesnil, Dauphin & Rifai (2013), Better mixing via
    deep representations.

    Examples
    --------
    >>> from torch import nn
    >>> from layerwise import pretrain
    >>> network = nn.Sequential(nn.Linear(8, 6), nn.Sigmoid(), nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 2))
    >>> stack = pretrain(network, torch.rand(50, 8), epochs=2, random_state=0).stack
    >>> drawn = sample(stack, 20, chains=5, burn_in=10, random_state=0)
    >>> drawn.inputs.shape, drawn.by_chain().shape, drawn.depth
    (torch.Size([20, 8]), torch.Size([5, 4, 8]), 1)
    """
    depth = stack.depth - 1 if depth is None else depth
    for name, value, least in (("n", n, 1), ("chains", chains, 1), ("burn_in", burn_in, 0), ("thinning", thinning, 1)):
        if not isinstance(value, int) or value < least:
            raise PlanError(f"{name} is {value!r}, expected a whole number of {least} or more", f"set {name}={least}")
    if output not in ("mean", "sample"):
        raise PlanError(f"output is {output!r}, expected 'mean' or 'sample'", "set output='mean'")
    randomness = Randomness(as_seed(random_state))
    transition = transition_of(stack, depth, step)
    chains = min(chains, n)
    state = started(stack, depth, start, chains, randomness)
    generator = randomness.generator("down")
    shown(stack, Moved(state[:1], state[:1]), depth, output, torch.Generator().manual_seed(0))  # before all the work
    inputs, codes = [], []
    walk: Iterator[Moved] = visits(transition, state, randomness.generator("chain"), burn_in, thinning)
    for _ in range(-(-n // chains)):
        moved = next(walk)
        inputs.append(shown(stack, moved, depth, output, generator))
        codes.append(moved.mean)
    return Samples(torch.cat(inputs)[:n], torch.cat(codes)[:n], depth, chains)


def started(stack: Stack, depth: int, start: Any, chains: int, randomness: Randomness) -> Tensor:
    """Return the states at which chains start: the codes of given rows, or of noise."""
    if start is None:
        rows = noise(stack, chains, randomness.generator("start"))
    else:
        rows = load_rows(open_source(start), dtype=stack.layers[0].module.weight.dtype)
        if len(rows) < chains:
            raise PlanError(
                f"start has {len(rows)} rows for {chains} chains, expected one for each", f"set chains={len(rows)}"
            )
        if len(rows) > chains:
            rows = rows[torch.randperm(len(rows), generator=randomness.generator("start"))[:chains]]
    codes = stack.encode(rows, depth)
    return codes.to(stack.layers[depth].module.weight)


def shown(stack: Stack, moved: Moved, depth: int, output: Output, generator: Generator) -> Tensor:
    """Return a visit in the input space: the mean, or a draw from it."""
    if depth == 0:
        return moved.mean if output == "mean" else moved.state
    mean = down(stack, moved.mean, depth, generator)
    decoder = stack.decoders[0]
    assert decoder is not None
    return mean if output == "mean" else draw(mean, visible_of(stack.objectives[0], decoder), generator)
