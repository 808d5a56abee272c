"""People: a body and four limbs, each a stiff piece."""

from __future__ import annotations

from .brush import Brush
from .palette import Color, rgb, scaled
from .texture import Pixels

BODY_M = (0.56, 0.95)
LIMB_M = (0.22, 0.86)
ARM_M = (0.16, 0.66)
COATS = (0x2F4A6B, 0xA63D40, 0x3E5C47, 0xD1A24B, 0x5B5560, 0xC7C2B8, 0x7A4B6B, 0x2B2E33)
TROUSERS = (0x2A3242, 0x4A4038, 0x23262B, 0x5E6470)
SKINS = (0xE9BE9B, 0xC68E67, 0x8A5A3C, 0xF0CDB0)
HAIRS = (0x2A2019, 0x5B3E25, 0xB58A4A, 0x1B1A1C, 0x8C8A88)


def paint_body(coat: Color, skin: Color, hair: Color, px_per_m: float, front: bool) -> Pixels:
    """Head and trunk."""
    brush = Brush(*BODY_M, px_per_m)
    middle = BODY_M[0] / 2
    brush.shape([(0.09, 0.34), (0.2, 0.27), (0.36, 0.27), (0.47, 0.34), (0.45, 0.95), (0.11, 0.95)], coat)
    brush.shape([(0.36, 0.27), (0.47, 0.34), (0.45, 0.95), (0.36, 0.95)], scaled(coat, 0.78))
    brush.box(middle - 0.05, 0.2, 0.1, 0.1, scaled(skin, 0.85))
    brush.disc(middle, 0.135, 0.105, hair if not front else skin, 1.2)
    if front:
        brush.disc(middle, 0.07, 0.105, hair, 0.6)
        brush.line([(middle, 0.3), (middle, 0.9)], scaled(coat, 0.6), 0.02)
    return brush.pixels


def paint_leg(trousers: Color, px_per_m: float) -> Pixels:
    """Hip to shoe."""
    brush = Brush(*LIMB_M, px_per_m)
    brush.shape([(0.02, 0.0), (0.2, 0.0), (0.16, 0.8), (0.06, 0.8)], trousers)
    brush.shape([(0.13, 0.0), (0.2, 0.0), (0.16, 0.8), (0.11, 0.8)], scaled(trousers, 0.75))
    brush.box(0.04, 0.78, 0.14, 0.08, rgb(0x25211E))
    return brush.pixels


def paint_arm(coat: Color, skin: Color, px_per_m: float) -> Pixels:
    """Shoulder to hand."""
    brush = Brush(*ARM_M, px_per_m)
    brush.shape([(0.03, 0.0), (0.13, 0.0), (0.12, 0.58), (0.04, 0.58)], scaled(coat, 0.88))
    brush.disc(0.08, 0.6, 0.045, skin)
    return brush.pixels


def paint_cycle(px_per_m: float) -> Pixels:
    """A bicycle from behind or before: wheel, frame and handlebar."""
    brush = Brush(0.6, 1.1, px_per_m)
    brush.box(0.27, 0.42, 0.06, 0.68, rgb(0x1C1D1F))
    brush.box(0.28, 0.1, 0.045, 0.4, rgb(0x7C2F2F))
    brush.line([(0.04, 0.12), (0.56, 0.12)], rgb(0x2A2C2F), 0.04)
    brush.box(0.26, 0.36, 0.08, 0.06, rgb(0xC02424))
    return brush.pixels
