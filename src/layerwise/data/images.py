"""Rows as images: laid out in a grid, and as a PNG file."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from ..errors import DataError

GAP = 2  # pixels of white between images


def image_sides(shape: Sequence[int]) -> tuple[int, int]:
    """Return height and width of rows that are grey images: of a square number of elements, (h, w) or (1, h, w).

    Raises
    ------
    DataError
        When rows of this shape are none.

    Examples
    --------
    >>> image_sides((784,)), image_sides((1, 28, 20))
    ((28, 28), (28, 20))
    """
    side = math.isqrt(math.prod(shape))
    if len(shape) == 1 and side * side == shape[0]:
        return side, side
    if len(shape) == 2 or (len(shape) == 3 and shape[0] == 1):
        return shape[-2], shape[-1]
    raise DataError(
        f"rows of shape {tuple(shape)} are no images, expected a square number of elements or one channel (1, h, w)",
        "write them as .npy or .h5",
    )


def grey(rows: np.ndarray) -> np.ndarray:
    """Return rows that are images of [0, 1], black to white, as ``(n, height, width, 3)`` of 0 to 255; beyond is cut.

    Examples
    --------
    >>> grey(np.array([[0.0, 1.0, 2.0, 0.2]]))[0, :, :, 0].tolist()
    [[0.0, 255.0], [255.0, 51.0]]
    """
    images = rows.reshape(len(rows), *image_sides(rows.shape[1:]))
    return np.repeat(255 * np.clip(np.nan_to_num(images), 0.0, 1.0)[..., None], 3, axis=3)


def mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """Lay images ``(n, height, width, 3)`` out in a white grid, row by row.

    Examples
    --------
    >>> mosaic(np.zeros((3, 4, 4, 3)), columns=2).shape
    (10, 10, 3)
    """
    n, height, width, channels = images.shape
    rows = math.ceil(n / columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255.0)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def png(pixels: np.ndarray) -> bytes:
    """Encode pixels ``(height, width, 3)`` of 0 to 255 as a PNG file (W3C PNG specification, colour type 2).

    Examples
    --------
    >>> png(np.zeros((2, 2, 3)))[1:4]
    b'PNG'
    """
    data = np.ascontiguousarray(np.rint(pixels), dtype=np.uint8)
    height, width, _ = data.shape
    unfiltered = np.zeros((height, 1), dtype=np.uint8)  # each line says first how it is filtered: not
    lines = np.concatenate([unfiltered, data.reshape(height, -1)], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
