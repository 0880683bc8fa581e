"""A model for other programs: as ONNX, checked against onnxruntime, or as the plain ``state_dict``."""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import NetworkError, PlanError, install
from ..finetuning import predict_outputs
from ..nn.modes import evaluation
from ..write import write_bytes, write_tensors
from .model import Model

ENDINGS = (".onnx", ".safetensors", ".pt", ".pth")
TRACED, CHECKED = 2, 7  # rows of the batch that is exported, and of the one that is checked
CLOSE = 1e-5
ROWS = "rows"
NEEDED = ("onnx", "onnxscript", "onnxruntime")


def export_model(model: Model, out: str | Path) -> dict[str, Any]:
    """Write a model for other programs, by the file's ending.

    ``.onnx``: the network with the softmax, float32, any number of rows. The input ``rows`` (rows, features) is what
    the network is fed: prepared rows, divided already where the model divides. The output is ``probabilities`` (rows,
    classes); ``scores`` where the outputs are no probabilities, ``quantity`` (rows, 1) of a regression. The metadata
    key ``classes`` has the labels as JSON. The file is run by onnxruntime before it is kept, at another batch size, and
    must agree to 1e-5.

    ``.safetensors``, ``.pt``: the network's ``state_dict`` with its own keys.

    Parameters
    ----------
    model : Model
        What to write.
    out : str or Path
        The file.

    Returns
    -------
    dict
        ``out``, ``inputs`` and ``outputs`` with their shapes, and for ONNX the largest ``difference`` found.

    Raises
    ------
    PlanError
        When the ending is none of these, or a package that ONNX needs is not installed.
    NetworkError
        When the network cannot be written as ONNX, or onnxruntime does not agree.
    RunError
        When the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> model = Model(nn.Sequential(nn.Linear(3, 2)), classes=["no", "yes"])
    >>> export_model(model, Path(tempfile.mkdtemp()) / "weights.safetensors")["tensors"]
    ['0.weight', '0.bias']
    """
    path = Path(out)
    match path.suffix.lower():
        case ".onnx":
            return {"out": str(path), **_export_onnx(model, path)}
        case ".safetensors":
            write_tensors(path, model.network.state_dict())
        case ".pt" | ".pth":
            buffer = io.BytesIO()
            torch.save(dict(model.network.state_dict()), buffer)
            write_bytes(path, buffer.getvalue())
        case ending:
            raise PlanError(
                f"{path} ends in {ending or 'nothing'}, expected {', '.join(ENDINGS)}",
                "name the file by what it is to hold: .onnx the model, .pt or .safetensors the state_dict",
            )
    return {"out": str(path), "tensors": list(model.network.state_dict())}


class _Outputs(nn.Module):
    """A network with what follows its outputs: the softmax, or a quantity's own mean and spread."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.softmax, self.quantity = model.network, bool(model.columns()), model.quantity

    def forward(self, rows: Tensor) -> Tensor:
        outputs: Tensor = self.network(rows)
        if self.quantity is not None:
            return outputs * self.quantity.spread + self.quantity.mean
        return torch.softmax(outputs, 1) if self.softmax else outputs


def _export_onnx(model: Model, path: Path) -> dict[str, Any]:
    missing = [name for name in NEEDED if not _installed(name)]
    if missing:
        raise PlanError(
            f"ONNX is written and checked by {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed",
            install(missing, "onnx"),
        )
    shape = _row_shape(model)
    module = copy.deepcopy(_Outputs(model)).float().eval()
    name = "quantity" if model.quantity else "probabilities" if model.probabilities else "scores"
    written = _traced(module, shape, name, _metadata(model))
    difference = _difference(_Outputs(model), written, shape)
    if not difference <= CLOSE * (model.quantity.spread if model.quantity else 1.0):
        raise NetworkError(
            f"onnxruntime does not agree with the network: at {CHECKED} rows the outputs differ by {difference:.3g}",
            "keep the state_dict instead: give a file that ends in .pt or .safetensors",
        )
    write_bytes(path, written)
    return {
        "inputs": {ROWS: [None, *shape]}, "outputs": {name: [None, model.width]}, "difference": difference,
        "checked_rows": CHECKED,
    }  # fmt: skip


def _installed(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def _metadata(model: Model) -> dict[str, str]:
    divisor = model.inputs.divisor
    return {
        "producer": "layerwise",
        "classes": json.dumps(model.classes),
        "target": model.target or "",
        "rows": f"divided by {divisor:g}" if divisor else "as the network is fed them",
    }


def _row_shape(model: Model) -> tuple[int, ...]:
    if model.inputs.shape is not None:
        return model.inputs.shape
    first = next((module for module in model.network if not isinstance(module, nn.Dropout)), None)
    if isinstance(first, nn.Linear):
        return (first.in_features,)
    raise PlanError(
        "the shape of a row is not known, which ONNX needs", "give it: lw.Model(..., inputs=Inputs(shape=(1, 28, 28)))"
    )


def _rows(count: int, shape: Sequence[int]) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(count))


def _traced(module: nn.Module, shape: Sequence[int], name: str, metadata: dict[str, str]) -> bytes:
    """Return a module as the bytes of an ONNX file whose number of rows is free."""
    rows = torch.export.Dim("rows")
    try:
        with _quiet(), evaluation(module):
            program = torch.onnx.export(
                module, (_rows(TRACED, shape),), dynamo=True, verbose=False, input_names=[ROWS], output_names=[name],
                dynamic_shapes={"rows": {0: rows}},
            )  # fmt: skip
    except Exception as error:  # torch.onnx has no one kind of its own
        raise NetworkError(
            f"the network cannot be written as ONNX: {str(error).splitlines()[0]}",
            "keep the state_dict instead: give a file that ends in .pt or .safetensors",
        ) from error
    assert program is not None
    proto = program.model_proto
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    found: bytes = proto.SerializeToString()
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to themselves what torch and onnxscript say of their own future and of packages that nobody needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _difference(module: nn.Module, written: bytes, shape: Sequence[int]) -> float:
    """Return the largest difference between onnxruntime's outputs and the network's, at another number of rows."""
    import onnxruntime

    rows = _rows(CHECKED, shape)
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {ROWS: rows.numpy()})
    expected = predict_outputs(module, rows).float().cpu()
    return float(np.abs(found - expected.numpy()).max()) if found.shape == tuple(expected.shape) else float("inf")
