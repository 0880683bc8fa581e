"""Pre-trained layers that several trials have in common: trained by one of them, found finished by the others.

A layer depends on the settings of the layers up to it and on nothing above. So trials that differ in fine-tuning alone
share all layers, and a trial that puts a layer on another's stack shares all but the last. What is kept is the state of
the layer's finished fit and its records, as a resumed run keeps them: whoever finds them goes on with the same bits.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..plan import Plan
from ..runs.checkpoint import Checkpoint, Place, Saved
from ..runs.history import History


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


@dataclass(frozen=True)
class SharedLayer:
    """The place of one layer's finished fit, with its records; one that is under way is not kept.

    Parameters
    ----------
    checkpoint : Checkpoint
        The file.
    fit : str
        What this trial calls the fit.
    history : History
        Of this trial; the records of a fit that is found finished are put into it.
    """

    checkpoint: Checkpoint
    fit: str
    history: History

    @property
    def path(self) -> Path:
        """The file."""
        return self.checkpoint.path

    def save(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Save a finished fit."""
        if values["done"]:
            self.checkpoint.save(tensors, {**values, "records": self.history.of(self.fit)})

    def load(self) -> Saved | None:
        """Return the state that some trial has saved, or None."""
        return self.checkpoint.load()

    def delete(self) -> None:
        """Forget it: its learning rate led astray."""
        self.checkpoint.delete()

    def remember(self) -> SharedLayer:
        """Put the records of a finished fit into the trial's history."""
        saved = self.load()
        for record in saved.values["records"] if saved else ():
            self.history.append(self.fit, {key: value for key, value in record.items() if key != "fit"})
        return self


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

    def places(self, plan: Plan) -> Callable[[str, History], Place | None]:
        """Return where the fit of each of a plan's layers is kept; None for one that no other trial has."""

        def place(fit: str, history: History) -> Place | None:
            key = layer_key(plan, int(fit.rpartition("/")[2]))
            if not self.every and self.wanted[key] < 2:
                return None
            return SharedLayer(Checkpoint(self.folder / f"{key}.safetensors", self.identity), fit, history).remember()

        return place


def _depth(plan: Plan) -> int:
    sizes: Any = plan.network
    return len(sizes.convolutions) + len(sizes.hidden_layer_sizes)
