"""Building fronts: a few styles of house, each drawn in its own colours."""

from __future__ import annotations

import numpy as np

from .brush import Brush, clouds, speckle
from .palette import Color, Look, mix, rgb, scaled
from .texture import Pixels

STYLES = ("plaster", "brick", "stone", "modern")
GROUND_FLOOR_M = 3.9
STOREY_M = 3.1
ROOF_M = 2.4

_WALLS: dict[str, tuple[int, ...]] = {
    "plaster": (0xE8D3A8, 0xD9A27E, 0xC9D2C0, 0xEDE3D2, 0xD8B8A0, 0xB9C6CF, 0xE3C17F, 0xD98E73),
    "brick": (0xA8604A, 0x8E5242, 0xB57A5A, 0x9A6B57),
    "stone": (0xD6CBB8, 0xC7BDAA, 0xDDD3C4, 0xB8AFA2),
    "modern": (0xDADBD8, 0xA9B1B5, 0x8C8F8E, 0xC8BEB0),
}
_SHOPS = (0x27453F, 0x7A2E2E, 0x2D3E5C, 0x3B3B3B, 0x5B4630, 0x1F5560, 0x6B5B2E, 0x4A2F4F)
_AWNINGS = (0xB8433A, 0x3D6B58, 0x31527D, 0xD9A441, 0x8A4B62, 0xE6E0D0)
_ROOFS = (0x5C5F68, 0x8A4A3A, 0x6E4B41, 0x4B5058)


def paint_facade(
    rng: np.random.Generator, look: Look, width_m: float, storeys: int, px_per_m: float
) -> Pixels:
    """A front of ``storeys`` above the ground floor, with its roof; transparent beside the roof."""
    style = STYLES[int(rng.integers(len(STYLES)))]
    wall = rgb(int(rng.choice(_WALLS[style])))
    height_m = height_of(storeys)
    brush = Brush(width_m, height_m, px_per_m)
    _paint_roof(brush, rng, style, width_m, look)
    brush.box(0, ROOF_M, width_m, height_m - ROOF_M, wall)
    _paint_grain(brush, rng, style)
    if style == "modern":
        _paint_bands(brush, rng, look, width_m, storeys, wall)
    else:
        _paint_windows(brush, rng, look, width_m, storeys, style, wall)
    _paint_shops(brush, rng, look, width_m, height_m)
    _paint_cornice(brush, width_m, wall)
    _shade(brush, rng)
    return brush.pixels


def height_of(storeys: int) -> float:
    """Metres from the ground to the ridge."""
    return GROUND_FLOOR_M + storeys * STOREY_M + ROOF_M


def _paint_grain(brush: Brush, rng: np.random.Generator, style: str) -> None:
    shape = brush.pixels.shape[:2]
    stains = 1.0 + 0.05 * clouds((shape[0], shape[1]), rng, 3)
    if style == "brick":
        rows = np.arange(shape[0]) / brush.px_per_m / 0.16
        stains = stains + (0.05 * np.sign(np.sin(rows * np.pi)))[:, None]
    grain = 0.025 * speckle((shape[0], shape[1]), rng, 0.8)
    brush.light((stains + grain).astype(np.float32))


def _paint_roof(brush: Brush, rng: np.random.Generator, style: str, width_m: float, look: Look) -> None:
    if style == "modern":
        brush.box(0.3, ROOF_M - 0.45, width_m - 0.6, 0.5, rgb(0x9AA0A4))
        return
    roof = rgb(int(rng.choice(_ROOFS)))
    inset = rng.uniform(0.0, 0.9)
    brush.shape([(0, ROOF_M), (inset, 0.45), (width_m - inset, 0.45), (width_m, ROOF_M)], roof)
    for row in np.arange(0.6, ROOF_M, 0.26):
        brush.line([(0.2, row), (width_m - 0.2, row)], scaled(roof, 0.9), 0.04)
    for x in np.arange(1.8, width_m - 1.6, rng.uniform(2.6, 3.6)):
        brush.box(x, 0.95, 1.1, ROOF_M - 0.95, scaled(roof, 1.35))
        brush.box(x + 0.16, 1.15, 0.78, 0.95, mix(look.zenith, rgb(0x20262E), 0.55))
    for x in rng.uniform(0.8, width_m - 1.4, 2):
        brush.box(x, 0.0, 0.7, 0.7, scaled(roof, 0.8))


