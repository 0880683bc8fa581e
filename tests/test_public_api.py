"""The names that stay: what the package exports, how each is called, and that each shows an example."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import pytest

import layerwise as lw

NAMES = {
    "AnomalyDetector", "Autoencoder", "Comparison", "Contraction", "ContractiveAutoencoder", "Convolution",
    "DenoisingAutoencoder",
    "KLSparsity", "L1Sparsity", "LISTA", "PredictiveSparseDecomposition", "RBM", "RankingLayer", "RankingLoss",
    "SparseAutoencoder", "SupervisedLayer", "EarlyStopping", "Exponential", "FinetuneResult",
    "GaussianNoise", "Inverse", "InverseTime", "LayerwiseClassifier", "LayerwiseEncoder", "LayerwiseError",
    "LayerwiseRegressor", "Linear", "Masking", "OnValidation", "Preparation", "PretrainResult", "SaltAndPepper",
    "Stack", "Staged", "Step", "SwapNoise", "__version__", "check_gradients",
    "compare", "draw_graph", "finetune", "load_mnist", "open_source", "pretrain", "Samples", "interpolate", "sample",
    "project", "score", "Search", "search",
}  # fmt: skip
WITHOUT_EXAMPLE = {"Comparison", "FinetuneResult", "PretrainResult", "Search"}  # made by functions that show one
# Positional arguments, then those by name, in order. What a later issue adds goes between them.
CONTRACT: dict[str, tuple[list[str], list[str]]] = {
    "pretrain": (
        ["network", "inputs", "targets"],
        ["objective", "layers", "activation", "corrupt", "epochs", "batch_size",
         "learning_rate", "optimizer", "momentum", "schedule", "l1", "l2", "max_norm", "clip_norm",
         "initializer", "validation", "early_stopping", "device", "random_state",
         "run_dir", "resume", "callbacks", "verbose"],
    ),
    "finetune": (
        ["network", "inputs", "targets"],
        ["epochs", "batch_size", "learning_rate", "optimizer", "momentum", "schedule", "l1", "l2", "max_norm",
         "clip_norm", "head_first", "freeze", "validation", "early_stopping", "device", "random_state", "run_dir",
         "resume", "callbacks", "verbose"],
    ),
    "compare": (
        ["inputs", "targets"],
        ["pretrain_inputs", "network", "objective", "budgets", "headline", "test", "seeds", "min_gain",
         "tune", "baselines", "random_state", "run_dir", "resume", "verbose"],
    ),
    "sample": (
        ["stack", "n"],
        ["depth", "start", "chains", "burn_in", "thinning", "step", "output", "random_state"],
    ),
    "interpolate": (["stack", "a", "b", "steps", "depth"], []),
    "draw_graph": (
        ["network", "batch"],
        ["targets", "loss", "parameters", "values", "opened", "random_state", "title", "path"],
    ),
    "check_gradients": (["network", "batch"], ["targets", "loss", "elements", "random_state"]),
    "search": (
        ["inputs", "targets"],
        ["domains", "trials", "method", "keep", "budget", "pretrain_inputs", "network", "objective", "test", "scale",
         "settings", "device", "random_state", "run_dir", "resume", "callbacks", "verbose"],
    ),
    "open_source": (["x"], []),
    "load_mnist": ([], []),
    "Masking": (["rate"], []),
    "GaussianNoise": (["std"], []),
    "SaltAndPepper": (["rate"], []),
    "SwapNoise": (["rate"], []),
    "Autoencoder": ([], ["loss", "decoder", "tied", "tied_gradient", "penalties"]),
    "DenoisingAutoencoder": (["corruption"], ["loss", "decoder", "tied", "tied_gradient", "penalties", "emphasis",
                                                "walkback"]),
    "RBM": (["visible"], ["estimator", "k"]),
}  # fmt: skip
DEFAULTS: dict[str, dict[str, Any]] = {
    "pretrain": {
        "targets": None, "objective": lw.DenoisingAutoencoder(), "layers": "auto", "activation": "auto",
        "corrupt": "layer", "epochs": 15, "batch_size": 100,
        "learning_rate": "auto", "optimizer": "sgd", "momentum": 0.0, "schedule": None, "l1": 0.0, "l2": 0.0,
        "max_norm": None, "clip_norm": None, "initializer": None, "validation": None, "early_stopping": None,
        "device": "auto", "random_state": None, "run_dir": None, "resume": False, "callbacks": (), "verbose": 0,
    },
    "compare": {
        "pretrain_inputs": None, "network": (1000, 1000), "budgets": "auto", "headline": None, "test": 0.2,
        "seeds": 5, "min_gain": 0.5,
        "tune": True, "baselines": "auto", "random_state": 0, "run_dir": None, "resume": False, "verbose": 0,
    },
    "finetune": {"freeze": (), "head_first": 0},
    "sample": {"depth": None, "start": None, "thinning": 1, "step": None, "output": "mean", "random_state": None},
    "draw_graph": {
        "batch": None, "targets": None, "loss": "auto", "parameters": None, "values": False, "opened": (),
        "random_state": 0, "path": None,
    },
    "check_gradients": {"targets": None, "loss": "auto", "elements": 20, "random_state": 0},
    "Masking": {"rate": 0.25},
    "GaussianNoise": {"std": 0.1},
    "SaltAndPepper": {"rate": 0.1},
    "SwapNoise": {"rate": 0.15},
    "Autoencoder": {"loss": "auto", "decoder": "auto", "tied": True, "tied_gradient": "full"},
    "DenoisingAutoencoder": {"corruption": lw.Masking(0.25), "loss": "auto", "decoder": "auto", "tied": True},
}  # fmt: skip


ROOMS = ["analysis"]  # reached as lw.analysis
IN_ROOMS = [(room, name) for room in ROOMS for name in sorted(getattr(lw, room).__all__)]


def parameters(name: str) -> dict[str, inspect.Parameter]:
    found = inspect.signature(getattr(lw, name)).parameters
    return {key: value for key, value in found.items() if key != "self"}


def test_exactly_these_names_are_exported() -> None:
    assert set(lw.__all__) == NAMES
    assert len(lw.__all__) == len(NAMES)
    assert all(hasattr(lw, name) for name in NAMES)


def test_the_version_is_that_of_the_installed_package() -> None:
    assert lw.__version__ == version("layerwise")


@pytest.mark.parametrize("name", sorted(NAMES - {"__version__"}))
def test_each_has_a_docstring_of_its_own_with_an_example(name: str) -> None:
    value = getattr(lw, name)
    text = value.__doc__ or ""
    assert len(text.splitlines()[0]) > 10 and not text.startswith(f"{name}("), "a dataclass's own docstring"
    if name not in WITHOUT_EXAMPLE:
        _, section, example = (inspect.getdoc(value) or "").partition("Examples\n--------\n")
        assert section and ">>>" in example


@pytest.mark.parametrize(("room", "name"), IN_ROOMS, ids=[f"{room}.{name}" for room, name in IN_ROOMS])
def test_what_a_room_exports_is_there_with_a_docstring_of_its_own(room: str, name: str) -> None:
    value = getattr(getattr(lw, room), name)
    assert len((value.__doc__ or "").splitlines()[0]) > 10 and not value.__doc__.startswith(f"{name}(")


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_arguments_and_their_order(name: str) -> None:
    positional, by_name = CONTRACT[name]
    found = parameters(name)
    kinds = inspect.Parameter
    first = [key for key, value in found.items() if value.kind is kinds.POSITIONAL_OR_KEYWORD]
    rest = [key for key, value in found.items() if value.kind is kinds.KEYWORD_ONLY]
    assert first[: len(positional)] == positional
    assert first[len(positional) :] in ([], ["kind"])  # the objectives' and corruptions' tag in a recipe
    assert [key for key in rest if key in by_name] == by_name


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_defaults(name: str) -> None:
    found = parameters(name)
    assert {key: found[key].default for key in DEFAULTS[name]} == DEFAULTS[name]


def test_corruptions_take_their_number_by_position() -> None:
    assert lw.Masking(0.4) == lw.Masking(rate=0.4) != lw.Masking()
    assert lw.GaussianNoise(0.4).std == 0.4 and lw.SaltAndPepper(0.4).rate == 0.4
    assert lw.DenoisingAutoencoder(lw.Masking(0.4)).corruption == lw.Masking(0.4)


@pytest.mark.parametrize("name", ["encode", "decode", "reconstruct", "save", "load", "depth"])
def test_the_stack_has_its_methods(name: str) -> None:
    assert inspect.getdoc(getattr(lw.Stack, name))


def test_results_have_the_attributes_of_the_contract() -> None:
    fields = {kind: set(kind.__dataclass_fields__) for kind in (lw.PretrainResult, lw.FinetuneResult, lw.Comparison)}
    assert fields[lw.PretrainResult] >= {"history", "stack", "parameters"}
    assert fields[lw.FinetuneResult] >= {"history"}
    assert fields[lw.Comparison] >= {"verdict", "results", "run_dir"}


def test_every_error_of_the_package_is_a_layerwise_error() -> None:
    from layerwise import errors

    kinds = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert len(kinds) >= 6 and all(issubclass(kind, lw.LayerwiseError) for kind in kinds)
