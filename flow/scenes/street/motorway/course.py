"""How a motorway is built: its lanes, its surfaces, and what lies beside it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from keywarp.flow.scenes.street.ground import Section
from keywarp.flow.scenes.street.labels import ROAD, TREE
from keywarp.flow.scenes.street.palette import Color, mix, rgb

NARROW_M = 3.0
"""A median narrower than this needs a barrier."""
_DRY, _GREEN, _EARTH = rgb(0xB49C66), rgb(0x76854A), rgb(0x8F7A5E)


@dataclass(frozen=True, slots=True)
class Surface:
    """What a stretch of road is paved with.

    ``track`` and ``oil``: how much darker the wheels' tracks and the lanes' middles are; ``joint_m``: from
    slab to slab, 0 for none; ``cracks`` in a tile; ``shoulder``: the colour beside the lanes.
    """

    color: Color
    shoulder: Color
    soft: float
    fine: float
    track: float
    oil: float
    joint_m: float
    cracks: int


@dataclass(frozen=True, slots=True)
class Course:
    """A motorway's cut, in metres; the camera's lane is centred on x = 0.

    ``lines_m``: the middles of the painted lines of our side, the solid edge lines first and last.
    ``verges``: two colours of what grows beside the road.
    """

    lines_m: tuple[float, ...]
    left_m: float
    right_m: float
    median_m: float
    oncoming_m: tuple[float, ...]
    oncoming_left_m: float
    yellow: bool
    dash_m: tuple[float, float]
    verges: tuple[Color, Color]
    surfaces: tuple[Surface, ...]

    @property
    def oncoming_right_m(self) -> float:
        """Where the oncoming carriageway's paving begins."""
        return self.left_m - self.median_m

    @property
    def lanes_m(self) -> tuple[float, ...]:
        """The middles of our lanes."""
        return tuple((a + b) / 2 for a, b in pairwise(self.lines_m))

    @property
    def section(self) -> Section:
        """For the ground: verge, oncoming carriageway, median, our carriageway, verge."""
        borders = (self.oncoming_left_m, self.oncoming_right_m, self.left_m, self.right_m)
        verge = mix(*self.verges, 0.5)
        return Section(borders[0] - 3.0, borders[3] + 8.0, borders, (TREE, ROAD, TREE, ROAD, TREE), verge)


def course_of(seed: int) -> Course:
    """The motorway of ``seed``."""
    rng = np.random.default_rng((seed, 701))
    lanes, lane_m = int(rng.integers(2, 5)), float(rng.uniform(3.4, 3.8))
    own = int(rng.integers(lanes))
    lines = tuple((number - own - 0.5) * lane_m for number in range(lanes + 1))
    left = lines[0] - float(rng.uniform(0.6, 3.4))
    right = lines[-1] + float(rng.uniform(1.2, 3.4))
    median = float(rng.uniform(0.5, 1.4) if rng.random() < 0.55 else rng.uniform(4.0, 11.0))
    first = left - median - float(rng.uniform(0.8, 2.0))
    oncoming = tuple(first - lane_m * number for number in range(1 + max(2, lanes - 1)))
    return Course(
        lines, left, right, median, oncoming, oncoming[-1] - 1.5, bool(rng.random() < 0.6),
        ((3.0, 12.0), (2.0, 8.0), (4.0, 12.0))[int(rng.integers(3))], _verges(rng), _surfaces(rng),
    )  # fmt: skip


def _verges(rng: np.random.Generator) -> tuple[Color, Color]:
    pairs = ((_DRY, _GREEN), (_DRY, _EARTH), (_GREEN, _GREEN), (_DRY, _DRY))
    first, second = pairs[int(rng.integers(len(pairs)))]
    return first, mix(second, _EARTH, float(rng.uniform(0.0, 0.4)))


def _surfaces(rng: np.random.Generator) -> tuple[Surface, ...]:
    """Three to meet on the way, asphalt and concrete in an order of their own."""
    makers = [_dark, _worn, _concrete]
    order = rng.permutation(len(makers)).tolist()
    return tuple(makers[number](rng) for number in order)


def _grey(level: float, warm: float) -> Color:
    return level * (1 - warm), level, level * (1 + warm)


def _dark(rng: np.random.Generator) -> Surface:
    level, warm = rng.uniform(52, 88), rng.uniform(-0.05, 0.04)
    color = _grey(level, warm)
    shoulder = _grey(level * rng.uniform(0.85, 1.35), warm)
    return Surface(color, shoulder, 0.05, 0.06, rng.uniform(-0.06, 0.08), 0.06, 0.0, int(rng.integers(2)))


def _worn(rng: np.random.Generator) -> Surface:
    level, warm = rng.uniform(95, 145), rng.uniform(-0.02, 0.06)
    color = _grey(level, warm)
    shoulder = _grey(level * rng.uniform(0.6, 1.1), warm)
    cracks = int(rng.integers(2, 9))
    return Surface(color, shoulder, 0.08, 0.06, rng.uniform(-0.08, 0.14), 0.12, 0.0, cracks)


def _concrete(rng: np.random.Generator) -> Surface:
    level, warm = rng.uniform(140, 215), rng.uniform(0.0, 0.14)
    color = _grey(level, warm)
    shoulder = color if rng.random() < 0.5 else _grey(rng.uniform(60, 120), warm)
    joint, cracks = float(rng.choice([4.0, 4.8, 6.0])), int(rng.integers(4))
    track, oil = rng.uniform(0.04, 0.16), rng.uniform(0.1, 0.3)
    return Surface(color, shoulder, 0.05, 0.04, track, oil, joint, cracks)
