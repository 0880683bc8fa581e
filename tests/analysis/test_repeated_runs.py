"""The experiment at a tiny size, end to end: how arms start, what is kept, and that a stop changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import rows, small_plan

import layerwise as lw
from layerwise.analysis import ManyRuns, Run, many_runs, read_runs
from layerwise.errors import DataError, PlanError, RunError
from layerwise.nn.networks import build_network
from layerwise.randomness import Randomness
from layerwise.training.loop import Progress


def made(folder: Path, seeds: Any = 2, plan: ManyRuns | None = None, **more: Any) -> list[Run]:
    inputs, targets, test = rows()
    return many_runs(inputs, targets, test, plan or small_plan(), run_dir=folder, seeds=seeds, **more)


def same(first: list[Run], second: list[Run]) -> bool:
    names = ("updates", "epochs", "training_loss", "test_loss", "test_error", "outputs")
    alike = [
        np.array_equal(getattr(a, name), getattr(b, name)) for a, b in zip(first, second, strict=True) for name in names
    ]
    return all(alike) and [(a.arm, a.seed) for a in first] == [(b.arm, b.seed) for b in second]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "whole"
    made(place)
    return place


def test_every_arm_of_every_seed_has_a_small_file(folder: Path) -> None:
    found = read_runs(folder)
    assert [(run.seed, run.arm) for run in found] == [
        (0, "pretrained"), (0, "random"), (1, "pretrained"), (1, "random")
    ]  # fmt: skip
    for run in found:
        assert run.updates.tolist() == [0, 1, 2, 4, 9]
        assert run.outputs.shape == (5, 10, 2) and np.allclose(run.outputs.sum(2), 1)
        assert run.training_loss.shape == run.test_loss.shape == run.test_error.shape == run.epochs.shape == (5,)


def outputs_of(network: torch.nn.Module) -> np.ndarray:
    _, _, (test, _) = rows()
    network.eval()
    with torch.no_grad():
        return network(test[:10]).softmax(1).numpy()


def test_the_random_arm_starts_from_the_weights_the_other_had_before_pretraining(folder: Path) -> None:
    initial = build_network(12, (6, 5), 2, randomness=Randomness(0).child("seed", 1))
    trained, random = (run for run in read_runs(folder) if run.seed == 1)
    assert np.allclose(random.outputs[0], outputs_of(initial), atol=1e-6)
    assert not np.allclose(trained.outputs[0], outputs_of(initial), atol=1e-3)


def test_an_arm_of_no_pretrained_layer_is_the_random_arm(tmp_path: Path, folder: Path) -> None:
    arms = {"pretrained": {"layers": (1, 2)}, "random": {"layers": ()}, "first": {"layers": (1,)}}
    found = {run.arm: run for run in made(tmp_path / "runs", [0], small_plan(arms=arms))}
    trained, random = (run for run in read_runs(folder) if run.seed == 0)
    # the arms beside them change nothing, and both layers by number are the same as "all"
    assert same([found["pretrained"], found["random"]], [trained, random])
    assert not np.array_equal(found["first"].outputs[0], trained.outputs[0])
    assert not np.array_equal(found["first"].outputs[0], random.outputs[0])


def test_both_arms_see_the_same_batches(tmp_path: Path) -> None:
    arms = {"one": {"layers": ()}, "two": {"layers": ()}}
    one, two = made(tmp_path / "runs", [3], small_plan(arms=arms))
    assert np.array_equal(one.outputs, two.outputs)


def test_an_arms_own_learning_rate_is_used(tmp_path: Path) -> None:
    arms = {"slow": {"layers": (), "learning_rate": 1e-6}, "fast": {"layers": ()}}
    slow, fast = made(tmp_path / "runs", [3], small_plan(arms=arms))
    assert np.allclose(slow.outputs[0], slow.outputs[-1], atol=1e-4)
    assert not np.allclose(fast.outputs[0], fast.outputs[-1], atol=1e-2)


def test_losses_and_errors_are_those_of_the_rows(folder: Path) -> None:
    _, _, (test, codes) = rows()
    initial = build_network(12, (6, 5), 2, randomness=Randomness(0).child("seed", 0))
    with torch.no_grad():
        outputs = initial(test)
    run = next(run for run in read_runs(folder) if run.arm == "random")
    assert run.test_loss[0] == pytest.approx(float(torch.nn.functional.cross_entropy(outputs, codes)))
    assert run.test_error[0] == pytest.approx(100 * float((outputs.argmax(1) != codes).double().mean()))


class Stopped(Exception):
    """What a user's stop is in these tests."""


