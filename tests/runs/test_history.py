"""The history: whole lines, in memory and on disk, also after a kill."""

from __future__ import annotations

import json
import math
import os

import pytest

from layerwise.errors import RunError
from layerwise.runs.history import History


def on_disk(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_on_disk_at_once(tmp_path):
    path = tmp_path / "run" / "history.jsonl"
    history = History(path)
    assert path.exists(), "an empty history marks a run that has begun"
    history.append("a", {"update": 0, "training_loss": 2.5})
    assert on_disk(path) == [{"fit": "a", "update": 0, "training_loss": 2.5}]
    history.append("b", {"update": 0, "training_loss": math.nan})
    assert on_disk(path)[1]["training_loss"] is None
    assert history.of("b") == on_disk(path)[1:]


def test_continues_what_is_there(tmp_path):
    path = tmp_path / "history.jsonl"
    History(path).append("a", {"update": 0})
    again = History(path)
    again.append("a", {"update": 5})
    assert [line["update"] for line in again.of("a")] == [0, 5]
    assert on_disk(path) == again.lines


@pytest.mark.parametrize("kept", [1, 15, 29])
def test_a_last_line_cut_short_is_dropped(tmp_path, kept):
    """29 of 30 characters: the whole record without its newline was cut short too."""
    path = tmp_path / "history.jsonl"
    whole = json.dumps({"fit": "a", "update": 0}) + "\n"
    last = json.dumps({"fit": "a", "update": 10000000}) + "\n"
    path.write_text(whole + last[:kept])
    history = History(path)
    assert history.lines == [{"fit": "a", "update": 0}]
    history.append("a", {"update": 1})
    assert on_disk(path) == [{"fit": "a", "update": 0}, {"fit": "a", "update": 1}]


@pytest.mark.parametrize("junk", [b"rubbish", b"[1, 2]", b'"text"', b"3", b'{"fit": "a"}', b"", b"\xff\xfe\x00"])
def test_a_junk_line_is_an_error_with_its_number(tmp_path, junk):
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"fit": "a", "update": 0}\n' + junk + b'\n{"fit": "a", "update": 1}\n')
    before = path.read_bytes()
    with pytest.raises(RunError, match=r"history.jsonl line 2 is not a history record"):
        History(path)
    assert path.read_bytes() == before


def test_rewind_forgets_one_fit_after_an_update(tmp_path):
    path = tmp_path / "history.jsonl"
    history = History(path)
    for update in (0, 5, 10):
        history.append("a", {"update": update})
        history.append("b", {"update": update})
    history.rewind("a", 5)
    left = [("a", 0), ("b", 0), ("a", 5), ("b", 5), ("b", 10)]
    assert [(line["fit"], line["update"]) for line in history.lines] == left
    assert on_disk(path) == history.lines
    history.append("a", {"update": 10})
    assert on_disk(path) == history.lines
    history.rewind("a", -1)
    assert history.of("a") == []
    assert len(on_disk(path)) == 3


def test_a_place_that_cannot_be_written_is_a_run_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        History(tmp_path / "file" / "run" / "history.jsonl")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_is_a_run_error(tmp_path):
    path = tmp_path / "history.jsonl"
    history = History(path)
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(RunError, match="could not be written: No space left"):
        history.append("a", {"update": 0})
