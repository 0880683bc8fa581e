"""Pre-trained layers that several trials have in common: trained by one of them, found finished by the others.

A layer depends on the settings of the layers up to it and on nothing above. So trials that differ in fine-tuning alone
share all layers, and a trial that puts a layer on another's stack shares all but the last. What is kept is the state of
the layer's fit, as a resumed run keeps it: whoever finds it goes on with the same bits.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..plan import Plan
from ..runs.checkpoint import Checkpoint


def layer_key(plan: Plan, layer: int) -> str:
    """Return the fingerprint of all settings that a pre-trained layer (from 1) depends on.

    Examples
    --------
    >>> deep, shallow = (Plan(network={"hidden_layer_sizes": sizes}) for sizes in ((9, 9), (9,)))
    >>> layer_key(deep, 1) == layer_key(shallow, 1)
    True
    """
    values = plan.model_dump(mode="json")
    network, pretrain = values["network"], values["pretrain"]
    convolutions = network["convolutions"]
    network["convolutions"] = convolutions[:layer]
    network["hidden_layer_sizes"] = network["hidden_layer_sizes"][: max(0, layer - len(convolutions))]
    for name in ("objective", "learning_rate"):
        given = pretrain[name]
        pretrain[name] = given[:layer] if isinstance(given, list) else [given] * layer
    text = json.dumps([network, pretrain], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class SharedLayers:
    """The places of the layers that more than one trial asks for.

    Parameters
    ----------
    folder : Path
        The run folder; states go to ``pretrained/``.
    identity : str
        Of the run: states of other work are refused.
    every : bool
        Keep every layer: trials that share it are not known yet.
    """

    def __init__(self, folder: Path, identity: str, every: bool = False) -> None:
        self.folder, self.identity, self.every = folder / "pretrained", identity, every
        self.wanted: Counter[str] = Counter()

    def expect(self, plans: Iterable[Plan]) -> None:
        """Learn of trials that will be made."""
        self.wanted.update(layer_key(plan, layer) for plan in plans for layer in range(1, _depth(plan) + 1))

    def places(self, plan: Plan) -> Callable[[str], Checkpoint | None]:
        """Return where the fit of each of a plan's layers is kept; None for one that no other trial has."""

        def place(fit: str) -> Checkpoint | None:
            key = layer_key(plan, int(fit.rpartition("/")[2]))
            if not self.every and self.wanted[key] < 2:
                return None
            return Checkpoint(self.folder / f"{key}.safetensors", self.identity)

        return place


def _depth(plan: Plan) -> int:
    sizes: Any = plan.network
    return len(sizes.convolutions) + len(sizes.hidden_layer_sizes)
