"""What the world is made of: textured flat pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .camera import Matrix
from .texture import Texture

Key = tuple[int | str, ...]

NO_OBJECT = -1
SHADOW = -1
"""The label of pieces that darken the picture and are no surface of their own."""


@dataclass(frozen=True, slots=True, eq=False)
class Quad:
    """A parallelogram with a texture; the same ``key`` names the same piece of matter in every frame.

    ``basis`` (3, 3): columns du, dv, origin in world metres; texture (u, v) in 0..1 lies at
    ``u * du + v * dv + origin``. ``infinite``: the basis holds directions instead of places. ``least_px2``:
    below this area, as a camera of 500 pixels' focal length sees it, the piece is left out; up to twice
    that area it fades in. ``top_share``: what lies below this share of its height is hidden.
    """

    key: Key
    texture: Texture
    basis: Matrix
    label: int
    light: tuple[float, ...] = (1.0, 1.0, 1.0)
    object_id: int = NO_OBJECT
    infinite: bool = False
    least_px2: float = 4.0
    top_share: float = 1.0


class Thing(Protocol):
    """Something with a place for every time: a tree, a car. Its quads come back to front."""

    def quads(self, time_s: float) -> tuple[Quad, ...]:
        """Its pieces at ``time_s``, always the same keys in the same order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A thing that never moves."""

    pieces: tuple[Quad, ...]

    def quads(self, time_s: float) -> tuple[Quad, ...]:
        """The pieces, whatever the time."""
        return self.pieces


def facing(x_m: float, z_m: float, width_m: float, height_m: float, base_m: float = 0.0) -> Matrix:
    """An upright basis that faces the camera, centred on ``x_m``, from ``base_m`` above ground up."""
    return np.array(
        [
            [width_m, 0.0, x_m - width_m / 2],
            [0.0, height_m, -height_m - base_m],
            [0.0, 0.0, z_m],
        ]
    )


def along(x_m: float, near_m: float, far_m: float, height_m: float, base_m: float = 0.0) -> Matrix:
    """An upright basis along the street at ``x_m``; u runs from ``near_m`` to ``far_m``."""
    return np.array(
        [
            [0.0, 0.0, x_m],
            [0.0, height_m, -height_m - base_m],
            [far_m - near_m, 0.0, near_m],
        ]
    )


def lying(x_m: float, near_m: float, width_m: float, depth_m: float) -> Matrix:
    """A basis flat on the ground, centred on ``x_m``; v runs from its far edge to ``near_m``."""
    return np.array(
        [
            [width_m, 0.0, x_m - width_m / 2],
            [0.0, 0.0, 0.0],
            [0.0, -depth_m, near_m + depth_m],
        ]
    )
