"""The ground: road, pavements and verges on one plane, in tiles along the street."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .camera import Matrix, View
from .haze import Haze
from .labels import PAVEMENT, ROAD, TREE
from .painter import Drawing, Piece
from .palette import Color, Look, rgb
from .quad import Quad, Still, lying
from .texture import STEPS_PER_OCTAVE, Pixels, Texture, TintCache

TILE_M = 24.0
SEAM_M = 0.6
VERGE = rgb(0x758F4B)
HALF_WIDTH_M = 18.0
ROAD_M = 5.5
PAVED_M = 9.5
_NEAREST_M = 2.2


@dataclass(frozen=True, slots=True)
class Section:
    """A cut across the street, in metres.

    Tiles span ``left_m`` to ``right_m``. ``borders_m``, left to right, part strips with ``labels``, one more
    than borders; the outer strips never end. ``verge``: the ground's colour beyond the tiles.
    """

    left_m: float
    right_m: float
    borders_m: tuple[float, ...]
    labels: tuple[int, ...]
    verge: Color

    @property
    def width_m(self) -> float:
        """Of the tiles."""
        return self.right_m - self.left_m


TOWN = Section(
    -HALF_WIDTH_M, HALF_WIDTH_M, (-PAVED_M, -ROAD_M, ROAD_M, PAVED_M),
    (TREE, PAVEMENT, ROAD, PAVEMENT, TREE), VERGE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tile:
    """One stretch of ground: its texture spans ``TILE_M`` and ``SEAM_M`` more at both ends."""

    texture: Texture
    near_m: float


def surfaces(section: Section, blank: Texture) -> list[Piece]:
    """The pieces that the ground's pixels belong to, one for each strip, all in the same plane."""
    basis = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return [
        Piece(quad, Still((quad,)), 0)
        for strip, label in enumerate(section.labels)
        for quad in [Quad(("ground", strip), blank, basis, label)]
    ]


def _bands(far_m: float) -> list[float]:
    """Depths, half an octave apart, from before the nearest visible ground to beyond ``far_m``."""
    count = math.ceil(2 * math.log2(far_m / _NEAREST_M)) + 1
    return [_NEAREST_M * 2 ** (n / 2) for n in range(count)]


