"""People on foot and on bicycles, as limbs of rounded shapes."""

from __future__ import annotations

import numpy as np

from keywarp.flow.scenes.street.labels import BICYCLIST, PEDESTRIAN

from .brush import Brush, Color, Mask, scaled
from .camera import Array

_CLOTHES = (
    (40, 38, 36), (70, 62, 58), (120, 80, 50), (60, 50, 140), (190, 188, 185), (150, 150, 152), (90, 120, 70),
    (60, 150, 200), (150, 90, 110), (40, 60, 90), (225, 225, 225), (60, 190, 235),
)  # fmt: skip
_SKINS = ((150, 180, 225), (120, 150, 200), (70, 95, 140), (45, 60, 90))
_HAIR = ((25, 25, 28), (35, 45, 65), (70, 110, 150), (130, 132, 134), (30, 30, 120), (220, 220, 220))
_Limb = tuple[list[list[float]], tuple[float, float], Color]


class Person:
    """Someone at ``place`` (x, y), facing ``turn`` radians from y; ``riding`` puts them on a bicycle."""

    def __init__(
        self, rng: np.random.Generator, place: tuple[float, float], turn: float, riding: bool = False
    ) -> None:
        self.place = np.array(place)
        cos, sin = np.cos(turn), np.sin(turn)
        self._pose = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        self._foot = np.array([*place, 0.0])
        self._size = rng.uniform(0.85, 1.08)
        self._label = BICYCLIST if riding else PEDESTRIAN
        self._limbs = _rider(rng) if riding else _walker(rng)

    def shadow(self, brush: Brush, mask: Mask) -> None:
        """Stamp the shadow of each limb."""
        ring = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * 0.7
        for ends, radii, _ in self._limbs:
            points = self._world(np.array(ends))
            brush.shadow(mask, np.concatenate([points[0] + ring * radii[0], points[1] + ring * radii[1]]))

    def draw(self, brush: Brush) -> None:
        """Draw the limbs, the lowest first."""
        if not brush.sees(self.place, 1.8):
            return
        for ends, radii, color in self._limbs:
            sizes = (radii[0] * self._size, radii[1] * self._size)
            points = self._world(np.array(ends))
            brush.capsule(points, sizes, scaled(color, brush.light.lit(np.array([0, 0, 0.8]))), self._label)

    def _world(self, points: Array) -> Array:
        return (points * self._size) @ self._pose + self._foot


def _walker(rng: np.random.Generator) -> list[_Limb]:
    """Two legs in stride, then trunk, arms and head."""
    stride = rng.uniform(-0.32, 0.32)
    trousers, shoe = _CLOTHES[rng.integers(6)], (30, 30, 32)
    limbs: list[_Limb] = []
    for side, ahead in ((-0.1, stride), (0.1, -stride)):
        limbs.append(([[side, ahead, 0.05], [side, ahead + 0.12, 0.05]], (0.055, 0.05), shoe))
        limbs.append(([[side, ahead, 0.1], [side * 0.9, 0, 0.85]], (0.06, 0.1), trousers))
    return limbs + _upper_body(rng, 0.0, stride)


def _rider(rng: np.random.Generator) -> list[_Limb]:
    """Wheels and frame, bent legs, then the upper body leaning ahead."""
    frame, trousers = _CLOTHES[rng.integers(len(_CLOTHES))], _CLOTHES[rng.integers(6)]
    limbs: list[_Limb] = [
        ([[0, y - 0.3, 0.33], [0, y + 0.3, 0.33]], (0.05, 0.05), (30, 30, 30)) for y in (-0.52, 0.52)
    ]
    limbs.append(([[0, -0.5, 0.35], [0, 0.45, 0.75]], (0.03, 0.03), frame))
    limbs.append(([[-0.28, 0.42, 1.0], [0.28, 0.42, 1.0]], (0.025, 0.025), (40, 40, 40)))
    pedal = rng.uniform(-0.17, 0.17)
    for side, foot in ((-0.12, pedal), (0.12, -pedal)):
        limbs.append(([[side, foot, 0.28 + foot / 2], [side, 0.18, 0.72 + foot / 2]], (0.05, 0.07), trousers))
        limbs.append(([[side, 0.18, 0.72 + foot / 2], [side * 0.8, -0.2, 0.95]], (0.07, 0.1), trousers))
    return limbs + _upper_body(rng, 0.2, 0.3)


def _upper_body(rng: np.random.Generator, lean: float, swing: float) -> list[_Limb]:
    coat, skin = _CLOTHES[rng.integers(len(_CLOTHES))], _SKINS[rng.integers(len(_SKINS))]
    hair = _HAIR[rng.integers(len(_HAIR))]
    back = -0.2 if lean else 0.0
    reach = 0.62 if lean else 0.0
    limbs: list[_Limb] = [([[0, back, 0.95], [0, back + lean, 1.3]], (0.15, 0.17), scaled(coat, 0.85))]
    for side, ahead in ((-1, -swing), (1, swing)):
        hand = [side * 0.26, reach + back if lean else ahead * 0.7, 0.98 if lean else 0.85]
        limbs.append(([[side * 0.2, back + lean, 1.38], hand], (0.065, 0.05), scaled(coat, 0.92)))
    limbs.append(([[-0.16, back + lean, 1.4], [0.16, back + lean, 1.4]], (0.1, 0.1), coat))
    limbs.append(([[0, back + lean + 0.05, 1.56], [0, back + lean + 0.06, 1.62]], (0.09, 0.1), skin))
    limbs.append(([[0, back + lean, 1.63], [0, back + lean + 0.02, 1.68]], (0.105, 0.1), hair))
    if not lean and rng.random() < 0.3:
        bag = _CLOTHES[rng.integers(len(_CLOTHES))]
        limbs.insert(-3, ([[0, -0.2, 1.05], [0, -0.2, 1.32]], (0.13, 0.12), bag))
    return limbs
