"""Checkpoints: the saved state of one fit, as one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import RunError
from ..write import write_tensors


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: tensors by name, and plain values."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with ``prefix/``, without it."""
        return {k.removeprefix(f"{prefix}/"): v for k, v in self.tensors.items() if k.startswith(f"{prefix}/")}


class Place(Protocol):
    """Where the state of a fit is kept: a `Checkpoint`, or what stands in for one."""

    @property
    def path(self) -> Path:
        """The file."""

    def save(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Save the state."""

    def load(self) -> Saved | None:
        """Return the saved state, or None."""

    def delete(self) -> None:
        """Forget the saved state."""


@dataclass(frozen=True)
class Checkpoint:
    """The place of one fit's saved state.

    Each save replaces the one before it in a single move, so a kill leaves a whole checkpoint: the old or the new one.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file.
    identity : str
        What the state belongs to (settings and seed); a checkpoint of other work is refused.
    """

    path: Path
    identity: str = ""

    def save(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Save the state; raises RunError when the disk refuses."""
        write_tensors(self.path, tensors, {"values": json.dumps(dict(values)), "identity": self.identity})

    def delete(self) -> None:
        """Forget the saved state."""
        self.path.unlink(missing_ok=True)

    def load(self) -> Saved | None:
        """Return the saved state, or None when nothing was saved yet.

        Raises
        ------
        RunError
            When the file is damaged or belongs to other work.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(str(self.path), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
                values = json.loads(metadata["values"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise RunError(
                f"checkpoint {self.path} cannot be read: {error}", "delete this file; its fit then starts afresh"
            ) from error
        if metadata.get("identity") != self.identity:
            raise RunError(
                f"checkpoint {self.path} belongs to work with other settings, data or seed",
                "resume with the settings the run was started with, or choose another run folder",
            )
        return Saved(tensors, values)
