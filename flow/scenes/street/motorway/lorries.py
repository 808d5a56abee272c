"""Lorries and vans: boxes on wheels."""

from __future__ import annotations

import numpy as np

from keywarp.flow.scenes.street import cars
from keywarp.flow.scenes.street.brush import Brush, clouds
from keywarp.flow.scenes.street.palette import Color, Look, mix, rgb, scaled
from keywarp.flow.scenes.street.texture import Pixels

SIZES_M = ((11.5, 2.5, 3.7), (7.5, 2.3, 3.1), (5.4, 1.95, 2.2), (5.9, 2.0, 2.6))
"""Length, width and height of each size: two of lorries, two of vans."""
_TYRE = rgb(0x1B1C1E)


def paint(rng: np.random.Generator, part: str, model: int, look: Look, px_per_m: float) -> Pixels:
    """A side, rear or front."""
    length, width, height = SIZES_M[model % len(SIZES_M)]
    color = rgb(int(rng.choice([0xF2F2EE, 0xF2F2EE, 0xD8D9D6, *cars.COLORS])))
    wide = length if part == "side" else width
    brush = Brush(wide, height, px_per_m)
    foot = 0.45 if height < 3 else 0.95
    for x in (0.9, wide - 1.2) if part == "side" else (0.3, wide - 0.3):
        radius = 0.36 if height < 3 else 0.5
        if part == "side":
            brush.disc(x, height - radius, radius, _TYRE)
        else:
            brush.box(x - 0.18, height - 2 * radius, 0.36, 2 * radius, _TYRE)
    brush.box(0.05, height - foot - 0.05, wide - 0.1, foot * 0.55, rgb(0x1E1F21))
    brush.box(0, 0.03, wide, height - foot - 0.03, color)
    _paint_face(brush, part, (wide, height - foot), color, look)
    rows, columns = brush.pixels.shape[:2]
    brush.light(1 + 0.08 * clouds((rows, columns), rng, 4))
    return brush.pixels


def _paint_face(brush: Brush, part: str, size_m: tuple[float, float], color: Color, look: Look) -> None:
    """Doors, panes and lights over a plain face."""
    width, height = size_m
    glass = mix(rgb(0x1D252C), look.horizon, 0.2)
    if part == "side":
        for x in np.arange(1.5, width, 1.5):
            brush.box(x, 0.1, 0.03, height - 0.15, scaled(color, 0.85))
        return
    light = rgb(0xC81E1E) if part == "rear" else rgb(0xFBF7E4)
    for x in (0.08, width - 0.3):
        brush.box(x, height - 0.28, 0.22, 0.24, light)
    brush.box(0, 0.03, width, 0.08, scaled(color, 0.75))
    if part == "front" or height < 2.3:
        brush.box(0.18, height * 0.18, width - 0.36, height * 0.32, glass)
    if part == "rear":
        brush.box(width / 2 - 0.02, 0.1, 0.04, height - 0.15, scaled(color, 0.6))
        brush.box(0, height - 0.03, width, 0.12, rgb(0x2A2B2D))
