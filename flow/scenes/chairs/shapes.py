"""Shapes that are cut out of pictures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Size

Pixels = NDArray[np.uint8]


def random_shape(size: Size, rng: np.random.Generator) -> tuple[Pixels, tuple[float, float]]:
    """(H, W) uint8, 255 inside a shape at a random place, smooth at its edge, and the shape's middle (x, y)."""
    width, height = size
    middle = rng.uniform(0, width), rng.uniform(0.1 * height, height)
    radius = 0.5 * width * np.exp(rng.uniform(np.log(0.03), np.log(0.5)))
    outline = _outline(radius, rng) + middle
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    if rng.random() < 0.2:  # something with a hole, as a wheel, a fence or a railing
        inner = (outline - middle) * rng.uniform(0.4, 0.8) + middle
        cv2.fillPoly(mask, [np.round(inner * 16).astype(np.int32)], 0, cv2.LINE_AA, shift=4)
    return mask, middle


def _outline(radius_px: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N, 2) points about the origin: a pole, a box, or a blob."""
    kind = rng.random()
    if kind < 0.2:
        half = np.array([radius_px * rng.uniform(0.04, 0.15), radius_px * rng.uniform(0.8, 3)])
        return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    if kind < 0.45:
        half = radius_px * rng.uniform(0.5, 1.2, 2)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) + rng.normal(0, 0.15, (4, 2))
        return corners * half
    count = int(rng.integers(6, 14))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(0, 0.4, count)
    radii = radius_px * rng.uniform(0.5, 1.2, count)
    stretch = np.exp(rng.normal(0, 0.3))
    return np.column_stack([np.cos(angles) * radii * stretch, np.sin(angles) * radii / stretch])
