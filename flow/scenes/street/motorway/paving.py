"""Tiles of a motorway's ground: carriageways, lines, joints, cracks, patches and verges."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.flow.scenes.street.brush import Brush, periodic, speckle
from keywarp.flow.scenes.street.ground import SEAM_M, TILE_M
from keywarp.flow.scenes.street.palette import Color, rgb
from keywarp.flow.scenes.street.texture import Pixels

from .course import Course, Surface

_WHITE, _YELLOW = rgb(0xEFEFEA), rgb(0xE8AC24)
_LINE_M = 0.14
_TAR = rgb(0x2A2A2B)


def paint_tile(seed: int, course: Course, kind: int, variant: int, px_per_m: float) -> Pixels:
    """A tile paved with surface ``kind`` of the course, with margins; ``variant`` decides the wear."""
    section, surface = course.section, course.surfaces[kind]
    brush = Brush(section.width_m, TILE_M, px_per_m, section.verge)
    rng = np.random.default_rng((seed, 711, kind))
    _paint_verges(brush, rng, course)
    wear = np.random.default_rng((seed, 712, kind, variant))
    for lines, left, right in _carriageways(course):
        _paint_paving(brush, rng, surface, (lines, left, right), section.left_m)
        _paint_joints(brush, surface, lines, left, right, section.left_m)
        _paint_patches(brush, wear, surface, lines, section.left_m)
        _paint_cracks(brush, wear, surface, lines, section.left_m)
    _paint_tyres(brush, wear, course)
    _paint_lines(brush, np.random.default_rng((seed, 713)), course)
    margin = round(SEAM_M * px_per_m)
    return np.concatenate([brush.pixels[-margin:], brush.pixels, brush.pixels[:margin]])


_Way = tuple[tuple[float, ...], float, float]


def _carriageways(course: Course) -> tuple[_Way, _Way]:
    """The lines, left and right edge of the oncoming carriageway and of ours."""
    oncoming = course.oncoming_m[::-1], course.oncoming_left_m, course.oncoming_right_m
    return oncoming, (course.lines_m, course.left_m, course.right_m)


def _paint_verges(brush: Brush, rng: np.random.Generator, course: Course) -> None:
    """Grass and earth in patches over the whole tile."""
    height, width = brush.pixels.shape[:2]
    shape = height // 2, width // 2
    share = np.clip(0.5 + 1.4 * periodic(shape, rng, 10), 0, 1)[..., None]
    light = 1 + 0.16 * speckle(shape, rng, 0.6) + 0.1 * speckle(shape, rng, 3.0)
    first, second = (np.array(color, np.float32) for color in course.verges)
    mixed = np.clip((first + (second - first) * share) * light[..., None], 0, 255).astype(np.uint8)
    brush.pixels[..., :3] = cv2.resize(mixed, (width, height))


def _paint_paving(brush: Brush, rng: np.random.Generator, surface: Surface, way: _Way, start: float) -> None:
    """Lanes and shoulders with grain, wheel tracks and oil, and dirt along the edges."""
    lines, left, right = way
    columns = slice(round((left - start) * brush.px_per_m), round((right - start) * brush.px_per_m))
    part = brush.pixels[:, columns]
    height, width = part.shape[:2]
    x = np.linspace(left, right, width, dtype=np.float32)
    across = _across(rng, surface, lines, x)
    factor = 1 + surface.soft * periodic((height, width), rng, 6)
    factor += surface.fine * speckle((height, width), rng, 0.7)
    part[..., :3] = np.clip(across[None] * factor[..., None], 0, 255)


def _across(
    rng: np.random.Generator, surface: Surface, lines: tuple[float, ...], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(W, 3) colours over the width of a carriageway."""
    tones = rng.uniform(0.93, 1.07, len(lines) + 1).astype(np.float32)
    lane = np.searchsorted(np.array(lines), x)
    beside = (lane == 0) | (lane == len(lines))
    colors = np.where(beside[:, None], np.array(surface.shoulder), np.array(surface.color))
    dark = np.ones_like(x)
    for low, high in pairwise(lines):
        middle = (low + high) / 2
        dark -= surface.oil * np.exp(-(((x - middle) / 0.5) ** 2))
        for wheel in (-0.85, 0.85):
            dark -= surface.track * np.exp(-(((x - middle - wheel) / 0.3) ** 2))
    edge = np.minimum(x - x[0], x[-1] - x)
    dirt = (rng.uniform(0.1, 0.5) * np.exp(-edge / 0.35))[:, None]
    result = colors * (tones[lane] * dark)[:, None]
    result += (np.array(rgb(0x8C8070)) - result) * dirt
    return np.asarray(result, np.float32)


