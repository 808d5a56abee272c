"""The textures that only a motorway has."""

from __future__ import annotations

import numpy as np

from keywarp.flow.scenes.street import nature
from keywarp.flow.scenes.street.library import TREE_SIZES_M, TREES, Library
from keywarp.flow.scenes.street.palette import Color, Look, mix, rgb
from keywarp.flow.scenes.street.texture import Texture

from . import lorries, paving, roadside, shade
from .course import Course

BARRIERS = 4
BUSHES = 8
BUSH_SIZES_M = (
    (5.0, 2.6), (7.0, 4.5), (3.0, 1.6), (9.0, 7.0), (4.0, 8.5),
    (10.0, 10.0), (8.0, 8.5), (9.0, 11.0),
)  # fmt: skip
"""The last three are trees with thin crowns."""
_THIN = 5
WOODS = 4
WOOD_M = (24.0, 8.0)
SLOPE_M = (24.0, 9.0)
PANELS = 5
PANEL_SIZES_M = ((4.5, 2.6), (3.2, 2.0), (5.5, 2.8), (2.2, 1.4), (1.0, 1.2))
LORRIES = 12
BRIDGE_M = (60.0, 2.0)
BARRIER_HEIGHTS_M = (0.82, 0.9, 1.0, 1.1)


class MotorwayLibrary(Library):
    """Textures by name, as for the town, and some of the town's painted in other ways."""

    def __init__(self, seed: int, look: Look, focal_px: float, course: Course) -> None:
        super().__init__(seed, look, focal_px)
        self._course = course
        rng = np.random.default_rng((seed, 721))
        greens = (0x3F5530, 0x55663A, 0x6C7440, 0x5A7A38, 0x7B7A4A)
        first, second = (int(rng.choice(greens)) for _ in range(2))
        self._greens = first, second
        self._rails = [bool(rng.random() < 0.45) for _ in range(BARRIERS)]

    @property
    def leaves(self) -> tuple[Color, Color]:
        """Of bushes and woods."""
        return rgb(self._greens[0]), rgb(self._greens[1])

    def tile(self, kind: int, variant: int) -> Texture:
        """A tile paved with surface ``kind``."""
        return self._named(f"tile {kind}", variant, lambda: paving.paint_tile(
            self._seed, self._course, kind, variant, float(np.clip(self._focal / 14, 8, 36))
        ))  # fmt: skip

    def skyline(self) -> Texture:
        """Hills."""
        return self._named("skyline", 0, lambda: roadside.paint_hills(
            self._rng(722, 0), self._look, round(self._focal * 2)
        ))  # fmt: skip

    def tree(self, number: int) -> Texture:
        """Tree ``number`` of ``TREES``, darker than in towns."""
        return self._named("tree", number, lambda: nature.paint_tree(
            self._rng(723, number), self._detail(12.0), TREE_SIZES_M[number % TREES], self._greens
        ))  # fmt: skip

    def barrier_size_m(self, number: int) -> tuple[float, float]:
        """The height of barrier ``number`` of ``BARRIERS``, and the same with the rail that it may have."""
        height = BARRIER_HEIGHTS_M[number]
        return height, height + roadside.RAIL_M * self._rails[number]

    def barrier(self, number: int) -> Texture:
        """24 m of it."""
        return self._named("barrier", number, lambda: roadside.paint_barrier(
            self._rng(724, number), 24.0, BARRIER_HEIGHTS_M[number], self._rails[number], self._detail(10.0)
        ))  # fmt: skip

    def barrier_top(self, number: int) -> Texture:
        """24 m of it."""
        return self._named("barrier top", number, lambda: roadside.paint_top(8.0, 150.0 + 20 * number))

    def guard(self) -> Texture:
        """24 m of guard rail."""
        return self._named("guard", 0, lambda: roadside.paint_guard(
            self._rng(725, 0), 24.0, self._detail(10.0)
        ))  # fmt: skip

    def bush(self, number: int) -> Texture:
        """Bush, or thin tree, ``number`` of ``BUSHES``."""
        leaf = mix(*self.leaves, number / BUSHES)
        paint = roadside.paint_bush if number < _THIN else roadside.paint_thin_tree
        return self._named("bush", number, lambda: paint(
            self._rng(726, number), BUSH_SIZES_M[number], leaf, self._detail(14.0)
        ))  # fmt: skip

    def wood(self, number: int) -> Texture:
        """The edge of a wood, ``WOOD_M``."""
        return self._named("wood", number, lambda: roadside.paint_wood(
            self._rng(727, number), WOOD_M, self.leaves, self._detail(22.0)
        ))  # fmt: skip

    def slope(self) -> Texture:
        """A bank, ``SLOPE_M``."""
        return self._named("slope", 0, lambda: roadside.paint_slope(
            self._rng(728, 0), SLOPE_M, self._course.verges, self._detail(20.0)
        ))  # fmt: skip

    def panel(self, number: int) -> Texture:
        """Direction sign ``number`` of ``PANELS``."""
        return self._named("panel", number, lambda: roadside.paint_panel(
            self._rng(729, number), PANEL_SIZES_M[number], self._detail(14.0)
        ))  # fmt: skip

    def bridge(self) -> Texture:
        """The face of a bridge, ``BRIDGE_M``."""
        return self._named("bridge", 0, lambda: roadside.paint_bridge(
            self._rng(730, 0), *BRIDGE_M, self._detail(20.0)
        ))  # fmt: skip

    def concrete(self, name: str, level: float) -> Texture:
        """A stained plain, grey ``level``."""
        return self._named("concrete " + name, 0, lambda: roadside.paint_plain(
            self._rng(731, 0), (level, level, level), (8.0, 6.0), 12.0
        ))  # fmt: skip

    def dapple(self, number: int) -> Texture:
        """A tree's shadow, number ``number`` of ``DAPPLES``."""
        depth = float(np.random.default_rng((self._seed, 732)).uniform(0.4, 0.65))
        return self._named("dapple", number, lambda: shade.paint_dapple(
            self._rng(733, number), depth, float(np.clip(self._focal / 16, 6, 32))
        ))  # fmt: skip

    def strip(self, rail: bool) -> Texture:
        """The shadow of a barrier."""
        depth = float(np.random.default_rng((self._seed, 732)).uniform(0.4, 0.65))
        return self._named("strip", int(rail), lambda: shade.paint_strip(depth, rail))

    def lorry(self, part: str, model: int) -> Texture:
        """The side, rear or front of lorry or van ``model`` of ``LORRIES``."""
        return self._named("lorry " + part, model, lambda: lorries.paint(
            self._rng(734, model), part, model, self._look, self._detail(9.0)
        ))  # fmt: skip
