"""What stands on the ground: trees, hedges, walls, fences, buildings and poles."""

from __future__ import annotations

import numpy as np

from keywarp.flow.scenes.street.labels import BUILDING, FENCE, POLE, TREE

from .brush import Brush, Color, Mask, rectangle, scaled
from .camera import Array

_WALLS = (
    (150, 155, 160), (175, 182, 190), (70, 85, 140), (95, 115, 165), (200, 205, 210), (120, 135, 150),
    (110, 110, 112), (140, 170, 200),
)  # fmt: skip
_ROOFS = ((52, 60, 112), (60, 66, 110), (70, 84, 140), (96, 104, 120), (84, 70, 62))
_LEAVES = ((34, 72, 52), (40, 84, 66), (46, 96, 88), (52, 78, 58), (54, 108, 98))
_METALS = ((120, 122, 124), (70, 70, 72), (175, 178, 180), (60, 90, 60), (30, 30, 32))


class Tree:
    """A round crown of clumps on a trunk, (N, 3) clumps in metres, drawn from the lowest up."""

    def __init__(
        self, rng: np.random.Generator, place: tuple[float, float], radius_m: float, top_m: float
    ) -> None:
        self.place = np.array(place)
        count = int(rng.integers(90, 150))
        ball = rng.standard_normal((count, 3))
        ball *= (rng.uniform(0.45, 1, count) / np.linalg.norm(ball, axis=1))[:, None]
        depth = min(radius_m, 0.42 * top_m)
        clumps = ball * [radius_m, radius_m, depth] + [*place, top_m - depth]
        order = np.argsort(clumps[:, 2])
        self._clumps = clumps[order]
        self._sizes = radius_m * rng.uniform(0.1, 0.24, count)
        rise = (ball[order, 2] + 1) / 2
        color = np.array(_LEAVES[rng.integers(len(_LEAVES))]) * rng.uniform(0.75, 1.3)
        self._colors = color * (0.45 + 0.75 * rise + rng.normal(0, 0.09, count))[:, None]
        self._trunk = np.array([[*place, 0.0], [*place, top_m - depth]])

    def shadow(self, brush: Brush, mask: Mask) -> None:
        """Stamp the shadow of trunk and clumps."""
        angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        circle = np.column_stack([np.cos(angles), np.sin(angles)])
        for center, size in zip(brush.light.cast(self._clumps), self._sizes, strict=True):
            brush.stamp(mask, center + circle * size)
        brush.shadow(mask, _thick(self._trunk, 0.1))

    def draw(self, brush: Brush) -> None:
        """Draw the trunk, then the crown."""
        brush.capsule(self._trunk, (0.14, 0.1), (50, 62, 76), TREE)
        for clump, size, color in zip(self._clumps, self._sizes, self._colors, strict=True):
            brush.capsule(np.stack([clump, clump]), (size, size), scaled(color, 1.0), TREE)


class Block:
    """An upright prism with a label: a hedge, a wall or a kerb."""

    def __init__(self, ring: Array, top_m: float, color: Color, label: int) -> None:
        self.place = ring.mean(0)
        self._ring, self._top, self._color, self._label = ring, top_m, color, label

    def shadow(self, brush: Brush, mask: Mask) -> None:
        """Stamp its shadow."""
        heights = np.repeat([0.0, self._top], len(self._ring))
        brush.shadow(mask, np.column_stack([np.tile(self._ring, (2, 1)), heights]))

    def draw(self, brush: Brush) -> None:
        """Draw sides and top."""
        brush.box(self._ring, 0.0, self._top, self._color, self._label)


class House(Block):
    """A building with windows and doors on its sides."""

    def __init__(self, rng: np.random.Generator, ring: Array, top_m: float) -> None:
        super().__init__(
            ring, top_m, scaled(_WALLS[rng.integers(len(_WALLS))], rng.uniform(0.8, 1.1)), BUILDING
        )
        self._roof = _ROOFS[rng.integers(len(_ROOFS))]
        self._pitch_m = rng.uniform(2.2, 4)
        self._glass = scaled((70, 62, 56), rng.uniform(0.5, 1.5))

    def draw(self, brush: Brush) -> None:
        """Draw walls, openings and a flat roof with a rim."""
        super().draw(brush)
        inside = np.array([*self.place, self._top / 2])
        for start, end in zip(self._ring, np.roll(self._ring, -1, axis=0), strict=True):
            self._openings(brush, start, end, inside)
        if self._top < brush.camera.height_m:
            rim = self.place + (self._ring - self.place) * 0.97
            light = brush.light.lit(np.array([0, 0, 1.0]))
            brush.polygon(np.column_stack([rim, np.full(4, self._top)]), scaled(self._roof, light), BUILDING)
            self._seams(brush, rim, light)

    def _seams(self, brush: Brush, rim: Array, light: float) -> None:
        """Dark lines across the roof, half a metre apart, which tell it from plain ground."""
        length = float(np.linalg.norm(rim[3] - rim[0]))
        for share in np.arange(0.02, 0.98, 0.55 / length):
            ends = np.stack([rim[0] + (rim[3] - rim[0]) * share, rim[1] + (rim[2] - rim[1]) * share])
            width = (rim[3] - rim[0]) * (0.09 / length)
            strip = np.stack([ends[0], ends[1], ends[1] + width, ends[0] + width])
            brush.polygon(
                np.column_stack([strip, np.full(4, self._top)]), scaled(self._roof, 0.7 * light), None
            )

    def _openings(self, brush: Brush, start: Array, end: Array, inside: Array) -> None:
        length = float(np.linalg.norm(end - start))
        along = (end - start) / length
        for at in np.arange(self._pitch_m / 2, length - 1, self._pitch_m):
            for low in np.arange(0.1 if int(at) % 3 == 0 else 0.9, self._top - 1.6, 2.9):
                feet = np.stack([start + along * (at - 0.6), start + along * (at + 0.6)])
                face = np.column_stack([feet[[0, 1, 1, 0]], [low, low, low + 1.4, low + 1.4]])
                light = brush.faces(face, inside)
                if light is not None:
                    brush.polygon(face, scaled(self._glass, light), BUILDING)


