"""What stands beside a motorway: barriers, rails, signs, bridges, bushes, slopes and hills."""

from __future__ import annotations

import numpy as np

from keywarp.flow.scenes.street.brush import Brush, clouds, speckle
from keywarp.flow.scenes.street.nature import paint_crown
from keywarp.flow.scenes.street.palette import Color, Look, mix, rgb, scaled
from keywarp.flow.scenes.street.texture import Pixels

RAIL_M = 0.45
"""How far the rail on a barrier rises above it."""
GUARD_M = 0.8
_STEEL = rgb(0x9BA1A5)


def paint_barrier(
    rng: np.random.Generator, width_m: float, height_m: float, rail: bool, px_per_m: float
) -> Pixels:
    """Stained concrete with joints, its foot wider than its head; with ``rail`` one more ``RAIL_M`` high."""
    extra = RAIL_M if rail else 0.0
    brush = Brush(width_m, height_m + extra, px_per_m)
    level, warm = rng.uniform(70, 205), rng.uniform(-0.02, 0.07)
    wall = (level * (1 - warm), level, level * (1 + warm))
    brush.box(0, extra, width_m, height_m, wall)
    foot = rng.uniform(0.25, 0.5) * height_m
    brush.box(0, extra + height_m - foot, width_m, foot * 0.8, scaled(wall, float(rng.uniform(0.95, 1.15))))
    brush.box(0, extra + height_m - 0.09, width_m, 0.09, scaled(wall, 0.7))
    brush.box(0, extra, width_m, 0.05, scaled(wall, 1.15))
    joint = float(rng.choice([3.0, 4.0, 6.0, 12.0]))
    for x in np.arange(joint / 2, width_m, joint):
        brush.box(x, extra, 0.04, height_m, scaled(wall, 0.6))
    _stain(brush, rng)
    if rail:
        _paint_rail(brush, rng, width_m)
    return brush.pixels


def _stain(brush: Brush, rng: np.random.Generator) -> None:
    """Streaks that run down, blotches, and rubber from wheels."""
    height, width = brush.pixels.shape[:2]
    streaks = np.repeat(clouds((2, width), rng, 30, 4)[:1], height, 0)
    streaks = streaks * np.linspace(1, 0.3, height, dtype=np.float32)[:, None]
    blotches = clouds((height, width), rng, 8, 4)
    grain = speckle((height, width), rng, 0.7)
    brush.light(1 + rng.uniform(0.05, 0.2) * streaks + 0.12 * blotches + 0.03 * grain)


def _paint_rail(brush: Brush, rng: np.random.Generator, width_m: float) -> None:
    """A pipe or beam on short posts."""
    steel, thick = scaled(_STEEL, float(rng.uniform(0.5, 1.15))), float(rng.uniform(0.08, 0.16))
    for x in np.arange(1.0, width_m, float(rng.choice([2.0, 3.0]))):
        brush.box(x, 0.05, 0.14, RAIL_M - 0.03, scaled(steel, 0.7))
    brush.box(0, 0.04, width_m, thick, steel)
    brush.box(0, 0.04 + thick * 0.6, width_m, thick * 0.4, scaled(steel, 0.65))


def paint_guard(rng: np.random.Generator, width_m: float, px_per_m: float) -> Pixels:
    """A W-beam on posts, ``GUARD_M`` high."""
    brush = Brush(width_m, GUARD_M, px_per_m)
    steel = scaled(_STEEL, float(rng.uniform(0.7, 1.2)))
    post = mix(rgb(0x6B5138), scaled(_STEEL, 0.7), float(rng.random() < 0.6))
    for x in np.arange(0.5, width_m, 2.0):
        brush.box(x, 0.06, 0.15, GUARD_M - 0.06, post)
    for y, tone in ((0.05, 0.85), (0.1, 1.2), (0.16, 0.75), (0.21, 0.6), (0.26, 1.15), (0.31, 0.7)):
        brush.box(0, y, width_m, 0.055, scaled(steel, tone))
    height, width = brush.pixels.shape[:2]
    brush.light(1 + 0.1 * clouds((height, width), rng, 12, 4))
    return brush.pixels


def paint_top(px_per_m: float, level: float) -> Pixels:
    """The top of a barrier, (24 m, 0.25 m)."""
    return Brush(24.0, 0.25, px_per_m, (level, level, level)).pixels


def paint_panel(rng: np.random.Generator, size_m: tuple[float, float], px_per_m: float) -> Pixels:
    """A direction sign: coloured, with a white rim, arrows and lines that stand for words."""
    width, height = size_m
    white = rgb(0xF4F4EF)
    brush = Brush(width, height, px_per_m, white)
    ground = rgb(int(rng.choice([0x0B6B43, 0x1F55A5, 0x176B52, 0xE8B21C, 0xF0F0EA])))
    ink = rgb(0x1B1B1B) if sum(ground) > 400 else white
    brush.box(0.06, 0.06, width - 0.12, height - 0.12, ground)
    for y in np.arange(0.35, height - 0.5, 0.62):
        x = 0.4
        while x < width * rng.uniform(0.5, 0.9) - 0.2:
            word = float(rng.uniform(0.1, 0.24))
            brush.box(x, y, word, 0.34, ink)
            x += word + float(rng.uniform(0.05, 0.2))
    return brush.pixels


def paint_bridge(rng: np.random.Generator, width_m: float, height_m: float, px_per_m: float) -> Pixels:
    """The face of a bridge: a parapet above beams."""
    level = rng.uniform(110, 190)
    wall = (level * 0.95, level, level * 1.03)
    brush = Brush(width_m, height_m, px_per_m, wall)
    brush.box(0, height_m * 0.45, width_m, height_m * 0.08, scaled(wall, 1.15))
    brush.box(0, height_m * 0.53, width_m, height_m * 0.47, scaled(wall, float(rng.uniform(0.5, 0.85))))
    _stain(brush, rng)
    return brush.pixels