class GroundPainter:
    """Draws the tiles and their labels; distance decides how far a texture is minified."""

    def __init__(self, section: Section, tints: TintCache, haze: Haze, look: Look) -> None:
        self._section = section
        self._tints = tints
        self._haze = haze
        self._look = look
        self._bands = _bands(haze.far_m)

    def paint(self, drawing: Drawing, tiles: list[Tile], first_id: int) -> None:
        """Draw ``tiles`` (any order) into ``drawing``; ids count up from ``first_id``."""
        view = drawing.view
        horizon = max(0, min(math.ceil(row_of(view, 6000.0)), view.size[1]))
        drawing.canvas[horizon:] = (*np.multiply(self._section.verge, self._look.ground).tolist(), 255)
        eye_m = float(view.eye[2])
        for far, near in zip(self._bands[:0:-1], self._bands[-2::-1], strict=True):
            for tile in tiles:
                low = max(near, tile.near_m - eye_m)
                high = min(far, tile.near_m + TILE_M - eye_m)
                if high > low:
                    self._paint_band(drawing, tile, low, high)
        self._paint_haze(drawing)
        _fill_strips(drawing, self._section, first_id)

    def _paint_band(self, drawing: Drawing, tile: Tile, near_m: float, far_m: float) -> None:
        """Draw the part of a tile between two depths."""
        view = drawing.view
        top, bottom = row_of(view, far_m) - 2, row_of(view, near_m) + 3
        top, bottom = max(math.floor(top), 0), min(math.ceil(bottom), view.size[1])
        if bottom <= top:
            return
        steps = self._steps(view, tile, math.sqrt(near_m * far_m))
        patch = self._tints.get(tile.texture, *steps, 0.0, self._look.ground)
        height, width = patch.shape[:2]
        centre = (self._section.left_m + self._section.right_m) / 2
        basis = lying(centre, tile.near_m - SEAM_M, self._section.width_m, TILE_M + 2 * SEAM_M)
        inverse = np.linalg.inv(view.homography(basis))
        shift = np.array([[1, 0, 0], [0, 1, top], [0, 0, 1]])
        scale = np.array([[width, 0, -0.5], [0, height, -0.5], [0, 0, 1]])
        target = drawing.canvas[top:bottom]
        cv2.warpPerspective(
            patch, scale @ inverse @ shift, (view.size[0], bottom - top), dst=target,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_TRANSPARENT,
        )  # fmt: skip

    def _steps(self, view: View, tile: Tile, depth_m: float) -> tuple[int, int]:
        height, width = tile.texture.base.shape[:2]
        across = self._section.width_m * view.focal_px / depth_m
        deep = (TILE_M + 2 * SEAM_M) * view.focal_px * -view.eye[1] / depth_m**2
        return tuple(  # type: ignore[return-value]
            max(0, round(STEPS_PER_OCTAVE * math.log2(size / px)))
            for size, px in ((width, across), (height, deep))
        )

    def _paint_haze(self, drawing: Drawing) -> None:
        """Fade the ground to the horizon, row by row."""
        view = drawing.view
        top = max(0, min(math.ceil(row_of(view, 4000.0)), view.size[1]))
        target = drawing.canvas[top:]
        if not len(target):
            return
        rows = np.arange(top, view.size[1])
        share = self._haze.share(_depth(view, rows.astype(np.float64)))[:, None, None]
        haze = np.append(self._look.haze_bgr, 255.0)
        keep = _widened(255 * (1 - share), view.size[0])
        add = _widened(haze * share, view.size[0])
        cv2.multiply(target, keep, dst=target, scale=1 / 255)
        cv2.add(target, add, dst=target)


def _widened(column: Matrix, width: int) -> Pixels:
    """A column (H, 1, 1 or 4) made into a picture (H, width, 4) uint8."""
    narrow = np.broadcast_to(np.round(column), (len(column), 1, 4)).astype(np.uint8)
    whole = np.ascontiguousarray(narrow).view(np.uint32)[..., 0]  # (H, 1), one number a pixel
    wide = np.broadcast_to(whole, (len(column), width)).copy()
    return wide.view(np.uint8).reshape(len(column), width, 4)


def row_of(view: View, depth_m: float) -> float:
    """The row on which the middle of the street lies ``depth_m`` ahead."""
    point = view.project @ np.array([0.0, -view.eye[1], depth_m])
    return float(point[1] / point[2])


def _depth(view: View, rows: Matrix) -> Matrix:
    """(N,) how deep the ground lies at ``rows``, in the middle of the picture."""
    pixels = np.stack([np.full(len(rows), (view.size[0] - 1) / 2), rows, np.ones(len(rows))])
    down = (np.linalg.inv(view.project) @ pixels)[1]
    return -view.eye[1] / np.maximum(down, 1e-6)


def _fill_strips(drawing: Drawing, section: Section, first_id: int) -> None:
    """Write the strips' ids below the horizon: ``first_id`` for the leftmost."""
    view = drawing.view
    top = max(0, min(math.ceil(row_of(view, 6000.0)), view.size[1]))
    rows = np.arange(top, view.size[1], dtype=np.float32)[:, None]
    columns = np.arange(view.size[0], dtype=np.float32)
    target = drawing.ids[top:]
    target[:] = first_id
    for border_m in section.borders_m:
        ends = np.array([(border_m - view.eye[0], -view.eye[1], z) for z in (3.0, 300.0)])
        points = ends @ view.project.T
        (x0, y0), (x1, y1) = points[:, :2] / points[:, 2:]
        slope = (x1 - x0) / (y1 - y0)
        target += columns > (x0 + slope * (rows - y0)).astype(np.float32)
