"""Samples as a file: an array, an HDF5 data set, or a grid of images."""

from __future__ import annotations

import io
import math
from pathlib import Path

import h5py
import numpy as np

from ..data.images import grey, image_sides, mosaic, png
from ..errors import PlanError
from ..write import write_bytes

ENDINGS = (".npy", ".h5", ".hdf5", ".png")
ENLARGED = 2  # each pixel of an image is written as 2 x 2


def check_file(path: str | Path, shape: tuple[int, ...]) -> None:
    """Refuse a file whose ending is none of ours, or a picture of rows of this shape that are no images.

    Raises
    ------
    PlanError, DataError
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise PlanError(
            f"{path} ends in {ending or 'nothing'}, expected {', '.join(ENDINGS)}",
            "name the file by what it is to hold: .npy an array, .h5 a data set, .png a grid of images",
        )
    if ending == ".png":
        image_sides(shape)


def write_rows(path: str | Path, rows: np.ndarray) -> None:
    """Write rows (n, ...) to a file by its ending: ``.npy``, ``.h5`` (data set ``data``) or ``.png``.

    Raises
    ------
    PlanError, DataError, RunError
        When the ending is none of these, rows for a picture are no images, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "rows.npy"
    >>> write_rows(file, np.ones((3, 4))); np.load(file).shape
    (3, 4)
    """
    check_file(path, rows.shape[1:])
    buffer = io.BytesIO()
    match Path(path).suffix.lower():
        case ".npy":
            np.save(buffer, rows)
        case ".png":
            sheet = mosaic(grey(rows), math.ceil(math.sqrt(len(rows))))
            buffer.write(png(sheet.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)))
        case _:
            with h5py.File(buffer, "w") as file:
                file["data"] = rows
    write_bytes(path, buffer.getvalue())