class Fence:
    """Rails, boards or bars between posts along a line; what shows between them counts as fence."""

    def __init__(self, rng: np.random.Generator, start: Array, end: Array, top_m: float) -> None:
        self.place = (start + end) / 2
        self._start, self._end, self._top = start, end, top_m
        self._color = _METALS[rng.integers(len(_METALS))] if rng.random() < 0.6 else (80, 110, 145)
        self._gap_m = rng.choice([0.16, 0.22, 2.0])
        self._closed = rng.random() < 0.4

    def shadow(self, brush: Brush, mask: Mask) -> None:
        """Stamp the shadow of bars and rails."""
        for bar in self._bars():
            brush.shadow(mask, _thick(bar, 0.02))

    def draw(self, brush: Brush) -> None:
        """Draw the fence's area into the labels, and the bars into both."""
        feet = np.stack([self._start, self._end, self._end, self._start])
        side = np.column_stack([feet, [0, 0, self._top, self._top]])
        if self._closed:
            brush.polygon(side, scaled(self._color, 0.8), FENCE)
        else:
            brush.label(side, FENCE)
        for bar in self._bars():
            brush.capsule(bar, (0.022, 0.022), self._color, FENCE)

    def _bars(self) -> list[Array]:
        length = float(np.linalg.norm(self._end - self._start))
        feet = self._start + (self._end - self._start) * np.arange(0, 1, self._gap_m / length)[:, None]
        bars = [np.array([[*foot, 0.0], [*foot, self._top]]) for foot in feet[:60]]
        heights = (0.15, self._top) if self._gap_m < 1 else (0.35 * self._top, 0.65 * self._top, self._top)
        return bars + [np.array([[*self._start, z], [*self._end, z]]) for z in heights]


class Pole:
    """A post or mast, ``lean`` (2,) metres: how far an arm reaches out at its top."""

    def __init__(
        self, rng: np.random.Generator, place: tuple[float, float], top_m: float, lean: Array | None = None
    ) -> None:
        self.place = np.array(place)
        foot, top = np.array([*place, 0.0]), np.array([*place, top_m])
        self._limbs = [np.stack([foot, top])]
        if lean is not None:
            self._limbs.append(np.stack([top, top + np.array([*lean, 0.1])]))
        self._radius = rng.uniform(0.04, 0.1)
        self._color = _METALS[rng.integers(len(_METALS))] if rng.random() < 0.8 else (40, 190, 225)

    def shadow(self, brush: Brush, mask: Mask) -> None:
        """Stamp its thin shadow."""
        for limb in self._limbs:
            brush.shadow(mask, _thick(limb, self._radius))

    def draw(self, brush: Brush) -> None:
        """Draw the post, then its arm."""
        for limb in self._limbs:
            brush.capsule(limb, (self._radius, self._radius * 0.85), self._color, POLE)


def _thick(limb: Array, radius_m: float) -> Array:
    """(8, 3) points about a limb, (2, 3)."""
    sides = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * radius_m
    return (limb[:, None] + sides).reshape(-1, 3)


def hedge(rng: np.random.Generator, center: tuple[float, float], size: tuple[float, float]) -> Block:
    """A clipped hedge."""
    color = scaled(_LEAVES[rng.integers(len(_LEAVES))], rng.uniform(0.9, 1.4))
    return Block(rectangle(center, size), rng.uniform(0.5, 1.4), color, TREE)


def wall(rng: np.random.Generator, center: tuple[float, float], size: tuple[float, float]) -> Block:
    """A low wall, which CamVid counts as building."""
    return Block(rectangle(center, size), rng.uniform(0.5, 1.8), _WALLS[rng.integers(len(_WALLS))], BUILDING)
