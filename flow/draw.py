"""Flow as a picture: the colour says the direction, its strength the length."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .base import Field


def draw_field(field: Field, longest_px: float | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR of a field (H, W, 2): white where nothing moves, full colour at ``longest_px``.

    None: the length that one vector in a hundred exceeds.
    """
    length, angle = cv2.cartToPolar(field[..., 0], field[..., 1], angleInDegrees=True)
    most = longest_px or max(1.0, float(np.percentile(length, 99)))
    hue = (angle / 2).astype(np.uint8)
    strength = np.clip(length * (255 / most), 0, 255).astype(np.uint8)
    bright = np.full_like(hue, 255)
    return np.asarray(cv2.cvtColor(cv2.merge([hue, strength, bright]), cv2.COLOR_HSV2BGR), np.uint8)
