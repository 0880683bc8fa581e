"""``layerwise recipes``: every shipped plan with what it is for, and each as a file that works."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerwise.cli.app import run
from layerwise.recipe import read_recipe, shipped


def test_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(shipped())
    assert all(len(line.split()) > 3 and len(line) <= 120 for line in lines)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_what_is_printed_is_the_recipe(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", name]) == 0
    (tmp_path / "mine.toml").write_text(capsys.readouterr().out)
    assert read_recipe(tmp_path / "mine.toml") == read_recipe(name)


def test_a_misspelt_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "theano-sdaa"]) == 2
    assert "did you mean 'theano-sda'?" in capsys.readouterr().err
