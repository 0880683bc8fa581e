"""The rooms of the house: who may import whom, how long a file may be, and what importing the package must not do."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import layerwise

SOURCE = Path(layerwise.__file__).parent
# Top to bottom, as in the design: a module imports only from its own folder or from rooms above it.
ROOMS = [
    "errors", "randomness", "write", "intervals", "data", "preparation", "nn", "objectives", "settings", "plan",
    "recipe", "runs", "report",
    "training", "stack", "checks", "origins", "pretraining", "finetuning", "sampling", "density", "analysis",
    "comparison", "searching", "estimators", "models", "cli", "__init__",
]  # fmt: skip
MOST_LINES, MOST_FUNCTION_LINES = 320, 60
MODULES = sorted(SOURCE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "manager"}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    parts = ("layerwise", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute dotted name) of every import in a module, wherever it stands; relative ones resolved."""
    package = dotted(path).split(".") if path.name == "__init__.py" else dotted(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            if module == "layerwise":
                # the version is no room: it is the one name that the package itself defines
                names = [alias.name for alias in node.names if alias.name != "__version__"]
                yield from ((node.lineno, f"layerwise.{name}") for name in names)
            else:
                yield node.lineno, module


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(SOURCE)) for path in paths]


every_module = pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))


def test_the_list_of_rooms_is_that_of_the_package() -> None:
    code_folders = {path.name for path in SOURCE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    files = {path.stem for path in SOURCE.glob("*.py")}
    assert code_folders | files == set(ROOMS)


@every_module
def test_imports_come_from_above(path: Path) -> None:
    own = ROOMS.index(room_of(path))
    for line, name in imported(path):
        parts = name.split(".")
        if parts[0] == "layerwise":
            room = parts[1] if len(parts) > 1 else "__init__"
            assert room in ROOMS, f"{path}:{line} imports {name}, which is no room"
            assert ROOMS.index(room) <= own, f"{path}:{line} imports {name} from below"


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(p) == "report"], ids=lambda path: path.name)
def test_the_report_reads_files_and_never_models(path: Path) -> None:
    rooms = {"errors", "write", "runs", "report", "data", "plan", "recipe"}
    for line, name in imported(path):
        assert name.split(".")[0] not in {"torch", "sklearn"}, f"{path}:{line}"
        if name.startswith("layerwise."):
            assert name.split(".")[1] in rooms, f"{path}:{line} imports {name}"


@every_module
def test_plotly_is_imported_by_the_report_and_the_terminal_by_the_command_alone(path: Path) -> None:
    packages = {name.split(".")[0] for _, name in imported(path)}
    assert "plotly" not in packages or room_of(path) == "report"
    assert not {"typer", "rich"} & packages or room_of(path) == "cli"


@every_module
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) - _lines_of_docstrings(ast.parse(text)) <= MOST_LINES, path
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1 - _docstring(node)
            assert lines <= MOST_FUNCTION_LINES, f"{path}:{node.lineno} {node.name} has {lines} lines"


def _docstring(node: ast.AST) -> int:
    body = getattr(node, "body", [])
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        return (body[0].end_lineno or 0) - body[0].lineno + 1
    return 0


def _lines_of_docstrings(tree: ast.Module) -> int:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))


@every_module
def test_names_say_what_is_inside(path: Path) -> None:
    assert not FORBIDDEN_NAMES & {part.removesuffix(".py").strip("_") for part in path.relative_to(SOURCE).parts}


@every_module
def test_every_module_says_why_it_exists(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_import_is_light() -> None:
    # not rich: scikit-learn imports it where it finds it; that no room but the command does is tested above
    code = "import sys, layerwise; print(sorted({'plotly', 'typer', 'layerwise.cli'} & set(sys.modules)))"
    assert run(code) == "[]"


def test_training_waits_for_no_library_of_tables() -> None:
    """scikit-learn brings pandas and pyarrow where they are: 140 MB that a stream from a file should not pay for."""
    used = "layerwise.pretrain, layerwise.finetune, layerwise.open_source"
    code = f"import sys, layerwise; {used}; print(sorted({{'sklearn', 'pandas', 'pyarrow'}} & set(sys.modules)))"
    assert run(code) == "[]"


def test_the_import_changes_nothing_global() -> None:
    code = """
import logging, os, random, signal, warnings
import numpy, torch
def state():
    mkldnn = torch.backends.mkldnn
    return repr((
        torch.get_default_dtype(), torch.get_num_threads(), torch.get_num_interop_threads(), torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(), torch.initial_seed(),
        torch.get_rng_state().sum().item(), torch.backends.cudnn.benchmark, torch.backends.cuda.matmul.allow_tf32,
        mkldnn.enabled, getattr(getattr(mkldnn, 'matmul', None), 'fp32_precision', None),
        sorted(os.environ.items()), warnings.filters, logging.getLogger().handlers, logging.getLogger().level,
        logging.getLogger('layerwise').handlers, logging.getLogger('layerwise').level,
        random.getstate()[1][:4], numpy.random.get_state()[1][:4].tolist(), numpy.geterr(),
        signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM),
    ))
import sklearn, scipy.stats, sklearn.linear_model, sklearn.ensemble, pydantic, h5py
before = state()
import layerwise
after = state()
print(before == after or (before, after))
"""
    assert run(code) == "True"
