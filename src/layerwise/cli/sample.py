"""``layerwise sample``: write rows drawn from a saved stack."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path, typer.Argument(help="Folder that layerwise train or Stack.save wrote.")]
Out = Annotated[Path, typer.Option(help="File to write: .npy array, .h5 data set `data`, .png grid of images.")]
Number = Annotated[int, typer.Option("--n", help="Number of rows.")]
Depth = Annotated[int | None, typer.Option(help="Representation in which the chains run; 0 is the input.")]
Start = Annotated[str | None, typer.Option(help="File of rows that chains start from; noise when not given.")]
Chains = Annotated[int, typer.Option(help="Chains side by side.")]
BurnIn = Annotated[int, typer.Option(help="Transitions of each chain that are thrown away.")]
Thinning = Annotated[int, typer.Option(help="Every so many-th visit is kept.")]
Step = Annotated[float | None, typer.Option(help="Step of a contractive auto-encoder's chain.")]
Output = Annotated[str, typer.Option(help="mean of the input's distribution, or a sample of it.")]
RandomState = Annotated[int | None, typer.Option(help="Seed of everything random.")]
Json = Annotated[bool, typer.Option("--json", help="Print what was drawn on standard output.")]


def sample(
    model: Model,
    out: Out,
    number: Number = 100,
    depth: Depth = None,
    start: Start = None,
    chains: Chains = 100,
    burn_in: BurnIn = 500,
    thinning: Thinning = 1,
    step: Step = None,
    output: Output = "mean",
    random_state: RandomState = None,
    as_json: Json = False,
) -> None:
    """Draw rows from a saved stack by chains in the representation of any depth, and write them to a file."""
    # imported here, because they bring torch: the help and a misspelt option should not wait for it
    from ..randomness import as_seed
    from ..sampling.chain import row_shape
    from ..sampling.files import check_file, write_rows
    from ..sampling.sample import sample as draw
    from ..stack import Stack

    stack = Stack.load(model)
    check_file(out, row_shape(stack))
    seed, began = as_seed(random_state), time.perf_counter()
    drawn = draw(
        stack, number, depth=depth, start=start, chains=chains, burn_in=burn_in, thinning=thinning, step=step,
        output=output, random_state=seed,  # type: ignore[arg-type]
    )  # fmt: skip
    write_rows(out, drawn.inputs.float().cpu().numpy())  # NumPy has no bfloat16
    shape = "x".join(map(str, drawn.inputs.shape[1:]))
    seconds = time.perf_counter() - began
    said = f"{number:,} rows of {shape} at depth {drawn.depth}, {drawn.chains} chains, random state {seed}"
    print(f"{out}: {said}, {seconds:.1f} s", file=sys.stderr)
    if as_json:
        found = {
            "out": str(out), "shape": list(drawn.inputs.shape), "depth": drawn.depth, "chains": drawn.chains,
            "burn_in": burn_in, "thinning": thinning, "output": output, "random_state": seed, "seconds": seconds,
        }  # fmt: skip
        json.dump(found, sys.stdout, indent=1)
        print()
