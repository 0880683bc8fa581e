"""Signs of life: a worker that gives them is alive, one that stops is dead after a lease, clocks are not compared."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from layerwise.searching.workers import Watcher, alive, new_worker


def test_names_differ_and_name_the_process() -> None:
    assert new_worker() != new_worker() and f"-{os.getpid()}-" in new_worker()


def test_a_live_worker_is_alive_for_longer_than_a_lease(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path, "me", lease=0.4)
    with alive(tmp_path, "other", beat=0.05):
        for _ in range(12):
            assert watcher.dead({"other"}) == set()
            time.sleep(0.1)
    assert not (tmp_path / "workers" / "other").exists()


def test_a_silent_worker_is_dead_after_a_lease_and_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    (tmp_path / "workers").mkdir()
    sign = tmp_path / "workers" / "other"
    sign.write_text("7\n")
    os.utime(sign, (1.0, 1.0))  # however old the file is by its own clock
    watcher = Watcher(tmp_path, "me", lease=30.0)
    assert watcher.dead({"other", "me"}) == set()
    now += 29.0
    assert watcher.dead({"other", "me"}) == set()
    now += 2.0
    assert watcher.dead({"other", "me"}) == {"other"}
    sign.write_text("8\n")
    assert watcher.dead({"other", "me"}) == set()


def test_a_worker_that_never_gave_a_sign_has_a_lease_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watcher = Watcher(tmp_path, "me", lease=30.0)
    assert watcher.dead({"gone"}) == set()
    now = 31.0
    assert watcher.dead({"gone"}) == {"gone"}
