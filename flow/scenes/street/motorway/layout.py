"""The still part of a motorway, block by block: each block follows from the seed and its number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from keywarp.flow.scenes.street.camera import Matrix
from keywarp.flow.scenes.street.facades import height_of
from keywarp.flow.scenes.street.ground import TILE_M, Tile
from keywarp.flow.scenes.street.labels import BUILDING, FENCE, POLE, SIGN, TREE
from keywarp.flow.scenes.street.layout import Block, Placed
from keywarp.flow.scenes.street.library import TREE_SIZES_M, TREES
from keywarp.flow.scenes.street.palette import Color, Look
from keywarp.flow.scenes.street.quad import SHADOW, Key, Quad, Still, along, facing

from .course import NARROW_M, Course
from .library import (
    BARRIERS,
    BRIDGE_M,
    BUSH_SIZES_M,
    BUSHES,
    PANEL_SIZES_M,
    PANELS,
    SLOPE_M,
    WOOD_M,
    WOODS,
    MotorwayLibrary,
)  # fmt: skip
from .roadside import GUARD_M
from .shade import DAPPLE_M, DAPPLES

FAR_M = 330.0
"""Nothing is drawn beyond."""
_OFFSET = 2**20
_HOUSES = 3
_EDGES = ("barrier", "guard", "open")
_SIDES = ("slope", "wood", "bushes", "open")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Some blocks alike: what stands at both edges and beside the road, the paving, the shadows."""

    left: str
    right: str
    beyond: str
    beside: str
    barrier: int
    surface: int
    shady: float
    rise: float


def flat(x_m: float, near_m: float, width_m: float, depth_m: float, height_m: float = 0.0) -> Matrix:
    """A level basis whose u runs along the road, so that it may reach behind the camera; v runs to the right."""
    return np.array([[0.0, width_m, x_m - width_m / 2], [0.0, 0.0, -height_m], [depth_m, 0.0, near_m]])


