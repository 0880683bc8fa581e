"""The embedded MNIST: 70,000 handwritten digits, by Yann LeCun and Corinna Cortes (CC BY-SA 3.0)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..errors import DataError
from .source import load_rows, open_source
from .targets import load_targets

FILE = Path(__file__).with_name("mnist.h5")
CHECKSUMS = Path(__file__).with_name("MNIST_SHA256.txt")


class MNIST(NamedTuple):
    """MNIST as tensors: inputs float32, one row of 784 per image; targets int64, the digit."""

    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor


def load_mnist(*, scale: float = 255.0) -> MNIST:
    """Load the full MNIST that comes with the package.

    Parameters
    ----------
    scale : float
        Divisor of the pixels, which are 0 to 255; the default gives [0, 1].

    Returns
    -------
    MNIST
        ``inputs`` (60000, 784) and ``test_inputs`` (10000, 784), float32, pixel / scale, the 28 x 28 pixels
        of an image row by row; ``targets`` (60000,) and ``test_targets`` (10000,), int64, 0 to 9. The rows
        keep the order of the original files.

    Raises
    ------
    DataError
        When the file is missing, or differs from what its checksum says.

    Notes
    -----
    Y. LeCun, C. Cortes: the MNIST database of handwritten digits, Creative Commons Attribution-ShareAlike
    3.0; see ``MNIST_LICENSE.txt`` beside the file.

    Examples
    --------
    >>> mnist = load_mnist()
    >>> mnist.inputs.shape, mnist.test_targets[:4].tolist()
    (torch.Size([60000, 784]), [7, 2, 1, 0])
    """
    _verify(FILE)
    parts: list[Tensor] = []
    for part in ("train", "test"):
        inputs = load_rows(open_source(FILE, name=f"{part}/data"), scale=scale).flatten(1)
        labels = open_source(FILE, name=f"{part}/label", kind="targets")
        parts += [inputs, load_targets(labels, len(inputs))[0]]
    return MNIST(*parts)


def checksums() -> dict[str, str]:
    """Return the SHA-256 of the embedded file and of the four IDX files it is made from, by name."""
    lines = CHECKSUMS.read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines if not line.startswith("#"))}


def _verify(path: Path) -> None:
    cure = "install layerwise again; in a checkout, run scripts/build_mnist.py"
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"the embedded MNIST, {path}, cannot be read: {error.strerror}", cure) from error
    if found != checksums()["mnist.h5"]:
        raise DataError(f"the embedded MNIST, {path}, is damaged: its SHA-256 is {found[:12]}...", cure)
