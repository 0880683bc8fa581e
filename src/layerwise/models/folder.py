"""A model as a folder: safetensors for the numbers, JSON for the rest; loading it runs no code.

============================ ==========================================================================
``model.json``               the format's version, network, classes, inputs, how it was made; the SHA-256 of each file
``network.safetensors``      the network's ``state_dict``
``stack.json``               with ``stack.safetensors`` the pre-trained layers: what `Stack.save` writes
``preparation.skops``        scikit-learn's fitted transformer of a table's columns; the columns are in ``model.json``
``README.md``                the model card
============================ ==========================================================================

``model.json`` is written last: a folder with one is whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..data.source import Source
from ..errors import LayerwiseError, NetworkError, RunError
from ..nn.description import build, describe
from ..preparation.preparation import Preparation
from ..settings import Table
from ..stack import Stack
from ..write import write_bytes, write_json, write_tensors, write_text
from .card import card_of
from .estimator import read_estimator, written_estimator
from .facts import Facts
from .inputs import Inputs
from .model import Label, Model, Quantity

FORMAT = 1
WHOLE, NETWORK, STACK = "model.json", "network.safetensors", ("stack.json", "stack.safetensors")
PREPARATION, CARD = "preparation.skops", "README.md"
AGAIN = "copy the folder again, or train the model again"


class Description(Table):
    """What ``model.json`` holds."""

    kind: Literal["layerwise model"] = "layerwise model"
    format: int = FORMAT
    network: tuple[Mapping[str, Any], ...]
    dtype: Literal["float32", "float64", "bfloat16", "float16"]
    classes: tuple[Label, ...]
    inputs: Inputs
    preparation: Mapping[str, Any] | None = None
    target: str | None
    probabilities: bool
    quantity: Quantity | None = None
    facts: Facts
    files: Mapping[str, str]


def save_model(model: Model, folder: str | Path) -> None:
    """Write a model to a new or empty folder; `Model.save` is the door to it."""
    path = Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(
            f"{path} is {'not empty' if path.is_dir() else 'a file'}, and a model is never written over anything",
            "give another folder, or remove this one",
        )
    write_model(model, path)


def write_model(model: Model, path: Path) -> None:
    """Write a model's files into a folder, the description last."""
    network = describe_network(model.network)
    write_tensors(path / NETWORK, model.network.state_dict())
    if model.stack is not None:
        model.stack.save(path)
    if model.preparation is not None:
        write_bytes(path / PREPARATION, written_estimator(model.preparation.estimator))
    write_text(path / CARD, card_of(model))
    names = [NETWORK, *(STACK if model.stack else ()), *([PREPARATION] if model.preparation else ())]
    dtype = next((weight.dtype for weight in model.network.parameters()), torch.float32)
    description = {
        "kind": "layerwise model", "format": FORMAT, "network": network,
        "dtype": str(dtype).removeprefix("torch."), "classes": model.classes, "inputs": model.inputs.model_dump(),
        "preparation": model.preparation and model.preparation.schema(), "target": model.target,
        "probabilities": model.probabilities,
        "quantity": model.quantity and model.quantity.model_dump(), "facts": model.facts.model_dump(),
        "files": {name: _digest(path / name) for name in names},
    }  # fmt: skip
    write_json(path / WHOLE, description)


def describe_network(network: nn.Module) -> list[dict[str, Any]]:
    """Return a network's modules as data.

    Raises
    ------
    NetworkError
        When it is no ``nn.Sequential`` of modules that can be described.

    Examples
    --------
    >>> describe_network(nn.Sequential(nn.Sigmoid()))
    [{'module': 'Sigmoid'}]
    """
    if type(network) is not nn.Sequential or [*network._modules] != [str(place) for place in range(len(network))]:
        raise NetworkError(
            f"a model's network is a plain nn.Sequential, found {type(network).__name__}"
            + (" with names of its own" if type(network) is nn.Sequential else ""),
            "build it as one, or keep the network's own state_dict: torch.save(network.state_dict(), file)",
        )
    return [describe(module) for module in network]


