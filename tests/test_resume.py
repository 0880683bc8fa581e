"""Killed by SIGKILL half-way and resumed in another process: the same final weights, bit for bit, and nothing twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import layerwise as lw
from layerwise.objectives import BY_NAME

HANG = 600  # seconds that a run stands still at the place where it is to be killed


def network(seed: int = 7) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(20, 16), nn.BatchNorm1d(16), nn.Sigmoid(), nn.Dropout(0.3), nn.Linear(16, 12), nn.Tanh(),
            nn.Dropout(0.2), nn.Linear(12, 3),
        )  # fmt: skip


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(230, 20, generator=generator)
    return inputs, (inputs[:, 0] + inputs[:, 1] + 0.2 * torch.rand(230, generator=generator)).round().long().clamp(
        max=2
    )


def pretrain(run_dir: Path, callbacks: Any = (), resume: bool = False) -> dict[str, Tensor]:
    # a resumed run gets a network with other weights: it has to go on from those it began with
    trained = network(8 if resume else 7)
    lw.pretrain(
        trained, data()[0], epochs=4, batch_size=20, momentum=0.5, schedule=lw.Linear(), validation=0.1,
        summary_every=3, checkpoint_every=5, random_state=0, run_dir=run_dir, resume=resume, callbacks=callbacks,
    )  # fmt: skip
    return trained.state_dict()


def finetune(run_dir: Path, callbacks: Any = (), resume: bool = False) -> dict[str, Tensor]:
    trained = network(8 if resume else 7)
    lw.finetune(
        trained, *data(), epochs=12, batch_size=20, optimizer="adam", learning_rate=0.01, head_first=2, validation=0.2,
        early_stopping=lw.EarlyStopping(patience=40), summary_every=3, checkpoint_every=5, random_state=0,
        run_dir=run_dir, resume=resume, callbacks=callbacks,
    )  # fmt: skip
    return trained.state_dict()


def compare(run_dir: Path, callbacks: Any = (), resume: bool = False) -> dict[str, Tensor]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    every = {"summary_every": 4, "checkpoint_every": 6}
    lw.compare(
        digits.data / 16, digits.target, network=(16,), budgets=[60], seeds=2, baselines=[], learning_rates=[0.05, 0.2],
        settings={
            "network": {"dropout": 0.2},
            "pretrain": {"epochs": 2, **every},
            "finetune": {"epochs": 5, "batch_size": 15, **every},
        },
        run_dir=run_dir, resume=resume, callbacks=callbacks,
    )  # fmt: skip
    return final_weights(run_dir)


WORK: dict[str, Callable[..., dict[str, Tensor]]] = {"pretrain": pretrain, "finetune": finetune, "compare": compare}


def final_weights(run_dir: Path) -> dict[str, Tensor]:
    """Return the weights that the checkpoints of all finished fits hold."""
    found = {}
    for path in sorted((run_dir / "checkpoints").rglob("*.safetensors")):
        found |= {f"{path.relative_to(run_dir)}/{name}": value for name, value in load_file(path).items()}
    return found


def records(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "history.jsonl").read_text().splitlines()]


def timeless(value: Any) -> Any:
    """Leave out what a clock says."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if "seconds" not in key and key != "cost"}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def kill_at(work: str, run_dir: Path, fit: str, update: int) -> None:
    """Run a piece of work in a process of its own and kill it when it has come to an update of a fit."""
    child = subprocess.Popen([sys.executable, __file__, work, str(run_dir), fit, str(update)], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + HANG / 2
        while not (run_dir / "reached").exists():
            if child.poll() is not None:
                assert child.stderr is not None
                pytest.fail(f"the run ended before update {update} of {fit}: {child.stderr.read().decode()[-2000:]}")
            assert time.monotonic() < deadline, "the run did not get there"
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        assert child.wait(30) == -signal.SIGKILL
    finally:
        child.kill()
        child.communicate()
    (run_dir / "reached").unlink()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[dict[str, Tensor], Path]]:
    """Give the weights and the run folder of an uninterrupted run, made once."""
    made: dict[str, tuple[dict[str, Tensor], Path]] = {}

    def make(work: str) -> tuple[dict[str, Tensor], Path]:
        if work not in made:
            run_dir = tmp_path_factory.mktemp(work) / "whole"
            made[work] = WORK[work](run_dir), run_dir
        return made[work]

    return make


