"""Warping of arrays along a flow: what lay at ``cell + field[cell]`` comes to ``cell``.

A cell whose source lies outside the picture takes the nearest cell of the border.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .base import Field, resize_field
from .compose import cell_grid


def warp_labels(labels: NDArray[np.uint8], field: Field) -> NDArray[np.uint8]:
    """Labels (H, W) uint8 warped by nearest neighbour; the field is brought to their size."""
    return _remap(labels, field, cv2.INTER_NEAREST)


def warp_image(image: NDArray[np.uint8], field: Field) -> NDArray[np.uint8]:
    """A picture (H, W) or (H, W, C) warped bilinearly; the field is brought to its size."""
    return _remap(image, field, cv2.INTER_LINEAR)


def _remap(array: NDArray[np.uint8], field: Field, interpolation: int) -> NDArray[np.uint8]:
    size = array.shape[1], array.shape[0]
    source = cv2.add(cell_grid(size), resize_field(field, size))
    return cv2.remap(array, source, None, interpolation, borderMode=cv2.BORDER_REPLICATE)
