"""From a plan to a picture and its labels: ground, shadows, low things, shadows of tall things, these, finish."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Size
from keywarp.flow.scenes.street.labels import ROAD, TREE

from .brush import Brush, Mask, Pixels
from .camera import Array, Camera, random_camera
from .layout import Plan, Thing, random_plan
from .light import random_light
from .surfaces import Ground
from .tiles import Field, Tiles

_PAINTS = {"white": (222, 226, 228), "yellow": (70, 190, 232)}


def render(rng: np.random.Generator, size: Size, tiles: Tiles) -> tuple[Pixels, NDArray[np.uint8]]:
    """A view of chance: (H, W, 3) BGR and (H, W) labels, both uint8."""
    camera = random_camera(rng, size)
    plan = random_plan(rng, camera)
    classes = np.full(size[::-1], ROAD, np.uint8)
    brush = Brush(camera, random_light(rng), np.zeros((*classes.shape, 3), np.uint8), classes)
    ground = Ground(rng, camera, tiles)
    picture = _ground(rng, brush, plan, ground)
    low, tall = _far_first(plan.low, camera), _far_first(plan.tall, camera)
    picture *= _shade(brush, low)[..., None]
    brush.bgr[:] = np.clip(picture, 0, 255)
    _draw(brush, low, ground)
    _shade_all(brush, tall)
    _draw(brush, tall, ground)
    return _finish(rng, brush.bgr), brush.classes


def _ground(rng: np.random.Generator, brush: Brush, plan: Plan, ground: Ground) -> Field:
    """(H, W, 3) float32: surfaces over one another, with paint on the road."""
    made: dict[tuple[str, int], Field] = {}
    picture = _surface(plan.ground, ROAD, made, brush, ground)
    picture = _painted(rng, brush, plan, ground, picture)
    for name, label, ring in plan.surfaces:
        mask = brush.blank()
        brush.stamp(mask, ring)
        if mask.any():
            share = mask[..., None] * np.float32(1 / 255)
            picture = picture + (_surface(name, label, made, brush, ground) - picture) * share
            brush.classes[mask > 127] = label
    return picture


def _surface(
    name: str, label: int, made: dict[tuple[str, int], Field], brush: Brush, ground: Ground
) -> Field:
    """A surface of its own look for each name and label, made once a view."""
    key = (name, label)
    if key not in made:
        if name == "tarmac":
            made[key] = ground.tarmac(brush)
        elif name == "paving":
            made[key] = ground.paving()
        elif name == "grass":
            made[key] = ground.grass()
        else:
            made[key] = ground.concrete()
    return made[key]


def _painted(rng: np.random.Generator, brush: Brush, plan: Plan, ground: Ground, picture: Field) -> Field:
    """Worn paint over a surface."""
    fresh = rng.uniform(0.55, 1.0)
    for rings, color in ((plan.white, _PAINTS["white"]), (plan.yellow, _PAINTS["yellow"])):
        mask = brush.blank()
        for ring in rings:
            brush.stamp(mask, ring)
        if mask.any():
            share = (mask * np.float32(1 / 255) * ground.wear(fresh))[..., None]
            paint = np.array(color, np.float32) * np.float32(0.75 + 0.25 * fresh)
            picture = picture + (paint - picture) * share
    return picture


def _shade(brush: Brush, things: list[Thing]) -> Field:
    """(H, W) float32 brightness left by the shadows of things on the ground."""
    mask = brush.blank()
    for thing in things:
        thing.shadow(brush, mask)
    camera = brush.camera
    blur = brush.light.blur_m * camera.focal_px / float(np.linalg.norm(camera.position))
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.6, blur)) if mask.any() else mask
    return 1 - soft * np.float32((0.3 + 0.6 * brush.light.shade) / 255)


def _shade_all(brush: Brush, tall: list[Thing]) -> None:
    """Lay the shadows of tall things over the ground and all that is drawn."""
    if tall and brush.light.shade > 0.33:
        light = _shade(brush, tall)[..., None]
        brush.bgr[:] = brush.bgr * light


def _draw(brush: Brush, things: list[Thing], ground: Ground) -> None:
    before = brush.classes.copy()
    for thing in things:
        thing.draw(brush)
    leaves = (brush.classes == TREE) & (before != TREE)
    if leaves.any():
        brush.bgr[leaves] = np.clip(brush.bgr[leaves] * ground.leaves()[leaves][:, None], 0, 255)


def _far_first(things: list[Thing], camera: Camera) -> list[Thing]:
    def away(thing: Thing) -> float:
        return float(np.linalg.norm(thing.place - camera.position[:2]))

    return sorted(things, key=away, reverse=True)


def _finish(rng: np.random.Generator, bgr: Mask) -> Pixels:
    """Gradients of light, vignette, exposure, blur and noise."""
    height, width = bgr.shape[:2]
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    slope = rng.normal(0, 0.07, 2).astype(np.float32)
    light = 1 + slope[0] * x + slope[1] * y
    if rng.random() < 0.6:
        light = light * (1 - np.float32(rng.uniform(0.03, 0.22)) * (x * x + y * y))
    picture = bgr * (light * np.float32(rng.uniform(0.8, 1.15)))[..., None] * _cast(rng)
    if rng.random() < 0.6:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.1))
    picture += rng.standard_normal((height, width, 1), np.float32) * np.float32(rng.uniform(0.3, 4))
    picture = (picture - 128) * np.float32(rng.uniform(0.85, 1.1)) + np.float32(128 + rng.uniform(-8, 8))
    return np.clip(picture, 0, 255).astype(np.uint8)


def _cast(rng: np.random.Generator) -> Array:
    """(3,) the camera's white balance."""
    warm = rng.normal(0, 0.025)
    return np.array([1 - warm, 1, 1 + warm], np.float32)
