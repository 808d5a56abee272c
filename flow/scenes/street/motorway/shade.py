"""Hard shadows that trees, barriers and bridges cast on the road."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keywarp.flow.scenes.street.brush import Brush, clouds, speckle
from keywarp.flow.scenes.street.texture import Pixels

DAPPLES = 5
DAPPLE_M = (14.0, 18.0)
"""A tree's shadow: along the road, and across."""


def paint_dapple(rng: np.random.Generator, depth: float, px_per_m: float) -> Pixels:
    """A crown's shadow, ``depth`` (0..1) of the light gone; leafy edges, holes, limbs; the road runs along x."""
    brush = Brush(*DAPPLE_M, px_per_m)
    height, width = brush.pixels.shape[:2]
    leaves = clouds((height, width), rng, 5, 4) + 0.6 * clouds((height, width), rng, 22, 3)
    leaves = leaves + 0.1 * speckle((height, width), rng, 1.2)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    far = np.hypot(x, y).astype(np.float32)
    dense = rng.uniform(0.1, 0.75)
    cover = np.clip((leaves + dense - 1.6 * np.clip(far - 0.35, 0, None)) * 5, 0, 1) * (far < 0.97)
    cover = np.maximum(cover, _limbs(rng, px_per_m))
    brush.pixels[..., 3] = np.clip(cover * depth * 255, 0, 255)
    return brush.pixels


def _limbs(rng: np.random.Generator, px_per_m: float) -> NDArray[np.float32]:
    """Trunk and branches, across the road."""
    brush = Brush(*DAPPLE_M, px_per_m)
    x, lean = DAPPLE_M[0] * rng.uniform(0.35, 0.65), rng.uniform(-0.15, 0.15)
    foot = (x, 0.0)
    fork = (x + lean * DAPPLE_M[1], DAPPLE_M[1] * rng.uniform(0.3, 0.6))
    brush.line([foot, fork], (0, 0, 0), float(rng.uniform(0.15, 0.5)))
    for _ in range(int(rng.integers(2, 6))):
        share = rng.uniform(0.5, 1.0)
        start = (foot[0] + (fork[0] - foot[0]) * share, foot[1] + (fork[1] - foot[1]) * share)
        end = (start[0] + rng.uniform(-5, 5), start[1] + rng.uniform(2, 8))
        brush.line([start, end], (0, 0, 0), float(rng.uniform(0.06, 0.2)))
    return np.asarray(brush.pixels[..., 3] / 255, np.float32)


def paint_strip(depth: float, rail: bool) -> Pixels:
    """The shadow of a barrier, its foot at the top, and of the rail on it."""
    picture = np.zeros((64, 4, 4), np.uint8)
    picture[: 44 if rail else 62, :, 3] = round(depth * 255)
    if rail:
        picture[50:57, :, 3] = round(depth * 255)
    return picture
