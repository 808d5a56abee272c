"""What there is in a view: surfaces, paint and things, made up from random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np

from keywarp.flow.scenes.street.labels import PAVEMENT, ROAD, TREE

from . import marks
from .brush import Brush, Mask, rectangle
from .camera import Array, Camera
from .cars import Car
from .fixtures import Block, Fence, House, Pole, Tree, hedge, wall
from .people import Person

_Random = np.random.Generator


class Thing(Protocol):
    """Something that stands at ``place``, (2,) metres."""

    place: Array

    def shadow(self, brush: Brush, mask: Mask) -> None:
        """Stamp its shadow on the ground."""

    def draw(self, brush: Brush) -> None:
        """Draw it."""


@dataclass(slots=True)
class Plan:
    """``surfaces``: name, label and outline, over one another; ``tall`` things shade the low ones.

    ``most_m``: nothing tall rises above this, so that all is seen from above.
    """

    ground: str = "tarmac"
    most_m: float = 9.0
    surfaces: list[tuple[str, int, Array]] = field(default_factory=list)
    white: list[Array] = field(default_factory=list)
    yellow: list[Array] = field(default_factory=list)
    low: list[Thing] = field(default_factory=list)
    tall: list[Thing] = field(default_factory=list)


def random_plan(rng: _Random, camera: Camera) -> Plan:
    """One of several kinds of place; more than a third are hardly more than bare ground."""
    kinds: tuple[tuple[Callable[[_Random, Plan, float], None], float], ...] = (
        (_bare, 0.44), (_car_park, 0.23), (_road, 0.17), (_gate, 0.13), (_square, 0.03),
    )  # fmt: skip
    plan = Plan("concrete" if rng.random() < 0.13 else "tarmac", 0.68 * camera.height_m)
    reach = float(np.abs(camera.ground_corners()).max(1).mean())
    kind = rng.choice(len(kinds), p=[share for _, share in kinds])
    kinds[kind][0](rng, plan, reach)
    _keep_low(plan, camera)
    return plan


def _bare(rng: _Random, plan: Plan, reach: float) -> None:
    """Ground with next to nothing on it."""
    if rng.random() < 0.55:
        offset = rng.uniform(0.5, 1.1) * reach * rng.choice([-1, 1])
        width = rng.uniform(0.08, 0.16)
        choice = rng.integers(4)
        if choice == 0:
            plan.white += marks.line(offset, width)
        elif choice == 1:
            plan.white += marks.line(offset * 0.6, width, rng.uniform(1, 4), rng.uniform(1, 4))
        elif choice == 2:
            plan.white += marks.bays(
                offset, 5, rng.uniform(2.3, 2.8), rng.uniform(0, 2), rng.uniform(-0.6, 0.6), width
            )
        else:
            plan.white += marks.glyph(rng, (offset, rng.uniform(-0.5, 0.5) * reach), rng.uniform(0.8, 2))
    if rng.random() < 0.35:
        turn = rng.uniform(0, 2 * np.pi)
        away = rng.uniform(0.4, 1.0) * reach + 0.8
        plan.low.append(Car(rng, (away * np.cos(turn), away * np.sin(turn)), _heading(rng)))
    if rng.random() < 0.12:
        plan.low.append(_someone(rng, reach * 0.7))
    if rng.random() < 0.12:
        _edge(rng, plan, rng.choice([-1, 1]) * rng.uniform(0.6, 1) * reach)
    _far_shade(rng, plan, reach, 0.3)


def _car_park(rng: _Random, plan: Plan, reach: float) -> None:
    """Rows of bays on both sides of lanes along y."""
    pitch, depth, lane = rng.uniform(2.35, 2.8), rng.uniform(4.6, 5.4), rng.uniform(5, 7)
    slant = rng.choice([0, 0, 0, -0.5, 0.5])
    width, filled = rng.uniform(0.08, 0.15), rng.choice([0.1, 0.4, 0.8])
    paint = plan.yellow if rng.random() < 0.2 else plan.white
    shift, start = rng.uniform(-6, 6), rng.uniform(0, pitch)
    for row in range(-3, 4):
        side = 1 if row % 2 else -1
        x = shift + (row // 2) * (2 * depth + lane) + (lane / 2) * side
        paint += marks.bays(x, depth * side, pitch, start, slant * side, width)
        if rng.random() < 0.5:
            paint += marks.line(x + depth * side, width)
        for y in np.arange(-reach, reach, pitch):
            y = start + pitch * round((y - start) / pitch) + pitch / 2
            if rng.random() < filled and abs(x) < reach + 6:
                place = (
                    x + side * (depth / 2 + rng.normal(0, 0.15)),
                    y + slant * depth / 2 + rng.normal(0, 0.1),
                )
                turn = np.arctan2(-1, slant) + rng.choice([0, np.pi]) + rng.normal(0, 0.03)
                plan.low.append(Car(rng, place, turn))
            elif rng.random() < 0.08:
                plan.white += marks.glyph(rng, (x + side * depth / 2, y), 1.2)
    if rng.random() < 0.5:
        plan.white += marks.arrow(
            (shift, rng.uniform(-3, 3)), rng.choice([0, np.pi]), int(rng.integers(-1, 2))
        )
    if rng.random() < 0.3:
        plan.low.append(Car(rng, (shift, rng.uniform(-0.6, 0.6) * reach), rng.choice([0, np.pi])))
    _crowd(rng, plan, reach, 0.4, 3)
    if rng.random() < 0.35:
        _edge(rng, plan, rng.choice([-1, 1]) * rng.uniform(0.4, 0.9) * reach)
    _far_shade(rng, plan, reach, 0.35)


def _road(rng: _Random, plan: Plan, reach: float) -> None:
    """Lanes along y with a kerb and pavement, or grass, on one side or both."""
    lane, count = rng.uniform(2.8, 3.6), int(rng.integers(1, 5))
    left = -lane * rng.uniform(0.3, count)
    paint = plan.yellow if rng.random() < 0.15 else plan.white
    for number in range(1, count):
        dash, gap = rng.uniform(1, 5, 2) if rng.random() < 0.7 else (0.0, 0.0)
        paint += marks.line(left + number * lane, rng.uniform(0.09, 0.16), dash, gap, rng.uniform(0, 3))
    for number in range(count):
        for y in np.arange(-reach, reach, 9):
            if rng.random() < 0.28:
                place = (left + (number + 0.5) * lane + rng.normal(0, 0.15), y + rng.uniform(-1.8, 1.8))
                plan.low.append(Car(rng, place, (np.pi if number < count / 2 else 0) + rng.normal(0, 0.03)))
    if rng.random() < 0.3:
        middle = (left + count * lane / 2, rng.uniform(-0.5, 0.5) * reach)
        plan.white += marks.zebra(middle, count * lane, rng.uniform(2.5, 4))
        plan.low.append(_someone(rng, 2.5, middle))
    if rng.random() < 0.4:
        plan.white += marks.arrow(
            (left + lane / 2, rng.uniform(-4, 4)), rng.choice([0, np.pi]), int(rng.integers(-1, 2))
        )
    if rng.random() < 0.35:
        bicycle = (left + rng.uniform(0.3, 1), rng.uniform(-0.6, 0.6) * reach)
        plan.low.append(Person(rng, bicycle, rng.choice([0, np.pi]), riding=True))
    _edge(rng, plan, left)
    if rng.random() < 0.7:
        _edge(rng, plan, left + count * lane, 1)
    _far_shade(rng, plan, reach, 0.25)


def _gate(rng: _Random, plan: Plan, reach: float) -> None:
    """An entrance or a drive-through: islands, a barrier, walls and a building."""
    half = rng.uniform(1.7, 3.2)
    shift = rng.uniform(-2, 2)
    for side in (-1, 1):
        size = (rng.uniform(0.6, 1.5), rng.uniform(3, 9))
        middle = (shift + side * (half + size[0] / 2), rng.uniform(-2, 2))
        ring = rectangle(middle, size)
        plan.surfaces.append(("kerb", PAVEMENT, rectangle(middle, (size[0] + 0.3, size[1] + 0.3))))
        plan.surfaces.append(
            (str(rng.choice(["concrete", "paving", "grass"], p=[0.3, 0.5, 0.2])), PAVEMENT, ring)
        )
        for _ in range(rng.integers(0, 3)):
            plan.low.append(Pole(rng, (middle[0], middle[1] + rng.uniform(-0.4, 0.4) * size[1]), 1.0))
        if rng.random() < 0.4:
            plan.tall.append(Pole(rng, (middle[0], middle[1]), 1.0, np.array([-side * 2 * half * 0.9, 0])))
    if rng.random() < 0.75:
        plan.low.append(
            Car(rng, (shift, rng.uniform(-0.7, 0.7) * reach), rng.choice([0, np.pi]) + rng.normal(0, 0.1))
        )
    if rng.random() < 0.4:
        plan.white += [rectangle((shift, rng.uniform(-3, 3)), (2 * half, 0.3))]
    if rng.random() < 0.4:
        plan.yellow += marks.hatching((shift, rng.uniform(-5, 5)), (2 * half - 0.4, rng.uniform(3, 6)), 0.12)
    if rng.random() < 0.5:
        _edge(rng, plan, rng.choice([-1, 1]) * (half + rng.uniform(2, 5)))
    _crowd(rng, plan, reach, 0.4, 2)
    _far_shade(rng, plan, reach, 0.4)


def _square(rng: _Random, plan: Plan, reach: float) -> None:
    """A pavement over most of the view, with people and perhaps a strip of road."""
    plan.surfaces.append(("paving", PAVEMENT, rectangle((0, 0), (90, 90))))
    plan.surfaces.append(("tarmac", ROAD, rectangle((rng.uniform(0.3, 1.2) * reach + 4, 0), (8, 90))))
    if rng.random() < 0.5:
        bed = rectangle(
            (rng.uniform(-0.8, 0) * reach, rng.uniform(-0.8, 0.8) * reach),
            (rng.uniform(1, 4), rng.uniform(1, 4)),
        )
        plan.surfaces.append(("grass", TREE, bed))
    _crowd(rng, plan, reach, 0.95, 10)
    _far_shade(rng, plan, reach, 0.5)


def _edge(rng: _Random, plan: Plan, x: float, side: int = 0) -> None:
    """What lies beyond ``x``, away from the middle: a kerb, then pavement or grass, then what stands there."""
    side = side or (1 if x > 0 else -1)
    far = marks.REACH_M
    at = x
    if rng.random() < 0.85:
        kerb = rng.uniform(0.12, 0.3)
        plan.surfaces.append(("kerb", PAVEMENT, rectangle((at + side * kerb / 2, 0), (kerb, 2 * far))))
        at += side * kerb
    if rng.random() < 0.65:
        width = rng.uniform(1.2, 4)
        plan.surfaces.append(("paving" if rng.random() < 0.85 else "concrete", PAVEMENT,
                              rectangle((at + side * width / 2, 0), (width, 2 * far))))  # fmt: skip
        if rng.random() < 0.4:
            plan.low.append(_someone(rng, 0.3 * width, (at + side * width / 2, rng.uniform(-5, 5))))
        at += side * width
    plan.surfaces.append(("grass", TREE, rectangle((at + side * 20, 0), (40, 2 * far))))
    _beyond(rng, plan, at, side)


def _beyond(rng: _Random, plan: Plan, x: float, side: int) -> None:
    far, choice = marks.REACH_M, rng.integers(8)
    if choice == 0:
        plan.low.append(hedge(rng, (x + side * 0.5, 0), (rng.uniform(0.6, 1.2), 2 * far)))
    elif choice == 1:
        plan.low.append(wall(rng, (x + side * 0.2, 0), (0.3, 2 * far)))
    elif choice in (2, 3):
        ends = np.array([[x + side * 0.2, -12.0], [x + side * 0.2, 12.0]])
        plan.low.append(Fence(rng, ends[0], ends[1], rng.uniform(0.8, 1.6)))
    elif choice == 4:
        ring = rectangle((x + side * 5, rng.uniform(-4, 4)), (10, 60))
        plan.tall.append(House(rng, ring, min(rng.uniform(2.5, 9), plan.most_m)))
        return
    for _ in range(rng.integers(0, 4)):
        place = (x + side * rng.uniform(0.8, 4), rng.uniform(-14, 14))
        if rng.random() < 0.6:
            plan.tall.append(Tree(rng, place, rng.uniform(0.5, 2.6), min(rng.uniform(1.2, 7), plan.most_m)))
        else:
            arm = np.array([-side * rng.uniform(0, 1.5), 0])
            plan.tall.append(Pole(rng, place, min(rng.uniform(2, 7), plan.most_m), arm))


def _crowd(rng: _Random, plan: Plan, reach: float, chance: float, most: int) -> None:
    if rng.random() < chance:
        plan.low += [_someone(rng, 0.8 * reach) for _ in range(rng.integers(1, most + 1))]


def _far_shade(rng: _Random, plan: Plan, reach: float, chance: float) -> None:
    """Trees, poles or a building about the edge of the view, some of which are seen only by their shadows."""
    if rng.random() >= chance:
        return
    for _ in range(rng.integers(1, 4)):
        turn, away = rng.uniform(0, 2 * np.pi), reach * rng.uniform(0.8, 1.5) + 1
        place = (away * np.cos(turn), away * np.sin(turn))
        choice = rng.random()
        if choice < 0.5:
            plan.tall.append(Tree(rng, place, rng.uniform(1, 3), min(rng.uniform(3, 9), plan.most_m)))
        elif choice < 0.85:
            plan.tall.append(Pole(rng, place, min(rng.uniform(3, 9), plan.most_m)))
        else:
            ring = rectangle((place[0] * 1.6, place[1] * 1.6), (rng.uniform(4, 12), rng.uniform(4, 12)), turn)
            plan.tall.append(House(rng, ring, min(rng.uniform(3, 9), plan.most_m)))


def _someone(rng: _Random, spread: float, center: tuple[float, float] = (0.0, 0.0)) -> Person:
    x, y = rng.uniform(-spread, spread, 2)
    return Person(rng, (center[0] + x, center[1] + y), rng.uniform(0, 2 * np.pi), riding=rng.random() < 0.15)


def _heading(rng: _Random) -> float:
    return float(rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.normal(0, 0.25))


def _keep_low(plan: Plan, camera: Camera) -> None:
    """Leave out what stands below the camera, in another low thing, or, if a car, on no road."""
    foot = camera.position[:2]
    plan.tall = [thing for thing in plan.tall if np.linalg.norm(thing.place - foot) > 2.5]
    if camera.height_m < 4:
        plan.low = [thing for thing in plan.low if not isinstance(thing, Person)]
    kept: list[Thing] = []
    for thing in plan.low:
        near = (np.linalg.norm(thing.place - other.place) < 2.25 for other in kept)
        if isinstance(thing, Block | Fence | Pole) or not (any(near) or _strays(thing, plan)):
            kept.append(thing)
    plan.low = kept


def _strays(thing: Thing, plan: Plan) -> bool:
    """Whether it is a car with a wheel on what is no road."""
    if not isinstance(thing, Car):
        return False
    place = (float(thing.place[0]), float(thing.place[1]))
    rings = (ring.astype(np.float32) for _, label, ring in plan.surfaces if label != ROAD)
    return any(cv2.pointPolygonTest(ring, place, True) > -0.9 for ring in rings)