@pytest.mark.parametrize("at", ["seed-000/pretrain/2", "seed-000/random", "seed-001/pretrain/1", "seed-001/pretrained"])
def test_a_stop_anywhere_changes_nothing(at: str, tmp_path: Path, folder: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.fit == at and progress.update > 1:
            raise Stopped

    with pytest.raises(Stopped):
        made(tmp_path / "runs", callbacks=[stop])
    done = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").rglob("*.npz")}
    assert len(done) == {"seed-000/pretrain/2": 0, "seed-000/random": 1}.get(at, 2)
    fits: list[str] = []
    found = made(tmp_path / "runs", resume=True, callbacks=[lambda progress: fits.append(progress.fit)])
    assert same(found, read_runs(folder))
    assert {file: file.stat().st_mtime_ns for file in done} == done  # finished runs are not repeated
    assert all(f"{file.parent.name}/{file.stem}" not in fits for file in done)


def test_seeds_can_be_shared_out_over_processes(tmp_path: Path, folder: Path) -> None:
    made(tmp_path / "runs", [1])
    made(tmp_path / "runs", [0], resume=True)
    assert same(read_runs(tmp_path / "runs"), read_runs(folder))


def test_a_finished_folder_is_only_read(folder: Path) -> None:
    def never(progress: Progress) -> None:
        raise AssertionError(progress.fit)

    assert same(made(folder, resume=True, callbacks=[never]), read_runs(folder))


def test_other_settings_or_rows_are_refused(folder: Path) -> None:
    with pytest.raises(RunError, match="is not empty"):
        made(folder)
    with pytest.raises(RunError, match="other settings, data or seed"):
        made(folder, plan=small_plan(watched=3), resume=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": {"a/b": {}}}, "an arm is named 'a/b', which cannot be a file's name"),
        ({"arms": {"third": {"layers": (3,)}}}, "no layer 3, the network has layers 1 to 2"),
        ({"finetune": {"head_first": 1}}, "head_first and early_stopping are not for them"),
        ({"finetune": {"early_stopping": {}}}, "head_first and early_stopping are not for them"),
    ],
)
def test_faults_are_found_before_any_file_is_written(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(lw.LayerwiseError, match=said):
        made(tmp_path / "runs", plan=small_plan(**changes))
    assert not (tmp_path / "runs").exists()


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    inputs, targets, test = rows()
    ask = dict(plan=small_plan(), run_dir=tmp_path / "runs")
    with pytest.raises(DataError, match="1 rows have no label"):
        many_runs(inputs, [-1, *targets[1:].tolist()], test, **ask)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="expected one width"):
        many_runs(inputs, targets, test, pretrain_inputs=inputs[:, :5], **ask)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match=r"test is float, expected \(inputs, targets\)"):
        many_runs(inputs, targets, 0.2, **ask)  # type: ignore[arg-type]


def test_a_damaged_file_is_named_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / "seed-000").mkdir()
    (tmp_path / "seed-000" / "random.npz").write_bytes(b"no zip")
    with pytest.raises(RunError, match=r"random\.npz cannot be read"):
        read_runs(tmp_path)
    with pytest.raises(RunError, match="no finished runs"):
        read_runs(tmp_path / "seed-000")


def test_the_history_tells_of_the_pretraining(folder: Path) -> None:
    fits = {json.loads(line)["fit"] for line in (folder / "seed-000" / "history.jsonl").read_text().splitlines()}
    assert fits == {"seed-000/pretrain/1", "seed-000/pretrain/2"}
