"""The run folder: begun once, continued only when asked, and never mixed with other work."""

from __future__ import annotations

import json

import pytest
import torch

from layerwise.errors import RunError
from layerwise.plan import Plan
from layerwise.runs.folder import RunFolder, environment, identity_of, seed_of


@pytest.mark.parametrize("exists", [True, False])
def test_begins_in_a_new_or_an_empty_folder(tmp_path, exists):
    path = tmp_path / "a" / "run"
    if exists:
        path.mkdir(parents=True)
    folder = RunFolder.open(path, False, "me")
    assert folder.path == path
    assert (path / "history.jsonl").exists()


def test_refuses_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty") as caught:
        RunFolder.open(tmp_path, False, "me")
    assert "resume" not in caught.value.hint, "there is nothing to resume"
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_continues_only_when_asked(tmp_path):
    RunFolder.open(tmp_path / "run", False, "me").history.append("a", {"update": 0})
    with pytest.raises(RunError, match="is not empty") as caught:
        RunFolder.open(tmp_path / "run", False, "me")
    assert "resume" in caught.value.hint
    assert RunFolder.open(tmp_path / "run", True, "me").history.of("a") == [{"fit": "a", "update": 0}]


@pytest.mark.parametrize("exists", [True, False])
def test_a_missing_run_never_silently_starts_afresh(tmp_path, exists):
    path = tmp_path / "run"
    if exists:
        path.mkdir()
    with pytest.raises(RunError, match=r"there is no run to resume in .*run"):
        RunFolder.open(path, True, "me")
    assert path.exists() == exists


@pytest.mark.parametrize("resume", [True, False])
def test_a_file_is_no_folder(tmp_path, resume):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="is a file, expected a folder"):
        RunFolder.open(tmp_path / "run", resume, "me")


def test_a_folder_below_a_file_is_a_run_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        RunFolder.open(tmp_path / "file" / "run", False, "me")


def test_checkpoints_and_outcomes_carry_the_identity(tmp_path):
    mine = RunFolder.open(tmp_path / "run", False, "me")
    assert mine.finished("seed-0/a") is None
    mine.finish("seed-0/a", {"error": 1.5, "worst": float("nan")})
    mine.checkpoint("seed-0/lr-0.1/fold-0").save({}, {"update": 1})
    assert (tmp_path / "run" / "checkpoints" / "seed-0" / "lr-0.1" / "fold-0.safetensors").exists()
    again = RunFolder.open(tmp_path / "run", True, "me")
    assert again.finished("seed-0/a") == {"error": 1.5, "worst": None}
    assert again.checkpoint("seed-0/lr-0.1/fold-0").load().values == {"update": 1}
    other = RunFolder(tmp_path / "run", "you")
    with pytest.raises(RunError, match=r"a\.json belongs to work with other settings"):
        other.finished("seed-0/a")
    with pytest.raises(RunError, match=r"fold-0\.safetensors belongs to work with other settings"):
        other.checkpoint("seed-0/lr-0.1/fold-0").load()


def test_resuming_with_other_settings_is_refused_at_once(tmp_path):
    RunFolder.open(tmp_path / "run", False, "me").history.append("a", {"update": 0})

    def contents():
        return {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}

    before = contents()
    with pytest.raises(RunError, match="belongs to work with other settings, data or seed"):
        RunFolder.open(tmp_path / "run", True, "you")
    assert contents() == before
    RunFolder.open(tmp_path / "run", True, "me")


@pytest.mark.parametrize("junk", ["", "{", "[]", "3", "{}", '{"identity": "me"}'])
def test_a_damaged_outcome_is_an_error(tmp_path, junk):
    folder = RunFolder.open(tmp_path / "run", False, "me")
    folder.finish("a", {"x": 1})
    (tmp_path / "run" / "checkpoints" / "a.json").write_text(junk)
    with pytest.raises(RunError, match=r"a.json cannot be read") as caught:
        folder.finished("a")
    assert "delete this file" in caught.value.hint


def test_the_environment_is_that_of_the_start(tmp_path):
    folder = RunFolder.open(tmp_path / "run", False, "me")
    folder.write_environment("onednn", "a processor")
    folder.write_environment("default", "another")
    written = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert (written["matmul_route"], written["cpu"]) == ("onednn", "a processor")
    assert written.keys() == environment("", "").keys()
    assert written["torch"] == torch.__version__


def test_identity_follows_settings_seed_and_data():
    plan, rows = Plan(), torch.arange(12.0).reshape(6, 2)
    mine = identity_of(plan, 0, rows, None)
    assert mine == identity_of(Plan(), 0, rows.clone(), None)
    changed = rows.clone()
    changed[3, 1] = 0
    others = [
        identity_of(Plan(name="x"), 0, rows),
        identity_of(plan, 1, rows),
        identity_of(plan, 0, changed),
        identity_of(plan, 0, rows.reshape(4, 3)),
        identity_of(plan, 0, rows.double()),
        identity_of(plan, 0, rows, rows),
        identity_of(plan, 0),
    ]
    assert len({mine, *others}) == 8


def test_one_changed_row_among_many_is_other_data():
    rows = torch.zeros(50_000, 2)
    changed = rows.clone()
    changed[31_337, 1] = 1
    assert identity_of(Plan(), 0, rows) != identity_of(Plan(), 0, changed)


def test_a_resumed_run_without_a_random_state_goes_on_with_its_own(tmp_path):
    RunFolder.open(tmp_path / "run", False, "me", seed=1234)
    assert seed_of(None, tmp_path / "run", True) == 1234
    assert seed_of(7, tmp_path / "run", True) == 7
    assert seed_of(None, tmp_path / "other", False) != seed_of(None, tmp_path / "other", False)
