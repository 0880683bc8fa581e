"""The restricted Boltzmann machine: learn the distribution of the input, with the code as its hidden units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from ..data.batches import Batch
from ..errors import DataError, NetworkError
from ..nn.chain import Products, activation_of
from ..nn.decoder import Decoder
from ..nn.draws import bernoulli
from ..nn.layers import Layer
from ..nn.products import down, room, up
from .autoencoder import loss_of_mean
from .objective import Factors, FeatureFacts

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class RBM:
    r"""Train a sigmoid layer as the hidden units h of a Boltzmann machine over its inputs v.

    .. math::
        E(v, h) &= -b^\top v - c^\top h - h^\top W v &&\text{(Bernoulli visible units)} \\
        E(v, h) &= \tfrac12 \lVert v - b \rVert^2 - c^\top h - h^\top W v &&\text{(Gaussian, unit variance)} \\
        p(v) &\propto e^{-F(v)}, \qquad F(v) = -\log \sum_h e^{-E(v, h)}, \qquad
            p(h_j = 1 \mid v) = \sigma(c_j + (W v)_j)

    W and c are the layer's own weights and bias, so the layer's code is :math:`E[h \mid v]`; b is the bias of a tied
    decoder, and starts at the inverse link of the inputs' mean. A stack of them is a deep belief network. For a
    convolution W is the convolution, and b and c have one element per channel.

    Parameters
    ----------
    visible : {"bernoulli", "gaussian"}
        "bernoulli" takes inputs in [0, 1]; what lies between is used as a probability. "gaussian" takes real inputs
        and assumes noise of variance 1: standardise the rows.
    estimator : {"cd", "pcd", "pseudo-likelihood", "score-matching"}
        How the gradient of :math:`-\log p(v)`, which cannot be computed, is replaced.

        * "cd": mean F(v) minus mean F of the same rows after k Gibbs updates; biased.
        * "pcd": the same with `chains` particles that go on from one update of the weights to the next.
        * "pseudo-likelihood": :math:`-\sum_i \log p(v_i \mid v_{-i})`, one i per row drawn at random; Bernoulli only.
        * "score-matching": :math:`\tfrac12 \lVert \psi \rVert^2 + \operatorname{tr} \partial\psi/\partial v` with
          :math:`\psi = -\partial F/\partial v`; without noise; Gaussian and dense layers only.
    k : int
        Gibbs updates of the chain for each update of the weights, of "cd" and "pcd".
    chains : int
        Particles of "pcd".

    Raises
    ------
    ValueError
        When the estimator does not hold for the visible units.

    References
    ----------
    Hinton (2002), Training products of experts by minimizing contrastive divergence. Hinton & Salakhutdinov (2006),
    Reducing the dimensionality of data with neural networks. Hinton, Osindero & Teh (2006), A fast learning algorithm
    for deep belief nets. Tieleman (2008), Training restricted Boltzmann machines using approximations to the
    likelihood gradient. Besag (1975), Statistical analysis of non-lattice data. Hyvärinen (2005), Estimation of
    non-normalized statistical models by score matching.

    Examples
    --------
    >>> RBM("gaussian", estimator="pcd", k=5).chains
    100
    """

    needs_targets: ClassVar[bool] = False
    visible: Literal["bernoulli", "gaussian"] = "bernoulli"
    _: KW_ONLY
    estimator: Literal["cd", "pcd", "pseudo-likelihood", "score-matching"] = "cd"
    k: Count = 1
    chains: Count = 100
    kind: Literal["rbm"] = "rbm"

    @model_validator(mode="after")
    def _estimator_holds(self) -> RBM:
        if self.estimator == "score-matching" and self.visible != "gaussian":
            raise ValueError("score-matching differentiates by the inputs: set visible to gaussian, or estimator to cd")
        if self.estimator == "pseudo-likelihood" and self.visible != "bernoulli":
            raise ValueError("pseudo-likelihood flips binary inputs: set visible to bernoulli, or estimator to cd")
        return self

    def build(self, layer: Layer, facts: FeatureFacts, generator: Generator) -> RBMLearner:
        """Build the learner of a layer from what is known of its inputs; draw the chains from the generator."""
        return RBMLearner(self, layer, facts, generator)


class RBMLearner(nn.Module):
    """A layer as the hidden half of a restricted Boltzmann machine.

    Everything random is drawn from the generator in this order; binary units by `layerwise.nn.draws.bernoulli`. Gibbs
    updates, k times: the hidden units, shape (rows, units ...); then the visible ones, shape (rows, features ...),
    binary (Bernoulli) or one standard normal number in float32 each (Gaussian). Pseudo-likelihood: the visible units,
    which makes probabilities binary; then one integer per row, the flipped unit. At building, for "pcd": the visible
    units of each chain.

    Parameters
    ----------
    settings : RBM
        The objective.
    layer : Layer
        Holds W and c.
    facts : FeatureFacts
        Of the layer's inputs: their range, mean and shape.
    generator : Generator
        On the CPU; the chains of "pcd" start as independent draws at the inputs' mean.

    Attributes
    ----------
    fantasies : Tensor, shape (chains, features ...), or None
        Visible states of the chains of "pcd".

    Raises
    ------
    NetworkError
        When the layer is no sigmoid layer with a bias, or not dense though score matching is asked.
    DataError
        When Bernoulli units are given inputs outside [0, 1].

    Examples
    --------
    >>> layer = Layer("0", [], nn.Linear(3, 2), [nn.Sigmoid()])
    >>> rows = torch.tensor([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    >>> learner = RBM().build(layer, FeatureFacts.of(rows), torch.Generator())
    >>> learner.free_energy(rows).shape, learner.gibbs(rows, torch.Generator(), k=3).shape
    (torch.Size([2]), torch.Size([2, 3]))
    """

    fantasies: Tensor | None
    mean: Tensor

    def __init__(self, settings: RBM, layer: Layer, facts: FeatureFacts, generator: Generator) -> None:
        super().__init__()
        _check(settings, layer, facts)
        self.settings, self.layer = settings, layer
        self.binary = settings.visible == "bernoulli"
        self.loss_name = "cross_entropy" if self.binary else "squared"
        self.decoder = Decoder(layer.module, output="sigmoid" if self.binary else "linear", shape=facts.shape)
        mean = facts.mean.to(self.decoder.bias)
        self.register_buffer("mean", mean, persistent=False)
        self.decoder.start_at(mean)
        start = None
        if settings.estimator == "pcd":
            start = self._draw(mean.cpu().expand(settings.chains, *facts.shape), generator).to(mean)
        self.register_buffer("fantasies", start)
        self._moved: Tensor | None = None
        self._room: tuple[Tensor, Tensor] | None = None

    def free_energy(self, v: Tensor) -> Tensor:
        """Return F of each row: shape (rows, features ...) to (rows,), in nats."""
        return self._visible_energy(v) - self._hidden_terms(v)

    def hidden_mean(self, v: Tensor) -> Tensor:
        """Return the probability of each hidden unit: (rows, features ...) to (rows, units ...)."""
        return torch.sigmoid(self.layer.module(v))

    def gibbs(self, v: Tensor, generator: Generator, k: int = 1) -> Tensor:
        """Return the visible units (rows, features ...) after k updates of all hidden, then all visible units."""
        with torch.no_grad():
            for _ in range(k):
                v = self._draw(self.decoder(bernoulli(self.hidden_mean(v), generator)), generator)
        return v

    def unit_loss(self, v: Tensor, units: Tensor) -> Tensor:
        r"""Return the loss of guessing one unit i of each binary row from the others; units: (rows,), indices of i.

        .. math:: -\log p(v_i \mid v_{-i}) = \operatorname{softplus}(F(v) - F(v \text{ with } v_i \text{ flipped}))
        """
        flat = v.flatten(1)
        column = units[:, None]
        flipped = flat.scatter(1, column, 1 - flat.gather(1, column)).reshape(v.shape)
        return softplus(self.free_energy(v) - self.free_energy(flipped))

    def score_loss(self, v: Tensor) -> Tensor:
        r"""Return the score matching objective of each row of Gaussian units, for a dense layer: (rows, d) to (rows,).

        .. math::
            \tfrac12 \lVert r - v \rVert^2 + \sum_{j} h_j (1 - h_j) \sum_i W_{ji}^2 - d, \qquad r = b + W^\top h
        """
        hidden = self.hidden_mean(v)
        weight: Any = self.layer.module.weight
        curvature: Tensor = (hidden * (1 - hidden)) @ weight.square().sum(1)
        reconstruction: Tensor = self.decoder(hidden)
        return 0.5 * (reconstruction - v).square().sum(1) + curvature - v.shape[1]

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return a number whose gradient is the estimator's, averaged over rows; for "cd" and "pcd" no likelihood."""
        v = batch.inputs
        if self.settings.estimator == "score-matching":
            return self.score_loss(v).mean()
        if self.settings.estimator == "pseudo-likelihood":
            v = bernoulli(v, generator)
            width = v[0].numel()
            units = torch.randint(width, (len(v),), generator=generator, device=generator.device).to(v.device)
            return width * self.unit_loss(v, units).mean()
        self._moved = self.gibbs(v if self.fantasies is None else self.fantasies, generator, self.settings.k)
        moved = _model_average(self._visible_energy(self._moved)) - self._hidden_terms(self._moved).mean()
        return self.free_energy(v).mean() - moved

    def factored(self, shape: Sequence[int]) -> bool:
        """Say whether `factors` holds: contrastive divergence, persistent or not, of a dense layer."""
        dense = activation_of(self.layer.module, self.layer.after) is nn.Sigmoid
        return dense and self.settings.estimator in ("cd", "pcd")

    def factors(self, batch: Batch, generator: Generator) -> Factors:
        r"""Return the loss and the factors of its gradient: for W the mean of :math:`h_k v_k^\top - h_0 v_0^\top`."""
        v, module, b = batch.inputs, self.layer.module, self.decoder.bias
        rows, chains = len(v), len(v) if self.fantasies is None else len(self.fantasies)
        above, below = self._room = room(self._room, rows + chains, module.weight)
        given, end = below[:rows], below[rows:]
        given.copy_(v)
        if self.fantasies is None:
            activation = up(given, module.weight, module.bias, out=above[:rows])
        else:
            activation = up(self.fantasies, module.weight, module.bias)
        for update in range(self.settings.k):
            if update:
                activation = up(end, module.weight, module.bias)
            mean = down(bernoulli(activation.sigmoid(), generator), module.weight, b)
            end.copy_(self._draw(mean.sigmoid_() if self.binary else mean, generator))
        # of the data's rows the activation is there where the chains began at them
        new = slice(rows if self.fantasies is None else 0, None)
        up(below[new], module.weight, module.bias, out=above[new])
        self._moved = end
        energy, terms = self._visible_energy(below), softplus(above).sum(1)
        data, model = (energy[part].mean() - terms[part].mean() for part in (slice(rows), slice(rows, None)))
        # both phases as one product: those of the data with a minus, those of the model as if they were as many rows
        share = rows / chains
        above.sigmoid_()
        above[:rows].neg_()
        if share != 1.0:
            above[rows:].mul_(share)
        by_b = end.sum(0).mul_(share).sub_(given.sum(0))
        products: Products = {module.weight: [(above, below)], module.bias: [(above, None)], b: [(by_b[None], None)]}
        return Factors(data - model, products, 1 / rows)

    def after_update(self) -> None:
        """Let the chains of "pcd" go on from where the last loss moved them."""
        if self.fantasies is not None and self._moved is not None:
            self.fantasies.copy_(self._moved)

    def reconstruct(self, inputs: Tensor) -> Tensor:
        """Return the mean of the visible units, given the mean of the hidden ones given the inputs."""
        reconstruction: Tensor = self.decoder(self.hidden_mean(inputs))
        return reconstruction

    def clean_loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy (Bernoulli) or half the squared error (Gaussian) of `reconstruct`."""
        v = batch.inputs
        activation = self.decoder.activation(self.hidden_mean(v))
        if self.binary:
            return binary_cross_entropy_with_logits(activation, v, reduction="sum") / len(v)
        return 0.5 * (activation - v).square().sum() / len(v)

    def mean_predictor_loss(self, batch: Batch) -> Tensor:
        """Return the loss of giving the training rows' mean for every row."""
        return loss_of_mean(self.mean, batch.inputs, self.loss_name)

    def _visible_energy(self, v: Tensor) -> Tensor:
        """Return the part of F that holds b, of each row."""
        bias = self.decoder.bias.reshape(-1, *(1 for _ in v.shape[2:]))
        energy: Tensor = -(bias * v) if self.binary else 0.5 * (v - bias).square()
        return energy.flatten(1).sum(1)

    def _hidden_terms(self, v: Tensor) -> Tensor:
        """Return what the hidden units take off F, of each row."""
        activation: Tensor = self.layer.module(v)
        return softplus(activation).flatten(1).sum(1)

    def _draw(self, mean: Tensor, generator: Generator) -> Tensor:
        """Draw visible units with the given means."""
        if self.binary:
            return bernoulli(mean, generator)
        noise = torch.randn(mean.shape, generator=generator, device=generator.device, dtype=torch.float32)
        return mean + noise.to(mean)


def _check(settings: RBM, layer: Layer, facts: FeatureFacts) -> None:
    """Refuse a layer or inputs that are no half of a Boltzmann machine."""
    silent = (nn.modules.dropout._DropoutNd, nn.Identity)
    after = [module for module in layer.after if not isinstance(module, silent)]
    if len(after) != 1 or not isinstance(after[0], nn.Sigmoid):
        found = ", ".join(type(module).__name__ for module in after) or "nothing"
        raise NetworkError(
            f"layer {layer.name!r} has {found} after its module, expected a sigmoid alone: "
            "the hidden units of an RBM are probabilities of binary units",
            "put nn.Sigmoid() there, without batch normalisation, or choose another objective",
        )
    if layer.module.bias is None:
        raise NetworkError(
            f"layer {layer.name!r} has no bias, expected one: it is the bias of the RBM's hidden units",
            "build the module with bias=True",
        )
    if settings.estimator == "score-matching" and not isinstance(layer.module, nn.Linear):
        raise NetworkError(
            f"layer {layer.name!r} is a {type(layer.module).__name__}, expected nn.Linear for score-matching",
            "set estimator to cd or pcd",
        )
    if settings.visible == "bernoulli" and not facts.unit_interval:
        raise DataError(
            f"layer {layer.name!r}: inputs run from {facts.minimum:.4g} to {facts.maximum:.4g}, "
            "expected [0, 1] for Bernoulli visible units",
            "scale the inputs to [0, 1] (compare: --scale range), or standardise them and set visible to gaussian",
        )


def _model_average(energy: Tensor) -> Tensor:
    r"""Return the mean of the visible energy over samples, with the second derivative by b that :math:`-\log Z` has.

    The plain mean lacks it: the automatic learning rate would find no curvature in b. For samples of the model,
    :math:`\log \operatorname{mean} e^{E_0 - E}` is :math:`\log Z / Z_0`, whose first derivative is that of the plain
    mean and whose second is the covariance of v. (For W the same would need the covariance of all products of v and h,
    which the few samples of an update overrate many times.)
    """
    fixed = energy.detach()
    return fixed.mean() - ((fixed - energy).logsumexp(0) - math.log(len(fixed)))
