"""The camera: a pinhole that drives along the street.

World axes, in metres: x to the right, y down, z along the street; the ground is y = 0. Pixel centres
are at whole numbers, as in OpenCV.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

LANE_X_M = 1.75
SPEED_SWING_RAD_S = 0.45


@dataclass(frozen=True, slots=True)
class Rig:
    """Where the camera is mounted and how fast it drives.

    ``zoom``: focal length over the width of a 16:9 picture. ``horizon``: the share of the height above it.
    """

    lane_x_m: float = LANE_X_M
    eye_height_m: float = 1.38
    speed_m_s: float = 8.5
    speed_swing_m_s: float = 1.6
    zoom: float = 0.78
    horizon: float = 0.53


TOWN_RIG = Rig()


@dataclass(frozen=True, slots=True)
class View:
    """The camera at one moment: ``project`` is K @ R, (3, 3); ``eye`` its place, (3,) metres."""

    project: Matrix
    eye: Matrix
    size: tuple[int, int]
    focal_px: float

    def homography(self, basis: Matrix) -> Matrix:
        """(..., 3, 3) texture (u, v, 1) to pixels, for bases (..., 3, 3) with columns du, dv, origin."""
        local = basis.copy()
        local[..., :, 2] -= self.eye
        return self.project @ local


def travelled_m(time_s: float, rig: Rig = TOWN_RIG) -> float:
    """How far down the street the camera is: steady, with a gentle swing in speed."""
    swing = rig.speed_swing_m_s / SPEED_SWING_RAD_S
    return rig.speed_m_s * time_s + swing * (1.0 - math.cos(SPEED_SWING_RAD_S * time_s))


def focal_length_px(size: tuple[int, int], rig: Rig = TOWN_RIG) -> float:
    """In the town about 65 degrees across a 16:9 picture; taller pictures see as much upwards as wide ones."""
    width, height = size
    return rig.zoom * max(float(width), height * 16 / 9)


def view_at(time_s: float, size: tuple[int, int], phase: float, rig: Rig = TOWN_RIG) -> View:
    """The camera at ``time_s``: its lane, a little sway, and the springs' nod."""
    width, height = size
    focal = focal_length_px(size, rig)
    eye = np.array(
        [
            rig.lane_x_m + 0.16 * math.sin(0.37 * time_s + phase),
            -rig.eye_height_m - 0.012 * math.sin(5.1 * time_s) - 0.008 * math.sin(8.3 * time_s + phase),
            travelled_m(time_s, rig),
        ]
    )
    yaw = 0.014 * math.sin(0.31 * time_s + 2 * phase) + 0.0016 * math.sin(1.7 * time_s)
    pitch = 0.0022 * math.sin(4.4 * time_s + phase) + 0.003 * math.sin(0.9 * time_s)
    roll = 0.002 * math.sin(1.3 * time_s + phase)
    centre_y = rig.horizon * (height - 1)
    intrinsics = np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, centre_y], [0.0, 0.0, 1.0]])
    return View(intrinsics @ _rotation(yaw, pitch, roll), eye, size, focal)


def _rotation(yaw: float, pitch: float, roll: float) -> Matrix:
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y