def _glass(rng: np.random.Generator, look: Look) -> Color:
    if look.lamps_lit and rng.random() < 0.16:
        return mix(rgb(0xFFD58A), rgb(0xF2B45C), rng.random())
    return mix(mix(look.zenith, rgb(0x1C242E), 0.62), look.horizon, 0.3 * rng.random())


def _paint_windows(
    brush: Brush,
    rng: np.random.Generator,
    look: Look,
    width_m: float,
    storeys: int,
    style: str,
    wall: Color,
) -> None:
    pitch = rng.uniform(2.1, 2.9)
    count = max(2, int((width_m - 0.8) / pitch))
    frame = rgb(0xF3EFE6) if style != "stone" else scaled(wall, 1.12)
    shutter = rgb(int(rng.choice([0x4F6B5B, 0x6B4A3A, 0x51647A, 0x7C8A8F])))
    shutters = style == "plaster" and rng.random() < 0.6
    balcony = style == "stone" or rng.random() < 0.25
    for floor in range(storeys):
        top = ROOF_M + floor * STOREY_M + 0.65
        for column in range(count):
            x = (column + 0.5) * width_m / count - 0.55
            _paint_window(brush, x, top, 1.1, 1.75, _glass(rng, look), frame, rng)
            if shutters:
                brush.box(x - 0.5, top, 0.44, 1.75, shutter)
                brush.box(x + 1.16, top, 0.44, 1.75, shutter)
            if balcony and (floor + column) % 2 == 0:
                _paint_balcony(brush, x, top + 1.1)
        brush.box(0, top + 2.2, width_m, 0.12, scaled(wall, 0.9))