@pytest.mark.parametrize(
    "work, fit, update, finished",
    [
        ("pretrain", "pretrain/1", 9, []),  # 5 is saved; 6 and 9 are recorded and will be made again
        ("pretrain", "pretrain/2", 24, ["pretrain/1"]),
        ("finetune", "finetune/head", 3, []),  # nothing is saved yet but what it started from
        ("finetune", "finetune", 33, ["finetune/head"]),
        ("compare", "seed-0/labels-60/tune/random/lr-0.2/fold-0", 4, ["seed-0/pretrain/1"]),
        ("compare", "seed-1/labels-60/random", 8, ["seed-1/pretrain/1", "seed-0/labels-60/random"]),
    ],
)
def test_killed_and_resumed_is_the_same_as_never_stopped(
    work: str, fit: str, update: int, finished: list[str], whole: Any, tmp_path: Path
) -> None:
    expected, reference = whole(work)
    run_dir = tmp_path / "run"
    kill_at(work, run_dir, fit, update)
    assert records(run_dir)[-1]["fit"] == fit and records(run_dir)[-1]["update"] == update
    kept = {name: run_dir / "checkpoints" / f"{name}.safetensors" for name in finished}
    times = {name: path.stat().st_mtime_ns for name, path in kept.items()}
    heard: list[Any] = []

    found = WORK[work](run_dir, [heard.append], resume=True)

    assert found.keys() == expected.keys()
    assert [name for name, value in found.items() if not torch.equal(value, expected[name])] == []
    assert {name: path.stat().st_mtime_ns for name, path in kept.items()} == times
    assert not {progress.fit for progress in heard} & set(finished)
    assert any(progress.fit == fit for progress in heard)
    lines, lines_expected = records(run_dir), records(reference)
    places = [(line["fit"], line["update"]) for line in lines]
    assert len(set(places)) == len(places)
    order = {place: number for number, place in enumerate((line["fit"], line["update"]) for line in lines_expected)}
    assert timeless(sorted(lines, key=lambda line: order[line["fit"], line["update"]])) == timeless(lines_expected)
    if work == "compare":
        results = [json.loads((folder / "results.json").read_text()) for folder in (run_dir, reference)]
        assert timeless(results[0]) == timeless(results[1])


@pytest.mark.parametrize("work", ["pretrain", "finetune"])
def test_a_finished_run_is_not_repeated(work: str, whole: Any) -> None:
    expected, run_dir = whole(work)
    before = (run_dir / "history.jsonl").read_text()
    times = {path: path.stat().st_mtime_ns for path in (run_dir / "checkpoints").rglob("*.safetensors")}
    heard: list[Any] = []
    found = WORK[work](run_dir, [heard.append], resume=True)
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert heard == [] and (run_dir / "history.jsonl").read_text() == before
    assert {path: path.stat().st_mtime_ns for path in (run_dir / "checkpoints").rglob("*.safetensors")} == times


SETTINGS: dict[str, dict[str, Any]] = {
    **{name: {"objective": name} for name in BY_NAME},
    "rbm, persistent chains": {"objective": lw.RBM(estimator="pcd", chains=10)},
    "noise on the network's rows": {"objective": "denoising", "corrupt": "input"},
    "denoising, then supervised": {"objective": ["denoising", "supervised"]},
    "with penalties": {"objective": lw.Autoencoder(tied=False, penalties=[lw.Contraction(0.1), lw.KLSparsity()])},
    "ranking by rank": {"objective": lw.RankingLayer(3, weighting="wsabie")},
}  # fmt: skip


def sigmoids(seed: int) -> nn.Sequential:
    """Layers that every objective takes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(20, 12), nn.Sigmoid(), nn.Linear(12, 8), nn.Sigmoid(), nn.Linear(8, 3))


def everything(
    kind: str, run_dir: Path | None = None, callbacks: Any = (), resume: bool = False
) -> tuple[dict[str, Tensor], list[Any]]:
    """Pre-train by an objective; return the weights, the decoders' too, and the history."""
    trained = sigmoids(8 if resume else 7)
    result = lw.pretrain(
        trained, *data(), epochs=4, batch_size=50, momentum=0.5, learning_rate=0.05, checkpoint_every=3,
        random_state=0, run_dir=run_dir, resume=resume, callbacks=callbacks, **SETTINGS[kind],
    )  # fmt: skip
    found = dict(trained.state_dict())
    for number, decoder in enumerate(result.stack.decoders):
        found |= {f"decoder {number} {name}": v for name, v in (decoder.state_dict() if decoder else {}).items()}
    return found, [
        (stage.loss, stage.mean_predictor_loss, [timeless(record) for record in stage.records])
        for stage in result.history
    ]


@pytest.mark.parametrize("fit", ["pretrain/1", "pretrain/2"])
@pytest.mark.parametrize("kind", SETTINGS)
def test_every_objective_goes_on_exactly_where_it_was_stopped(kind: str, fit: str, tmp_path: Path) -> None:
    expected, history = everything(kind)

    def stop(progress: Any) -> None:
        if progress.fit == fit and progress.update == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        everything(kind, tmp_path, [stop])
    heard: list[Any] = []
    found, again = everything(kind, tmp_path, [heard.append], resume=True)
    assert {progress.fit for progress in heard} == {fit, "pretrain/2"}
    first = min(progress.update for progress in heard if progress.fit == fit and progress.record)
    assert first == 10, "from the checkpoint of update 9, not from the start"
    assert found.keys() == expected.keys()
    assert [name for name, value in found.items() if not torch.equal(value, expected[name])] == []
    assert again == history


def main(work: str, run_dir: str, fit: str, update: str) -> None:
    def stand_still(progress: Any) -> None:
        if progress.record is not None and (progress.fit, progress.update) == (fit, int(update)):
            (Path(run_dir) / "reached").touch()
            time.sleep(HANG)

    WORK[work](Path(run_dir), [stand_still])


if __name__ == "__main__":
    main(*sys.argv[1:])
