"""Reads a run folder into one frozen value; everything on the page comes from it."""

from __future__ import annotations

import json
import math
import re
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ..errors import RunError
from .results import Baseline, Budget, Results, TuningRow

T = TypeVar("T")
Arm = Literal["pretrained", "random"]
ARMS: tuple[Arm, Arm] = ("pretrained", "random")
FIELDS = ("epoch", "training_loss", "validation_loss", "validation_error", "seconds")
MOST_POINTS = 1000  # a longer curve is thinned: no screen shows more, and the page has a size to keep

REMEDY = {
    "recipe.toml": "it is written first; give the folder of a run that was started by layerwise compare",
    "environment.json": "it is written first; give the folder of a run that was started by layerwise compare",
    "history.jsonl": "restore history.jsonl from a copy, or run the comparison again into a new folder",
    "results.json": "results.json is written when a run ends; finish this one with --resume",
    "best.toml": "best.toml is written when a search ends; finish this one with layerwise search --resume",
    "tuning.json": "restore tuning.json from a copy, or delete it to make the page without the tuning table",
    "arrays.npz": "restore arrays.npz from a copy, or delete it to make the page without pictures",
}


@dataclass(frozen=True)
class Curve:
    """The statistics of one fit: arrays of shape ``(lines,)`` over its updates, NaN where a value was not taken."""

    update: np.ndarray
    epoch: np.ndarray
    training_loss: np.ndarray
    validation_loss: np.ndarray
    validation_error: np.ndarray
    seconds: np.ndarray

    def points(self, field: str, along: str = "update") -> tuple[np.ndarray, np.ndarray]:
        """Return the places where a value was taken, and the values."""
        x, y = getattr(self, along), getattr(self, field)
        taken = np.isfinite(x) & np.isfinite(y)
        return x[taken], y[taken]


@dataclass(frozen=True)
class Summary:
    """Everything a run folder says, read once."""

    results: Results
    recipe: Mapping[str, Any]
    recipe_text: str
    environment: Mapping[str, Any]
    tuning: tuple[TuningRow, ...]
    curves: Mapping[str, Curve]
    arrays: Mapping[str, np.ndarray]

    @property
    def headline(self) -> Budget:
        """The budget that the verdict is about."""
        return next(budget for budget in self.results.budgets if budget.labels == self.results.headline)

    @property
    def is_tutorial(self) -> bool:
        """Whether this run repeats the Mocha tutorial."""
        return bool(self.recipe.get("name") == "mocha-tutorial")

    @property
    def winning_baseline(self) -> Baseline | None:
        """The best baseline at the headline budget, when it does better than the pre-trained arm."""
        rivals = [item for item in self.results.baselines if item.labels == self.results.headline]
        best = min(rivals, key=lambda item: item.error, default=None)
        return best if best is not None and best.error < self.headline.pretrained_error else None

    def arm_name(self, arm: Arm) -> str:
        """Return an arm's name; in an A/A control neither arm is pre-trained, and the names say so."""
        if self.results.control:
            return {"pretrained": "random, arm A", "random": "random, arm B"}[arm]
        return {"pretrained": "pre-trained", "random": "random"}[arm]

    def arm_curves(self, arm: Arm) -> dict[int, Curve]:
        """Return an arm's fine-tuning curves at the headline budget, by seed."""
        return self._matching(rf"seed-(\d+)/labels-{self.results.headline}/{arm}")

    def layer_curves(self, stage: int) -> dict[int, Curve]:
        """Return the pre-training curves of one stage, by seed."""
        return self._matching(rf"seed-(\d+)/pretrain/{stage}")

    def _matching(self, pattern: str) -> dict[int, Curve]:
        found = {fit: re.fullmatch(pattern, fit) for fit in self.curves}
        by_seed = {int(match[1]): self.curves[fit] for fit, match in found.items() if match}
        return dict(sorted(by_seed.items()))


