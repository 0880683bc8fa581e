"""The run folder: one piece of work on disk, started once and continued only when asked."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from ..data.features import Features, as_features, blocks, numpy_of
from ..errors import RunError
from ..randomness import as_seed
from ..write import write_json
from .checkpoint import Checkpoint
from .history import History


class RunFolder:
    """A folder with ``history.jsonl``, ``checkpoints/`` and what else a run leaves.

    Parameters
    ----------
    path : Path
        The folder.
    identity : str
        Fingerprint of settings, seed and data: checkpoints of other work are refused.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.identity = identity
        self.history = History(path / "history.jsonl")

    @classmethod
    def open(cls, run_dir: str | Path, resume: bool, identity: str, seed: int | None = None) -> RunFolder:
        """Start a run in a new or empty folder, or continue the one that is there.

        Raises
        ------
        RunError
            When the folder isn't empty and ``resume`` is false, or there is nothing to resume.
        """
        path = Path(run_dir)
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file, expected a folder for the run", "give another name")
        try:
            filled = path.exists() and any(path.iterdir())
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error
        begun = (path / "history.jsonl").exists()
        if resume and not begun:
            raise RunError(f"there is no run to resume in {path}", "leave resume out to start one, or correct the path")
        if not resume and filled:
            cure = "resume it, or give another folder" if begun else "give another folder"
            raise RunError(f"{path} is not empty", cure)
        folder = cls(path, identity)
        if folder.finished("run") is None:  # refuses other work, before anything of this run is touched
            folder.finish("run", {"seed": seed})
        return folder

    def checkpoint(self, fit: str) -> Checkpoint:
        """Return the place of a fit's checkpoint."""
        return Checkpoint(self.path / "checkpoints" / f"{fit}.safetensors", self.identity)

    def finished(self, name: str) -> dict[str, Any] | None:
        """Return what `finish` kept of a finished piece of work, or None."""
        path = self._outcome(name)
        if not path.exists():
            return None
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            same, value = kept["identity"] == self.identity, kept["value"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} cannot be read: {error}", "delete this file; its work is then repeated") from error
        if not same:
            raise RunError(
                f"{path} belongs to work with other settings, data or seed",
                "resume with the settings the run was started with, or choose another run folder",
            )
        return dict(value)

    def finish(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep the outcome of a finished piece of work, so that a resumed run does not repeat it."""
        write_json(self._outcome(name), {"identity": self.identity, "value": value})

    def _outcome(self, name: str) -> Path:
        return self.path / "checkpoints" / f"{name}.json"

    def write_environment(self, route: str, processor: str) -> None:
        """Write ``environment.json``: the versions and the machine, once, when the run starts."""
        if not (self.path / "environment.json").exists():
            write_json(self.path / "environment.json", environment(route, processor))


def seed_of(random_state: Any, run_dir: str | Path | None, resume: bool) -> int:
    """Return the seed of a run: a resumed one that is given no ``random_state`` goes on with its own."""
    if resume and random_state is None and run_dir is not None:
        kept = Path(run_dir) / "checkpoints" / "run.json"
        if kept.exists():
            seed = json.loads(kept.read_text(encoding="utf-8"))["value"].get("seed")
            if seed is not None:
                return int(seed)
    return as_seed(random_state)


def environment(route: str, processor: str) -> dict[str, Any]:
    """Return the versions and the machine that results depend on."""
    return {
        "layerwise": version("layerwise"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "scikit_learn": version("scikit-learn"),
        "platform": platform.platform(),
        "cpu": processor,
        "threads": torch.get_num_threads(),
        "matmul_route": route,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def identity_of(plan: BaseModel, seed: int, *rows: Tensor | Features | None) -> str:
    """Return the fingerprint of settings, seed and data.

    Examples
    --------
    >>> from layerwise.plan import Plan
    >>> identity_of(Plan(), 0, torch.zeros(3, 2)) == identity_of(Plan(), 1, torch.zeros(3, 2))
    False
    """
    parts: Iterable[bytes] = (_fingerprint(as_features(part)) for part in rows if part is not None)
    text = plan.model_dump_json().encode()
    return hashlib.sha256(b"|".join([text, str(seed).encode(), *parts])).hexdigest()


def _fingerprint(rows: Features) -> bytes:
    content = hashlib.sha256()
    for block in blocks(rows, rows.block):
        sparse = block.layout is not torch.strided
        for part in (block.crow_indices(), block.col_indices(), block.values()) if sparse else (block,):
            content.update(numpy_of(part).data)
    return repr((tuple(rows.shape), str(rows.dtype))).encode() + content.digest()