def _paint_window(
    brush: Brush, x: float, y: float, w: float, h: float, glass: Color, frame: Color,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    brush.box(x - 0.13, y - 0.16, w + 0.26, h + 0.3, frame)
    brush.box(x, y, w, h, glass)
    brush.shape([(x, y), (x + w, y), (x, y + h * 0.8)], mix(glass, rgb(0xFFFFFF), 0.13))
    if rng.random() < 0.5:
        curtain = mix(glass, rgb(0xF4EFE4), 0.55)
        brush.box(x, y, w * 0.24, h, curtain)
        brush.box(x + w * 0.76, y, w * 0.24, h, curtain)
    brush.box(x + w / 2 - 0.04, y, 0.08, h, frame)
    brush.box(x, y + h * 0.35, w, 0.07, frame)
    brush.box(x - 0.2, y + h + 0.1, w + 0.4, 0.12, scaled(frame, 0.82))


def _paint_balcony(brush: Brush, x: float, y: float) -> None:
    iron = rgb(0x34383C)
    brush.box(x - 0.35, y, 1.8, 0.07, iron)
    for bar in np.arange(x - 0.35, x + 1.45, 0.16):
        brush.box(bar, y, 0.045, 0.8, iron)
    brush.box(x - 0.4, y + 0.75, 1.9, 0.15, rgb(0x9A9388))


def _paint_bands(
    brush: Brush, rng: np.random.Generator, look: Look, width_m: float, storeys: int, wall: Color
) -> None:
    pitch = rng.uniform(1.2, 1.8)
    for floor in range(storeys):
        top = ROOF_M + floor * STOREY_M + 0.7
        for x in np.arange(0.3, width_m - pitch + 0.1, pitch):
            glass = _glass(rng, look)
            brush.box(x, top, pitch - 0.14, 1.9, glass)
            brush.shape([(x, top), (x + pitch - 0.14, top), (x, top + 1.4)], mix(glass, look.horizon, 0.16))
        brush.box(0, top + 2.05, width_m, 0.1, scaled(wall, 0.8))


def _paint_shops(brush: Brush, rng: np.random.Generator, look: Look, width_m: float, height_m: float) -> None:
    top = height_m - GROUND_FLOOR_M
    count = max(1, round(width_m / rng.uniform(4.5, 6.5)))
    span = width_m / count
    for shop in range(count):
        x, trim = shop * span + 0.2, rgb(int(rng.choice(_SHOPS)))
        brush.box(x, top + 0.3, span - 0.4, GROUND_FLOOR_M - 0.3, trim)
        glow = rgb(0xFFDFA6) if look.lamps_lit else mix(look.horizon, rgb(0x39424A), 0.7)
        glass = mix(rgb(0x2B333A), glow, rng.uniform(0.25, 0.7))
        brush.box(x + 0.25, top + 1.15, span - 2.1, 2.2, glass)
        for _ in range(6):
            item = rng.uniform(x + 0.4, x + max(span - 2.3, 0.5))
            goods = mix(glass, tuple(rng.uniform(40, 230, 3)), 0.5)
            tall = rng.uniform(0.3, 1.1)
            brush.box(item, top + 3.35 - tall, 0.35, tall, goods)
        brush.box(x + span - 1.65, top + 1.15, 1.0, 2.7, mix(glass, rgb(0x15181B), 0.45))
        sign = mix(trim, rgb(0xF5E9CF), 0.8)
        for letter in range(int(rng.integers(4, 9))):
            brush.box(x + 0.5 + letter * 0.32, top + 0.5, 0.2, 0.32, sign)
        if rng.random() < 0.6:
            _paint_awning(brush, x, top + 0.95, span - 0.5, rgb(int(rng.choice(_AWNINGS))))


def _paint_awning(brush: Brush, x: float, y: float, width: float, color: Color) -> None:
    stripes = max(3, round(width / 0.4))
    for stripe in range(stripes):
        left = x + stripe * width / stripes
        tone = color if stripe % 2 == 0 else rgb(0xF4EEE0)
        brush.box(left, y, width / stripes, 0.62, tone)
        brush.disc(left + width / stripes / 2, y + 0.62, width / stripes / 2, tone, 0.6)
    brush.box(x, y + 0.85, width, 0.14, (40, 40, 42))


def _paint_cornice(brush: Brush, width_m: float, wall: Color) -> None:
    brush.box(0, ROOF_M - 0.12, width_m, 0.3, scaled(wall, 1.12))
    brush.box(0, ROOF_M + 0.18, width_m, 0.14, scaled(wall, 0.72))


def _shade(brush: Brush, rng: np.random.Generator) -> None:
    """Darker towards the ground and at the seams: cheap ambient occlusion."""
    height, width = brush.pixels.shape[:2]
    down = np.linspace(1.04, 0.84, height, dtype=np.float32)[:, None]
    edge = np.minimum(np.arange(width), np.arange(width)[::-1]) / brush.px_per_m
    across = (1.0 - 0.16 * np.exp(-edge / 0.25)).astype(np.float32)[None]
    brush.light(down * across)


def paint_wall(rng: np.random.Generator, width_m: float, height_m: float, px_per_m: float) -> Pixels:
    """A blind side wall with a few small windows."""
    wall = rgb(int(rng.choice([0xC9B89C, 0xB8A793, 0xA77A62, 0xC4BEB2, 0xD2C3A6])))
    brush = Brush(width_m, height_m, px_per_m, wall)
    shape = brush.pixels.shape[:2]
    brush.light(1 + 0.09 * clouds((shape[0], shape[1]), rng, 3))
    for _ in range(3):
        x, y = rng.uniform(0.8, width_m - 1.6), rng.uniform(1.5, height_m - 3)
        brush.box(x - 0.08, y - 0.08, 0.86, 1.26, rgb(0xE4DED0))
        brush.box(x, y, 0.7, 1.1, rgb(0x3C4650))
    brush.light(np.linspace(1.02, 0.86, shape[0], dtype=np.float32)[:, None])
    return brush.pixels
