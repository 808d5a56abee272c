"""JPEG of a picture, at most so wide."""

from __future__ import annotations

import cv2

from keywarp.flow.base import Size
from keywarp.pipeline.picture import Picture


def encode_jpeg(picture: Picture, *, width: int, quality: int) -> bytes:
    """``picture`` as JPEG of ``quality`` (1 to 100), scaled down to ``width`` pixels where it is wider.

    By way of BGR, which is faster than FFmpeg's encoder on the planes: that one takes full-range planes only and
    twice as long.
    """
    pixels = picture.scaled(fitted(picture.size, width)).bgr
    done, data = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))
    assert done
    return bytes(data.data)


def fitted(size: Size, width: int) -> Size:
    """``size`` in its own shape, at most ``width`` wide."""
    if size[0] <= width:
        return size
    return width, max(1, round(size[1] * width / size[0]))


def most_bytes(size: Size, width: int) -> int:
    """Room for any picture of ``size`` that :func:`encode_jpeg` makes, but noise at the best quality."""
    columns, rows = fitted(size, width)
    return 2 * columns * rows + 65_536
