"""Sky, far skyline, ground and trees."""

from __future__ import annotations

import cv2
import numpy as np

from .brush import Brush, clouds, periodic, speckle
from .ground import HALF_WIDTH_M, PAVED_M, ROAD_M, SEAM_M, TILE_M, VERGE
from .palette import Color, Look, mix, rgb, scaled
from .texture import Pixels

SKY_SPAN = (2.6, 1.3)
"""Width and height of the sky's texture, at distance 1 before the camera; its foot is at 0.08 below."""
SKY_FOOT = 0.08


def paint_sky(rng: np.random.Generator, look: Look, width_px: int) -> Pixels:
    """Gradient, sun glow and soft clouds."""
    width = max(64, width_px)
    height = round(width * SKY_SPAN[1] / SKY_SPAN[0])
    x = np.linspace(-SKY_SPAN[0] / 2, SKY_SPAN[0] / 2, width, dtype=np.float32)[None]
    up = np.linspace(SKY_SPAN[1] - SKY_FOOT, -SKY_FOOT, height, dtype=np.float32)[:, None]
    share = (1 - np.exp(-np.clip(up, 0, None) / 0.32))[..., None]
    sky = np.array(look.horizon) * (1 - share) + np.array(look.zenith) * share
    sky = np.broadcast_to(sky, (height, width, 3)).astype(np.float32)
    sky = _with_clouds(sky, rng, look, x, up)
    sun_up = 0.16 if look.name == "evening" else 0.75
    near = np.exp(-np.hypot(x - look.sun_x, (up - sun_up) * 1.1) / 0.22)[..., None]
    glow = (1 - look.overcast) * 0.85 * near
    sky = sky * (1 - glow) + np.array(look.sun, np.float32) * glow
    full = np.full((height, width, 1), 255, np.uint8)
    return np.concatenate([np.clip(sky, 0, 255).astype(np.uint8), full], 2)


