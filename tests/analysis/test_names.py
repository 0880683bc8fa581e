"""The names of `layerwise.analysis`: none of them is hidden by a file of the same name."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import layerwise.analysis as analysis


def test_no_public_name_is_a_module() -> None:
    for found in pkgutil.iter_modules(analysis.__path__):
        importlib.import_module(f"layerwise.analysis.{found.name}")
    assert [name for name in analysis.__all__ if isinstance(getattr(analysis, name), ModuleType)] == []
