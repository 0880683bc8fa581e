"""Predictive sparse decomposition: find sparse codes by optimisation, and train the layer to predict them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..errors import NetworkError
from ..nn.decoder import Decoder
from ..nn.layers import CONVOLUTIONS, Layer
from ..nn.lista import soft_threshold
from .autoencoder import loss_of_mean
from .objective import FeatureFacts

# Power iteration nears the largest eigenvalue of D'D from below; proximal steps that are a little short still converge.
EIGENVALUE_MARGIN = 1.1
FIRST_ITERATIONS = 50
# A gain of 0 would leave its unit's weights without a gradient for good.
LEAST_GAIN = 1e-3


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PredictiveSparseDecomposition:
    r"""Train a layer to predict the sparse codes of its inputs, together with the dictionary that they are codes in.

    .. math::
        \ell = \min_z |x - c - D z|^2 + \lambda |z|_1 + \alpha |z - f(x)|^2, \qquad
        f(x) = g \odot s(W x + b), \qquad |D_j| = 1, \quad g > 0

    Summed over features and units, averaged over rows; there is no factor 1/2. s(Wx + b) is the network's own layer,
    whatever its activation. The gain g of each unit stays with the learner, and becomes part of the decoder: its
    weights are :math:`g_j D_j`, so that the layer's code h is decoded to :math:`c + \sum_j g_j h_j D_j`.

    The minimum over z is sought by accelerated proximal gradient steps (FISTA, begun again from rest where it
    overshoots) from z = f(x). D, c, W, b and g then follow the gradient at that z, held fixed, which is the gradient
    of the minimum itself; after each update the columns of D are scaled back to norm 1. They start at the directions
    of W's rows, so that f predicts something from the start; a row of zeros starts from a random direction instead.

    Parameters
    ----------
    sparsity : float
        :math:`\lambda`, 0 or more, in the unit of the inputs: an atom whose product with what is left to explain is
        below :math:`\lambda / 2` is not used. Scale it with the inputs.
    prediction : float
        :math:`\alpha`, above 0: how much a code that is hard to predict costs.
    steps : int
        Proximal steps for each batch. Few are enough, because f(x) is soon a good place to start from.

    References
    ----------
    Kavukcuoglu, Ranzato & LeCun (2008), Fast inference in sparse coding algorithms with applications to object
    recognition, arXiv:1010.3467. Beck & Teboulle (2009), A fast iterative shrinkage-thresholding algorithm.

    Examples
    --------
    >>> layer, rows = Layer("0", [], nn.Linear(6, 9), [nn.Tanh()]), torch.rand(20, 6)
    >>> learner = PredictiveSparseDecomposition().build(layer, FeatureFacts.of(rows), torch.Generator())
    >>> learner.decoder(layer(rows)).shape
    torch.Size([20, 6])
    """

    needs_targets: ClassVar[bool] = False
    sparsity: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.2
    prediction: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0
    steps: Annotated[int, Field(ge=1)] = 10
    kind: Literal["psd"] = "psd"

    def build(self, layer: Layer, facts: FeatureFacts, generator: Generator) -> DecompositionLearner:
        """Build the learner of a layer from what is known of its inputs.

        Raises
        ------
        NetworkError
            When the layer is a convolution.
        """
        if isinstance(layer.module, CONVOLUTIONS):
            raise NetworkError(
                f"layer {layer.name!r} is a {type(layer.module).__name__}, expected a dense module: predictive sparse "
                "decomposition has one dictionary for whole rows",
                "give this layer another objective, such as the sparse auto-encoder with L1 sparsity",
            )
        return DecompositionLearner(self, layer, facts, generator)


class DecompositionLearner(nn.Module):
    r"""A layer, its gain, and the dictionary of the codes it predicts.

    Parameters
    ----------
    settings : PredictiveSparseDecomposition
        :math:`\lambda`, :math:`\alpha`, number of steps.
    layer : Layer
        s(Wx + b); its module has a ``weight`` (units, features).
    facts : FeatureFacts
        Of the layer's inputs; c starts at their mean.
    generator : Generator
        Source of the atoms of units whose weights are 0, and of the power iteration's start.

    Attributes
    ----------
    dictionary : Tensor, shape (features, units)
        D.
    gain : Tensor, shape (units,)
        g.
    offset : Tensor, shape (features,)
        c.
    """

    loss_name = "squared"
    mean: Tensor
    direction: Tensor

    def __init__(
        self, settings: PredictiveSparseDecomposition, layer: Layer, facts: FeatureFacts, generator: Generator
    ) -> None:
        super().__init__()
        self.settings, self.layer = settings, layer
        weight: Tensor = layer.module.weight.detach()
        drawn = torch.randn(weight.shape, generator=generator).to(weight)
        atoms = torch.where(weight.norm(dim=1, keepdim=True) > 0, weight, drawn)
        self.dictionary = nn.Parameter((atoms / atoms.norm(dim=1, keepdim=True)).T.contiguous())
        self.gain = nn.Parameter(weight.new_ones(len(weight)))
        self.offset = nn.Parameter(facts.mean.to(weight, copy=True))
        self.register_buffer("mean", facts.mean.to(weight), persistent=False)
        # the eigenvector of D'D with the largest eigenvalue, followed from update to update
        self.register_buffer("direction", torch.randn(len(weight), generator=generator).to(weight))
        for _ in range(FIRST_ITERATIONS):
            self._iterate()

    @property
    def decoder(self) -> Decoder:
        """The way back from the layer's codes, with the gain in its weights; made from the present values."""
        decoder = Decoder(self.layer.module, tied=False)
        assert decoder.weight is not None
        with torch.no_grad():
            decoder.weight.copy_((self.dictionary * self.gain).T)
            decoder.bias.copy_(self.offset)
        return decoder

    def predict(self, inputs: Tensor) -> Tensor:
        """Return f(x), shape (rows, units)."""
        predicted: Tensor = self.gain * self.layer(inputs)
        return predicted

    def infer(self, inputs: Tensor, predicted: Tensor) -> Tensor:
        """Return the codes z that minimise the energy of rows, without gradients."""
        with torch.no_grad():
            return sparse_codes(
                inputs - self.offset,
                self.dictionary,
                predicted,
                sparsity=self.settings.sparsity,
                prediction=self.settings.prediction,
                eigenvalue=(self.dictionary @ self.direction).square().sum() * EIGENVALUE_MARGIN,
                steps=self.settings.steps,
            )

    def energy(self, inputs: Tensor, codes: Tensor, predicted: Tensor) -> Tensor:
        """Return what is minimised, at given codes; averaged over rows."""
        error = (inputs - self.offset - codes @ self.dictionary.T).square().sum()
        missed = (codes - predicted).square().sum()
        total = error + self.settings.sparsity * codes.abs().sum() + self.settings.prediction * missed
        return total / len(inputs)

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return the energy of the batch at its inferred codes."""
        predicted = self.predict(batch.inputs)
        return self.energy(batch.inputs, self.infer(batch.inputs, predicted), predicted)

    def after_update(self) -> None:
        """Scale the columns of D to norm 1 and keep the gains above 0."""
        with torch.no_grad():
            self.dictionary.div_(self.dictionary.norm(dim=0))
            self.gain.clamp_(min=LEAST_GAIN)
        self._iterate()

    def clean_loss(self, batch: Batch) -> Tensor:
        """Return half the squared error of decoding the predicted codes."""
        decoded = self.offset + self.predict(batch.inputs) @ self.dictionary.T
        return 0.5 * (batch.inputs - decoded).square().sum() / len(decoded)

    def mean_predictor_loss(self, batch: Batch) -> Tensor:
        """Return half the squared error of giving the training rows' mean for every row."""
        return loss_of_mean(self.mean, batch.inputs, self.loss_name)

    def _iterate(self) -> None:
        """Make one power iteration."""
        with torch.no_grad():
            product = self.dictionary.T @ (self.dictionary @ self.direction)
            self.direction.copy_(product / product.norm())


