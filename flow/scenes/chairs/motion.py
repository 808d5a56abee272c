"""How a picture may move between two frames: as a flat whole, or as a street seen from a car.

A motion is made once for a pair, and gives the exact flow of any place in the current picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Field, Size
from keywarp.flow.compose import cell_grid

Matrix = NDArray[np.float64]


class Motion(Protocol):
    """What moves a layer of the pair."""

    def field(self, size: Size) -> Field:
        """(H, W, 2): from each cell of the current picture to where it was in the key picture."""
        ...


@dataclass(frozen=True, slots=True)
class Affine:
    """A flat layer: ``matrix`` (2, 3) takes places of the current picture to places of the key picture."""

    matrix: Matrix

    def field(self, size: Size) -> Field:
        """The exact flow."""
        cells = cell_grid(size)
        moved = cells @ self.matrix[:, :2].T.astype(np.float32) + self.matrix[:, 2].astype(np.float32)
        return moved - cells


def random_affine(centre: tuple[float, float], reach_px: float, rng: np.random.Generator) -> Affine:
    """A shift whose length has a heavy tail, up to ``reach_px``, a turn and a change of size, about ``centre``.

    Small motions are the most frequent ones, as in films (Dosovitskiy et al. 2015, figure 4).
    """
    angle = rng.normal(0, 0.06) * rng.random()
    zoom = np.exp(rng.normal(0, 0.12) * rng.random())
    shift = _heavy_tailed(reach_px, rng)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ (np.eye(2) + rng.normal(0, 0.02, (2, 2)))
    middle = np.array(centre)
    return Affine(np.column_stack([turn, middle - turn @ middle + shift]))


def _heavy_tailed(reach_px: float, rng: np.random.Generator) -> NDArray[np.float64]:
    length = reach_px * rng.random() ** 3
    angle = rng.uniform(0, 2 * np.pi)
    return length * np.array([np.cos(angle), 0.5 * np.sin(angle)])


@dataclass(frozen=True, slots=True)
class Drive:
    """A camera that drives through a canyon: ground, two walls, and nothing nearer than ``far`` straight ahead.

    Lengths are in heights of the camera above the ground, angles small. ``focal_px``; ``horizon``: where the car
    heads to, (x, y) in pixels. ``way``: how far the camera goes from the key to the current picture, negative
    backwards. ``left``, ``right``: how far the walls are. ``turn``: how many pixels the view turns, (x, y).
    """

    focal_px: float
    horizon: tuple[float, float]
    way: float
    left: float
    right: float
    far: float
    turn: tuple[float, float]

    def field(self, size: Size) -> Field:
        """The exact flow: each place is on the nearest of the planes, and was ``way`` farther away."""
        offset = (cell_grid(size) - np.array(self.horizon, np.float32)) / np.float32(self.focal_px)
        x, y = offset[..., 0], offset[..., 1]
        inverse = np.maximum(y, np.where(x < 0, -x / self.left, x / self.right))
        depth = 1 / np.maximum(inverse, 1 / self.far)
        before = depth / np.maximum(depth + self.way, 0.1 * depth)
        scaled = offset * before[..., np.newaxis] * np.float32(self.focal_px)
        moved = scaled + np.array(self.horizon, np.float32) + np.array(self.turn, np.float32)
        return (moved - cell_grid(size)).astype(np.float32)


def random_drive(size: Size, rng: np.random.Generator) -> Drive:
    """Mostly forwards, at the speeds and distances of a town; the horizon about the middle."""
    width, height = size
    focal_px = width * rng.uniform(0.7, 1.3)
    return Drive(
        focal_px=focal_px,
        horizon=(width * rng.normal(0.5, 0.1), height * rng.normal(0.47, 0.06)),
        way=float(np.clip(rng.exponential(1.2), 0, 5)) * (-0.2 if rng.random() < 0.1 else 1),
        left=rng.uniform(1.2, 6),
        right=rng.uniform(1.2, 6),
        far=rng.uniform(8, 60),
        turn=(rng.normal(0, 0.012) * width, rng.normal(0, 0.006) * width),
    )
