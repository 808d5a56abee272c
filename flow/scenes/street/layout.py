"""The still part of the street, block by block: each block follows from the seed and its number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from . import cars, vehicles
from .facades import ROOF_M, height_of
from .ground import PAVED_M, TILE_M, Tile
from .labels import BUILDING, FENCE, POLE, SIGN, TREE
from .library import FACADES, TREE_SIZES_M, TREES, Library
from .palette import Color, Look
from .quad import SHADOW, Key, Quad, Still, Thing, along, facing, lying

BLOCK_M = TILE_M
KERB_X_M = 6.15
PARKED_X_M = 4.55
_BACK_M = 17.0


PAVEMENT_LATER_M = cars.LENGTH_M + 0.1
"""Added to the sorting depth of what stands on the pavements: parked cars sort by their far end, so that
cyclists pass before them and people on foot behind them."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A thing and the depth along the street by which it is sorted."""

    sort_m: float
    thing: Thing


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """``BLOCK_M`` of street: the ground, and what stands on it in layers, each before the ones named earlier
    wherever they meet in the picture."""

    layers: tuple[tuple[Placed, ...], ...]
    tile: Tile


@dataclass(frozen=True, slots=True)
class _Plot:
    """Ground for one house, in metres from the start of its block."""

    low_m: float
    high_m: float
    face: int
    setback_m: float


