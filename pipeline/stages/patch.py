"""Patches: small translucent drawings, made once and laid over YUV 4:2:0 pictures many times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Size
from keywarp.pipeline.picture import Pixels, YuvPlanes

from .colors import ColorScheme
from .text import REGULAR, text_mask

Rgb = tuple[int, int, int]
_FINER = 4


def even(length_px: float) -> int:
    """The even number nearest to a length: a patch's corners lie between chroma samples."""
    return 2 * round(length_px / 2)


@dataclass(frozen=True, slots=True)
class Patch:
    """A drawing of even width and height: colour times opacity, and 255 times what shines through."""

    color: YuvPlanes
    through: YuvPlanes

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        height, width = self.color.y.shape
        return width, height

    def blit(self, planes: YuvPlanes, x: int, y: int) -> None:
        """Lay the patch over a picture, its upper left at (x, y), both even; it must fit inside."""
        for below, color, through, step in (
            (planes.y, self.color.y, self.through.y, 1),
            (planes.u, self.color.u, self.through.u, 2),
            (planes.v, self.color.v, self.through.v, 2),
        ):
            top, left = y // step, x // step
            part = below[top : top + color.shape[0], left : left + color.shape[1]]
            np.copyto(part, cv2.add(cv2.multiply(part, through, scale=1 / 255), color))


class Canvas:
    """Draws a patch. Positions and lengths are pixels and may be fractions; colours are RGB."""

    def __init__(self, size: Size, scheme: ColorScheme) -> None:
        width, height = size
        self._scheme = scheme
        self._layers = np.zeros((height, width, 4), np.float32)  # Y, U, V times opacity; opacity
        self.size = size

    def copy(self) -> Canvas:
        """A canvas with the same drawing, to go on with."""
        other = Canvas((0, 0), self._scheme)
        other.size, other._layers = self.size, self._layers.copy()
        return other

    def rounded(
        self, box: tuple[float, float, float, float], radius: float, rgb: Rgb, alpha: float = 1
    ) -> None:
        """Fill a rounded rectangle (x, y, width, height)."""
        x, y, width, height = box
        if width > 0 and height > 0:
            left, top = int(x), int(y)
            mask = rounded_mask((x - left, y - top, width, height), radius)
            self.fill(mask, left, top, rgb, alpha)

    def text(
        self,
        text: str,
        x: float,
        baseline: float,
        px: int,
        rgb: Rgb,
        *,
        weight: int = REGULAR,
        align: str = "left",
    ) -> int:
        """Write a line; ``x`` is its left end, right end or middle. Returns its width."""
        mask = text_mask(text, px, weight)
        width = mask.shape[1]
        shift = {"left": 0.0, "right": 1.0, "middle": 0.5}[align] * width
        self.fill(mask, round(x - shift), round(baseline) - px, rgb)
        return width

    def fill(self, mask: Pixels, left: int, top: int, rgb: Rgb, alpha: float = 1) -> None:
        """Lay a colour over the canvas where ``mask`` (uint8 coverage) is set; what sticks out is cut."""
        width, height = self.size
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + mask.shape[1], width), min(top + mask.shape[0], height)
        if x0 >= x1 or y0 >= y1:
            return
        cover = mask[y0 - top : y1 - top, x0 - left : x1 - left, None].astype(np.float32) * (alpha / 255)
        part = self._layers[y0:y1, x0:x1]
        part += cover * (np.array([*self._scheme.one(rgb), 1.0], np.float32) - part)

    def patch(self) -> Patch:
        """What was drawn."""
        width, height = self.size
        half = cv2.resize(self._layers, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        through = _bytes(255 * (1 - self._layers[..., 3]))
        through_half = _bytes(255 * (1 - half[..., 3]))
        color = YuvPlanes(_bytes(self._layers[..., 0]), _bytes(half[..., 1]), _bytes(half[..., 2]))
        return Patch(color, YuvPlanes(through, through_half, through_half))


@lru_cache(maxsize=512)
def rounded_mask(box: tuple[float, float, float, float], radius: float) -> Pixels:
    """Coverage, uint8, of a rounded rectangle (x, y, width, height) on a grid just large enough. Shared."""
    x, y, width, height = (value * _FINER for value in box)
    radius = min(radius * _FINER, width / 2, height / 2)
    columns = int(np.ceil((x + width) / _FINER)) * _FINER
    rows = int(np.ceil((y + height) / _FINER)) * _FINER
    across = _inset(np.arange(columns, dtype=np.float64) + 0.5 - x - width / 2, width / 2 - radius)
    down = _inset(np.arange(rows, dtype=np.float64) + 0.5 - y - height / 2, height / 2 - radius)
    inside = across[None, :] ** 2 + down[:, None] ** 2 <= radius * radius
    if radius < 1:
        inside = np.outer(down <= radius, across <= radius)
    fine = inside.astype(np.uint8) * 255
    return cv2.resize(fine, (columns // _FINER, rows // _FINER), interpolation=cv2.INTER_AREA)


def _inset(distance: NDArray[np.floating], straight: float) -> NDArray[np.floating]:
    return np.maximum(np.abs(distance) - straight, 0.0)


def _bytes(values: NDArray[np.float32]) -> Pixels:
    return (values + np.float32(0.5)).astype(np.uint8)  # within 0..255, as mixtures of colours are
