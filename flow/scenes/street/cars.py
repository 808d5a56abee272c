"""Cars: a few flat sides that together look like a body."""

from __future__ import annotations

from .brush import Brush
from .palette import Color, Look, mix, rgb, scaled
from .texture import Pixels

LENGTH_M, WIDTH_M, HEIGHT_M = 4.3, 1.8, 1.48
BELT_M = 0.92
"""Height of the lower body: above it is glass."""
COLORS = (
    0xB3262C, 0x23456F, 0xE9E9E6, 0x2B2D30, 0x8E979D, 0x4E6B57, 0xD7A63A, 0x6A86A8,
    0x121315, 0xF6F6F4, 0xBFC3C6, 0x54585D, 0x6E1A20, 0x1B2A47,
)  # fmt: skip
"""A town's cars have the first eight."""

_TYRE, _RIM = rgb(0x1B1C1E), rgb(0xA9ADB0)


def _glass(look: Look) -> Color:
    return mix(rgb(0x1D252C), look.horizon, 0.18)


def paint_side(color: Color, look: Look, px_per_m: float) -> Pixels:
    """The side, its front to the left."""
    brush = Brush(LENGTH_M, HEIGHT_M, px_per_m)
    brush.shape(
        [(0.05, 1.15), (0.04, 0.72), (0.25, 0.62), (1.15, 0.5), (1.8, 0.06), (3.3, 0.04), (4.0, 0.5),
         (4.26, 0.58), (4.28, 1.12), (4.1, 1.27), (0.3, 1.27)], color,
    )  # fmt: skip
    brush.shape(
        [(0.05, 0.95), (4.27, 0.95), (4.27, 1.12), (4.1, 1.27), (0.3, 1.27), (0.05, 1.15)],
        scaled(color, 0.74),
    )
    brush.line([(0.15, 0.78), (4.2, 0.72)], mix(color, rgb(0xFFFFFF), 0.35), 0.04)
    brush.shape([(1.32, 0.52), (1.88, 0.14), (2.45, 0.13), (2.45, 0.52)], _glass(look))
    brush.shape([(2.55, 0.52), (2.55, 0.13), (3.22, 0.13), (3.78, 0.52)], _glass(look))
    brush.shape([(1.6, 0.52), (2.0, 0.14), (2.2, 0.14), (1.8, 0.52)], mix(_glass(look), look.horizon, 0.3))
    brush.line([(2.5, 0.55), (2.48, 1.2)], scaled(color, 0.6), 0.03)
    brush.box(0.04, 0.72, 0.24, 0.14, rgb(0xF4F1E4))
    brush.box(4.12, 0.66, 0.16, 0.18, rgb(0xB01E1E))
    for x in (0.85, 3.45):
        brush.disc(x, 1.14, 0.38, scaled(color, 0.3))
        brush.disc(x, 1.16, 0.32, _TYRE)
        brush.disc(x, 1.16, 0.19, _RIM)
        brush.disc(x, 1.16, 0.06, _TYRE)
    return brush.pixels


def paint_lower(color: Color, look: Look, px_per_m: float, rear: bool) -> Pixels:
    """Bumper, lights, number plate and tyres."""
    brush = Brush(WIDTH_M, BELT_M, px_per_m)
    for x in (0.08, WIDTH_M - 0.33):
        brush.box(x, 0.6, 0.25, 0.32, _TYRE)
    brush.box(0.12, 0.6, WIDTH_M - 0.24, 0.24, rgb(0x151618))
    brush.shape(
        [
            (0.06, 0.04),
            (WIDTH_M - 0.06, 0.04),
            (WIDTH_M, 0.28),
            (WIDTH_M - 0.02, 0.7),
            (WIDTH_M - 0.1, 0.77),
            (0.1, 0.77),
            (0.02, 0.7),
            (0, 0.28),
        ],
        color,
    )
    brush.shape(
        [
            (0.02, 0.5),
            (WIDTH_M - 0.02, 0.5),
            (WIDTH_M - 0.02, 0.7),
            (WIDTH_M - 0.1, 0.77),
            (0.1, 0.77),
            (0.02, 0.7),
        ],
        scaled(color, 0.62),
    )
    brush.box(0.1, 0.06, WIDTH_M - 0.2, 0.035, mix(color, rgb(0xFFFFFF), 0.35))
    light = rgb(0xC81E1E) if rear else rgb(0xFBF7E4)
    for x in (0.05, WIDTH_M - 0.43):
        brush.box(x, 0.14, 0.38, 0.2, light)
        brush.box(x + 0.05, 0.17, 0.14, 0.09, mix(light, rgb(0xFFFFFF), 0.6))
    if rear:
        brush.box(0.5, 0.1, WIDTH_M - 1.0, 0.05, scaled(color, 0.75))
    else:
        brush.box(0.5, 0.16, WIDTH_M - 1.0, 0.18, rgb(0x24272A))
    brush.box(WIDTH_M / 2 - 0.26, 0.4, 0.52, 0.12, rgb(0xF2F0E6))
    return brush.pixels


def paint_upper(color: Color, look: Look, px_per_m: float, rear: bool) -> Pixels:
    """The glass between the belt and the roof, in its pillars."""
    height = HEIGHT_M - BELT_M + 0.06
    brush = Brush(WIDTH_M, height, px_per_m)
    brush.shape(
        [(0.04, height), (0.3, 0.02), (WIDTH_M - 0.3, 0.02), (WIDTH_M - 0.04, height)], scaled(color, 0.92)
    )
    glass = _glass(look)
    brush.shape(
        [(0.18, height - 0.05), (0.38, 0.1), (WIDTH_M - 0.38, 0.1), (WIDTH_M - 0.18, height - 0.05)], glass
    )
    brush.shape(
        [(0.3, height - 0.1), (0.5, 0.12), (0.9, 0.12), (0.6, height - 0.1)], mix(glass, look.horizon, 0.4)
    )
    return brush.pixels
