"""The benchmarks' own arithmetic on made-up times, and each part at a tiny size: a benchmark that nobody runs rots."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import torch

from benchmarks import boltzmann, finetuning, greedy, layers, sparse_rows, streaming, timing
from benchmarks.engine import pretrain_timed
from benchmarks.report import HEADINGS, Bar, Line, compared, page, table, unmeasured
from benchmarks.timing import Side, Spread, Timed, interleave, ratio, together
from layerwise.nn.networks import build_network
from layerwise.objectives import DenoisingAutoencoder
from layerwise.plan import PretrainPlan
from layerwise.randomness import Randomness


@pytest.fixture(autouse=True)
def apart() -> object:
    """The loops that people write draw from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def rows(count: int = 1000, features: int = 12) -> torch.Tensor:
    """Rows in [0, 1] that two hidden causes explain."""
    draw = torch.Generator().manual_seed(0)
    causes = torch.randn(count, 2, generator=draw)
    return torch.sigmoid(causes @ torch.randn(2, features, generator=draw))


def scripted(name: str, each: float, log: list[str], drift: Callable[[int], float] = lambda turn: 1.0) -> Side:
    turns: list[int] = []

    def updates(count: int) -> float:
        log.append(name)
        turns.append(count)
        return each * count * drift(len(turns))

    return Side(name, updates, lambda: float(sum(turns)))


def test_sides_take_turns_and_the_warm_up_is_not_timed() -> None:
    log: list[str] = []
    first, second = interleave(
        [scripted("a", 1.0, log, lambda turn: 100.0 if turn == 1 else 1.0), scripted("b", 2.0, log)], 5, rounds=3
    )
    assert log == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert first.seconds == (1.0,) * 3
    assert second.loss == 20.0


def test_a_slow_machine_makes_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    (only,) = interleave([scripted("a", 1.0, [])], 5, rounds=9)
    assert len(only.seconds) == timing.FEWEST


def test_a_drift_of_the_machine_leaves_the_ratio_alone() -> None:
    def slower(turn: int) -> float:
        return 2.0**turn

    fast, slow = interleave([scripted("a", 1.0, [], slower), scripted("b", 3.0, [], slower)], 4, rounds=5)
    assert ratio(slow, fast) == Spread(3.0, 3.0, 3.0)


def test_pieces_of_work_add_up_within_each_round() -> None:
    both = together("both", Timed("a", (1.0, 2.0), 7.0), Timed("b", (3.0, 6.0), 5.0))
    assert both == Timed("both", (2.0, 4.0), 5.0)


def test_a_bar_of_at_least_takes_theirs_over_ours_and_one_of_at_most_ours_over_theirs() -> None:
    ours, theirs = Timed("ours", (1.0, 1.0), 0.5), Timed("theirs", (3.0, 3.0), 0.6)
    least, most = compared("row", ours, theirs, Bar(2.0)), compared("row", ours, theirs, Bar(0.3, most=True))
    assert least.ratio is not None and least.ratio.median == 3.0 and least.verdict == "held"
    assert most.ratio is not None and most.ratio.median == pytest.approx(1 / 3) and most.verdict == "NOT held"


def test_the_page_hides_neither_a_bar_that_did_not_hold_nor_a_peer_that_is_missing() -> None:
    lines = [
        compared("slow", Timed("ours", (2.0,), 1.5), Timed("theirs", (1.0,)), Bar(2.0, 3.0)),
        unmeasured("gone", "peer's RBM", Bar(4.0), "peer is not installed"),
    ]
    text = page(lines, 60.0, (0.1, 0.2))
    assert (
        "| slow | theirs | 2000.00 (2000.00 to 2000.00) | 1000.00 (1000.00 to 1000.00) | 0.5 (0.5 to 0.5) "
        "| at least 2 | 3 | NOT held | 1.5 |  |" in text
    )
    assert "not measured: peer is not installed" in text
    assert table(lines).row_count == 2
    assert {len(line.cells()) for line in lines} == {len(HEADINGS)}


def agree(lines: list[Line], tolerance: float) -> None:
    """Each side of each line is timed, and reaches the other's loss."""
    for line in lines:
        assert line.ratio is not None and line.ratio.median > 0, line
        ours, theirs = line.losses
        assert ours is not None or line.bar is None
        assert ours is None or theirs is None or ours == pytest.approx(theirs, rel=tolerance), line


def test_denoising_layers() -> None:
    agree(layers.compare(rows(), rows()[:200], 8, updates=10, rounds=2), 0.02)


def test_boltzmann_machines_with_and_without_learnergy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boltzmann, "find_spec", lambda name: None)
    missing, pcd = boltzmann.compare(rows(), rows()[:200], 8, updates=10, rounds=2)
    assert missing.verdict == "not measured: learnergy is not installed"
    agree([pcd], 0.05)


def test_learnergys_machine() -> None:
    pytest.importorskip("learnergy")
    agree(boltzmann.compare(rows(), rows()[:200], 8, updates=10, rounds=2), 0.05)


def test_fine_tuning() -> None:
    targets = torch.arange(1000) % 10
    labelled = (rows(), targets)
    agree(finetuning.compare(labelled, (rows()[:200], targets[:200]), (6, 5, 4), updates=10, rounds=2), 0.02)


def test_both_ways_to_get_a_stage_its_features_train_the_same_layer() -> None:
    both, _ = greedy.compare(rows(200), rows()[:200], (8, 7, 6), updates=greedy.EPOCHS, rounds=1)
    agree([both], 1e-4)


def test_a_pre_training_is_timed_and_ended_after_its_updates() -> None:
    started: list[str] = []
    network = build_network(12, (8,), 2, randomness=Randomness(0))
    stop = pretrain_timed(network, rows(), 8, lambda: started.append("once"), learning_rate=0.05, epochs=3)
    assert started == ["once"]
    assert 0 < stop.clock.seconds < 60 and math.isfinite(stop.loss)
    with pytest.raises(ValueError, match="too few rows for 12 updates"):
        pretrain_timed(network, rows(), 12, learning_rate=0.05, epochs=1)


def test_the_streamed_file_holds_every_row_and_what_linux_says_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.h5"
    streaming.write_rows(path, 45, rows(20))
    with h5py.File(path) as file:
        found = torch.from_numpy(file["data"][:])
    assert found.shape == (45, 12)
    assert torch.allclose(found, rows(20).repeat(3, 1)[:45], atol=0.1)
    assert not torch.equal(found[:20], found[20:40])
    streaming.drop_cache(path)
    assert streaming.proc("self/status", "RssAnon") > 10_000
    assert streaming.proc("self/status", "NoSuchLine") == streaming.proc("no-such-process/status", "RssAnon") == 0


@pytest.mark.skipif("memory_limit" not in PretrainPlan.model_fields, reason="pretrain does not stream yet")
def test_streaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "STREAMED", 0.001)
    path = tmp_path / "rows.h5"
    streaming.write_rows(path, 2000, rows(2000, 784))
    speed, memory = streaming.compare(path, 0.006, updates=8, rounds=1)
    agree([speed], 0.05)
    assert memory.ratio is not None and 50 < memory.ratio.median < 1000


@pytest.mark.skipif(not hasattr(DenoisingAutoencoder(), "reconstruction"), reason="pretrain takes no sparse rows yet")
def test_sparse_rows() -> None:
    (wide,) = sparse_rows.compare_widths((1000, 2000), 6, updates=8, rounds=1)
    assert wide.ratio is not None and wide.ratio.median > 0
    agree(sparse_rows.compare_reconstructions(1000, 6, updates=8, rounds=1), 0.2)
