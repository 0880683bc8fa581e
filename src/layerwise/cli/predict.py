"""``layerwise predict``: the label of every row of a file, with probabilities."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

Model = Annotated[Path, typer.Argument(help="Folder that layerwise train wrote.")]
Data = Annotated[str, typer.Argument(help="File of rows like those that the model was trained on.")]
Out = Annotated[str, typer.Option(help="File: .csv, .tsv, .parquet, .h5, .npz; - is CSV on standard output.")]
Keep = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Column of DATA to write beside the results.")]
Json = Annotated[bool, typer.Option("--json", help="Print what was written on standard output.")]


def predict(model: Model, data: Data, out: Out, keep: Keep = None, as_json: Json = False) -> None:
    """Predict every row of DATA and write the labels, with the probability of each class, in the rows' order.

    The ending of the file says the format; without one it is that of DATA. Memory does not grow with the rows.
    """
    # imported here, because they bring torch: the help and a misspelt option should not wait for it
    from ..models.folder import load_model
    from ..models.output import TEXT, check_kept, format_of, keeping, write_results
    from ..models.rows import opened_rows

    found, ending, kept = load_model(model), format_of(out, data), keep or []
    names: dict[str, list[str]] = {"prediction": []}
    if found.columns():
        names["probability"] = found.columns()
    rows: Any = opened_rows(data)
    check_kept(rows, data, kept, names)
    began, source = time.perf_counter(), found.open(rows)
    blocks = found.predictions(source)
    named = {**{column: [] for column in kept}, **names}
    beside = keeping(rows, kept, blocks, ending in TEXT) if kept else blocks
    write_results(out, ending, source.shape[0], named, beside)
    told(out, source.shape[0], "predictions", began, named if as_json else None)


def told(out: str, rows: int, what: str, began: float, names: dict[str, list[str]] | None) -> None:
    """Say on standard error what was written, and with names on standard output, where that is not taken."""
    pace = rows / (time.perf_counter() - began)
    print(f"{'standard output' if out == '-' else out}: {rows:,} {what}, {pace:,.0f} rows/s", file=sys.stderr)
    if names is not None and out != "-":
        columns = [column for part, own in names.items() for column in (own or [part])]
        json.dump({"out": out, "rows": rows, "columns": columns}, sys.stdout, indent=1)
        print()
