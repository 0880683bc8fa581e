"""Errors say what and what cures it, and are what Python expects of their kind."""

from __future__ import annotations

import pickle

import pytest

from layerwise import errors
from layerwise.errors import LayerwiseError, nearest

KINDS = {
    errors.DataError: ValueError,
    errors.PlanError: ValueError,
    errors.NetworkError: ValueError,
    errors.RunError: RuntimeError,
    errors.DivergenceError: ArithmeticError,
}


def test_every_kind_is_listed():
    assert set(LayerwiseError.__subclasses__()) == set(KINDS)


@pytest.mark.parametrize(("kind", "builtin"), KINDS.items())
def test_message_and_hint(kind, builtin):
    error = kind("3 rows, expected 4", "add one")
    assert isinstance(error, LayerwiseError)
    assert isinstance(error, builtin)
    assert (error.message, error.hint) == ("3 rows, expected 4", "add one")
    assert str(error) == "3 rows, expected 4\nhint: add one"
    assert str(kind("alone")) == "alone"


@pytest.mark.parametrize("kind", KINDS)
def test_survives_another_process(kind):
    error = pickle.loads(pickle.dumps(kind("what", "cure")))
    assert type(error) is kind
    assert (error.message, error.hint) == ("what", "cure")


@pytest.mark.parametrize(
    ("name", "expected"), [("learnig_rate", "learning_rate"), ("epochs", "epochs"), ("zzz", None), ("", None)]
)
def test_nearest(name, expected):
    assert nearest(name, iter(["epochs", "learning_rate", "momentum"])) == expected
