"""Paint on the ground, as (N, 2) outlines in metres."""

from __future__ import annotations

import numpy as np

from .brush import rectangle
from .camera import Array

REACH_M = 45.0


def line(
    x: float, width_m: float, dash_m: float = 0.0, gap_m: float = 0.0, start_m: float = 0.0
) -> list[Array]:
    """A line along y through the whole view, or its dashes."""
    if not dash_m:
        return [rectangle((x, 0), (width_m, 2 * REACH_M))]
    middles = np.arange(-REACH_M, REACH_M, dash_m + gap_m) + start_m
    return [rectangle((x, float(y)), (width_m, dash_m)) for y in middles]


def bays(
    x: float, depth_m: float, pitch_m: float, start_m: float, slant: float, width_m: float
) -> list[Array]:
    """Lines between parking bays that open from ``x`` towards ``x + depth_m``, leaning by ``slant`` in y."""
    rings = []
    for y in np.arange(-REACH_M, REACH_M, pitch_m) + start_m:
        ends = np.array([[x, y], [x + depth_m, y + slant * depth_m]])
        rings.append(stroke(ends[0], ends[1], width_m))
    return rings


def stroke(start: Array, end: Array, width_m: float) -> Array:
    """A straight stroke with square ends."""
    along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
    side = np.array([-along[1], along[0]]) * (width_m / 2)
    return np.stack([start - side, end - side, end + side, start + side])


def zebra(center: tuple[float, float], width_m: float, length_m: float) -> list[Array]:
    """Bars along y, side by side across ``width_m``."""
    return [
        rectangle((center[0] + x, center[1]), (0.5, length_m))
        for x in np.arange(-width_m / 2, width_m / 2, 1)
    ]


def arrow(center: tuple[float, float], turn: float, bend: int) -> list[Array]:
    """An arrow ahead (0) or with a bend to a side (-1, 1)."""
    if bend:
        stem = [[-0.08, -2], [0.08, -2], [0.08, 0.6], [-0.08, 0.6]]
        turning = [[0, 0.45], [0.5, 0.45], [0.5, 0.7], [0, 0.7]]
        outline = [stem, turning, [[0.5, 0.1], [1.1, 0.6], [0.5, 1.1]]]
    else:
        outline = [[[-0.08, -2], [0.08, -2], [0.08, 1], [-0.08, 1]], [[-0.4, 0.7], [0.4, 0.7], [0, 2]]]
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, sin], [-sin, cos]])
    mirrored = np.array([bend if bend else 1, 1])
    return [np.array(ring) * mirrored @ matrix + np.array(center) for ring in outline]


def hatching(center: tuple[float, float], size: tuple[float, float], width_m: float) -> list[Array]:
    """A frame filled with slanting strokes."""
    low, high = np.array(center) - np.array(size) / 2, np.array(center) + np.array(size) / 2
    corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    rings = [stroke(a, b, width_m) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    starts = np.arange(low[1], high[1] - size[0], 0.8)
    slanting = [stroke(np.array([low[0], y]), np.array([high[0], y + size[0]]), width_m) for y in starts]
    return rings + slanting


def glyph(rng: np.random.Generator, center: tuple[float, float], height_m: float) -> list[Array]:
    """A letter, a digit or something like it."""
    grid = np.array([[x, y] for y in (-0.5, 0, 0.5) for x in (-0.28, 0.28)]) * height_m + np.array(center)
    pairs = [(0, 2), (2, 4), (1, 3), (3, 5), (0, 1), (2, 3), (4, 5), (0, 3), (2, 5)]
    chosen = rng.choice(len(pairs), rng.integers(3, 6), replace=False)
    return [stroke(grid[pairs[i][0]], grid[pairs[i][1]], 0.13 * height_m) for i in chosen]
