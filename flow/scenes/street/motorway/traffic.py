"""Cars, vans and lorries in the lanes of both carriageways."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np

from keywarp.flow.scenes.street import cars
from keywarp.flow.scenes.street.camera import Rig, travelled_m
from keywarp.flow.scenes.street.layout import Placed
from keywarp.flow.scenes.street.palette import Look
from keywarp.flow.scenes.street.vehicles import Car, Mover, object_id_of

from .course import Course
from .layout import FAR_M
from .library import LORRIES, MotorwayLibrary
from .vehicles import Lorry

_OFFSET = 2**24
_BEHIND_M = 13.0
_SLOT_M = 30.0
_LANES = 16


class MotorwayTraffic:
    """A stream for each lane, at a speed of its own; in the camera's lane some that keep their distance."""

    def __init__(self, seed: int, look: Look, library: MotorwayLibrary, course: Course, rig: Rig) -> None:
        self._seed = seed
        self._look = look
        self._library = library
        self._rig = rig
        rng = np.random.default_rng((seed, 761))
        ours = [x for x in course.lanes_m if abs(x) > 1.0]
        theirs = [(a + b) / 2 for a, b in pairwise(course.oncoming_m)]
        self._lanes = [(x, rig.speed_m_s - 0.4 * x + float(rng.uniform(-2, 2))) for x in ours]
        self._lanes += [(x, -float(rng.uniform(20, 30))) for x in theirs]
        self._ours = len(ours)
        self._density = rng.uniform(0.2, 0.85, len(self._lanes))
        self._ahead = self._cars_ahead(rng)
        self._mover = lru_cache(maxsize=512)(self._make_mover)

    def at(self, time_s: float, eye_m: float) -> tuple[list[Placed], ...]:
        """Movers between the camera and the haze, theirs beyond the barriers, ours before them."""
        beyond: list[Placed] = []
        street = [Placed(mover.near_m_at(time_s), mover) for mover in self._ahead]
        for lane, (_, speed) in enumerate(self._lanes):
            first = math.floor((eye_m - _BEHIND_M - speed * time_s) / _SLOT_M) - 1
            last = math.floor((eye_m + FAR_M - speed * time_s) / _SLOT_M)
            movers = [self._mover(lane, slot) for slot in range(first, last + 1)]
            found = [Placed(mover.near_m_at(time_s), mover) for mover in movers if mover is not None]
            (street if lane < self._ours else beyond).extend(found)
        return [], beyond, [], street

    def _make_mover(self, lane: int, slot: int) -> Mover | None:
        rng = np.random.default_rng((self._seed, 762, lane, slot + _OFFSET))
        if rng.random() > self._density[lane]:
            return None
        x, speed = self._lanes[lane]
        away = lane < self._ours
        number = object_id_of("ahead" if away else "oncoming", _LANES * (slot + _OFFSET) + lane)
        vehicle = self._vehicle(rng, number, x + float(rng.uniform(-0.3, 0.3)), away)
        start = slot * _SLOT_M + float(rng.uniform(0, _SLOT_M - 13))
        return Mover(lambda _, near: vehicle.at(near), lambda time: start + speed * time)

    def _vehicle(self, rng: np.random.Generator, number: int, x: float, away: bool) -> Car | Lorry:
        color, tall = int(rng.integers(len(cars.COLORS))), float(rng.choice([1.0, 1.0, 1.12, 1.22]))
        if rng.random() < 0.15:
            return Lorry(number, int(rng.integers(LORRIES)), x, self._library, self._look, away)
        return Car(number, color, x, self._library, self._look, away, 0.0, tall)

    def _cars_ahead(self, rng: np.random.Generator) -> list[Mover]:
        """Up to two in the camera's lane."""
        movers = []
        for number, gap in enumerate((float(rng.uniform(14, 45)), 90.0)[: int(rng.integers(3))]):
            vehicle = self._vehicle(rng, object_id_of("ahead", number), 0.0, True)
            phase = float(rng.uniform(0, 6))

            def near(time: float, gap: float = gap, phase: float = phase) -> float:
                return travelled_m(time, self._rig) + gap + 0.3 * gap * math.sin(0.23 * time + phase)

            movers.append(Mover(lambda _, z, vehicle=vehicle: vehicle.at(z), near))  # type: ignore[misc]
        return movers
