"""Drawing of solid shapes through the camera, in colour and in labels at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import NEAR_M, Array, Camera
from .light import Light

Pixels = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Color = Sequence[float]

_SHIFT = 4
_FAR_PX = 20_000.0


class Brush:
    """``bgr`` (H, W, 3) and ``classes`` (H, W), both uint8, are drawn into, the farthest shape first."""

    def __init__(self, camera: Camera, light: Light, bgr: Pixels, classes: Mask) -> None:
        self.camera = camera
        self.light = light
        self.bgr = bgr
        self.classes = classes

    def sees(self, place: Array, radius_m: float) -> bool:
        """Whether anything about ``place``, (2,) metres, may show; now and then True where nothing does."""
        local = self.camera.local(np.array([[*place, radius_m / 3]]))
        depth = float(local[0, 2])
        if depth < radius_m + NEAR_M:
            return depth > -radius_m
        spread = 1.3 * radius_m * self.camera.focal_px / (depth - radius_m)
        x, y = self.camera.to_px(local)[0]
        width, height = self.camera.size
        return bool(-spread < x < width + spread and -spread < y < height + spread)

    def blank(self) -> Mask:
        """(H, W) uint8 of zeros."""
        return np.zeros_like(self.classes)

    def polygon(self, points: Array, color: Color, label: int | None) -> None:
        """Fill an (N, 3) outline in metres; ``label`` None leaves the classes as they are."""
        self._fill(self._outline(points), color, label)

    def label(self, points: Array, label: int) -> None:
        """Fill an (N, 3) outline in metres in the classes alone."""
        outline = self._outline(points)
        if _touches(outline, self.camera.size):
            cv2.fillPoly(self.classes, [_fixed(outline)], label, cv2.LINE_8, _SHIFT)

    def capsule(self, ends: Array, radii_m: tuple[float, float], color: Color, label: int | None) -> None:
        """A rounded limb between the two rows of ``ends``, (2, 3) metres."""
        local = self.camera.local(ends)
        if local[:, 2].min() < NEAR_M:
            return
        radii = self.camera.focal_px * np.array(radii_m) / local[:, 2]
        rings = self.camera.to_px(local)[:, None] + radii[:, None, None] * _CIRCLE
        hull = cv2.convexHull(rings.reshape(-1, 2).astype(np.float32))
        self._fill(hull.reshape(-1, 2).astype(np.float64), color, label)

    def stamp(self, mask: Mask, points: Array, value: int = 255) -> None:
        """Fill an (N, 2) outline on the ground, in metres, in a mask."""
        outline = self._outline(np.column_stack([points, np.zeros(len(points))]))
        if _touches(outline, self.camera.size):
            cv2.fillPoly(mask, [_fixed(outline)], value, cv2.LINE_AA, _SHIFT)

    def shadow(self, mask: Mask, points: Array) -> None:
        """Stamp the shadow of the hull of (N, 3) points in metres."""
        hull = cv2.convexHull(self.light.cast(points).astype(np.float32)).reshape(-1, 2)
        self.stamp(mask, hull.astype(np.float64))

    def faces(self, points: Array, inside: Array) -> float | None:
        """The light on a flat face, by its normal away from ``inside``; None where its back is seen."""
        (ax, ay, az), (bx, by, bz) = (points[1:3] - points[0]).tolist()
        normal = np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
        normal /= max(math.sqrt(normal @ normal), 1e-9)
        middle = points.mean(0)
        if normal @ (middle - inside) < 0:
            normal = -normal
        return self.light.lit(normal) if normal @ (self.camera.position - middle) > 0 else None

    def strip(self, low: Array, high: Array, color: Color, label: int) -> None:
        """The faces between two closed rings, (N, 3) each, that are seen from outside."""
        sides = np.stack([low, np.roll(low, -1, 0), np.roll(high, -1, 0), high], axis=1)  # (N, 4, 3)
        normals = np.cross(sides[:, 1] - sides[:, 0], sides[:, 3] - sides[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        middles = sides.mean(1)
        inward = ((middles - middles.mean(0)) * normals).sum(1) < 0
        normals[inward] *= -1
        seen = (normals * (self.camera.position - middles)).sum(1) > 0
        for side, light in zip(sides[seen], self.light.lit_faces(normals[seen]), strict=True):
            self.polygon(side, scaled(color, float(light)), label)

    def box(self, ring: Array, low_m: float, high_m: float, color: Color, label: int) -> None:
        """An upright prism over an (N, 2) ring in metres: the sides that are seen, then the top."""
        low = np.column_stack([ring, np.full(len(ring), low_m)])
        high = np.column_stack([ring, np.full(len(ring), high_m)])
        self.strip(low, high, color, label)
        if high_m < self.camera.height_m:
            self.polygon(high, scaled(color, self.light.lit(np.array([0, 0, 1.0]))), label)

    def _outline(self, points: Array) -> Array:
        local = _before(self.camera.local(points))
        return self.camera.to_px(local) if len(local) > 2 else np.zeros((0, 2))

    def _fill(self, outline: Array, color: Color, label: int | None) -> None:
        if not _touches(outline, self.camera.size):
            return
        fixed = [_fixed(outline)]
        cv2.fillPoly(self.bgr, fixed, tuple(map(float, color)), cv2.LINE_AA, _SHIFT)
        if label is not None:
            cv2.fillPoly(self.classes, fixed, label, cv2.LINE_8, _SHIFT)


def scaled(color: Color, light: float) -> tuple[float, ...]:
    """A colour times a brightness, within 0..255."""
    return tuple(min(255.0, max(0.0, part * light)) for part in color)


def rectangle(center: tuple[float, float], size: tuple[float, float], turn: float = 0.0) -> Array:
    """(4, 2) metres; ``size`` along x and y before the ``turn`` in radians."""
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (np.array(size) / 2)
    cos, sin = np.cos(turn), np.sin(turn)
    return half @ np.array([[cos, sin], [-sin, cos]]) + np.array(center)


def _before(local: Array) -> Array:
    """The part of an outline that lies before the near plane, in the camera's axes."""
    if local[:, 2].min() >= NEAR_M:
        return local
    kept = []
    for here, there in zip(local, np.roll(local, -1, axis=0), strict=True):
        if here[2] >= NEAR_M:
            kept.append(here)
        if (here[2] >= NEAR_M) != (there[2] >= NEAR_M):
            kept.append(here + (there - here) * ((NEAR_M - here[2]) / (there[2] - here[2])))
    return np.array(kept).reshape(-1, 3)


def _touches(outline: Array, size: tuple[int, int]) -> bool:
    if len(outline) < 3:
        return False
    low, high = outline.min(0), outline.max(0)
    return bool((high >= 0).all() and low[0] <= size[0] and low[1] <= size[1])


def _fixed(outline: Array) -> NDArray[np.int32]:
    bounded = np.clip(outline - 0.5, -_FAR_PX, _FAR_PX)
    return np.round(bounded * (1 << _SHIFT)).astype(np.int32)


_ANGLES = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_CIRCLE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
