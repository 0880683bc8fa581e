"""Which workers are alive: each writes a sign of life, and one whose sign no longer changes is taken for dead.

Optuna's journal storage has no heartbeat of its own. Clocks of different machines are never compared: whoever looks
notes by its own clock when it last saw a sign change.
"""

from __future__ import annotations

import os
import platform
import secrets
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..write import write_text

LEASE = 30.0  # seconds without a new sign of life after which a worker is taken for dead
BEATS = 6  # signs that a live worker gives in that time


def new_worker() -> str:
    """Return a name that no other worker has, on this machine or another."""
    return f"{platform.node() or 'worker'}-{os.getpid()}-{secrets.token_hex(3)}"


@contextmanager
def alive(folder: Path, worker: str, beat: float = LEASE / BEATS) -> Iterator[None]:
    """Give signs of life in a run folder while the block runs."""
    file = folder / "workers" / worker
    stop = threading.Event()

    def give_signs() -> None:
        count = 0
        while True:
            write_text(file, f"{count}\n")
            count += 1
            if stop.wait(beat):
                return

    write_text(file, "0\n")
    thread = threading.Thread(target=give_signs, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        file.unlink(missing_ok=True)


class Watcher:
    """Says which workers are dead.

    Parameters
    ----------
    folder : Path
        The run folder.
    own : str
        The worker that looks: always alive.
    lease : float
        Seconds.
    """

    def __init__(self, folder: Path, own: str, lease: float = LEASE) -> None:
        self.folder, self.own, self.lease = folder, own, lease
        self.seen: dict[str, tuple[str, float]] = {}

    def dead(self, workers: Collection[str]) -> set[str]:
        """Return those of the workers that gave no new sign for the length of a lease."""
        return {worker for worker in workers if worker != self.own and self._silent(worker) > self.lease}

    def _silent(self, worker: str) -> float:
        now = time.monotonic()
        try:
            sign = (self.folder / "workers" / worker).read_text()
        except OSError:
            sign = "none"
        before = self.seen.get(worker)
        if before is None or before[0] != sign:
            self.seen[worker] = sign, now
            return 0.0
        return now - before[1]
