"""Everybody on the move, in streams that never end.

A stream is a row of slots that slides along the street at one speed; what a slot holds follows from the
seed and the slot's number, so any time can be asked for in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .camera import LANE_X_M, travelled_m
from .haze import FAR_M
from .layout import PAVEMENT_LATER_M, Placed
from .library import Library
from .palette import Look
from .vehicles import Car, Mover, Walker, object_id_of

_BEHIND_M = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class _Stream:
    """``speed_m_s`` along the street; ``make(slot, rng)`` gives a mover and its place in the slot, or None."""

    number: int
    speed_m_s: float
    slot_m: float
    make: Callable[[int, np.random.Generator, float], Mover | None]
    reach_m: float = FAR_M
    later_m: float = 0.0


class Traffic:
    """The movers near the camera at a time."""

    def __init__(self, seed: int, look: Look, library: Library) -> None:
        self._seed = seed
        self._look = look
        self._library = library
        rng = np.random.default_rng((seed, 501))
        self._density = float(rng.uniform(0.55, 1.0))
        self._ahead = self._cars_ahead(rng)
        self._streams = self._make_streams()
        self._mover = lru_cache(maxsize=512)(self._make_mover)

    def at(self, time_s: float, eye_m: float) -> tuple[list[Placed], ...]:
        """Movers between the camera and the haze: none in the layer of the houses, all in that of the kerb."""
        found = [Placed(mover.near_m_at(time_s), mover) for mover in self._ahead]
        for stream in self._streams:
            shift = stream.speed_m_s * time_s
            first = math.floor((eye_m - _BEHIND_M - shift) / stream.slot_m) - 1
            last = math.floor((eye_m + stream.reach_m - shift) / stream.slot_m)
            for slot in range(first, last + 1):
                mover = self._mover(stream.number, slot)
                if mover is not None:
                    found.append(Placed(mover.near_m_at(time_s) + stream.later_m, mover))
        return [], found

    def _make_mover(self, stream: int, slot: int) -> Mover | None:
        rng = np.random.default_rng((self._seed, 502, stream, slot + 2**24))
        kind = self._streams[stream]
        return kind.make(slot, rng, kind.speed_m_s)

    def _make_streams(self) -> list[_Stream]:
        streams = [_Stream(0, -8.0, 21.0, self._oncoming)]
        walks = ((-7.1, 1.25), (-8.3, -1.35), (7.3, 1.3), (8.4, -1.2))
        for x, speed in walks:
            number = len(streams)
            streams.append(
                _Stream(number, speed, 15.0, self._walkers(number, x, speed < 0), 110.0, PAVEMENT_LATER_M)
            )
        for x, speed in ((3.2, 4.6), (-3.2, -4.4)):
            number = len(streams)
            streams.append(_Stream(number, speed, 46.0, self._cyclists(number, x, speed < 0)))
        return streams

    def _oncoming(self, slot: int, rng: np.random.Generator, speed: float) -> Mover | None:
        if rng.random() > 0.62 * self._density:
            return None
        car = Car(
            object_id_of("oncoming", slot + 2**24),
            int(rng.integers(8)),
            -LANE_X_M,
            self._library,
            self._look,
            False,
        )
        start = slot * 21.0 + float(rng.uniform(0, 12))
        return Mover(lambda _, near: car.at(near), lambda time: start + speed * time)

    def _walkers(
        self, stream: int, x: float, toward: bool
    ) -> Callable[[int, np.random.Generator, float], Mover | None]:
        def make(slot: int, rng: np.random.Generator, speed: float) -> Mover | None:
            if rng.random() > 0.55 * self._density:
                return None
            number = object_id_of("walker", 8 * (slot + 2**24) + stream)
            aside = x + float(rng.uniform(-0.4, 0.4))
            walker = Walker(number, int(rng.integers(16)), aside, self._library, self._look, toward)
            start = slot * 15.0 + float(rng.uniform(0, 13))
            return Mover(walker.at, lambda time: start + speed * time)

        return make

    def _cyclists(
        self, stream: int, x: float, toward: bool
    ) -> Callable[[int, np.random.Generator, float], Mover | None]:
        def make(slot: int, rng: np.random.Generator, speed: float) -> Mover | None:
            if rng.random() > 0.75:
                return None
            number = object_id_of("cyclist", 8 * (slot + 2**24) + stream)
            rider = Walker(number, int(rng.integers(16)), x, self._library, self._look, toward, True)
            start = slot * 46.0 + float(rng.uniform(0, 30))
            return Mover(rider.at, lambda time: start + speed * time)

        return make

    def _cars_ahead(self, rng: np.random.Generator) -> list[Mover]:
        """One or two cars that keep their distance, more or less."""
        movers = []
        for number, gap in enumerate((20.0, 46.0)[: int(rng.integers(1, 3))]):
            car = Car(
                object_id_of("ahead", number), int(rng.integers(8)), LANE_X_M, self._library, self._look, True
            )
            phase = float(rng.uniform(0, 6))

            def near(time: float, gap: float = gap, phase: float = phase) -> float:
                return travelled_m(time) + gap + 0.3 * gap * math.sin(0.23 * time + phase)

            movers.append(Mover(lambda _, z, car=car: car.at(z), near))  # type: ignore[misc]
        return movers
