"""Street furniture: lamps, traffic signs, fences."""

from __future__ import annotations

import math

import numpy as np

from . import cars
from .brush import Brush, clouds
from .palette import Look, mix, rgb, scaled
from .texture import Pixels

POLE_M = (0.16, 5.6)
SIGN_M = 0.75
SIGNS = ("limit", "crossing", "no parking", "give way")


def paint_pole(px_per_m: float) -> Pixels:
    """A slim tapered pole."""
    brush = Brush(*POLE_M, px_per_m)
    brush.shape([(0.05, 0), (0.11, 0), (0.14, POLE_M[1]), (0.02, POLE_M[1])], rgb(0x4A5054))
    brush.shape([(0.05, 0), (0.075, 0), (0.065, POLE_M[1]), (0.02, POLE_M[1])], rgb(0x6C7377))
    return brush.pixels


def paint_lamp(look: Look, px_per_m: float) -> Pixels:
    """A lamp's arm and head."""
    brush = Brush(1.7, 0.6, px_per_m)
    brush.line([(0.05, 0.55), (0.25, 0.18), (1.0, 0.12)], rgb(0x4A5054), 0.07)
    brush.shape([(0.85, 0.06), (1.6, 0.1), (1.55, 0.22), (0.9, 0.22)], rgb(0x3D4245))
    bulb = rgb(0xFFE7B0) if look.lamps_lit else rgb(0xD5D8D8)
    brush.shape([(0.95, 0.2), (1.5, 0.2), (1.4, 0.29), (1.05, 0.29)], bulb)
    return brush.pixels


def paint_sign(kind: str, px_per_m: float) -> Pixels:
    """A traffic sign's plate."""
    brush = Brush(SIGN_M, SIGN_M, px_per_m)
    centre, red, white, blue = SIGN_M / 2, rgb(0xC5202B), rgb(0xF6F4EE), rgb(0x1F55A5)
    if kind == "limit":
        brush.disc(centre, centre, 0.37, red)
        brush.disc(centre, centre, 0.27, white)
        black = (35.0, 30.0, 30.0)
        for y in (0.26, 0.375, 0.49):
            brush.line([(0.25, y), (0.35, y)], black, 0.045)
        brush.line([(0.35, 0.26), (0.35, 0.49)], black, 0.045)
        zero = [(0.42, 0.26), (0.51, 0.26), (0.51, 0.49), (0.42, 0.49)]
        brush.line(zero, black, 0.045, True)
    elif kind == "crossing":
        brush.box(0.02, 0.02, SIGN_M - 0.04, SIGN_M - 0.04, blue)
        brush.shape([(centre, 0.1), (0.65, 0.62), (0.1, 0.62)], white)
        brush.line([(0.37, 0.27), (0.38, 0.42), (0.3, 0.56)], (35, 30, 30), 0.05)
        brush.line([(0.38, 0.42), (0.46, 0.56)], (35, 30, 30), 0.05)
    elif kind == "no parking":
        brush.disc(centre, centre, 0.37, red)
        brush.disc(centre, centre, 0.3, blue)
        brush.line([(0.17, 0.17), (0.58, 0.58)], red, 0.08)
    else:
        points = [
            (centre + 0.42 * math.cos(a), 0.3 + 0.42 * math.sin(a)) for a in (math.pi / 2, -2.62, -0.52)
        ]
        brush.shape(points, red)
        inner = [(centre + 0.27 * math.cos(a), 0.3 + 0.27 * math.sin(a)) for a in (math.pi / 2, -2.62, -0.52)]
        brush.shape(inner, white)
    return brush.pixels


def paint_fence(rng: np.random.Generator, width_m: float, px_per_m: float) -> Pixels:
    """Boards on two rails, on a low wall."""
    brush = Brush(width_m, 1.35, px_per_m)
    tone = np.array(rgb(int(rng.choice([0x8D6F53, 0xD9D4C8, 0x5F6B5E]))))
    for x in np.arange(0, width_m, 0.2):
        color = tuple((tone * rng.uniform(0.88, 1.06)).clip(0, 255).tolist())
        brush.box(x, 0.05 + 0.05 * (round(x / 0.2) % 2), 0.17, 1.1, color)
    for y in (0.28, 0.85):
        brush.box(0, y, width_m, 0.08, tuple((tone * 0.72).tolist()))
    brush.box(0, 1.08, width_m, 0.27, rgb(0x9B948A))
    return brush.pixels


def paint_bonnet(rng: np.random.Generator, look: Look, width_px: float) -> Pixels:
    """A car's bonnet from above the wheel, the sky in its lacquer; 1 m wide, 0.12 m high."""
    brush = Brush(1.0, 0.12, max(64.0, width_px))
    color = rgb(int(rng.choice(cars.COLORS)))
    crest, drop = rng.uniform(0.03, 0.07), rng.uniform(0.01, 0.03)
    across = np.linspace(-0.02, 1.02, 25)
    top = [(float(x), float(crest + drop * (2 * x - 1) ** 2)) for x in across]
    brush.shape([*top, (1.02, 0.14), (-0.02, 0.14)], mix(color, look.horizon, 0.25))
    brush.line(top, scaled(color, 0.45), 0.004)
    brush.line([(x, y + 0.012) for x, y in top], mix(color, look.horizon, 0.6), 0.004)
    height, width = brush.pixels.shape[:2]
    brush.light(1 + 0.3 * clouds((height, width), rng, 4))
    return brush.pixels
