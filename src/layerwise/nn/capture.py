"""Layers by name: what a named module is fed is captured while the whole network runs.

This asks nothing of the network but that it can be run: branches, skips and control flow may lie between the modules.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..errors import NetworkError, nearest
from .layers import ACTIVATIONS, LEARNED, Layer
from .modes import evaluation


class _Caught(Exception):
    """Carries a module's input out of a forward pass that need not go on."""

    def __init__(self, inputs: Tensor) -> None:
        self.inputs = inputs


class Capture(nn.Module):
    """Run a network up to one of its modules, and return what that module is fed.

    Parameters
    ----------
    network, module : nn.Module
        Both stay the owner's: neither is registered here. The network runs in evaluation mode.

    Examples
    --------
    >>> import torch
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> Capture(network, network[2])(torch.ones(5, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(self, network: nn.Module, module: nn.Module) -> None:
        super().__init__()
        self._both = (network, module)  # in a tuple, so that nn.Module registers neither

    def forward(self, rows: Tensor) -> Tensor:
        """Return the module's input for the network's own rows."""
        network, module = self._both

        def catch(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            raise _Caught(inputs[0])

        hook = module.register_forward_pre_hook(catch)
        try:
            with evaluation(network):
                network(rows)
        except _Caught as caught:
            return caught.inputs
        finally:
            hook.remove()
        name = next(name for name, other in network.named_modules() if other is module)
        raise NetworkError(f"the network runs without module {name!r}", "name modules that every row passes through")


def captured_layers(network: nn.Module, names: Sequence[str], activation: str) -> list[Layer]:
    """Return the named modules as layers, each with an activation of this name.

    Raises
    ------
    NetworkError
        When there is no such module or activation, or it is neither dense nor convolutional.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> captured_layers(network, ["0"], "relu")[0].activation
    'relu'
    """
    if activation not in ACTIVATIONS:
        raise NetworkError(f"activation is {activation!r}", f"expected auto or one of {', '.join(ACTIVATIONS)}")
    if not names:
        raise NetworkError("layers is empty: there is no layer to pre-train", "name modules, as the state_dict does")
    modules = dict(network.named_modules())
    known = [name for name, module in modules.items() if isinstance(module, LEARNED)]
    layers = []
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise NetworkError(
                f"the network has no dense or convolutional module {name!r}, it has {', '.join(known) or 'none'}",
                f"did you mean {near!r}?" if near else "name modules as the state_dict does",
            )
        capture = Capture(network, modules[name])
        layers.append(Layer(name, [capture], modules[name], [ACTIVATIONS[activation]()], captured=True))
    return layers