def _paint_joints(
    brush: Brush, surface: Surface, lines: tuple[float, ...], left: float, right: float, start: float
) -> None:
    """Gaps between slabs, across and along."""
    if not surface.joint_m:
        return
    for z in np.arange(surface.joint_m / 2, TILE_M, surface.joint_m):
        brush.line([(left - start, z), (right - start, z)], _mild(surface.color, 0.5), 0.05)
    for x in lines:
        brush.line([(x + 0.2 - start, 0), (x + 0.2 - start, TILE_M)], _mild(surface.color, 0.55), 0.04)


def _mild(color: Color, factor: float) -> Color:
    return color[0] * factor, color[1] * factor, color[2] * factor


def _paint_patches(
    brush: Brush, rng: np.random.Generator, surface: Surface, lines: tuple[float, ...], start: float
) -> None:
    """Mended places a lane wide or less, in another tone, some with a tarred seam."""
    for _ in range(int(rng.integers(0, 4))):
        lane = int(rng.integers(len(lines) - 1))
        low, high = lines[lane] - start, lines[lane + 1] - start
        if rng.random() < 0.5:
            low += rng.uniform(0.2, 1.2)
            high -= rng.uniform(0.2, 1.2)
        z, deep = rng.uniform(0.5, 14.0), rng.uniform(1.0, 9.0)
        brush.tint(low, z, high - low, deep, float(rng.choice([0.6, 0.75, 0.88, 1.12])))
        if rng.random() < 0.5:
            corners = [(low, z), (high, z), (high, z + deep), (low, z + deep)]
            brush.line(corners, _mild(surface.color, 0.55), 0.05, True)


def _paint_cracks(
    brush: Brush, rng: np.random.Generator, surface: Surface, lines: tuple[float, ...], start: float
) -> None:
    """Cracks filled with tar, along and across."""
    for _ in range(surface.cracks):
        x, z = rng.uniform(lines[0], lines[-1]) - start, rng.uniform(1, TILE_M - 1)
        step_x, step_z = (0.12, 0.8) if rng.random() < 0.6 else (0.7, 0.15)
        steps = rng.normal(0, 1, (8, 2)) * 0.3 + 1
        path = np.cumsum(steps * (step_x * rng.choice([-1, 1]), step_z), 0)
        points = [(float(x + dx), float(z + dz)) for dx, dz in path if 0 < z + dz < TILE_M]
        if len(points) > 1:
            brush.line(points, _TAR, float(rng.uniform(0.03, 0.07)))


def _paint_tyres(brush: Brush, rng: np.random.Generator, course: Course) -> None:
    """Pairs of marks where somebody braked."""
    height, width = brush.pixels.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    start = course.section.left_m
    for _ in range(int(rng.integers(0, 3))):
        x = float(rng.choice(course.lanes_m)) + rng.uniform(-0.6, 0.6) - start
        z, long, drift = rng.uniform(1, 12), rng.uniform(4, 11), rng.uniform(-0.7, 0.7)
        for wheel in (-0.75, 0.75):
            ends = np.array([(x + wheel, z), (x + wheel + drift, z + long)]) * brush.px_per_m
            thick = max(1, round(0.2 * brush.px_per_m))
            cv2.polylines(
                mask, [ends.astype(np.int32)], False, (int(rng.integers(15, 75)),), thick, cv2.LINE_AA
            )
    brush.light(np.asarray(1 - mask / 255, np.float32))


def _paint_lines(brush: Brush, rng: np.random.Generator, course: Course) -> None:
    """Solid lines at the edges and dashes between lanes, somewhat worn."""
    before = brush.pixels.copy()
    for lines, _, _ in _carriageways(course):
        ours = lines == course.lines_m
        inner, outer = (lines[0], lines[-1]) if ours else (lines[-1], lines[0])
        _stripe(brush, course, inner, _YELLOW if course.yellow else _WHITE, 0.0)
        _stripe(brush, course, outer, _WHITE, 0.0)
        for x in lines[1:-1]:
            _stripe(brush, course, x, _WHITE, course.dash_m[0])
    worn = float(rng.uniform(0.0, 0.35)) + 0.2 * speckle(before.shape[:2], rng, 1.0)
    share = np.clip(worn, 0, 0.8)[..., None]
    brush.pixels[:] = brush.pixels + (before - brush.pixels.astype(np.float32)) * share


def _stripe(brush: Brush, course: Course, x: float, color: Color, dash_m: float) -> None:
    """A line in the middle of ``x``: solid, or dashes of ``dash_m``."""
    left, period = x - course.section.left_m - _LINE_M / 2, course.dash_m[1]
    for z in np.arange(0.0, TILE_M, period):
        brush.box(left, z, _LINE_M, dash_m or period, color)