def sparse_codes(
    target: Tensor,
    dictionary: Tensor,
    predicted: Tensor,
    *,
    sparsity: float,
    prediction: float,
    eigenvalue: Tensor,
    steps: int,
) -> Tensor:
    r"""Minimise :math:`|x - D z|^2 + \lambda |z|_1 + \alpha |z - f|^2` over z, row by row, from z = f.

    Parameters
    ----------
    target : Tensor, shape (rows, features)
        x.
    dictionary : Tensor, shape (features, units)
        D.
    predicted : Tensor, shape (rows, units)
        f.
    sparsity, prediction : float
        :math:`\lambda, \alpha`, 0 or more.
    eigenvalue : Tensor
        At least the largest eigenvalue of :math:`D^\top D`.
    steps : int
        Proximal steps.

    Returns
    -------
    Tensor, shape (rows, units)
        z.

    References
    ----------
    O'Donoghue & Candès (2015), Adaptive restart for accelerated gradient schemes (the restart, by gradient).

    Examples
    --------
    >>> x, one = torch.tensor([[3.0, 0.2]]), torch.tensor(1.0)
    >>> sparse_codes(x, torch.eye(2), 0 * x, sparsity=1.0, prediction=0.0, eigenvalue=one, steps=1).tolist()
    [[2.5, 0.0]]
    """
    curvature = 2 * (eigenvalue + prediction)
    codes = ahead = predicted
    pace = torch.ones_like(codes[:, :1])
    for _ in range(steps):
        slope = 2 * ((ahead @ dictionary.T - target) @ dictionary + prediction * (ahead - predicted))
        following = soft_threshold(ahead - slope / curvature, sparsity / curvature)
        overshot = ((ahead - following) * (following - codes)).sum(1, keepdim=True) > 0
        pace = torch.where(overshot, 1.0, pace)
        quicker = (1 + (1 + 4 * pace.square()).sqrt()) / 2
        ahead = following + (pace - 1) / quicker * (following - codes)
        codes, pace = following, quicker
    return codes
