"""One street: its light, its blocks, its traffic, and how a moment of it is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from keywarp.flow.base import Size

from . import ground
from .bonnet import Bonnet
from .camera import View, view_at
from .ground import GroundPainter
from .labels import SKY
from .layout import BLOCK_M, Placed
from .library import Library
from .motorway import motorway
from .nature import SKY_FOOT, SKY_SPAN
from .painter import Drawing, Painter, Piece
from .quad import Quad, Still
from .site import Site, town
from .texture import TintCache

SITES: dict[str, Callable[[int, Size], Site]] = {"town": town, "motorway": motorway}
"""What builds each kind of street from a seed and the picture's size."""


class World:
    """Draws the street of ``seed`` at any time. Painting from back to front is right because nobody on the
    street is ever behind a house, and because labels and flow follow the same order as the picture."""

    def __init__(self, size: Size, seed: int, kind: str) -> None:
        self._size = size
        rng = np.random.default_rng((seed, 601))
        self._phase = float(rng.uniform(0, 6))
        self._site = site = SITES[kind](seed, size)
        tints = TintCache(site.look.haze_bgr)
        self._painter = Painter(tints, site.haze)
        self._ground = GroundPainter(site.section, tints, site.haze, site.look)
        self._sky = _sky_piece(site.library)
        self._strips = ground.surfaces(site.section, site.library.shadow())
        self._skyline = _skyline_piece(site.library, site.skyline_label)
        self._bonnet = Bonnet(site.library, self._view) if site.bonnet else None

    def draw(self, time_s: float) -> Drawing:
        """The street at ``time_s``."""
        view = self._view(time_s)
        drawing = self._background(view, time_s)
        eye_m = float(view.eye[2])
        first, last = math.floor(eye_m / BLOCK_M), math.ceil((eye_m + self._site.haze.far_m) / BLOCK_M)
        blocks = [self._site.block(n) for n in range(first, last)]
        self._ground.paint(drawing, [block.tile for block in blocks], 1)
        pieces = [self._skyline]
        for layer, movers in enumerate(self._site.traffic.at(time_s, eye_m)):
            placed = [placed for block in blocks for placed in block.layers[layer]]
            pieces += _pieces(placed + movers, time_s)
        if self._bonnet is not None:
            pieces += _pieces([Placed(0.0, self._bonnet)], time_s)
        self._painter.paint(drawing, pieces)
        return drawing

    def _view(self, time_s: float) -> View:
        return view_at(time_s, self._size, self._phase, self._site.rig)

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
        rows = max(1, min(math.ceil(ground.row_of(view, self._site.haze.far_m)) + 2, height))
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


def _skyline_piece(library: Library, label: int) -> Piece:
    basis = np.array([[2.0, 0, -1.0], [0, 0.1, -0.098], [0, 0, 1.0]])
    quad = Quad(("skyline",), library.skyline(), basis, label, infinite=True)
    return Piece(quad, Still((quad,)), 0)
