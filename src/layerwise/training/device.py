"""Where the arithmetic runs, and by which exact float32 route.

PyTorch multiplies float32 matrices on the CPU by MKL or by oneDNN. On AMD processors with AVX-512, oneDNN is about
twice as fast with the same float32 accuracy; torch routes products there when bfloat16 is *allowed*, which oneDNN uses
only where the processor has AMX tiles. So the route is chosen by what the processor is, and never taken on one with
AMX.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ..errors import PlanError
from ..nn.products import lowered
from ..settings import Precision

Route = Literal["default", "onednn"]


def pick_device(device: str | torch.device) -> torch.device:
    """Return the device to train on; "auto" is the GPU when there is one.

    Raises
    ------
    PlanError
        When the device isn't there.

    Examples
    --------
    >>> pick_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        found = f"cuda:0 to cuda:{torch.cuda.device_count() - 1}" if torch.cuda.is_available() else "only the cpu"
        raise PlanError(f"device {str(device)!r} isn't there, found {found}", 'set device="auto" or "cpu"') from error
    return chosen


def route_for(vendor: str, flags: frozenset[str]) -> Route:
    """Choose the float32 route from a processor's vendor and feature flags.

    Examples
    --------
    >>> route_for("AuthenticAMD", frozenset({"avx512f", "avx512bw"}))
    'onednn'
    >>> route_for("GenuineIntel", frozenset({"avx512f", "amx_tile", "amx_bf16"}))
    'default'
    """
    has_amx = any(flag.startswith("amx") for flag in flags)
    return "onednn" if vendor == "AuthenticAMD" and "avx512f" in flags and not has_amx else "default"


@functools.cache
def processor() -> tuple[str, str, frozenset[str]]:
    """Return this processor's vendor, name and feature flags, empty where the system does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "", "", frozenset()
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found.get("vendor_id", ""), found.get("model name", ""), frozenset(found.get("flags", "").split())


def matmul_route() -> Route:
    """Return the float32 route of this process."""
    vendor, _, flags = processor()
    backend: Any = torch.backends.mkldnn
    available = backend.is_available() and hasattr(backend, "matmul")
    return route_for(vendor, flags) if available else "default"


@contextmanager
def exact_float32() -> Iterator[Route]:
    """Take the fastest exact float32 route inside the block, and put the setting back after it."""
    route = matmul_route()
    if route == "default":
        yield route
        return
    with _bfloat16_allowed("matmul"):
        yield route


@contextmanager
def arithmetic(precision: Precision | None, device: torch.device) -> Iterator[None]:
    """Make products in a low precision inside the block; weights and everything else keep theirs.

    On a processor with AMX tiles, oneDNN takes float32 factors, rounds them to bfloat16 and sums in float32: nothing
    has to be converted here. Elsewhere the factors are converted (`layerwise.nn.products.lowered`).
    """
    if precision is None:
        yield
    elif device.type == "cpu" and _has_amx():
        with _bfloat16_allowed("matmul", "conv"):
            yield
    else:
        with lowered(torch.bfloat16):
            yield


def _has_amx() -> bool:
    return "amx_bf16" in processor()[2] and torch.backends.mkldnn.is_available()


@contextmanager
def _bfloat16_allowed(*kinds: str) -> Iterator[None]:
    """Let oneDNN take float32 factors for bfloat16, which it uses where the processor has AMX; put it back after."""
    parts = [getattr(torch.backends.mkldnn, kind) for kind in kinds]
    before = [part.fp32_precision for part in parts]
    for part in parts:
        part.fp32_precision = "bf16"
    try:
        yield
    finally:
        for part, found in zip(parts, before, strict=True):
            part.fp32_precision = found


@contextmanager
def moved(network: nn.Module, device: torch.device) -> Iterator[torch.device]:
    """Keep a network on a device inside the block, and move it back after it."""
    found = next(network.parameters()).device
    network.to(device)
    try:
        yield device
    finally:
        network.to(found)
