"""Exact step flow and what was hidden, from two drawings of the same world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Field, Mask

from .camera import Matrix
from .painter import Drawing

_ABSENT = -2
_FAR_PX = 1e5


@dataclass(frozen=True, slots=True)
class Truth:
    """``field`` (H, W, 2) float32; ``inside``: the cell's origin lay in the picture; ``visible``: and was seen."""

    field: Field
    inside: Mask
    visible: Mask


def truth(current: Drawing, previous: Drawing) -> Truth:
    """Where each pixel of ``current`` was in ``previous``.

    Every quad is flat and rigid, so the plane's homography between the two pictures gives its flow
    exactly. A pixel was visible when the quad it shows is one of the four pixels around its old place.
    """
    ids = current.ids.astype(np.intp).ravel()
    origin, ahead = _origins(current, _motions(current, previous), ids)
    height, width = current.ids.shape
    x, y = origin
    inside = ahead & (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    visible = _seen(current, previous, ids, origin, inside)
    field = np.empty((height, width, 2), np.float32)
    field[..., 0] = x.reshape(height, width) - np.arange(width, dtype=np.float32)
    field[..., 1] = y.reshape(height, width) - np.arange(height, dtype=np.float32)[:, None]
    return Truth(field, inside.reshape(height, width), visible.reshape(height, width))


def _motions(current: Drawing, previous: Drawing) -> Matrix:
    """(N, 3, 3) pixels of ``current`` to pixels of ``previous``, for each piece."""
    bases = []
    poses: dict[int, tuple[Matrix, ...]] = {}
    for piece in current.pieces:
        name = id(piece.thing)
        if name not in poses:
            poses[name] = tuple(quad.basis for quad in piece.thing.quads(previous.time_s))
        bases.append(poses[name][piece.place])
    stacked = np.array(bases)
    far = np.array([piece.quad.infinite for piece in current.pieces])
    view = previous.view
    before = np.where(far[:, None, None], view.project @ stacked, view.homography(stacked))
    motions: Matrix = before @ np.linalg.inv(current.maps)
    return motions


def _origins(current: Drawing, motions: Matrix, ids: NDArray[np.intp]) -> tuple[NDArray[np.float32], Mask]:
    """(2, H * W) where each pixel was, and whether that was in front of the camera."""
    height, width = current.ids.shape
    x = np.tile(np.arange(width, dtype=np.float32), height)
    y = np.repeat(np.arange(height, dtype=np.float32), width)
    table = motions.reshape(-1, 9).T.astype(np.float32)
    rows = []
    for row in range(3):
        value = table[3 * row].take(ids)
        value *= x
        value += table[3 * row + 1].take(ids) * y
        value += table[3 * row + 2].take(ids)
        rows.append(value)
    ahead = rows[2] > 1e-3
    depth = np.where(ahead, rows[2], np.float32(1e-3))
    origin = np.stack([rows[0] / depth, rows[1] / depth])
    np.clip(origin, -_FAR_PX, _FAR_PX, out=origin)
    return origin, ahead


def _seen(
    current: Drawing,
    previous: Drawing,
    ids: NDArray[np.intp],
    origin: NDArray[np.float32],
    inside: Mask,
) -> Mask:
    """(H * W) whether one of the four pixels around the old place shows the same piece."""
    height, width = previous.ids.shape
    places = {piece.quad.key: index for index, piece in enumerate(previous.pieces)}
    table = np.array([places.get(p.quad.key, _ABSENT) for p in current.pieces], np.int16)
    wanted = table.take(ids)
    left = np.clip(np.floor(origin[0]), 0, width - 1).astype(np.intp)
    top = np.clip(np.floor(origin[1]), 0, height - 1).astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1) * width
    top *= width
    shown = previous.ids.ravel()
    seen: Mask = shown.take(top + left) == wanted
    for corner in (top + right, bottom + left, bottom + right):
        seen |= shown.take(corner) == wanted
    return seen & inside
