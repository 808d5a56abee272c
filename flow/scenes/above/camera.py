"""A pinhole camera over flat ground. World axes: x and y along the ground, z up, in metres."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Size

Array = NDArray[np.float64]

NEAR_M = 0.3
_HORIZON_MARGIN = math.radians(9)
_LOWEST_M = 3.3


@dataclass(frozen=True, slots=True)
class Camera:
    """``position``: (3,) metres. ``axes``: (3, 3), rows right, down and forward. ``focal_px``: focal length."""

    size: Size
    position: Array
    axes: Array
    focal_px: float

    @property
    def height_m(self) -> float:
        """Height over the ground."""
        return float(self.position[2])

    def local(self, points: Array) -> Array:
        """(N, 3) right, down, forward, from (N, 3) world."""
        return (points - self.position) @ self.axes.T

    def to_px(self, local: Array) -> Array:
        """(N, 2) pixels of points before the camera, given in its own axes."""
        return local[:, :2] * (self.focal_px / local[:, 2:]) + np.array(self.size) / 2.0

    def ground_to_px(self) -> Array:
        """(3, 3) homography from metres on the ground to pixels."""
        width, height = self.size
        lens = np.array([[self.focal_px, 0, width / 2], [0, self.focal_px, height / 2], [0, 0, 1.0]])
        plane = np.column_stack([self.axes[:, 0], self.axes[:, 1], -self.axes @ self.position])
        return lens @ plane

    def ground_corners(self) -> Array:
        """(4, 2) metres: where the corners of the picture meet the ground."""
        width, height = self.size
        corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1.0]])
        ground = corners @ np.linalg.inv(self.ground_to_px()).T
        return ground[:, :2] / ground[:, 2:]


def random_camera(rng: np.random.Generator, size: Size) -> Camera:
    """A camera that looks at the origin from 40 to 90 degrees above, sees no horizon and stands askew."""
    width, height = size
    view = math.radians(rng.uniform(35, 75))
    focal = max(size) / 2 / math.tan(view / 2)
    lowest = math.atan(math.hypot(width, height) / 2 / focal) + _HORIZON_MARGIN
    pitch = max(math.radians(rng.uniform(40, 90)), lowest)
    away = math.exp(rng.uniform(math.log(5), math.log(34))) / (2 * math.tan(view / 2))
    away = max(away, _LOWEST_M / math.sin(pitch))
    axes = _axes(pitch, math.radians(rng.uniform(-25, 25)), rng.uniform(0, 2 * math.pi))
    return Camera(size, -axes[2] * away, axes, focal)


def _axes(pitch: float, roll: float, yaw: float) -> Array:
    """Rows right, down and forward, from angles in radians."""
    forward = np.array([0, math.cos(pitch), -math.sin(pitch)])
    right = np.array([1.0, 0, 0])
    down = np.cross(forward, right)
    turned = np.stack(
        [
            math.cos(roll) * right + math.sin(roll) * down,
            math.cos(roll) * down - math.sin(roll) * right,
            forward,
        ]
    )
    turn = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1.0]])
    return turned @ turn.T