def _with_clouds(
    sky: np.ndarray, rng: np.random.Generator, look: Look, x: np.ndarray, up: np.ndarray
) -> np.ndarray:
    """Clouds on a flat ceiling, seen in perspective."""
    plane = clouds((768, 768), rng, 6, 6)
    depth = 1.0 / np.maximum(up + 0.06, 0.05)
    along = (depth * 46 + np.zeros_like(x)).astype(np.float32)
    across = (x * depth * 60 + 384).astype(np.float32)
    field = cv2.remap(plane, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    lift = cv2.remap(plane, across, along + 7, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    cover = -0.3 - 0.35 * look.overcast + look.clear
    dense = np.clip((field - cover) / 0.55, 0, 1)
    dense = dense * dense * (3 - 2 * dense) * np.clip(up / 0.12, 0, 1) * 0.9
    shade = np.clip(0.45 + 1.4 * (field - lift) + 0.3 * dense, 0, 1)[..., None]
    tone = np.array(look.cloud_shade) * shade + np.array(look.cloud) * (1 - shade)
    mixed: np.ndarray = sky * (1 - dense[..., None]) + tone * dense[..., None]
    return mixed.astype(np.float32)


def paint_skyline(rng: np.random.Generator, look: Look, width_px: int) -> Pixels:
    """The town at the end of the street, nearly the colour of the haze."""
    brush = Brush(100.0, 12.0, max(1.0, width_px / 100.0))
    for depth in (0.16, 0.28):
        tone = mix(look.horizon, mix(look.zenith, rgb(0x5C6670), 0.6), depth)
        x = -2.0
        while x < 100:
            width, height = rng.uniform(1.5, 5.0), rng.uniform(2.0, 8.0) * (1 - depth)
            brush.box(x, 12 - height, width, height, tone)
            if rng.random() < 0.3:
                top = 12 - height - rng.uniform(0.8, 2.4)
                brush.shape([(x, 12 - height), (x + width / 2, top), (x + width, 12 - height)], tone)
            x += width * rng.uniform(0.7, 1.2)
    return brush.pixels


def paint_ground(seed: int, kind: str, look: Look, px_per_m: float) -> Pixels:
    """A tile of ground with its margins; all kinds agree where they meet."""
    rng = np.random.default_rng((seed, 301))
    brush = Brush(2 * HALF_WIDTH_M, TILE_M, px_per_m, VERGE)
    _paint_verge(brush, rng)
    _paint_pavement(brush, rng)
    _paint_road(brush, rng)
    _paint_marks(brush, kind)
    _paint_wear(brush, np.random.default_rng((seed, 302)), kind)
    _paint_house_shade(brush, look)
    margin = round(SEAM_M * px_per_m)
    return np.concatenate([brush.pixels[-margin:], brush.pixels, brush.pixels[:margin]])


def _columns(brush: Brush, left_m: float, right_m: float) -> slice:
    to_px = [round((x + HALF_WIDTH_M) * brush.px_per_m) for x in (left_m, right_m)]
    return slice(to_px[0], to_px[1])


def _texture(
    brush: Brush, rng: np.random.Generator, left: float, right: float, color: Color,
    soft: float, fine: float,
) -> None:  # fmt: skip
    part = brush.pixels[:, _columns(brush, left, right)]
    shape = part.shape[:2]
    factor = 1 + soft * periodic(shape, rng, 6) + fine * speckle(shape, rng, 0.7)
    part[..., :3] = np.clip(np.array(color) * factor[..., None], 0, 255)


def _paint_verge(brush: Brush, rng: np.random.Generator) -> None:
    for left, right in ((-HALF_WIDTH_M, -PAVED_M), (PAVED_M, HALF_WIDTH_M)):
        _texture(brush, rng, left, right, VERGE, 0.2, 0.12)


def _paint_road(brush: Brush, rng: np.random.Generator) -> None:
    _texture(brush, rng, -ROAD_M, ROAD_M, rgb(0x77787B), 0.07, 0.055)
    road = brush.pixels[:, _columns(brush, -ROAD_M, ROAD_M)]
    x = np.linspace(-ROAD_M, ROAD_M, road.shape[1])
    track = sum(np.exp(-(((x - c) / 0.32) ** 2)) for c in (-2.5, -1.0, 1.0, 2.5))
    gutter = np.exp(-(ROAD_M - np.abs(x)) / 0.3)
    factor = 1 - 0.07 * track - 0.22 * gutter
    road[..., :3] = np.clip(road[..., :3] * factor[None, :, None], 0, 255)


def _paint_pavement(brush: Brush, rng: np.random.Generator) -> None:
    for side in (-1, 1):
        left, right = sorted((side * ROAD_M, side * PAVED_M))
        _texture(brush, rng, left, right, rgb(0xB3ABA0), 0.06, 0.05)
        joint = rgb(0x958D83)
        for x in np.arange(left, right, 0.8):
            brush.line([(x + HALF_WIDTH_M, 0), (x + HALF_WIDTH_M, TILE_M)], joint, 0.03)
        for z in np.arange(0, TILE_M, 0.8):
            brush.line([(left + HALF_WIDTH_M, z), (right + HALF_WIDTH_M, z)], joint, 0.03)
        kerb = sorted((side * ROAD_M, side * (ROAD_M + 0.26)))
        brush.box(kerb[0] + HALF_WIDTH_M, 0, 0.26, TILE_M, rgb(0xCFC8BC))
        edge = side * ROAD_M + HALF_WIDTH_M - (0.12 if side > 0 else 0.0)
        brush.box(edge, 0, 0.12, TILE_M, rgb(0x57565A))


def _paint_marks(brush: Brush, kind: str) -> None:
    white = rgb(0xEFEFEA)
    for z in np.arange(1.5, TILE_M, 6.0):
        brush.box(HALF_WIDTH_M - 0.075, z, 0.15, 3.0, white)
    for side in (-1, 1):
        x = HALF_WIDTH_M + side * 3.5 - 0.05
        for z in np.arange(0.0, TILE_M, 6.0):
            brush.box(x, z, 0.1, 5.6 if kind != "zebra" or not 8 < z < 16 else 0.0, white)
    if kind == "zebra":
        brush.box(HALF_WIDTH_M - 0.3, 9.0, 0.6, 6.0, rgb(0x747578))
        for x in np.arange(-ROAD_M + 0.35, ROAD_M - 0.4, 1.0):
            brush.box(HALF_WIDTH_M + x, 10.2, 0.5, 3.6, white)


def _paint_wear(brush: Brush, rng: np.random.Generator, kind: str) -> None:
    if kind == "patched":
        brush.tint(HALF_WIDTH_M + 0.9, 7, 1.7, 4.4, 0.93)
        brush.tint(HALF_WIDTH_M - 3.1, 15, 1.2, 3.1, 0.95)
    for _ in range(2):
        x, z = rng.uniform(-2.8, 2.8), rng.uniform(3, TILE_M - 3)
        brush.disc(HALF_WIDTH_M + x, z, 0.36, rgb(0x505254))
        brush.disc(HALF_WIDTH_M + x, z, 0.28, rgb(0x66686A))


def _paint_house_shade(brush: Brush, look: Look) -> None:
    """What the houses on the sunny side of the sky keep from the sun."""
    x = np.linspace(-HALF_WIDTH_M, HALF_WIDTH_M, brush.pixels.shape[1], dtype=np.float32)
    inward = np.sign(look.sun_x) * x
    share = np.clip((inward - look.shade_x_m) / 0.5, 0, 1) * (1 - look.overcast)
    cool = 1 - share[:, None] * np.array([0.24, 0.31, 0.35], np.float32)
    brush.light(cool[None])


LEAVES = (0x5F8A3A, 0x86963F)
"""A tree's green lies between these."""


def paint_tree(
    rng: np.random.Generator,
    px_per_m: float,
    size_m: tuple[float, float],
    leaves: tuple[int, int] = LEAVES,
) -> Pixels:
    """A trunk, its branches, and a crown of some hundred tufts, dark below and bright towards the sun."""
    width, height = size_m
    brush = Brush(width, height, px_per_m)
    bark = mix(rgb(0x5E4C3C), rgb(0x77685A), rng.random())
    middle, foot = width / 2, height
    brush.shape(
        [(middle - 0.17, foot), (middle - 0.1, height * 0.4), (middle + 0.1, height * 0.4), (middle + 0.19, foot)],
        bark,
    )  # fmt: skip
    brush.shape(
        [(middle + 0.03, foot), (middle + 0.03, height * 0.4), (middle + 0.19, foot)], scaled(bark, 0.72)
    )
    crown = (middle, height * 0.38, width * 0.46, height * 0.36)
    leaf = mix(rgb(leaves[0]), rgb(leaves[1]), rng.random())
    paint_crown(brush, rng, crown, leaf)
    return brush.pixels


def paint_crown(
    brush: Brush,
    rng: np.random.Generator,
    crown: tuple[float, float, float, float],
    leaf: Color,
    tufts: int = 300,
) -> None:
    """Tufts around (x, y) in metres, within a half width and half height; six layers of ``tufts``."""
    x, y, half_width, half_height = crown
    lobes = [(rng.uniform(-0.55, 0.55), rng.uniform(-0.6, 0.55), rng.uniform(0.4, 0.62)) for _ in range(9)]
    for layer in range(6):
        for _ in range(tufts):
            lobe_x, lobe_y, radius = lobes[int(rng.integers(len(lobes)))]
            angle, far = rng.uniform(0, 2 * np.pi), radius * rng.random() ** 0.6 * (1 - 0.04 * layer)
            px, py = lobe_x + far * np.cos(angle), lobe_y + far * np.sin(angle)
            bright = 0.52 + 0.075 * layer - 0.34 * (far * np.sin(angle) / radius) - 0.12 * py
            tone = scaled(leaf, float(np.clip(bright + rng.uniform(-0.1, 0.1), 0.32, 1.35)))
            size = rng.uniform(0.05, 0.11) * (1.7 - 0.22 * layer)
            brush.disc(
                x + px * half_width, y + (py - 0.05 * layer) * half_height, size, tone,
                rng.uniform(0.45, 0.8), rng.uniform(0, 180),
            )  # fmt: skip


def paint_shadow(px: int = 48) -> Pixels:
    """A soft dark spot."""
    axis = np.linspace(-1, 1, px, dtype=np.float32)
    far = np.hypot(axis[None], axis[:, None])
    alpha = np.clip(1 - far, 0, 1) ** 1.2 * 165
    picture = np.zeros((px, px, 4), np.uint8)
    picture[..., 3] = alpha
    return picture


def paint_car_shadow() -> Pixels:
    """A dark rounded box with soft edges, (90, 50) pixels."""
    picture = np.zeros((90, 50, 4), np.uint8)
    picture[9:-9, 8:-8, 3] = 190
    picture[..., 3] = cv2.GaussianBlur(picture[..., 3], (0, 0), 3.2)
    return picture
