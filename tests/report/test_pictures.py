"""Pictures show the arrays' numbers."""

from __future__ import annotations

import base64
import dataclasses
import zlib

import numpy as np
import pytest

from layerwise.report import Summary
from layerwise.report.pictures import (
    ABOVE,
    BELOW,
    ENLARGED,
    NOUGHT,
    Picture,
    filter_pictures,
    reconstruction_pictures,
)


def pixels(picture: Picture) -> np.ndarray:
    """Read a picture back, one value for each drawn pixel."""
    data = base64.b64decode(picture.address.removeprefix("data:image/png;base64,"))
    start = data.index(b"IDAT")
    length = int.from_bytes(data[start - 4 : start], "big")
    lines = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), dtype=np.uint8)
    return lines.reshape(picture.height, -1)[:, 1:].reshape(picture.height, picture.width, 3)[::ENLARGED, ::ENLARGED]


def with_images(summary: Summary, shape: tuple[int, ...] | None, **arrays: np.ndarray) -> Summary:
    data = summary.results.data.model_copy(update={"image_shape": shape})
    return dataclasses.replace(summary, results=summary.results.model_copy(update={"data": data}), arrays=arrays)


def test_filters_are_scaled_to_their_own_largest_weight(summary: Summary) -> None:
    weights = np.array([[0.001, -0.001, 0.0, 0.0], [50.0, -50.0, 0.0, 0.0]])
    before, after = filter_pictures(with_images(summary, (2, 2), filters_random=weights, filters=weights))
    assert (before.title, after.title) == ("before pre-training", "after pre-training")
    drawn = pixels(after)
    assert drawn.shape == (2, 6, 3)
    for left in (0, 4):
        assert drawn[0, left].tolist() == list(ABOVE) and drawn[0, left + 1].tolist() == list(BELOW)
        assert drawn[1, left].tolist() == list(NOUGHT)


def test_a_dead_filter_is_drawn_empty(summary: Summary) -> None:
    (picture,) = filter_pictures(with_images(summary, (2, 2), filters=np.zeros((1, 4))))
    assert (pixels(picture) == NOUGHT[0]).all()


def test_reconstructions_share_one_scale(summary: Summary) -> None:
    clean, output = np.array([[0.0, 1.0, 0.0, 1.0]]), np.array([[0.5, 2.0, -1.0, 1.0]])
    shown = with_images(
        summary, (2, 2), reconstruction_input=clean, reconstruction_noisy=0 * clean, reconstruction_output=output
    )
    titles = {picture.title: pixels(picture)[..., 0].tolist() for picture in reconstruction_pictures(shown)}
    assert titles == {"input": [[0, 255], [0, 255]], "noisy": [[0, 0], [0, 0]], "output": [[128, 255], [0, 255]]}


@pytest.mark.parametrize("shape", [(3, 2, 2), (2, 2, 3)])
def test_colour_images_keep_their_colours(summary: Summary, shape: tuple[int, ...]) -> None:
    image = np.zeros(shape)
    image[(0, slice(None), slice(None)) if shape[0] == 3 else (slice(None), slice(None), 0)] = 1.0
    (picture,) = reconstruction_pictures(with_images(summary, shape, reconstruction_input=image.reshape(1, -1)))
    assert (pixels(picture) == [255, 0, 0]).all()


@pytest.mark.parametrize("shape", [None, (4,), (2, 2, 2)])
def test_rows_that_are_not_images_are_not_drawn(summary: Summary, shape: tuple[int, ...] | None) -> None:
    rows = np.ones((2, 8 if shape == (2, 2, 2) else 4))
    shown = with_images(summary, shape, filters=rows, reconstruction_input=rows)
    assert filter_pictures(shown) == () and reconstruction_pictures(shown) == ()
