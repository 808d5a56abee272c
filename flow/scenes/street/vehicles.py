"""Things with an own place in time: cars, people and bicycles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import cars, people
from .camera import LANE_X_M, Matrix
from .labels import BICYCLIST, CAR, PEDESTRIAN
from .library import Library
from .palette import Look
from .quad import SHADOW, Key, Quad, along, facing, lying

_LEAST_PX2 = {"side": 20.0, "upper": 14.0, "lower": 22.0}
_KINDS = ("parked", "oncoming", "ahead", "walker", "cyclist")


def object_id_of(kind: str, number: int) -> int:
    """A number that no other object has."""
    return number * len(_KINDS) + _KINDS.index(kind)


@dataclass(frozen=True, slots=True, eq=False)
class Car:
    """A car at ``x_m``; ``away``: seen from behind, driving as the camera does, whose lane is at ``eye_x_m``.

    ``tall``: its height over that of a common car.
    """

    object_id: int
    color: int
    x_m: float
    library: Library
    look: Look
    away: bool
    eye_x_m: float = LANE_X_M
    tall: float = 1.0

    def at(self, near_m: float) -> tuple[Quad, ...]:
        """Its pieces with the end towards the camera at ``near_m``."""
        far = near_m + cars.LENGTH_M
        end = "rear" if self.away else "front"
        inner = self.x_m - math.copysign(cars.WIDTH_M / 2, self.x_m - self.eye_x_m)
        side = along(inner, near_m, far, cars.HEIGHT_M * self.tall)
        if self.away:
            side[2] = [near_m - far, 0.0, far]
        light = self.look.right if inner > self.x_m else self.look.left
        slope = 0.75 if self.away else 1.5
        deck = 0.35 if self.away else 0.9
        upper = self._screen(near_m + deck, slope)
        lower = facing(self.x_m, near_m, cars.WIDTH_M, cars.BELT_M * self.tall)
        return (
            self._piece(0, "shadow", lying(self.x_m, near_m - 0.3, 2.5, cars.LENGTH_M + 0.6)),
            self._piece(1, "side", side, light),
            self._piece(2, "upper " + end, upper, self.look.front),
            self._piece(3, "lower " + end, lower, self.look.front),
        )

    def _screen(self, near_m: float, slope_m: float) -> Matrix:
        height = (cars.HEIGHT_M - cars.BELT_M + 0.06) * self.tall
        base = (cars.BELT_M - 0.06) * self.tall
        basis = facing(self.x_m, near_m + slope_m, cars.WIDTH_M - 0.04, height, base)
        basis[2, 1] = -slope_m
        return basis

    def _piece(
        self, number: int, part: str, basis: Matrix, light: tuple[float, ...] = (1.0, 1.0, 1.0)
    ) -> Quad:
        key: Key = ("car", self.object_id, number)
        if part == "shadow":
            shade = self.library.car_shadow()
            return Quad(key, shade, basis, SHADOW, object_id=self.object_id, least_px2=60.0)
        texture = self.library.car(part, self.color)
        return Quad(key, texture, basis, CAR, light, self.object_id, least_px2=_LEAST_PX2[part[:5]])


@dataclass(frozen=True, slots=True, eq=False)
class Mover:
    """A thing whose pieces follow from its distance along the street."""

    pieces_at: Callable[[float, float], tuple[Quad, ...]]
    near_m_at: Callable[[float], float]

    def quads(self, time_s: float) -> tuple[Quad, ...]:
        """Its pieces at ``time_s``."""
        return self.pieces_at(time_s, self.near_m_at(time_s))


@dataclass(frozen=True, slots=True, eq=False)
class Walker:
    """Somebody on foot, or on a bicycle: legs and arms swing about hip and shoulder in depth."""

    object_id: int
    style: int
    x_m: float
    library: Library
    look: Look
    toward: bool
    riding: bool = False

    def at(self, time_s: float, z_m: float) -> tuple[Quad, ...]:
        """Its pieces around ``z_m``."""
        pace = 1.9 if not self.riding else 1.3
        swing = math.sin(2 * math.pi * pace / 2 * time_s + self.object_id % 7)
        base = 0.78 if not self.riding else 0.86
        bounce = 0.015 * abs(swing) if not self.riding else 0.0
        step = 0.42 * swing if not self.riding else 0.30 * swing
        lift = 0.25 if self.riding else 0.0
        body = "front" if self.toward else "back"
        hip, shoulder = base + 0.06 + bounce, base + 0.62 + bounce
        pieces = [self._piece(0, "shadow", lying(self.x_m, z_m - 0.45, 1.1, 0.9))]
        limbs = [
            self._limb(1, "leg", -0.1, z_m, hip + lift * (swing > 2), step + lift, people.LIMB_M),
            self._limb(2, "leg", 0.1, z_m, hip, -step + lift, people.LIMB_M),
            self._limb(3, "arm", -0.23, z_m, shoulder, -0.8 * step, people.ARM_M),
            self._limb(4, "arm", 0.23, z_m, shoulder, 0.8 * step, people.ARM_M),
        ]
        trunk = self._piece(5, body, facing(self.x_m, z_m - 0.02, *people.BODY_M, base + bounce))
        pieces += [*limbs, trunk]
        if self.riding:
            pieces.append(self._piece(6, "cycle", facing(self.x_m, z_m - 0.3, 0.6, 1.1)))
        return tuple(pieces)

    def _limb(
        self, number: int, part: str, aside_m: float, z_m: float, top_m: float, angle: float,
        size_m: tuple[float, float],
    ) -> Quad:  # fmt: skip
        """A piece that hangs from ``top_m`` and swings by ``angle`` out of the picture's plane."""
        width, length = size_m
        down, deep = length * math.cos(angle), length * math.sin(angle)
        left = self.x_m + aside_m - width / 2
        basis = np.array([[width, 0, left], [0, down, -top_m], [0, deep, z_m]])
        return self._piece(number, part, basis)

    def _piece(self, number: int, part: str, basis: Matrix) -> Quad:
        key: Key = ("walker", self.object_id, number)
        if part == "shadow":
            shade = self.library.shadow()
            return Quad(key, shade, basis, SHADOW, object_id=self.object_id, least_px2=12.0)
        label = BICYCLIST if self.riding else PEDESTRIAN
        texture = self.library.cycle() if part == "cycle" else self.library.person(part, self.style)
        return Quad(key, texture, basis, label, self.look.front, self.object_id)