def paint_plain(
    rng: np.random.Generator, color: Color, size_m: tuple[float, float], px_per_m: float
) -> Pixels:
    """One colour, stained: pillars, the underside of a bridge."""
    brush = Brush(*size_m, px_per_m, color)
    _stain(brush, rng)
    return brush.pixels


def paint_bush(rng: np.random.Generator, size_m: tuple[float, float], leaf: Color, px_per_m: float) -> Pixels:
    """Leaves from the ground up."""
    width, height = size_m
    brush = Brush(width, height, px_per_m)
    paint_crown(brush, rng, (width / 2, height * 0.55, width * 0.47, height * 0.5), leaf)
    return brush.pixels


def paint_thin_tree(
    rng: np.random.Generator, size_m: tuple[float, float], leaf: Color, px_per_m: float
) -> Pixels:
    """Bare limbs that fork again and again, with the sky between few leaves."""
    width, height = size_m
    brush = Brush(width, height, px_per_m)
    bark = mix(rgb(0x4A4038), rgb(0x8D8578), float(rng.random()))
    limbs = [(width / 2, height, -np.pi / 2, height * 0.23, 0.3)]
    for _ in range(5):
        limbs = [twig for limb in limbs for twig in _fork(brush, rng, limb, bark)]
    for x, y, *_ in limbs:
        if rng.random() < 0.7:
            size = height * float(rng.uniform(0.05, 0.11))
            tone = scaled(leaf, float(rng.uniform(0.7, 1.1)))
            paint_crown(brush, rng, (x, y, size * 1.3, size), tone, 14)
    return brush.pixels


_Limb = tuple[float, float, float, float, float]


def _fork(brush: Brush, rng: np.random.Generator, limb: _Limb, bark: Color) -> list[_Limb]:
    """Draw a limb (x, y, angle, length, thickness) and list those that grow from its end."""
    x, y, angle, length, thick = limb
    end_x, end_y = x + length * float(np.cos(angle)), y + length * float(np.sin(angle))
    brush.line([(x, y), (end_x, end_y)], bark, thick)
    spread = rng.uniform(0.2, 0.6, int(rng.integers(2, 4))) * (-1) ** rng.integers(0, 2)
    turns = [float(angle + turn * (-1) ** place) for place, turn in enumerate(spread)]
    return [(end_x, end_y, turn, length * float(rng.uniform(0.6, 0.85)), thick * 0.62) for turn in turns]


def paint_wood(
    rng: np.random.Generator, size_m: tuple[float, float], leaves: tuple[Color, Color], px_per_m: float
) -> Pixels:
    """The edge of a wood or a row of bushes: crown beside crown."""
    width, height = size_m
    brush = Brush(width, height, px_per_m)
    edge = height * (0.35 + 0.25 * clouds((2, 96), rng, 8, 3)[0])
    top = [
        (width * place / 95, float(np.clip(edge[place], 0.1 * height, 0.8 * height))) for place in range(96)
    ]
    brush.shape([*top, (width, height), (0, height)], scaled(mix(*leaves, 0.5), 0.45))
    for _ in range(12):
        x, size = rng.uniform(0, width), rng.uniform(0.3, 0.55) * height
        y = height - size * rng.uniform(0.7, 1.15)
        leaf = scaled(mix(*leaves, float(rng.random())), float(rng.uniform(0.75, 1.1)))
        paint_crown(brush, rng, (x, y, size * rng.uniform(0.7, 1.3), size), leaf, 110)
    return brush.pixels


def paint_slope(
    rng: np.random.Generator, size_m: tuple[float, float], colors: tuple[Color, Color], px_per_m: float
) -> Pixels:
    """A grown-over bank, ragged along its top."""
    brush = Brush(*size_m, px_per_m, (0.0, 0.0, 0.0))
    height, width = brush.pixels.shape[:2]
    share = np.clip(0.5 + clouds((height, width), rng, 12, 5), 0, 1)[..., None]
    light = 1 + 0.14 * speckle((height, width), rng, 1.0) + 0.1 * clouds((height, width), rng, 40, 2)
    first, second = (np.array(color) for color in colors)
    brush.pixels[..., :3] = np.clip((first + (second - first) * share) * light[..., None], 0, 255)
    return brush.pixels


def paint_hills(rng: np.random.Generator, look: Look, width_px: int) -> Pixels:
    """Two or three ridges, the nearest with trees; 100 wide, 5 high."""
    brush = Brush(100.0, 5.0, max(1.0, width_px / 100.0))
    wood = mix(rgb(0x4C5F3B), rgb(0x8A8453), float(rng.random()))
    ridges = int(rng.integers(1, 4))
    for ridge in range(ridges):
        share = (ridge + 1) / ridges
        tone = mix(
            mix(look.horizon, look.zenith, 0.4), scaled(wood, 0.55 + 0.3 * look.ground[1]), 0.3 + 0.5 * share
        )
        rise = rng.uniform(0.8, 4.4) * (1 - 0.5 * share) + 0.3
        curve = 5 - 0.3 - rise * (0.6 + 0.5 * clouds((2, 800), rng, int(rng.integers(2, 6)), 3)[0])
        curve = curve - 0.12 * share * np.abs(clouds((2, 800), rng, 120, 3)[0])
        points = [(100 * place / 799, float(min(curve[place], 4.7))) for place in range(800)]
        brush.shape([*points, (100, 5), (0, 5)], tone)
    return brush.pixels
