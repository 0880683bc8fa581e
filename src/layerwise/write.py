"""Every file that layerwise writes is written here: whole or not at all.

A file is written beside its place, flushed to disk and then moved there, so that a stop at any moment (kill -9
included) leaves either the old file or the new one.
"""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from .errors import RunError


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file atomically, making its folder when needed.

    Raises
    ------
    RunError
        When the file cannot be written; nothing half-written is left.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Hand out a name beside a file's place; what the block wrote there is moved to its place when the block ends well.

    Raises
    ------
    RunError
        When the file cannot be written; nothing half-written is left, whatever ends the block.

    Examples
    --------
    >>> file = Path(tempfile.mkdtemp()) / "rows.csv"
    >>> with replacing(file) as beside:
    ...     _ = beside.write_text("x"); print(file.exists())
    False
    >>> file.read_text()
    'x'
    """
    path = Path(path)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        yield Path(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide results from the user's colleagues
        os.replace(temporary, path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        if temporary and os.path.exists(temporary):  # also when Ctrl-C came in between
            os.unlink(temporary)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON atomically; numbers that are not finite become null.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "x.json"
    >>> write_json(file, {"loss": float("nan")}); print(file.read_text().strip())
    {
     "loss": null
    }
    """
    write_text(path, json.dumps(plain(value), indent=1) + "\n")


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as one uncompressed ``.npz`` file, atomically."""
    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors as one safetensors file, atomically."""
    # copies, because safetensors refuses tensors that share memory: a module used twice has two names
    ready = {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
    write_bytes(path, save(ready, metadata=dict(metadata or {})))


def append_line(path: str | Path, value: Any) -> None:
    """Append one JSON line and hand it to the operating system at once.

    Raises
    ------
    RunError
        When the file cannot be written.
    """
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(plain(value)) + "\n")
    except OSError as error:
        raise _refused(path, error) from error


def plain(value: Any) -> Any:
    """Turn tensors, NumPy values, tuples and numbers that are not finite into what JSON can say."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic, Tensor)):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _refused(path: str | Path, error: OSError) -> RunError:
    return RunError(
        f"{path} could not be written: {error.strerror or error}",
        "check that the folder can be written to and that the disk is not full",
    )