class Layout:
    """Blocks by number, any whole number."""

    def __init__(self, seed: int, look: Look, library: Library) -> None:
        self._seed = seed
        self._look = look
        self._library = library
        rng = np.random.default_rng((seed, 401))
        self._park_share = float(rng.uniform(0.12, 0.3))
        self._tree_share = float(rng.uniform(0.45, 0.9))
        self._parked_share = float(rng.uniform(0.3, 0.7))
        self.block = lru_cache(maxsize=64)(self._block)

    def _block(self, number: int) -> Block:
        behind: list[Placed] = []
        kerbside: list[Placed] = []
        for side in (-1, 1):
            rng, park = self._side_rng(number, side)
            if park:
                behind += self._park(rng, number, side)
            else:
                behind += self._houses(rng, number, side)
            kerbside += self._kerb(rng, number, side)
            kerbside += self._parked(rng, number, side)
        kind = "zebra" if number % 3 == 2 else ("plain", "patched")[(number + self._seed) % 2]
        return Block((tuple(behind), tuple(kerbside)), Tile(self._library.ground(kind), number * BLOCK_M))

    def _light(self, side: int) -> Color:
        """Of a face that looks across the street from ``side``."""
        return self._look.left if side > 0 else self._look.right

    def _side_rng(self, number: int, side: int) -> tuple[np.random.Generator, bool]:
        """The dice of one side of a block, and whether it is a park."""
        rng = np.random.default_rng((self._seed, 402, number + 2**20, side + 1))
        return rng, bool(rng.random() < self._park_share)

    def _plots(self, rng: np.random.Generator) -> list[_Plot]:
        """Two plots that fill a block."""
        split = float(rng.choice([10.0, 12.0, 14.0]))
        return [
            _Plot(low, high, int(rng.integers(FACADES)), float(rng.choice([0.0, 0.0, 0.5, 1.2])))
            for low, high in ((0.0, split), (split, BLOCK_M))
        ]

    def _houses(self, rng: np.random.Generator, number: int, side: int) -> list[Placed]:
        """Two fronts that fill the block, each with the wall that looks up the street."""
        before, park = self._side_rng(number - 1, side)
        neighbour = None if park else self._plots(before)[-1]
        houses = []
        for house, plot in enumerate(self._plots(rng)):
            near, far = number * BLOCK_M + plot.low_m, number * BLOCK_M + plot.high_m + 0.12
            height = height_of(self._library.storeys[plot.face])
            name: Key = ("house", number, side, house)
            front = Quad(
                (*name, 0), self._library.facade(plot.face),
                along(side * (PAVED_M + plot.setback_m), near, far, height), BUILDING,
                self._light(side),
            )  # fmt: skip
            wall = self._wall(name, plot, neighbour, near)
            houses.append(Placed(near, Still((wall, front) if wall else (front,))))
            neighbour = plot
        return houses

    def _wall(self, name: Key, plot: _Plot, neighbour: _Plot | None, near_m: float) -> Quad | None:
        """The side wall, unless the house before it hides all of it."""
        height = height_of(self._library.storeys[plot.face]) - ROOF_M
        low, side = 0.0, name[2]
        assert isinstance(side, int)
        if neighbour is not None and neighbour.setback_m <= plot.setback_m:
            low = height_of(self._library.storeys[neighbour.face]) - ROOF_M - 0.5
            if low >= height:
                return None
        wide = _BACK_M - PAVED_M
        texture = self._library.wall(plot.face, wide, height)
        x = side * (PAVED_M + plot.setback_m + wide / 2)
        basis = facing(x, near_m, wide, height)
        return Quad((*name, 1), texture, basis, BUILDING, self._look.front, top_share=1 - low / height)

    def _park(self, rng: np.random.Generator, number: int, side: int) -> list[Placed]:
        """Trees on grass behind a fence."""
        near = number * BLOCK_M
        things = []
        for tree in range(5):
            z = near + 2.5 + 4.6 * tree + rng.uniform(-1.2, 1.2)
            x = side * (PAVED_M + rng.uniform(3.0, 9.5))
            name: Key = ("grove", number, side, tree)
            things.append(Placed(z, Still(self._tree(rng, name, x, z, 1.25).pieces[1:])))
        basis = along(side * (PAVED_M + 0.1), near, near + BLOCK_M, 1.35)
        fence = Quad(("fence", number, side), self._library.fence(BLOCK_M), basis, FENCE, self._light(side))
        things.append(Placed(near - 0.5, Still((fence,))))
        return things

    def _tree(self, rng: np.random.Generator, name: Key, x: float, z: float, grow: float) -> Still:
        kind = int(rng.integers(TREES))
        size = TREE_SIZES_M[kind]
        grow *= float(rng.uniform(0.85, 1.1))
        shadow = Quad((*name, 0), self._library.shadow(), lying(x, z - 1.4, 4.2, 2.8), SHADOW, least_px2=60.0)
        basis = facing(x, z, size[0] * grow, size[1] * grow)
        if rng.random() < 0.5:
            basis[0, 2] += basis[0, 0]
            basis[0, 0] = -basis[0, 0]
        tree = Quad((*name, 1), self._library.tree(kind), basis, TREE, self._look.front)
        return Still((shadow, tree))

    def _kerb(self, rng: np.random.Generator, number: int, side: int) -> list[Placed]:
        """Trees, lamps and signs along the kerb."""
        start = number * BLOCK_M
        things = []
        for place, z in enumerate((start + 5.0, start + 17.0)):
            if rng.random() < self._tree_share:
                name: Key = ("tree", number, side, place)
                x = side * (KERB_X_M + 0.55)
                things.append(
                    Placed(z + PAVEMENT_LATER_M, self._tree(rng, name, x, z + rng.uniform(-1, 1), 0.85))
                )
        if (number + (side > 0)) % 2 == 0:
            things.append(self._lamp(number, side, start + 11.0))
        if number % 3 == 2:
            things.append(self._sign(number, side, start + 8.8, 1))
        elif rng.random() < 0.5:
            things.append(self._sign(number, side, start + 20.5, int(rng.integers(4))))
        return things

    def _lamp(self, number: int, side: int, z: float) -> Placed:
        x = side * KERB_X_M
        pole = Quad(
            ("lamp", number, side, 0), self._library.pole(), facing(x, z, 0.17, 6.4), POLE, self._look.front
        )
        basis = facing(x - side * 0.85, z, 1.7, 0.6, 6.1)
        if side > 0:
            basis[0, 2] += basis[0, 0]
            basis[0, 0] = -basis[0, 0]
        head = Quad(("lamp", number, side, 1), self._library.lamp(), basis, POLE, self._look.front)
        return Placed(z + PAVEMENT_LATER_M, Still((pole, head)))

    def _sign(self, number: int, side: int, z: float, kind: int) -> Placed:
        x = side * KERB_X_M
        pole = Quad(
            ("sign", number, side, 0),
            self._library.pole(),
            facing(x, z + 0.02, 0.09, 2.9),
            POLE,
            self._look.front,
        )
        plate = Quad(
            ("sign", number, side, 1), self._library.sign(kind), facing(x, z, 0.75, 0.75, 2.15), SIGN,
            self._look.front,
        )  # fmt: skip
        return Placed(z + PAVEMENT_LATER_M, Still((pole, plate)))

    def _parked(self, rng: np.random.Generator, number: int, side: int) -> list[Placed]:
        """Cars along the kerb, none on a zebra crossing."""
        things = []
        for place in range(4):
            z = number * BLOCK_M + 0.6 + 6.0 * place
            color, taken = int(rng.integers(8)), rng.random() < self._parked_share
            if taken and not (number % 3 == 2 and place in (1, 2)):
                object_id = vehicles.object_id_of("parked", 8 * (number + 2**20) + 4 * (side > 0) + place)
                car = vehicles.Car(object_id, color, side * PARKED_X_M, self._library, self._look, side > 0)
                things.append(Placed(z + cars.LENGTH_M, Still(car.at(z))))
        return things
