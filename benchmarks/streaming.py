"""A float32 HDF5 file of 4 GB, read from the disk while a layer 784-1000 is trained, against the same rows in memory.

Each side pre-trains in a process of its own, by the package's own door, and stops after so many updates. The file's
pages are dropped from the system's cache right before the first update of the streamed side; how many bytes then came
from the disk is counted by the system. Each side's loss is the training loss over its last quarter of the updates.

    python -m benchmarks.streaming FILE UPDATES GIB     what one such process runs; GIB is the memory limit
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import torch
from torch import Tensor

from layerwise.data.mnist import load_mnist
from layerwise.nn.networks import build_network
from layerwise.randomness import Randomness

from .engine import RATE, Told, pretrain_timed
from .report import Bar, Line, compared, unmeasured
from .timing import Side, Spread, interleave

BYTES = 4 * 10**9
UPDATES, ROUNDS = 1600, 3
STREAMED, IN_MEMORY = 0.5, 1000.0  # GiB: below the file's size, and above any
ROOT = Path(__file__).parent.parent


def write_rows(path: Path, rows: int, images: Tensor) -> None:
    """Write a data set of so many rows: the images again and again, each time with other noise."""
    draw = torch.Generator().manual_seed(0)
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (rows, images.shape[1]), "float32")
        for start in range(0, rows, len(images)):
            block = images[: rows - start]
            data[start : start + len(block)] = (0.9 * block + 0.1 * torch.rand(block.shape, generator=draw)).numpy()


def drop_cache(path: Path) -> None:
    """Write what of a file is not yet on the disk, and forget its pages."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


def proc(file: str, name: str) -> int:
    """Return the number after a name in a file of ``/proc``; 0 where there is none, or the process is gone."""
    try:
        text = (Path("/proc") / file).read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:")), 0)


def train(path: Path, updates: int, limit: float) -> dict[str, float]:
    """Pre-train on a file in this process; return the seconds, the loss and the bytes that came from the disk."""
    before = 0
    streamed = limit < IN_MEMORY

    def at_start() -> None:
        nonlocal before
        if streamed:
            drop_cache(path)
        before = proc("self/io", "read_bytes")

    network = build_network(784, (1000,), 10, randomness=Randomness(0))
    stop = pretrain_timed(network, path, updates, at_start, learning_rate=RATE, epochs=1, memory_limit=limit)
    return {
        "seconds": stop.clock.seconds,
        "loss": stop.loss,
        "bytes": proc("self/io", "read_bytes") - before,
    }


class Trained:
    """What the processes of one side reported."""

    def __init__(self, path: Path, limit: float) -> None:
        self.path, self.limit = path, limit
        self.reports: list[dict[str, float]] = []

    def updates(self, count: int) -> float:
        """Run one process; note what it reports, and the most anonymous memory that it was seen to hold."""
        command = [sys.executable, "-m", "benchmarks.streaming", str(self.path), str(count), str(self.limit)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            most = 0
            while process.poll() is None:
                most = max(most, proc(f"{process.pid}/status", "RssAnon"))
                time.sleep(0.02)
            assert process.stdout is not None
            said = process.stdout.read()
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}")
        self.reports.append({**json.loads(said.splitlines()[-1]), "anonymous": most * 1024 / 1e6})
        return self.reports[-1]["seconds"]

    def spread(self, name: str) -> Spread:
        """Return the median and quartiles of one of the numbers reported."""
        return Spread.of(report[name] for report in self.reports)

    def side(self, name: str) -> Side:
        """Return this as a side."""
        return Side(name, self.updates, lambda: self.reports[-1]["loss"])


def compare(path: Path, gigabytes: float, updates: int, rounds: int, told: Told = lambda line: None) -> list[Line]:
    """Time both sides on a file that is there."""
    streamed, held = Trained(path, STREAMED), Trained(path, IN_MEMORY)
    sides = [streamed.side("streamed"), held.side("the same rows in memory")]
    ours, theirs = interleave(sides, updates, rounds, told, warm_up=False)
    read = streamed.spread("bytes").median / 1e9
    row = f"HDF5 of {gigabytes:.2g} GB, streamed; {read:.2g} GB came from the disk while timed"
    memory = streamed.spread("anonymous")
    cell = f"{memory.median:.0f} MB ({memory.low:.0f} to {memory.high:.0f})"
    return [
        compared(row, ours, theirs, Bar(0.8, 0.95)),
        Line("the same, anonymous memory in MB", "", Bar(700.0, most=True), cell, "", memory),
    ]


def measure(told: Told) -> list[Line]:
    """Write the file, time, delete it."""
    folder = Path(os.environ.get("TMPDIR", tempfile.gettempdir()))
    memory = proc("meminfo", "MemAvailable") * 1024
    if not hasattr(os, "posix_fadvise") or memory < 3 * BYTES or shutil.disk_usage(folder).free < 1.5 * BYTES:
        why = f"needs Linux, {3 * BYTES / 1e9:.0f} GB of free memory, and {1.5 * BYTES / 1e9:.0f} GB in {folder}"
        return [unmeasured("HDF5 of 4 GB, streamed", "the same rows in memory", Bar(0.8, 0.95), why)]
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        path = Path(inside) / "rows.h5"
        told(f"writing {BYTES / 1e9:.0f} GB to {path}")
        write_rows(path, BYTES // (4 * 784), load_mnist().inputs)
        drop_cache(path)
        return compare(path, BYTES / 1e9, UPDATES, ROUNDS, told)


if __name__ == "__main__":
    print(json.dumps(train(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
