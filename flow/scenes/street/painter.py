"""Draws quads back to front: the picture, anti-aliased, and which quad each pixel shows."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Matrix, View
from .haze import Haze
from .quad import NO_OBJECT, SHADOW, Quad, Thing
from .texture import STEPS_PER_OCTAVE, Pixels, TintCache

NEAR_M = 0.8
REFERENCE_FOCAL_PX = 500.0
_HALF = 127


@dataclass(slots=True, eq=False)
class Piece:
    """A drawn quad, and the thing and place in it where it comes from, to find it at other times."""

    quad: Quad
    thing: Thing
    place: int


@dataclass(frozen=True, slots=True)
class Whole:
    """An object as if nothing hid it: its pieces ``first`` to ``last``, its place (xyxy), its pixels."""

    first: int
    last: int
    roi: tuple[int, int, int, int]
    pixels: int


@dataclass(slots=True, eq=False)
class Drawing:
    """A finished picture.

    ``canvas`` (H, W, 4) uint8; ``ids`` (H, W) int16 index into ``pieces``; ``maps`` (N, 3, 3) float64,
    texture to pixels; ``objects``: what each object covers with nothing before it.
    """

    view: View
    time_s: float
    canvas: Pixels
    ids: NDArray[np.int16]
    pieces: list[Piece]
    maps: Matrix
    objects: dict[int, Whole] = field(default_factory=dict)


@dataclass(slots=True)
class _Plan:
    """Quads on their way to the picture: arrays over those that can be seen."""

    kept: NDArray[np.intp]
    maps: Matrix
    rois: NDArray[np.int64]
    steps: NDArray[np.int64]
    depth_m: Matrix
    opacity: Matrix


def plan(view: View, quads: list[Quad]) -> _Plan:
    """Project all quads at once; drop those behind the camera, outside the picture or too small."""
    bases = np.array([quad.basis for quad in quads])
    far = np.array([quad.infinite for quad in quads])
    maps = np.where(far[:, None, None], view.project @ bases, view.homography(bases))
    lower, upper = _clip(maps)
    bottom = np.array([quad.top_share for quad in quads])
    corners = _corners(maps, lower, upper, bottom)  # (N, 4, 3)
    depth = corners[..., 2]
    safe = (depth.min(1) > NEAR_M / 4) & (upper - lower > 1e-4)
    points = corners[..., :2] / np.where(safe[:, None], depth, 1.0)[..., None]
    rois = _rois(points, view.size)
    along = _mean_length(points[:, 1] - points[:, 0], points[:, 3] - points[:, 2])
    down = _mean_length(points[:, 2] - points[:, 0], points[:, 3] - points[:, 1])
    seen = (rois[:, 2] > rois[:, 0]) & (rois[:, 3] > rois[:, 1])
    scale = (view.focal_px / REFERENCE_FOCAL_PX) ** 2
    least = np.maximum(np.array([quad.least_px2 for quad in quads]) * scale, 1.0)
    opacity = np.where(far, 1.0, np.clip(along * down / least - 1.0, 0.0, 1.0))
    kept = np.flatnonzero(safe & seen & (opacity > 0))
    along, down = along[kept] / (upper - lower)[kept], down[kept] / bottom[kept]
    sizes = np.array([quads[i].texture.base.shape[1::-1] for i in kept]).reshape(-1, 2)
    ratio = sizes / np.maximum(np.stack([along, down], 1), 1e-3)
    most = np.floor(STEPS_PER_OCTAVE * np.log2(sizes))
    steps = np.clip(np.round(STEPS_PER_OCTAVE * np.log2(ratio)), 0, most).astype(np.int64)
    return _Plan(kept, maps[kept], rois[kept], steps, depth[kept].mean(1), opacity[kept])


def _clip(maps: Matrix) -> tuple[Matrix, Matrix]:
    """(N,) the range of u that lies in front of the camera."""
    slope = maps[:, 2, 0]
    start = maps[:, 2, 2] + np.minimum(maps[:, 2, 1], 0.0)
    cut = np.clip((NEAR_M - start) / np.where(slope == 0, 1.0, slope), 0.0, 1.0)
    lower = np.where((slope > 0) & (start < NEAR_M), cut, 0.0)
    upper = np.where((slope < 0) & (start + slope < NEAR_M), cut, 1.0)
    return lower, upper


def _corners(maps: Matrix, lower: Matrix, upper: Matrix, bottom: Matrix) -> Matrix:
    """(N, 4, 3) homogeneous pixels of the corners: top left, top right, bottom left, bottom right."""
    u = np.stack([lower, upper, lower, upper], 1)
    none = np.zeros_like(lower)
    v = np.stack([none, none, bottom, bottom], 1)
    texture = np.stack([u, v, np.ones_like(u)], 2)
    corners: Matrix = texture @ maps.transpose(0, 2, 1)
    return corners


def _rois(points: Matrix, size: tuple[int, int]) -> NDArray[np.int64]:
    """(N, 4) whole-pixel xyxy that holds each quad, cut to the picture."""
    limits = np.array(size)
    low = np.clip(np.floor(points.min(1)), -1, limits + 1).astype(np.int64)
    high = np.clip(np.ceil(points.max(1)) + 1, -1, limits + 1).astype(np.int64)
    return np.concatenate([np.maximum(low, 0), np.minimum(high, limits)], 1)


def _mean_length(first: Matrix, second: Matrix) -> Matrix:
    lengths: Matrix = (np.hypot(*first.T) + np.hypot(*second.T)) / 2
    return lengths


class Painter:
    """Paints pieces onto a drawing, back to front, with light and haze."""

    def __init__(self, tints: TintCache, haze: Haze) -> None:
        self._tints = tints
        self._haze = haze

    def paint(self, drawing: Drawing, pieces: list[Piece]) -> None:
        """Add ``pieces`` to ``drawing`` in their order."""
        if not pieces:
            return
        ready = plan(drawing.view, [piece.quad for piece in pieces])
        first = len(drawing.pieces)
        drawing.pieces += [pieces[i] for i in ready.kept]
        drawing.maps = np.concatenate([drawing.maps, ready.maps])
        patches = self._patches(drawing.pieces[first:], ready)
        inverses = _patch_maps(ready, patches)
        objects = _Objects(drawing)
        for k, patch in enumerate(patches):
            piece = drawing.pieces[first + k]
            roi = ready.rois[k].tolist()
            objects.before(piece.quad.object_id, first + k, roi)
            _stamp(drawing, first + k, patch, inverses[k], roi, piece.quad.label)
        objects.before(NO_OBJECT, len(drawing.pieces), (0, 0, 0, 0))

    def _patches(self, pieces: list[Piece], ready: _Plan) -> list[Pixels]:
        hazes = self._haze.share(ready.depth_m).tolist()
        states = zip(pieces, ready.steps.tolist(), hazes, ready.opacity.tolist(), strict=True)
        patches = []
        for piece, (along, down), haze, opacity in states:
            quad = piece.quad
            hidden = 0.0 if quad.infinite else haze
            patches.append(self._tints.get(quad.texture, along, down, hidden, quad.light, opacity))
        return patches


def _patch_maps(ready: _Plan, patches: list[Pixels]) -> Matrix:
    """(N, 3, 3) pixels of each roi to pixels of each patch."""
    inverse: Matrix = np.linalg.inv(ready.maps).astype(np.float64)
    offset = ready.rois[:, :2].astype(np.float64)
    inverse[:, :, 2] += (inverse[:, :, :2] @ offset[:, :, None])[..., 0]
    sizes = np.array([patch.shape[1::-1] for patch in patches])
    inverse[:, :2] = inverse[:, :2] * sizes[:, :, None] - 0.5 * inverse[:, 2:]
    return inverse


def _stamp(drawing: Drawing, index: int, patch: Pixels, inverse: Matrix, roi: list[int], label: int) -> None:
    """Blend one quad into the picture, and write its index where it covers half a pixel or more."""
    left, top, right, bottom = roi
    warped = cv2.warpPerspective(
        patch, inverse, (right - left, bottom - top), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    alpha = cv2.extractChannel(warped, 3)
    target = drawing.canvas[top:bottom, left:right]
    behind = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2BGRA)
    cv2.multiply(target, behind, dst=target, scale=1 / 255)
    cv2.add(target, warped, dst=target)
    if label != SHADOW:
        np.copyto(drawing.ids[top:bottom, left:right], index, where=alpha > _HALF)


class _Objects:
    """Counts what each object covers, just when its last piece is down."""

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing
        self._current = NO_OBJECT
        self._first = 0
        self._roi = [0, 0, 0, 0]

    def before(self, object_id: int, index: int, roi: list[int] | tuple[int, ...]) -> None:
        """Told of each piece before it is drawn."""
        if object_id == self._current:
            if object_id == NO_OBJECT:
                return
            old = self._roi
            self._roi = [*map(min, old[:2], roi[:2]), *map(max, old[2:], roi[2:])]
            return
        if self._current != NO_OBJECT:
            left, top, right, bottom = self._roi
            covered = self._drawing.ids[top:bottom, left:right] >= self._first
            whole = Whole(self._first, index - 1, (left, top, right, bottom), int(np.count_nonzero(covered)))
            self._drawing.objects[self._current] = whole
        self._current, self._first, self._roi = object_id, index, list(roi)
