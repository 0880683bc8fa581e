"""Layers by name: what a named module is fed is captured while the whole network runs.

This asks nothing of the network but that it can be run: branches, skips and control flow may lie between the modules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import NetworkError
from .layers import ACTIVATIONS, LEARNED, Layer, check_names
from .modes import evaluation

BLOCK = 4096  # rows run at once: all of them would be too many for a wide network


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
        """Return the module's input for the network's own rows.

        Raises
        ------
        NetworkError
            When the network cannot run on them, runs without the module, or gives it another number of rows.
        """
        network, module = self._both

        def catch(_: nn.Module, inputs: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> None:
            raise _Caught(inputs[0] if inputs else next(iter(named.values())))

        # first, because the module's own hooks will run when the layer calls it
        hook = module.register_forward_pre_hook(catch, prepend=True, with_kwargs=True)
        try:
            with evaluation(network):
                caught = torch.cat([self._caught(block) for block in rows.split(BLOCK)])
        finally:
            hook.remove()
        if len(caught) != len(rows):
            raise NetworkError(
                f"module {self._name!r} of the network is fed {len(caught)} rows for {len(rows)} rows of the network's",
                "name modules that are fed one row for each row of the network's",
            )
        return caught

    def _caught(self, rows: Tensor) -> Tensor:
        try:
            self._both[0](rows)
        except _Caught as caught:
            return caught.inputs
        except Exception as error:  # whatever the user's forward raises for rows it does not take
            raise NetworkError(
                f"the network cannot run up to module {self._name!r} "
                f"on rows of shape {tuple(rows.shape[1:])} and type {rows.dtype}: {error}",
                "give rows as the network takes them; codes of words (nn.Embedding) are looked up before pre-training",
            ) from error
        raise NetworkError(
            f"the network runs without module {self._name!r}", "name modules that every row passes through"
        )

    @property
    def _name(self) -> str:
        network, module = self._both
        return str(next(name for name, other in network.named_modules() if other is module))


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
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise NetworkError(f"layers={list(names)} names {twice!r} twice", "name each layer once, in order")
    modules = dict(network.named_modules(remove_duplicate=False))
    known = [name for name, module in modules.items() if isinstance(module, LEARNED)]
    layers = []
    check_names(names, known)
    for name in names:
        capture = Capture(network, modules[name])
        layers.append(Layer(name, [capture], modules[name], [ACTIVATIONS[activation]()], captured=True))
    return layers
