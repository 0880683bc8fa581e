"""The layers that are models of their input, by an energy: which they are, and what each row's energy is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..data.features import as_features, blocks
from ..errors import DataError, NetworkError, PlanError
from ..nn.corruption import GaussianNoise
from ..nn.decoder import Decoder
from ..nn.layers import CONVOLUTIONS, Layer
from ..nn.modes import evaluation
from ..objectives import RBM, DenoisingAutoencoder
from ..stack import BLOCK, Stack, prepare

_SILENT = (nn.modules.dropout._DropoutNd, nn.Identity)
_RESHAPING = (nn.Flatten, nn.Unflatten, *_SILENT)
CURE = (
    'train it with DenoisingAutoencoder(GaussianNoise(0.3), decoder="linear"), or with RBM("gaussian") on '
    "standardised rows"
)


def _log_cosh(activation: Tensor) -> Tensor:
    """Return log cosh without overflow, up to a constant."""
    return activation.abs() + softplus(-2 * activation.abs())


# Of each activation s of a code, the function whose derivative it is.
INTEGRALS: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.Sigmoid: softplus,
    nn.Tanh: _log_cosh,
    nn.ReLU: lambda activation: 0.5 * torch.relu(activation).square(),
    nn.Identity: lambda activation: 0.5 * activation.square(),
}


@dataclass(frozen=True)
class EnergyModel:
    r"""A layer as a model of what it is fed: :math:`p(x) \propto e^{-F(x)}`.

    .. math::
        F(x) &= \tfrac1{\sigma^2} \bigl( \tfrac12 \lVert x - b \rVert^2 - \sum_j S(c_j + (W x)_j) \bigr), \quad S' = s
            &&\text{(real rows)} \\
        F(x) &= -b^\top x - \sum_j \operatorname{softplus}(c_j + (W x)_j) &&\text{(binary rows)}

    Attributes
    ----------
    layer : Layer
        Holds W, c and s.
    decoder : Decoder
        Tied; holds b.
    variance : float
        :math:`\sigma^2`: of the noise of a denoising auto-encoder; 1 for an RBM.
    binary : bool
        Whether p is a probability of binary rows, so that there is no density.
    """

    layer: Layer
    decoder: Decoder
    variance: float
    binary: bool

    def free_energy(self, rows: Tensor) -> Tensor:
        """Return F of prepared rows (rows, features ...), in nats: (rows,)."""
        activation = self.layer.module(rows)
        hidden = INTEGRALS[_activation(self.layer)](activation).flatten(1).sum(1)
        bias = self.decoder.bias.reshape(-1, *(1 for _ in rows.shape[2:]))
        visible = -(bias * rows) if self.binary else 0.5 * (rows - bias).square()
        energy: Tensor = (visible.flatten(1).sum(1) - hidden) / self.variance
        return energy

    def score(self, rows: Tensor) -> Tensor:
        r"""Return :math:`-\partial F / \partial x = (r(x) - x) / \sigma^2` of prepared real rows, in their shape."""
        score: Tensor = (self.decoder(self.layer(rows)) - rows) / self.variance
        return score


def free_energy(stack: Stack, inputs: Tensor, *, layer: int = 1) -> Tensor:
    r"""Return the energy F of each row under one layer's model of it: minus its log-probability, up to a constant.

    .. math:: \log p(x) = -F(x) - \log Z

    Z is the same for all rows, so energies rank them; it is not computed. An RBM's F is its free energy. That of a tied
    denoising auto-encoder with Gaussian noise is the integral of its residual, `score` says of which density.

    Parameters
    ----------
    stack : Stack
        What `pretrain` returned, or `Stack.load`.
    inputs : Tensor, shape (rows, ...)
        As the layer takes them: for the first those of the network, for layer k ``stack.encode(inputs, k - 1)``.
    layer : int
        Which layer's model, from 1.

    Returns
    -------
    Tensor, shape (rows,)
        In nats.

    Raises
    ------
    PlanError
        When the layer has no such number, or is no such model; the message says why, the hint what would do.

    References
    ----------
    Vincent (2011), A connection between score matching and denoising autoencoders. Kamyshanska & Memisevic (2013), On
    autoencoder scoring.

    Examples
    --------
    >>> from layerwise import RBM, pretrain
    >>> rows = torch.rand(40, 6, generator=torch.Generator().manual_seed(0)).round()
    >>> network = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 2))
    >>> stack = pretrain(network, rows, objective=RBM(), epochs=1, random_state=0).stack
    >>> free_energy(stack, rows).shape
    torch.Size([40])
    """
    model = energy_model(stack, layer)
    return torch.cat([model.free_energy(block) for block, _ in prepared(model, inputs)])


def prepared(model: EnergyModel, inputs: Tensor) -> Iterator[tuple[Tensor, torch.Size]]:
    """Yield blocks of rows as the model's module takes them, with their shape before that, without gradients."""
    if len(inputs) == 0:
        raise DataError("there are no rows", "give at least one row")
    weight = model.layer.module.weight
    with evaluation(model.layer), evaluation(model.decoder):
        for block in blocks(as_features(inputs), BLOCK):
            yield prepare(model.layer, block.to(device=weight.device, dtype=weight.dtype)), block.shape