def mean_curve(curves: Mapping[int, Curve], field: str, along: str = "update") -> tuple[np.ndarray, np.ndarray]:
    """Average a statistic over the seeds.

    The places are those of the first seed, as far as every seed goes; a seed with other places is interpolated
    linearly. Seeds without the statistic are left out.

    Examples
    --------
    >>> nothing = np.full(2, np.nan)
    >>> def curve(loss): return Curve(np.array([0., 10.]), nothing, np.array(loss), nothing, nothing, nothing)
    >>> mean_curve({0: curve([4., 2.]), 1: curve([2., 1.])}, "training_loss")
    (array([ 0., 10.]), array([3. , 1.5]))
    """
    taken = [points for points in (curve.points(field, along) for curve in curves.values()) if points[0].size]
    if not taken:
        return np.empty(0), np.empty(0)
    start, end = max(x[0] for x, _ in taken), min(x[-1] for x, _ in taken)
    places = taken[0][0]
    places = places[(places >= start) & (places <= end)]
    return places, np.mean([np.interp(places, x, y) for x, y in taken], axis=0)


def read_summary(run_dir: str | Path) -> Summary:
    """Read a run folder.

    Parameters
    ----------
    run_dir : str or Path
        The folder that a comparison wrote. ``tuning.json`` and ``arrays.npz`` may be absent (nothing was tuned,
        nothing can be drawn); the other files may not.

    Raises
    ------
    RunError
        When the folder or one of its files is missing or does not hold what it should; the hint names the file.
    """
    folder = Path(run_dir)
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder", "give the folder that layerwise compare wrote")
    recipe_text = read_text(folder / "recipe.toml")
    environment = read_json(folder / "environment.json")
    if not isinstance(environment, dict):
        raise _invalid(folder / "environment.json", "expected a JSON object")
    results = read_records(folder / "results.json", TypeAdapter(Results))
    tuning = folder / "tuning.json"
    return Summary(
        results=results,
        recipe=MappingProxyType(_parse_recipe(folder / "recipe.toml", recipe_text)),
        recipe_text=recipe_text,
        environment=MappingProxyType(environment),
        tuning=read_records(tuning, TypeAdapter(tuple[TuningRow, ...])) if tuning.exists() else (),
        curves=MappingProxyType(_read_history(folder / "history.jsonl")),
        arrays=MappingProxyType(_read_arrays(folder / "arrays.npz", results.data.image_shape)),
    )


def _invalid(path: Path, found: str) -> RunError:
    return RunError(f"{path} cannot be used: {found}", REMEDY[path.name])


def read_text(path: Path) -> str:
    """Return a file of a run folder as text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunError(f"{path} is missing", REMEDY[path.name]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(path, str(error)) from error


def read_json(path: Path) -> Any:
    """Return what a JSON file of a run folder holds."""
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _invalid(path, f"line {error.lineno} is not JSON ({error.msg})") from error


def read_records(path: Path, adapter: TypeAdapter[T]) -> T:
    """Return what a JSON file of a run folder holds as frozen values."""
    try:
        return adapter.validate_python(read_json(path))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors()]
        raise _invalid(path, "; ".join(faults)) from error


def _parse_recipe(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(path, str(error)) from error


def _read_history(path: Path) -> dict[str, Curve]:
    lines = read_text(path).splitlines()
    fits: dict[str, dict[float, dict[str, Any]]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            # A fit taken up again after a stop may write an update twice: the later line is the one it went on from.
            fits.setdefault(str(entry["fit"]), {})[float(entry["update"])] = entry
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines) and isinstance(error, json.JSONDecodeError):
                break  # a run that was killed can leave half a last line
            raise _invalid(path, f"line {number} is not a JSON object with fit and update") from error
    try:
        return {fit: _curve(entries) for fit, entries in fits.items()}
    except (TypeError, ValueError) as error:
        raise _invalid(path, f"a statistic is not a number ({error})") from error


def _curve(entries: Mapping[float, Mapping[str, Any]]) -> Curve:
    updates = sorted(entries)
    if len(updates) > MOST_POINTS:
        kept = np.unique(np.linspace(0, len(updates) - 1, MOST_POINTS).round().astype(int))
        updates = [updates[index] for index in kept]
    columns = {
        field: np.array([_number(entries[update].get(field)) for update in updates], dtype=float) for field in FIELDS
    }
    return Curve(update=np.array(updates, dtype=float), **columns)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _read_arrays(path: Path, image_shape: tuple[int, ...] | None) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name], dtype=float) for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _invalid(path, str(error)) from error
    for name, array in arrays.items():
        if image_shape and array.ndim != 3 and (array.ndim != 2 or array.shape[1] != math.prod(image_shape)):
            raise _invalid(path, f"{name} has shape {array.shape}, expected rows of {math.prod(image_shape)} pixels")
    return arrays
