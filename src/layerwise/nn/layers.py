"""Cut a network into layers, and build the plain networks that a comparison trains.

A layer is a dense module and what follows it (activation, batch normalisation, dropout) up to the next dense module.
The output head is never one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from ..errors import NetworkError, nearest
from ..randomness import Randomness
from .initialization import FOR_ACTIVATION, initialize

ActivationName = Literal["sigmoid", "tanh", "relu", "identity"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "identity": nn.Identity,
}
# What may follow the dense module of a layer; a softmax marks an output head instead.
_OUTPUTS = (nn.Softmax, nn.LogSoftmax, nn.Softmin)


class Layer(nn.Module):
    """A slice of a network that is trained as one.

    Shares the network's own modules: training the layer trains the network.

    Parameters
    ----------
    name : str
        Name of the dense module in the network, as in its ``state_dict``.
    preamble : sequence of nn.Module
        Modules without parameters that stand before the first dense module (``nn.Flatten`` ...); empty for later
        layers.
    linear : nn.Linear
        The dense module.
    after : sequence of nn.Module
        What follows it, up to the next dense module.
    """

    def __init__(self, name: str, preamble: Sequence[nn.Module], linear: nn.Linear, after: Sequence[nn.Module]) -> None:
        super().__init__()
        self.name = name
        self.preamble = nn.Sequential(*preamble)
        self.linear = linear
        self.after = nn.Sequential(*after)

    @property
    def activation(self) -> str:
        """Name of the first activation after the dense module, "identity" when there is none."""
        known = {kind: name for name, kind in ACTIVATIONS.items()}
        return next((known[type(module)] for module in self.after if type(module) in known), "identity")

    def train(self, mode: bool = True) -> Layer:
        """Set the training mode; dropout stays off, because corruption is the noise of pre-training."""
        super().train(mode)
        for module in (*self.preamble, *self.after):
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Encode prepared rows (rows, features) to (rows, units)."""
        codes: Tensor = self.after(self.linear(inputs))
        return codes


def cut(network: nn.Module, layers: str | Sequence[str] = "auto") -> list[Layer]:
    """Cut an ``nn.Sequential`` into the layers to pre-train; the output head is left out.

    The last dense module is the output head unless an activation other than a softmax follows it.

    Parameters
    ----------
    network : nn.Module
        An ``nn.Sequential`` of dense modules, activations, dropout, batch normalisation and reshaping.
    layers : "auto" or sequence of str
        Names of the dense modules to train, in order; they must be the first ones without a gap.

    Raises
    ------
    NetworkError
        When the network cannot be cut, naming the module that stands in the way.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    >>> [layer.name for layer in cut(network)]
    ['0']
    """
    slices = _slices(network)
    if layers == "auto":
        if slices and _is_head(slices[-1]):
            slices = slices[:-1]
    else:
        slices = _chosen(slices, list(layers))
    if not slices:
        raise NetworkError(
            "the network has no layer to pre-train besides its output head",
            "add a hidden layer, for example nn.Sequential(nn.Linear(d, 100), nn.Sigmoid(), nn.Linear(100, classes))",
        )
    return slices


