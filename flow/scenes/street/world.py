"""One street: its light, its blocks, its traffic, and how a moment of it is drawn."""

from __future__ import annotations

import math

import cv2
import numpy as np

from keywarp.flow.base import Size

from . import ground
from .camera import View, focal_length_px, view_at
from .ground import GroundPainter
from .haze import FAR_M, Haze
from .labels import BUILDING, SKY
from .layout import BLOCK_M, Layout, Placed
from .library import Library
from .nature import SKY_FOOT, SKY_SPAN
from .painter import Drawing, Painter, Piece
from .palette import look_of
from .quad import Quad, Still
from .texture import TintCache
from .traffic import Traffic


class World:
    """Draws the street of ``seed`` at any time. Painting from back to front is right because nobody on the
    street is ever behind a house, and because labels and flow follow the same order as the picture."""

    def __init__(self, size: Size, seed: int) -> None:
        self._size = size
        rng = np.random.default_rng((seed, 601))
        self._phase = float(rng.uniform(0, 6))
        self._look = look_of(seed)
        library = Library(seed, self._look, focal_length_px(size))
        haze = Haze(self._look.haze_m)
        tints = TintCache(self._look.haze_bgr)
        self._layout = Layout(seed, self._look, library)
        self._traffic = Traffic(seed, self._look, library)
        self._painter = Painter(tints, haze)
        self._ground = GroundPainter(tints, haze, self._look)
        self._sky = _sky_piece(library)
        self._strips = ground.surfaces(library.shadow())
        self._skyline = _skyline_piece(library)

    def draw(self, time_s: float) -> Drawing:
        """The street at ``time_s``."""
        view = view_at(time_s, self._size, self._phase)
        drawing = self._background(view, time_s)
        eye_m = float(view.eye[2])
        first = math.floor(eye_m / BLOCK_M)
        blocks = [self._layout.block(n) for n in range(first, math.ceil((eye_m + FAR_M) / BLOCK_M))]
        self._ground.paint(drawing, [block.tile for block in blocks], 1)
        behind = [placed for block in blocks for placed in block.behind]
        street = [placed for block in blocks for placed in block.kerbside]
        street += self._traffic.at(time_s, eye_m)
        pieces = [self._skyline]
        pieces += _pieces(behind, time_s)
        pieces += _pieces(street, time_s)
        self._painter.paint(drawing, pieces)
        return drawing

    def _background(self, view: View, time_s: float) -> Drawing:
        """The sky everywhere, and the ground's surfaces listed."""
        width, height = self._size
        pieces = [self._sky, *self._strips]
        bases = np.array([piece.quad.basis for piece in pieces])
        maps = view.homography(bases)
        maps[0] = view.project @ bases[0]
        texture = self._sky.quad.texture.base
        scale = np.array([[texture.shape[1], 0, -0.5], [0, texture.shape[0], -0.5], [0, 0, 1]])
        canvas = np.empty((height, width, 4), np.uint8)
        rows = max(1, min(math.ceil(ground.row_of(view, FAR_M)) + 2, height))
        cv2.warpPerspective(
            texture, scale @ np.linalg.inv(maps[0]), (width, rows), dst=canvas[:rows],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        ids = np.zeros((height, width), np.int16)
        return Drawing(view, time_s, canvas, ids, pieces, maps)


def _pieces(placed: list[Placed], time_s: float) -> list[Piece]:
    """All quads, those of the farthest thing first."""
    ordered = sorted(placed, key=lambda p: -p.sort_m)
    return [Piece(quad, p.thing, place) for p in ordered for place, quad in enumerate(p.thing.quads(time_s))]


def _sky_piece(library: Library) -> Piece:
    width, height = SKY_SPAN
    basis = np.array([[width, 0, -width / 2], [0, height, SKY_FOOT - height], [0, 0, 1.0]])
    quad = Quad(("sky",), library.sky(), basis, SKY, infinite=True)
    return Piece(quad, Still((quad,)), 0)


def _skyline_piece(library: Library) -> Piece:
    basis = np.array([[2.0, 0, -1.0], [0, 0.1, -0.098], [0, 0, 1.0]])
    quad = Quad(("skyline",), library.skyline(), basis, BUILDING, infinite=True)
    return Piece(quad, Still((quad,)), 0)
