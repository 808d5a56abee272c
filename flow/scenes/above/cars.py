"""Cars as rounded bodies with a narrower cabin, in metres: x to the right, y ahead, z up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keywarp.flow.scenes.street.labels import CAR

from .brush import Brush, Color, Mask, rectangle, scaled
from .camera import Array


@dataclass(frozen=True, slots=True)
class Shape:
    """Heights in metres; ``cabin``: y of screen base, roof front, roof rear, rear base, in lengths."""

    length_m: float
    width_m: float
    belt_m: float
    roof_m: float
    cabin: tuple[float, float, float, float]


_SHAPES = (
    Shape(4.6, 1.82, 0.92, 1.44, (0.21, 0.06, -0.20, -0.35)),
    Shape(4.85, 1.86, 0.93, 1.45, (0.21, 0.07, -0.19, -0.36)),
    Shape(4.0, 1.74, 0.94, 1.50, (0.25, 0.09, -0.36, -0.46)),
    Shape(4.5, 1.80, 0.93, 1.47, (0.22, 0.07, -0.38, -0.46)),
    Shape(4.65, 1.88, 1.04, 1.68, (0.23, 0.09, -0.39, -0.465)),
    Shape(5.2, 1.95, 1.20, 2.10, (0.40, 0.28, -0.485, -0.492)),
    Shape(5.3, 1.92, 1.08, 1.80, (0.21, 0.08, -0.07, -0.13)),
)
_PAINTS = (
    (232, 234, 235), (238, 238, 238), (190, 192, 194), (160, 162, 164), (92, 92, 94), (58, 56, 55),
    (30, 30, 31), (24, 24, 26), (28, 28, 150), (40, 36, 190), (122, 62, 30), (150, 92, 34), (190, 140, 80),
    (62, 84, 40), (110, 150, 190), (40, 190, 225), (60, 70, 90), (96, 40, 30),
)  # fmt: skip
_RIM = 28
_UP = np.array([0, 0, 1.0])


class Car:
    """A car of chance that stands at ``place`` (x, y) and heads along ``turn`` radians from y."""

    def __init__(self, rng: np.random.Generator, place: tuple[float, float], turn: float) -> None:
        self.shape = _SHAPES[rng.integers(len(_SHAPES))]
        self.place = np.array(place)
        cos, sin = np.cos(turn), np.sin(turn)
        self._pose = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        self._foot = np.array([*place, 0.0])
        self._paint = scaled(_PAINTS[rng.integers(len(_PAINTS))], rng.uniform(0.85, 1.12))
        self._glass = scaled((58, 50, 44), rng.uniform(0.35, 1.7))
        self._shine = rng.uniform(0.9, 1.6)
        self._sunroof = rng.random() < 0.2
        self._black_roof = rng.random() < 0.07
        self._lit = rng.random() < 0.25

    def shadow(self, brush: Brush, mask: Mask) -> None:
        """Stamp the shadows of body and cabin."""
        if not brush.sees(self.place, 6.0):
            return
        shape = self.shape
        body = _rim(shape, 1.0, 0.0)
        brush.stamp(mask, self._world(body * [1.03, 1.01, 1])[:, :2], 235)
        body[:, 2] = shape.belt_m - 0.08
        brush.shadow(mask, np.concatenate([self._world(body), self._world(body * [1, 1, 0.2])]))
        base, roof = self._cabin()
        brush.shadow(mask, self._world(np.concatenate([base, roof])))

    def draw(self, brush: Brush) -> None:
        """Draw from the ground up."""
        if not brush.sees(self.place, 3.0):
            return
        self._body(brush)
        self._hood(brush)
        self._cabin_faces(brush)
        self._mirrors(brush)

    def _body(self, brush: Brush) -> None:
        shape = self.shape
        rims = [_rim(shape, 0.95, 0.18), _rim(shape, 1.0, 0.5), _upper(shape)]
        inside = self._world(np.array([[0, 0, 0.4]]))[0]
        for low, high, paint in ((0, 1, scaled(self._paint, 0.72)), (1, 2, self._paint)):
            brush.strip(self._world(rims[low]), self._world(rims[high]), paint, CAR)
            if low == 0:
                self._wheels(brush, inside)
        self._lamps(brush, inside)

    def _face(self, brush: Brush, face: Array, paint: Color, inside: Array) -> bool:
        light = brush.faces(face, inside)
        if light is not None:
            brush.polygon(face, scaled(paint, light), CAR)
        return light is not None

    def _wheels(self, brush: Brush, inside: Array) -> None:
        shape = self.shape
        angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        for side in (-1, 1):
            for end in (-0.3, 0.31):
                for radius, color in ((0.34, (26, 26, 27)), (0.2, (120, 120, 122))):
                    wheel = np.column_stack(
                        [
                            np.full(16, side * shape.width_m * 0.5),
                            end * shape.length_m + radius * np.cos(angles),
                            0.34 + radius * np.sin(angles),
                        ]
                    )
                    self._face(brush, self._world(wheel), color, inside)

    def _lamps(self, brush: Brush, inside: Array) -> None:
        half_width, half_length, belt = self.shape.width_m / 2, self.shape.length_m / 2, self.shape.belt_m
        front = (235, 240, 245) if self._lit else (190, 190, 188)
        rear = (40, 40, 235) if self._lit else (36, 30, 150)
        for side in (-1, 1):
            for end, color, top in ((1, front, belt - 0.24), (-1, rear, belt - 0.1)):
                x = side * half_width * np.array([0.55, 0.93])
                y = end * half_length * np.array([1.0, 0.93])
                lamp = np.array(
                    [
                        [x[0], y[0], top - 0.2],
                        [x[1], y[1], top - 0.2],
                        [x[1], y[1] * 0.97, top],
                        [x[0], y[0] * 0.985, top],
                    ]
                )
                light = brush.faces(self._world(lamp), inside)
                if light is not None:
                    brush.polygon(self._world(lamp), color, CAR)

    def _hood(self, brush: Brush) -> None:
        shape = self.shape
        upper = _upper(shape)
        light = brush.light.lit(_UP)
        brush.polygon(self._world(upper), scaled(self._paint, light), CAR)
        ridge = upper * [0.72, 0.95, 1] + [0, 0, 0.02]
        brush.polygon(self._world(ridge), scaled(self._paint, light * 1.05), CAR)
        if shape.cabin[3] > -0.2:
            bed = rectangle((0, -0.31 * shape.length_m), (shape.width_m * 0.78, shape.length_m * 0.32))
            brush.polygon(
                self._world(np.column_stack([bed, np.full(4, shape.belt_m)])), scaled(self._paint, 0.35), CAR
            )

    def _cabin(self) -> tuple[Array, Array]:
        """Corners of base and roof, (4, 3) each: front left, front right, rear right, rear left."""
        shape = self.shape
        base_x, roof_x = shape.width_m * 0.445, shape.width_m * (0.43 if shape.roof_m > 2 else 0.36)
        front, roof_front, roof_rear, rear = (share * shape.length_m for share in shape.cabin)
        low, high = shape.belt_m - 0.02, shape.roof_m
        base = [
            [-base_x * 0.94, front, low - 0.05],
            [base_x * 0.94, front, low - 0.05],
            [base_x, rear, low],
            [-base_x, rear, low],
        ]
        roof = [
            [-roof_x, roof_front, high],
            [roof_x, roof_front, high],
            [roof_x * 0.95, roof_rear, high - 0.04],
        ]
        return np.array(base), np.array([*roof, [-roof_x * 0.95, roof_rear, high - 0.04]])

    def _cabin_faces(self, brush: Brush) -> None:
        base, roof = self._cabin()
        inside = self._world(np.concatenate([base, roof]).mean(0)[None])[0]
        panel = self.shape.roof_m > 2
        for first in range(4):
            second = (first + 1) % 4
            face = np.stack([base[first], base[second], roof[second], roof[first]])
            if not self._face(brush, self._world(face), scaled(self._paint, 0.9), inside):
                continue
            if panel and first != 0:
                continue
            for left, right in ((0.07, 0.93),) if first in (0, 2) else ((0.1, 0.5), (0.54, 0.88)):
                window = _part(face, left, right, 0.08, 0.93)
                shine = self._shine if first in (0, 2) else 0.8
                brush.polygon(self._world(window), scaled(self._glass, shine), CAR)
        self._roof(brush, roof)

    def _roof(self, brush: Brush, roof: Array) -> None:
        light = brush.light.lit(_UP) * 1.06
        paint = (28, 28, 30) if self._black_roof else self._paint
        brush.polygon(self._world(_bulged(roof)), scaled(paint, light), CAR)
        brush.polygon(self._world(_part(roof, 0.12, 0.88, 0.08, 0.92)), scaled(paint, light * 1.03), CAR)
        if self._sunroof:
            brush.polygon(self._world(_part(roof, 0.2, 0.8, 0.15, 0.5)), scaled(self._glass, 0.8), CAR)

    def _mirrors(self, brush: Brush) -> None:
        y = (self.shape.cabin[0] - 0.05) * self.shape.length_m
        for side in (-1, 1):
            x = side * self.shape.width_m * np.array([0.47, 0.54])
            ends = np.column_stack([x, [y, y - 0.03], [self.shape.belt_m + 0.03] * 2])
            brush.capsule(self._world(ends), (0.06, 0.085), scaled(self._paint, 0.85), CAR)

    def _world(self, points: Array) -> Array:
        return points @ self._pose + self._foot


def _rim(shape: Shape, scale: float, z_m: float) -> Array:
    """(28, 3) a rounded rectangle around the car, narrower in front."""
    angles = np.linspace(0, 2 * np.pi, _RIM, endpoint=False) + 0.1
    cos, sin = np.cos(angles), np.sin(angles)
    x = np.sign(cos) * np.abs(cos) ** 0.36 * shape.width_m / 2
    y = np.sign(sin) * np.abs(sin) ** 0.36 * shape.length_m / 2
    x *= 1 - 0.1 * np.clip(sin, 0, 1) ** 6
    return np.column_stack([x * scale, y * (1 - (1 - scale) / 2), np.full(_RIM, z_m)])


def _upper(shape: Shape) -> Array:
    """The edge of hood, belt and boot lid."""
    rim = _rim(shape, 0.93, shape.belt_m)
    ahead = np.clip(rim[:, 1] / shape.length_m * 2 - 0.3, 0, 1)
    rim[:, 2] -= 0.22 * ahead**2
    return rim


def _part(face: Array, left: float, right: float, low: float, high: float) -> Array:
    """(4, 3) a part of a four-cornered face, by shares of its sides."""
    across = [(left, low), (right, low), (right, high), (left, high)]
    rows = [
        (face[0] * (1 - u) + face[1] * u) * (1 - v) + (face[3] * (1 - u) + face[2] * u) * v for u, v in across
    ]
    return np.stack(rows)


def _bulged(roof: Array) -> Array:
    """(8, 3) a roof whose edges swell a little."""
    middle = roof.mean(0)
    edges = (roof + np.roll(roof, -1, axis=0)) / 2
    edges[:, :2] = middle[:2] + (edges[:, :2] - middle[:2]) * 1.05
    return np.stack([roof, edges], axis=1).reshape(-1, 3)