def dense_modules(network: nn.Module) -> list[nn.Linear]:
    """Return a network's dense modules in order; the last is its output head."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def _slices(network: nn.Module) -> list[Layer]:
    if not isinstance(network, nn.Sequential):
        raise NetworkError(
            f"the network is a {type(network).__name__}, expected an nn.Sequential",
            "put its modules into one nn.Sequential",
        )
    groups: list[tuple[str, list[nn.Module], list[nn.Module]]] = []
    preamble: list[nn.Module] = []
    names: dict[nn.Module, str] = {}
    for name, module in network._modules.items():  # named_children would leave out an activation used a second time
        if module is None:
            continue
        if names.setdefault(module, name) != name and next(module.parameters(), None) is not None:
            raise NetworkError(
                f"module {name!r} of the network is the same as {names[module]!r}, and has parameters",
                "give each layer a module of its own: trained twice, it would lose what it learned first",
            )
        if isinstance(module, nn.Linear):
            groups.append((name, preamble, [module]))
            preamble = []
        elif not groups:
            _refuse_parameters(name, module)
            preamble.append(module)
        else:
            if not isinstance(module, nn.modules.batchnorm._BatchNorm):
                _refuse_parameters(name, module)
            groups[-1][2].append(module)
    return [Layer(name, before, dense[0], dense[1:]) for name, before, dense in groups]  # type: ignore[arg-type]


def _refuse_parameters(name: str, module: nn.Module) -> None:
    if next(module.parameters(), None) is not None:
        raise NetworkError(
            f"module {name!r} of the network is a {type(module).__name__} with parameters, "
            "expected nn.Linear or batch normalisation after one",
            "put dense modules (nn.Linear) there, or flatten nested containers into one nn.Sequential",
        )


def _is_head(layer: Layer) -> bool:
    silent = (nn.Dropout, nn.modules.batchnorm._BatchNorm, nn.Identity)
    activations = [module for module in layer.after if not isinstance(module, silent)]
    return not activations or isinstance(activations[0], _OUTPUTS)


def _chosen(slices: list[Layer], names: list[str]) -> list[Layer]:
    known = [layer.name for layer in slices]
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise NetworkError(
                f"the network has no dense module {name!r}, it has {', '.join(known) or 'none'}",
                f"did you mean {near!r}?" if near else "name modules as the state_dict does",
            )
    if names != known[: len(names)]:
        raise NetworkError(
            f"layers={names} leaves a gap or changes the order; the dense modules are {known}",
            "name the first dense modules, in order: each layer learns from the codes of those before it",
        )
    return slices[: len(names)]


def build_network(
    features: int,
    hidden_layer_sizes: Sequence[int],
    outputs: int,
    *,
    activation: ActivationName = "sigmoid",
    initializer: str = "auto",
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    batch_norm: bool = False,
    randomness: Randomness,
) -> nn.Sequential:
    """Build a multi-layer perceptron with a linear output head.

    Parameters
    ----------
    features, outputs : int
        Width of the rows and of the head.
    hidden_layer_sizes : sequence of int
        Units per hidden layer.
    activation : {"sigmoid", "tanh", "relu", "identity"}
        Of the hidden layers.
    initializer : str
        A name of `layerwise.nn.initialization`, or "auto": the one for the activation. The head uses "glorot", unless a
        name was given.
    dropout, input_dropout : float
        Rates after each hidden layer and on the inputs.
    batch_norm : bool
        Batch normalisation between a hidden layer's dense module and its activation.
    randomness : Randomness
        Each dense module draws from its own generator.

    Examples
    --------
    >>> build_network(4, (3,), 2, randomness=Randomness(0))
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): Sigmoid()
      (2): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    modules: list[nn.Module] = [nn.Dropout(input_dropout)] if input_dropout else []
    width = features
    for number, units in enumerate(hidden_layer_sizes):
        dense = _undrawn(width, units)
        chosen = FOR_ACTIVATION[activation] if initializer == "auto" else initializer
        initialize(dense, chosen, randomness.generator("weights", number))
        modules.append(dense)
        if batch_norm:
            modules.append(nn.BatchNorm1d(units))
        modules.append(ACTIVATIONS[activation]())
        if dropout:
            modules.append(nn.Dropout(dropout))
        width = units
    head = _undrawn(width, outputs)
    initialize(head, "glorot" if initializer == "auto" else initializer, randomness.generator("weights", "head"))
    return nn.Sequential(*modules, head)


def _undrawn(features: int, units: int) -> nn.Linear:
    # nn.Linear itself would draw from torch's global generator
    module: nn.Linear = nn.utils.skip_init(nn.Linear, features, units)
    return module
