"""Where the sun stands, and what it does to faces and shadows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .camera import Array


@dataclass(frozen=True, slots=True)
class Light:
    """``toward``: unit vector to the sun. ``shade``: share of light a shadow takes. ``blur_m``: its soft edge."""

    toward: Array
    shade: float
    blur_m: float

    def lit(self, normal: Array) -> float:
        """How bright a face with this unit normal is, about 0.45 .. 1.1."""
        return float(self.lit_faces(normal[None])[0])

    def lit_faces(self, normals: Array) -> Array:
        """(N,) the same for (N, 3) normals."""
        share = np.maximum(0.0, normals @ self.toward)
        return 0.62 + 0.25 * normals[:, 2] - 0.35 * self.shade + 0.7 * self.shade * share

    def cast(self, points: Array) -> Array:
        """(N, 2) metres: the shadows on the ground of (N, 3) points."""
        return points[:, :2] - points[:, 2:] * (self.toward[:2] / self.toward[2])


def random_light(rng: np.random.Generator) -> Light:
    """A sunny or an overcast day."""
    turn, sunny = rng.uniform(0, 2 * math.pi), rng.random() < 0.55
    rise = math.radians(rng.uniform(28, 70) if sunny else rng.uniform(72, 85))
    toward = np.array([math.cos(turn) * math.cos(rise), math.sin(turn) * math.cos(rise), math.sin(rise)])
    if sunny:
        return Light(toward, rng.uniform(0.35, 0.68), rng.uniform(0.01, 0.06))
    return Light(toward, rng.uniform(0.15, 0.4), rng.uniform(0.15, 0.4))
