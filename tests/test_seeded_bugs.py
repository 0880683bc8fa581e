"""The tests find bugs: each one of ``seeded_bugs.toml``, put into a copy of the package, fails the test it names."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

import layerwise

TESTS = Path(__file__).parent
SOURCE = Path(layerwise.__file__).parent
BUGS: list[dict[str, str]] = tomllib.loads((TESTS / "seeded_bugs.toml").read_text(encoding="utf-8"))["bug"]
SECONDS = 600
PASSED, FAILED = 0, 1  # pytest's exit status; 2 and above are no verdict of the tests

# The package's place is printed by the very process that runs the tests: an editable install must not step in.
RUN = "import sys, pytest, layerwise; print(layerwise.__file__, flush=True); sys.exit(pytest.main(sys.argv[1:]))"

each_bug = pytest.mark.parametrize("bug", BUGS, ids=[bug["name"].replace(" ", "-") for bug in BUGS])


def run(copy: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # without bytecode: a file changed twice within its clock's resolution would be taken for the old one
    environment = {**os.environ, "PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    options = ["-x", "-q", "-p", "no:cacheprovider", "--tb=short"]
    return subprocess.run(
        [sys.executable, "-c", RUN, *options, *tests],
        cwd=TESTS.parent, env=environment, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip


def imported(done: subprocess.CompletedProcess[str]) -> Path:
    return Path(done.stdout.splitlines()[0]) if done.stdout else Path()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("seeded") / "layerwise"
    shutil.copytree(SOURCE, place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def test_each_bug_is_listed_once() -> None:
    assert len({bug["name"] for bug in BUGS}) == len(BUGS)
    assert len({(bug["file"], bug["find"], bug["replace"]) for bug in BUGS}) == len(BUGS)
    assert all(set(bug) == {"name", "file", "find", "replace", "test"} for bug in BUGS)


@each_bug
def test_the_place_of_the_bug_is_there_once(bug: dict[str, str]) -> None:
    text = (SOURCE / bug["file"]).read_text(encoding="utf-8")
    assert text.count(bug["find"]) == 1
    ast.parse(text.replace(bug["find"], bug["replace"]))
    assert bug["find"] != bug["replace"]


@each_bug
def test_the_test_of_the_bug_is_there(bug: dict[str, str]) -> None:
    file, _, name = bug["test"].partition("::")
    names = {node.name for node in ast.walk(ast.parse((TESTS.parent / file).read_text(encoding="utf-8")))
             if isinstance(node, ast.FunctionDef)}  # fmt: skip
    assert name.split("::")[-1].partition("[")[0] in names


@pytest.mark.long
def test_without_a_bug_the_same_tests_pass(copy: Path) -> None:
    done = run(copy, sorted({bug["test"] for bug in BUGS}))
    assert imported(done) == copy / "__init__.py", done.stderr
    assert done.returncode == PASSED, done.stdout


@pytest.mark.long
@each_bug
def test_the_bug_is_found(bug: dict[str, str], copy: Path) -> None:
    file = copy / bug["file"]
    sound = file.read_text(encoding="utf-8")
    assert sound.count(bug["find"]) == 1
    file.write_text(sound.replace(bug["find"], bug["replace"]), encoding="utf-8")
    try:
        done = run(copy, [bug["test"]])
    finally:
        file.write_text(sound, encoding="utf-8")
    assert imported(done) == copy / "__init__.py", done.stderr
    assert done.returncode == FAILED, done.stdout