class MotorwayLayout:
    """Blocks by number, in layers: shadows, what is beyond the barriers, barriers, our road."""

    def __init__(self, seed: int, look: Look, library: MotorwayLibrary, course: Course) -> None:
        self._seed = seed
        self._look = look
        self._library = library
        self._course = course
        rng = np.random.default_rng((seed, 751))
        self._long = int(rng.integers(3, 8))
        self._shade_m = float(rng.uniform(0.3, 2.2))
        self._shady = float(rng.uniform(0.4, 1.0))
        self._edges = rng.dirichlet([1.2, 0.8, 0.5]), rng.dirichlet([0.4, 0.6, 1.0])
        self._trees = float(rng.uniform(0.6, 3.5))
        self.block = lru_cache(maxsize=64)(self._block)
        self._stretch = lru_cache(maxsize=64)(self._make_stretch)

    def _rng(self, kind: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, kind, number + _OFFSET))

    def _make_stretch(self, number: int) -> _Stretch:
        rng = self._rng(752, number)
        left, right = (_EDGES[int(rng.choice(3, p=share))] for share in self._edges)
        if self._course.median_m < NARROW_M and left == "open":
            left = "barrier"
        beyond, beside = (_SIDES[int(rng.integers(4))] for _ in range(2))
        surfaces = len(self._course.surfaces)
        shady = float(rng.uniform(0.3, 1.4)) if rng.random() < self._shady else 0.0
        return _Stretch(
            left, right, beyond, beside, int(rng.integers(BARRIERS)),
            int(rng.choice(surfaces, p=(0.5, 0.3, 0.2))), shady, float(rng.uniform(1.0, 5.0)),
        )  # fmt: skip

    def _block(self, number: int) -> Block:
        stretch = self._stretch(number // self._long)
        start, rng = number * TILE_M, self._rng(753, number)
        beyond = self._banks(rng, number, stretch)
        beyond += (
            self._plants(rng, number)
            + self._building(rng, number)
            + self._signs(rng, number)
            + self._bridge(number)
        )
        edges = self._edge(number, -1, stretch.left, stretch) + self._edge(number, 1, stretch.right, stretch)
        tile = Tile(self._library.tile(stretch.surface, number % 2), start)
        return Block((tuple(self._shadows(number, stretch)), tuple(beyond), tuple(edges), ()), tile)

    def _light(self, side: int) -> Color:
        """Of a face that looks across the road from ``side``."""
        return self._look.left if side > 0 else self._look.right

    def _banks(self, rng: np.random.Generator, number: int, stretch: _Stretch) -> list[Placed]:
        """What closes the view on both sides: banks, woods, bushes."""
        placed = []
        for side, kind in ((-1, stretch.beyond), (1, stretch.beside)):
            edge = self._course.right_m if side > 0 else -self._course.oncoming_left_m
            x = side * (edge + 1.5 + (rng.uniform(0.5, 1.5) if kind == "bushes" else 3.0))
            pieces = self._bank(rng, ("bank", number, side), kind, x, number * TILE_M, stretch.rise)
            if pieces:
                placed.append(Placed(number * TILE_M + 1000.0, Still(pieces)))
        return placed

    def _bank(
        self, rng: np.random.Generator, name: Key, kind: str, x: float, near: float, rise: float
    ) -> tuple[Quad, ...]:
        side = 1 if x > 0 else -1
        wide, light = rise * 2.0, self._light(side)
        wood = self._library.wood(int(rng.integers(WOODS)))
        if kind == "slope":
            top = along(x + side * wide, near, near + TILE_M, WOOD_M[1] * 0.6, rise - 0.3)
            basis = along(x + side * wide, near, near + SLOPE_M[0], rise)
            basis[0, 1] = -side * wide
            bank = Quad((*name, 0), self._library.slope(), basis, TREE, self._look.ground)
            grown = rng.random() < 0.5
            return (Quad((*name, 1), wood, top, TREE, light), bank) if grown else (bank,)
        if kind == "wood":
            return (Quad((*name, 2), wood, along(x + side * 4, near, near + TILE_M, WOOD_M[1]), TREE, light),)
        if kind == "bushes":
            return (Quad((*name, 3), wood, along(x, near, near + TILE_M, rise * 0.7), TREE, light),)
        return ()

    def _plants(self, rng: np.random.Generator, number: int) -> list[Placed]:
        """Trees and bushes beside both carriageways, and in a wide median."""
        placed = []
        places = [(self._course.right_m + 3, 22.0), (self._course.oncoming_left_m - 3, -22.0)]
        if self._course.median_m > NARROW_M:
            places.append((self._course.left_m - self._course.median_m / 2, 0.1))
        for place, (x, spread) in enumerate(places):
            for plant in range(int(rng.poisson(self._trees))):
                z = number * TILE_M + float(rng.uniform(0, TILE_M))
                aside = x + spread * float(rng.random()) ** 1.5
                placed.append(Placed(z, self._plant(rng, ("plant", number, place, plant), aside, z)))
        return placed

    def _plant(self, rng: np.random.Generator, name: Key, x: float, z: float) -> Still:
        if rng.random() < 0.5:
            kind = int(rng.integers(TREES))
            size, texture = TREE_SIZES_M[kind], self._library.tree(kind)
        else:
            kind = int(rng.integers(BUSHES))
            size, texture = BUSH_SIZES_M[kind], self._library.bush(kind)
        grow = float(rng.uniform(0.6, 1.5))
        basis = facing(x, z, size[0] * grow * float(rng.uniform(0.8, 1.4)), size[1] * grow)
        return Still((Quad(name, texture, basis, TREE, self._look.front),))

    def _building(self, rng: np.random.Generator, number: int) -> list[Placed]:
        """Seldom, a building far off to a side."""
        if rng.random() > 0.05:
            return []
        side, near = int(rng.choice([-1, 1])), number * TILE_M + float(rng.uniform(0, 10))
        edge = self._course.right_m if side > 0 else -self._course.oncoming_left_m
        x, deep = side * (edge + float(rng.uniform(14.0, 40.0))), float(rng.uniform(8.0, 20.0))
        face = int(rng.integers(_HOUSES))
        height, texture = height_of(self._library.storeys[face]), self._library.facade(face)
        side_wall, front = (
            along(x, near, near + 12.0, height),
            facing(x + side * deep / 2, near, deep, height),
        )
        pieces = (
            Quad(("building", number, 0), texture, side_wall, BUILDING, self._light(side)),
            Quad(("building", number, 1), texture, front, BUILDING, self._look.front),
        )
        return [Placed(near, Still(pieces))]

    def _edge(self, number: int, side: int, kind: str, stretch: _Stretch) -> list[Placed]:
        """The barrier or rail at one edge of our carriageway."""
        near, name = number * TILE_M, ("edge", number, side)
        x = self._course.right_m if side > 0 else self._course.left_m
        light = self._light(side)
        if kind == "guard":
            basis = along(x, near, near + TILE_M, GUARD_M)
            return [Placed(near, Still((Quad((*name, 0), self._library.guard(), basis, FENCE, light),)))]
        if kind == "open":
            return []
        height, whole = self._library.barrier_size_m(stretch.barrier)
        top = flat(x + side * 0.13, near, 0.26, TILE_M, height)
        wall = along(x, near, near + TILE_M, whole)
        pieces = (
            Quad((*name, 1), self._library.barrier_top(stretch.barrier), top, FENCE, self._look.ground),
            Quad((*name, 2), self._library.barrier(stretch.barrier), wall, FENCE, light),
        )
        return [Placed(near, Still(pieces))]

    def _signs(self, rng: np.random.Generator, number: int) -> list[Placed]:
        """Now and then a gantry, a sign at the roadside, or a lamp."""
        dice, z = rng.random(), number * TILE_M + 12.0
        panel = int(rng.integers(PANELS))
        if dice < 0.015:
            return [self._gantry(rng, number, z)]
        if dice < 0.09:
            return [self._sign(number, self._course.right_m + 1.6, z, panel)]
        if dice < 0.3:
            x = float(
                rng.choice([self._course.right_m + 1.2, self._course.left_m - self._course.median_m / 2])
            )
            return [Placed(z, Still((self._pole(("mast", number), x, z, float(rng.uniform(6, 11)), 0.2),)))]
        return []

    def _pole(self, name: Key, x: float, z: float, height: float, width: float) -> Quad:
        return Quad(name, self._library.pole(), facing(x, z, width, height), POLE, self._look.front)

    def _sign(self, number: int, x: float, z: float, panel: int) -> Placed:
        width, height = PANEL_SIZES_M[panel]
        texture = self._library.panel(panel)
        x += width / 2
        poles = [
            self._pole(("panel", number, place), x + aside * width, z + 0.02, 1.6 + height / 2, 0.14)
            for place, aside in enumerate((-0.3, 0.3))
        ]
        plate = Quad(("panel", number, 2), texture, facing(x, z, width, height, 1.5), SIGN, self._look.front)
        return Placed(z, Still((*poles, plate)))

    def _gantry(self, rng: np.random.Generator, number: int, z: float) -> Placed:
        """A beam across our lanes on two posts, with signs."""
        left, right = self._course.left_m - 0.3, self._course.right_m + 0.8
        pieces = [self._pole(("gantry", number, n), x, z, 7.4, 0.35) for n, x in enumerate((left, right))]
        beam = facing((left + right) / 2, z, right - left, 0.7, 6.4)
        pieces.append(
            Quad(("gantry", number, 2), self._library.concrete("beam", 150.0), beam, POLE, self._look.front)
        )
        for place, lane in enumerate(self._course.lanes_m):
            if rng.random() < 0.5:
                panel = int(rng.integers(3))
                basis = facing(
                    lane, z - 0.05, min(PANEL_SIZES_M[panel][0], 3.3), PANEL_SIZES_M[panel][1], 5.6
                )
                texture = self._library.panel(panel)
                pieces.append(Quad(("gantry", number, 3 + place), texture, basis, SIGN, self._look.front))
        return Placed(z, Still(tuple(pieces)))

    def _has_bridge(self, number: int) -> bool:
        return bool(self._rng(754, number).random() < 0.015)

    def _bridge(self, number: int) -> list[Placed]:
        """A bridge across both carriageways on pillars."""
        if not self._has_bridge(number):
            return []
        z, deep, clear = number * TILE_M + 2.0, 9.0, 5.2
        front, concrete = self._look.front, self._library.concrete("pillar", 140.0)
        below = Quad(
            ("bridge", number, 0), self._library.concrete("under", 70.0), flat(0.0, z, BRIDGE_M[0], deep, clear),
            BUILDING, front,
        )  # fmt: skip
        face = Quad(
            ("bridge", number, 1), self._library.bridge(), facing(0.0, z, *BRIDGE_M, clear), BUILDING, front
        )
        feet = [
            Quad(("bridge", number, 2 + n), concrete, facing(x, z + 0.5, wide, clear), BUILDING, front)
            for n, (x, wide) in enumerate((
                (self._course.right_m + 2.5, 2.5), (self._course.left_m - self._course.median_m / 2 - 0.2, 0.9),
                (self._course.oncoming_left_m - 3.0, 3.0),
            ))
        ]  # fmt: skip
        return [Placed(z, Still((below, *feet, face)))]

    def _shadows(self, number: int, stretch: _Stretch) -> list[Placed]:
        """What keeps the sun from the road; nothing does on a grey day."""
        if self._look.overcast:
            return []
        quads = self._dapples(number, stretch) + self._strips(number, stretch)
        if self._has_bridge(number):
            basis = flat(0.0, number * TILE_M + self._shade_m, BRIDGE_M[0], 10.0)
            quads.append(Quad(("bridge shade", number), self._library.strip(False), basis, SHADOW))
        return [Placed(number * TILE_M, Still((quad,))) for quad in quads]

    def _dapples(self, number: int, stretch: _Stretch) -> list[Quad]:
        """Shadows of trees on the sun's side, some across the whole road."""
        rng = self._rng(755, number)
        quads = []
        side = 1.0 if self._look.sun_x > 0 else -1.0
        edge = self._course.right_m if side > 0 else -self._course.left_m
        for place in range(int(rng.poisson(2.6 * stretch.shady))):
            depth = DAPPLE_M[0] * float(rng.uniform(0.4, 1.1))
            width = DAPPLE_M[1] * float(rng.uniform(0.3, 1.2))
            x = side * (edge + 1.0 - width / 2 + float(rng.uniform(-3.0, 2.0)))
            basis = flat(x, number * TILE_M + float(rng.uniform(0, TILE_M)), -side * width, depth)
            texture = self._library.dapple(int(rng.integers(DAPPLES)))
            quads.append(Quad(("dapple", number, place), texture, basis, SHADOW, least_px2=40.0))
        return quads

    def _strips(self, number: int, stretch: _Stretch) -> list[Quad]:
        """Along the barrier or rail on the sun's side."""
        side = 1 if self._look.sun_x > 0 else -1
        kind, x = (stretch.right, self._course.right_m) if side > 0 else (stretch.left, self._course.left_m)
        if kind == "open":
            return []
        height, whole = self._library.barrier_size_m(stretch.barrier)
        width = self._shade_m * whole
        basis = flat(x - side * width / 2, number * TILE_M, -side * width, TILE_M)
        rail = kind == "barrier" and whole > height
        return [Quad(("strip", number), self._library.strip(rail), basis, SHADOW)]
