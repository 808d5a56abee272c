"""Sizes of the pictures that flow is searched on, and that networks take."""

from __future__ import annotations

import math

from .base import Size


def picture_size(frame_size: Size, pixels: int, step_px: int) -> Size:
    """About so many pixels in about the frame's shape, the sides multiples of ``step_px``; the frame's own size
    where it is smaller."""
    size = shrunk(frame_size, pixels)
    if size == frame_size:
        return size
    return nearest(size, step_px)


def shrunk(frame_size: Size, pixels: int) -> Size:
    """A size of at most about ``pixels`` pixels, in the frame's shape."""
    width, height = frame_size
    factor = min(1.0, math.sqrt(pixels / (width * height)))
    return max(1, round(width * factor)), max(1, round(height * factor))


def nearest(size: tuple[float, float], step_px: int) -> Size:
    """The nearest size whose width and height are multiples of ``step_px``, of two the even ones."""
    width, height = (max(step_px, round(side / step_px) * step_px) for side in size)
    return width, height
