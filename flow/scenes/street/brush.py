"""Painting in metres: a canvas with premultiplied alpha for textures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .palette import Color
from .texture import Pixels

_SHIFT = 4


class Brush:
    """Draws anti-aliased shapes, in metres from the top left, on a canvas of ``width`` x ``height``."""

    def __init__(self, width_m: float, height_m: float, px_per_m: float, fill: Color | None = None) -> None:
        self.px_per_m = px_per_m
        shape = (max(2, round(height_m * px_per_m)), max(2, round(width_m * px_per_m)), 4)
        self.pixels: Pixels = np.zeros(shape, np.uint8)
        if fill is not None:
            self.pixels[:] = (*fill, 255)

    def box(self, x: float, y: float, width: float, height: float, color: Color) -> None:
        """A filled rectangle."""
        self.shape([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], color)

    def shape(self, points: list[tuple[float, float]], color: Color) -> None:
        """A filled polygon, which need not be convex."""
        place = np.round((np.array(points) * self.px_per_m - 0.5) * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(self.pixels, [place], (*color, 255), cv2.LINE_AA, _SHIFT)

    def disc(
        self, x: float, y: float, radius: float, color: Color, flat: float = 1.0, turn: float = 0.0
    ) -> None:
        """A filled ellipse, ``flat`` times as high as wide, turned by degrees."""
        scale = self.px_per_m * 2**_SHIFT
        centre = (round(x * scale - 2 ** (_SHIFT - 1)), round(y * scale - 2 ** (_SHIFT - 1)))
        axes = (max(1, round(radius * scale)), max(1, round(radius * flat * scale)))
        cv2.ellipse(self.pixels, centre, axes, turn, 0, 360, (*color, 255), -1, cv2.LINE_AA, _SHIFT)

    def line(
        self, points: list[tuple[float, float]], color: Color, width: float, closed: bool = False
    ) -> None:
        """A line through ``points``."""
        place = np.round((np.array(points) * self.px_per_m - 0.5) * 2**_SHIFT).astype(np.int32)
        thick = max(1, round(width * self.px_per_m))
        cv2.polylines(self.pixels, [place], closed, (*color, 255), thick, cv2.LINE_AA, _SHIFT)

    def tint(self, x: float, y: float, width: float, height: float, factor: float) -> None:
        """Multiply the colours of a rectangle, keeping what is drawn there."""
        left, top, right, bottom = (round(place * self.px_per_m) for place in (x, y, x + width, y + height))
        part = self.pixels[top:bottom, left:right, :3]
        part[:] = (part * factor).astype(np.uint8)

    def light(self, factor: NDArray[np.float32]) -> None:
        """Multiply the colours by ``factor``, of shape (h, w), (h, 1), (1, w) or with 3 channels."""
        if factor.ndim == 2:
            factor = factor[..., None]
        lit = self.pixels[..., :3] * factor
        self.pixels[..., :3] = np.clip(lit, 0, self.pixels[..., 3:])


def clouds(
    shape: tuple[int, int], rng: np.random.Generator, first: int = 2, octaves: int = 5
) -> NDArray[np.float32]:
    """Soft noise (h, w) in about -1..1: random grids of ``first``, twice that, ... cells, summed."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    cells = float(first)
    for octave in range(octaves):
        rows = max(2, min(height, round(cells * height / max(width, height)) + 1))
        columns = max(2, min(width, round(cells * width / max(width, height)) + 1))
        grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 0.55**octave
        cells *= 2
    return total / 1.4


def periodic(shape: tuple[int, int], rng: np.random.Generator, first: int) -> NDArray[np.float32]:
    """Soft noise whose rows repeat after a tile."""
    noise = clouds(shape, rng, first)
    share = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    other = np.roll(noise, shape[0] // 2, 0)
    weight = np.abs(share - 0.5) * 2
    mixed: NDArray[np.float32] = noise * (1 - weight) + other * weight
    return mixed


def speckle(shape: tuple[int, int], rng: np.random.Generator, blur: float) -> NDArray[np.float32]:
    """Fine grain (h, w) with standard deviation 1."""
    grain = rng.standard_normal(shape).astype(np.float32)
    if blur > 0:
        grain = cv2.GaussianBlur(grain, (0, 0), blur)
    return grain / max(float(grain.std()), 1e-6)
