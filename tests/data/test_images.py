"""Rows as images: the grid's pixels, the file's bytes, and what is no image."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from layerwise.data.images import grey, image_sides, mosaic, png
from layerwise.errors import DataError


def test_a_mosaic_fills_row_by_row() -> None:
    images = np.arange(3.0).reshape(3, 1, 1, 1) * np.ones((3, 1, 1, 3))
    assert mosaic(images, 2)[..., 0].tolist() == [[0, 255, 255, 1], [255] * 4, [255] * 4, [2, 255, 255, 255]]


def test_png_is_whole() -> None:
    data = png(np.zeros((2, 3, 3)))
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.endswith(zlib.crc32(b"IEND").to_bytes(4, "big"))
    assert data[16:24] == (3).to_bytes(4, "big") + (2).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("shape", "sides"), [((784,), (28, 28)), ((3, 5), (3, 5)), ((1, 3, 5), (3, 5)), ((1,), (1, 1))]
)
def test_rows_that_are_images(shape: tuple[int, ...], sides: tuple[int, int]) -> None:
    assert image_sides(shape) == sides
    assert grey(np.zeros((2, *shape))).shape == (2, *sides, 3)


@pytest.mark.parametrize("shape", [(12,), (3, 4, 4), (1, 1, 4, 4)])
def test_rows_that_are_none(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="are no images") as caught:
        image_sides(shape)
    assert ".npy or .h5" in caught.value.hint