def energy_model(stack: Stack, number: int, *, density: bool = False) -> EnergyModel:
    """Return a layer's model, refusing a layer that is none; with ``density`` also one of binary rows.

    Raises
    ------
    PlanError, NetworkError
        Naming the layer, why not, and what would do.
    """
    if not 1 <= number <= stack.depth:
        raise PlanError(f"layer is {number}, the stack has {stack.depth} layers", f"give 1 to {stack.depth}")
    layer, decoder, objective = stack.layers[number - 1], stack.decoders[number - 1], stack.objectives[number - 1]
    _check_surroundings(layer)
    match objective:
        case None:
            raise PlanError(
                f"how layer {layer.name!r} was trained is not known, so neither is what it is a model of",
                "take the stack that pretrain returns, or give Stack(..., objectives=...)",
            )
        case RBM():
            faults = [] if _activation(layer) is nn.Sigmoid else ["no sigmoid alone after its module"]
            if density and objective.visible == "bernoulli":
                raise PlanError(
                    f"layer {layer.name!r} is an RBM of binary units: it gives probabilities to binary rows, and there "
                    "is no density of real rows to differentiate",
                    'for real rows train RBM("gaussian"); layerwise.density.energy.free_energy ranks binary ones',
                )
            variance = 1.0
        case DenoisingAutoencoder():
            faults = _faults(objective, layer, decoder)
            variance = objective.corruption.std**2 if isinstance(objective.corruption, GaussianNoise) else 0.0
        case _:
            faults = [f"the objective {objective.kind!r}, expected denoising or rbm"]
            variance = 0.0
    if faults or decoder is None:
        raise PlanError(
            f"the residual r(x) - x of layer {layer.name!r} need not be the gradient of any log-density: found "
            f"{'; '.join(faults)}",
            CURE,
        )
    binary = isinstance(objective, RBM) and objective.visible == "bernoulli"
    return EnergyModel(layer, decoder, variance, binary)


def _faults(objective: DenoisingAutoencoder, layer: Layer, decoder: Decoder | None) -> list[str]:
    """Say what keeps a denoising auto-encoder's residual from being the score."""
    noise = objective.corruption
    gaussian = isinstance(noise, GaussianNoise) and noise.std > 0
    linear = decoder is not None and decoder.output == "linear"
    held = {
        f"{noise}, expected Gaussian noise": gaussian,
        "a sigmoid decoder, expected a linear one": linear,
        "untied weights, expected tied ones": decoder is not None and decoder.tied,
        "a gradient of the encoder alone, expected the full one": objective.tied_gradient == "full",
        "penalties, which move the optimum": not objective.penalties,
        "more than one activation after its module": _activation(layer) in INTEGRALS,
    }
    return [fault for fault, holds in held.items() if not holds]


def _activation(layer: Layer) -> Any:
    """Return the kind of the only activation after a dense module or convolution; None where there is more."""
    after = [type(module) for module in layer.after if not isinstance(module, _SILENT)]
    if not isinstance(layer.module, (nn.Linear, *CONVOLUTIONS)) or len(after) > 1:
        return None
    return after[0] if after else nn.Identity


def _check_surroundings(layer: Layer) -> None:
    """Refuse a layer whose own inputs cannot be told from rows by their shape alone."""
    if layer.captured or any(not isinstance(module, _RESHAPING) for module in layer.preamble):
        raise NetworkError(
            f"what layer {layer.name!r} is fed is computed from the rows, not only reshaped: its model is of that",
            "take the layer out as a network of its own, and pre-train that",
        )
