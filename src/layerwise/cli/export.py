"""``layerwise export``: a model for other programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .predict import Json, Model

Out = Annotated[Path, typer.Option(help="File: .onnx, checked by onnxruntime; .safetensors or .pt, the state_dict.")]


def export(model: Model, out: Out, as_json: Json = False) -> None:
    """Write a model's network as ONNX, for any number of rows, or its state_dict.

    Both take rows as the network is fed them: those of a table are prepared first, as layerwise encode --depth 0 does.
    """
    # imported here, because they bring torch: the help and a misspelt option should not wait for it
    from ..models.folder import load_model
    from ..models.onnx import export_model

    found = export_model(load_model(model), out)
    if "difference" in found:
        said = ", ".join(
            f"{name} ({', '.join('any' if size is None else str(size) for size in shape)})"
            for name, shape in {**found["inputs"], **found["outputs"]}.items()
        )
        agree = f"onnxruntime differs by at most {found['difference']:.1e} on {found['checked_rows']} rows"
        print(f"{out}: {said}; {agree}", file=sys.stderr)
    else:
        print(f"{out}: {', '.join(found['tensors'])}", file=sys.stderr)
    if as_json:
        json.dump(found, sys.stdout, indent=1)
        print()
