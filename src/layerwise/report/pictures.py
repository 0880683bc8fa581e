"""Images from the run's arrays, as PNG files inside the page: sharp at any size, on paper too, and with a text."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

import numpy as np

from ..data.images import mosaic, png
from .summary import Summary

ENLARGED = 3  # each pixel is written as 3 x 3, so that browsers do not blur small images
NOUGHT, BELOW, ABOVE = (247, 247, 247), (11, 74, 140), (176, 62, 8)  # weights: blue below zero, orange above


@dataclass(frozen=True)
class Picture:
    """One image: its title, its description for those who do not see it, and a ``data:`` address."""

    title: str
    description: str
    address: str
    width: int
    height: int


def filter_pictures(summary: Summary) -> tuple[Picture, ...]:
    """First-layer filters before and after pre-training, each scaled to its own largest weight."""
    pictures = []
    for name, title in (("filters_random", "before pre-training"), ("filters", "after pre-training")):
        images = _images(summary, name)
        if images is not None and images.size:
            largest = np.abs(images).reshape(len(images), -1).max(axis=1).reshape(-1, *[1] * (images.ndim - 1))
            scaled = images / np.where(largest > 0, largest, 1)
            columns = math.ceil(math.sqrt(len(images)))
            description = f"{len(images)} first-layer filters {title}"
            pictures.append(_picture(title, description, mosaic(_weight_colours(scaled), columns)))
    return tuple(pictures)


def reconstruction_pictures(summary: Summary) -> tuple[Picture, ...]:
    """Rows of images: the input, the noisy input, and what the pre-trained stack makes of it."""
    names = {"reconstruction_input": "input", "reconstruction_noisy": "noisy", "reconstruction_output": "output"}
    found = {title: _images(summary, name) for name, title in names.items()}
    clean = found["input"]
    if clean is None or not clean.size:
        return ()
    low, high = float(clean.min()), float(clean.max())  # one scale for all three, or noise would hide itself
    pictures = []
    for title, images in found.items():
        if images is not None and images.size:
            grey = 255 * np.clip((images - low) / ((high - low) or 1), 0, 1)
            colours = grey if grey.ndim == 4 else np.repeat(grey[..., None], 3, axis=3)
            description = f"{len(images)} rows as images: {title}"
            pictures.append(_picture(title, description, mosaic(colours, len(images))))
    return tuple(pictures)


def _images(summary: Summary, name: str) -> np.ndarray | None:
    """Return rows as ``(n, height, width)`` or ``(n, height, width, 3)``, or None when they are not images."""
    shape, rows = summary.results.data.image_shape, summary.arrays.get(name)
    if not shape or rows is None:
        return None
    if rows.ndim == 3:  # a convolution's filters have a shape of their own
        filters: np.ndarray = np.nan_to_num(rows)
        return filters
    sides = tuple(side for side in shape if side != 1)
    if len(sides) not in (2, 3) or (len(sides) == 3 and 3 not in (sides[0], sides[2])):
        return None
    images: np.ndarray = np.nan_to_num(rows.reshape(-1, *sides))
    return images.transpose(0, 2, 3, 1) if len(sides) == 3 and sides[0] == 3 else images


def _weight_colours(weights: np.ndarray) -> np.ndarray:
    """Colour weights of -1 to 1: one channel from blue through white to orange, three channels around mid-grey."""
    if weights.ndim == 4:
        return 127.5 * (1 + weights)
    stops = np.array([BELOW, NOUGHT, ABOVE], dtype=float)
    return np.stack([np.interp(weights, [-1, 0, 1], stops[:, channel]) for channel in range(3)], axis=-1)


def _picture(title: str, description: str, sheet: np.ndarray) -> Picture:
    pixels = sheet.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
    address = "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
    return Picture(title, description, address, width=pixels.shape[1], height=pixels.shape[0])