def load_model(folder: str | Path) -> Model:
    """Read a model from a folder that `Model.save` or ``layerwise train`` wrote; no code is run.

    Parameters
    ----------
    folder : str or Path
        The folder.

    Raises
    ------
    RunError
        When it holds no model, a damaged one, or one of a newer format.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "model"
    >>> Model(nn.Sequential(nn.Linear(3, 2)), classes=["no", "yes"]).save(folder)
    >>> load_model(folder).classes
    ('no', 'yes')
    """
    path = Path(folder)
    found = _description(path)
    for name, digest in found.files.items():
        _check_file(path / name, digest)
    try:
        network = nn.Sequential(*build(found.network)).to(getattr(torch, found.dtype))
        network.load_state_dict(load_file(path / NETWORK))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        said = error.message if isinstance(error, LayerwiseError) else str(error)
        raise RunError(f"{path / NETWORK} does not fit the network that {WHOLE} describes: {said}", AGAIN) from error
    stack = Stack.load(path) if STACK[0] in found.files else None
    preparation = None
    if found.preparation is not None:
        preparation = _preparation(found.preparation, path)
    return Model(
        network.eval(), found.classes, stack, found.inputs, preparation, found.target, found.probabilities,
        found.quantity, found.facts,
    )  # fmt: skip


def _preparation(schema: Mapping[str, Any], path: Path) -> Preparation:
    estimator = read_estimator(path / PREPARATION)
    try:
        found = Preparation.from_parts(schema, estimator)
        if list(found.features) != schema["features"]:
            raise ValueError("its columns make other features than it names")
        return found
    except LayerwiseError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        said = f"{type(error).__name__}: {error}"
        raise RunError(f"{path / WHOLE} is damaged: preparation does not fit {PREPARATION}: {said}", AGAIN) from error


def _description(path: Path) -> Description:
    if not path.is_dir():
        raise RunError(
            f"{path} is {'a file' if path.exists() else 'not there'}, expected a model folder",
            "give a folder that layerwise train or Model.save wrote",
        )
    file = path / WHOLE
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        begun = (path / "history.jsonl").exists() and not (path / "results.json").exists()
        raise RunError(
            f"{path} holds no model: there is no {WHOLE}" + (", so its training has not ended" if begun else ""),
            "repeat layerwise train with --resume" if begun
            else "it holds a stack alone: layerwise encode and sample take it, predict needs a trained model"
            if (path / STACK[0]).exists() else "give a folder that layerwise train or Model.save wrote",
        ) from error  # fmt: skip
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read: {error}", AGAIN) from error
    if not isinstance(values, dict) or values.get("kind") != "layerwise model":
        raise RunError(f"{file} is of another program", "give a folder that layerwise train or Model.save wrote")
    version = values.get("format")
    if not isinstance(version, int) or version > FORMAT:
        raise RunError(
            f"{file} has format {version!r}, this version of layerwise reads formats up to {FORMAT}",
            "update layerwise, or save the model again with this version",
        )
    try:
        return Description.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3])
        raise RunError(f"{file} is damaged: {faults}", AGAIN) from error


def _check_file(file: Path, digest: str) -> None:
    try:
        found = _digest(file)
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror or error}", AGAIN) from error
    if found != digest:
        raise RunError(f"{file} is not the file that was saved: it was cut short or changed since", AGAIN)


def _digest(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def load_encoder(folder: str | Path) -> tuple[Stack, Callable[[Any], Source]]:
    """Read the layers of a folder, of a model or of `Stack.save`, and what opens rows as they take them.

    Raises
    ------
    RunError
        When the folder holds neither, or a damaged one.
    PlanError
        When it holds a model that was not pre-trained.
    """
    if not (Path(folder) / WHOLE).exists():
        return Stack.load(folder), Inputs().open
    model = load_model(folder)
    return model.layers(), model.open
