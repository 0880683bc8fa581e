"""``layerwise encode``: what every row of a file looks like in the codes of a pre-trained layer."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .predict import Data, Json, Keep

Model = Annotated[Path, typer.Argument(help="Folder that layerwise train or Stack.save wrote.")]
Out = Annotated[str, typer.Option(help="File: .csv, .tsv, .parquet, .h5, .npz, .npy; - is CSV on standard output.")]
Depth = Annotated[int | None, typer.Option(help="Layers to pass; all when not given, 0 is the network's input.")]


def encode(model: Model, data: Data, out: Out, depth: Depth = None, keep: Keep = None, as_json: Json = False) -> None:
    """Write the codes of every row of DATA after some pre-trained layers, in the rows' order.

    They are the layers as they were pre-trained, before fine-tuning. Memory does not grow with the rows.
    """
    # imported here, because they bring torch: the help and a misspelt option should not wait for it
    from ..data.features import Streamed
    from ..models.folder import load_encoder
    from ..models.model import encoded
    from ..models.output import TEXT, check_kept, format_of, keeping, write_results
    from ..models.rows import opened_rows
    from .predict import told

    (stack, take), ending, kept = load_encoder(model), format_of(out, data), keep or []
    rows: Any = opened_rows(data)
    source = take(rows)
    width = math.prod(stack.encode(Streamed(source).read(0, 1), depth).shape[1:])
    names = {"codes": [f"code_{number}" for number in range(width)]}
    check_kept(rows, data, kept, names)
    began = time.perf_counter()
    blocks = ({"codes": codes} for codes in encoded(stack, source, depth))
    named: dict[str, list[str]] = {**{column: [] for column in kept}, **names}
    beside = keeping(rows, kept, blocks, ending in TEXT) if kept else blocks
    write_results(out, ending, source.shape[0], named, beside)
    told(out, source.shape[0], f"codes of {width}", began, named if as_json else None)
