"""Measure everything and write RESULTS.md: ``make bench``, or ``python -m benchmarks [--only NAME ...]``."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch
from rich.console import Console

from layerwise.write import write_text

from . import boltzmann, finetuning, greedy, layers, sparse_rows, streaming
from .report import page, table

PARTS = {
    "layers": layers, "boltzmann": boltzmann, "finetuning": finetuning, "greedy": greedy,
    "streaming": streaming, "sparse_rows": sparse_rows,
}  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("RESULTS.md"), help="file to write")
    chosen = parser.parse_args()
    console = Console(soft_wrap=True)
    torch.manual_seed(0)  # the loops that people write draw from the global generator
    load, began = os.getloadavg()[0], time.perf_counter()
    lines = []
    for name in chosen.only:
        console.print(f"[bold]{name}[/bold]: {(PARTS[name].__doc__ or '').splitlines()[0]}")
        found = PARTS[name].measure(lambda line: console.print(f"  {line}", highlight=False))
        console.print(table(found))
        lines += found
        seconds = time.perf_counter() - began
        write_text(chosen.out, page(lines, seconds, (load, os.getloadavg()[0])))
    console.print(table(lines))
    console.print(f"{seconds / 60:.1f} minutes; written to {chosen.out}")


if __name__ == "__main__":
    main()
