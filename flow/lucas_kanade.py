"""Step flow by a coarse search and by gradients: DIS on small pictures, refined from level to level of a pyramid.

A level warps the previous picture along the field so far, and each of its cells takes the Gauss-Newton step that
explains best what still differs around it, three times over: Lucas and Kanade, "An iterative image registration
technique with an application to stereo vision" (IJCAI 1981), on a pyramid as Bouguet's "Pyramidal implementation of
the Lucas Kanade feature tracker" (2001) has it, but dense. DIS finds what is far, and is not led astray by what
comes into the picture; gradients find the edges of what moves, in a fraction of the time of a finer search
(docs/flow.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from keywarp.engines.errors import unknown_name

from .base import Field, Image, Size, StepEstimator, StepFlow
from .gradients import Gray, Level, best_kernel, make_level
from .sizes import picture_size


@dataclass(frozen=True, slots=True)
class Preset:
    """About how many ``pixels`` the finest pictures have; on how many ``levels`` the flow is refined; how large,
    beside the finest, the pictures are that DIS searches (by their sides).
    """

    pixels: int
    levels: int
    searched: float


PRESETS = {
    "quick": Preset(192 * 144, 2, 1.0),
    "medium": Preset(288 * 216, 3, 2 / 3),
    "fine": Preset(384 * 288, 3, 1.0),
}
DEFAULT = "medium"

# The default's sides are multiples of this: they can be halved evenly, and averaged quickly.
_SIDE_STEP_PX = 16
# OpenCV cannot warp pictures that are much longer.
_LONGEST_SIDE_PX = 16384
# The shorter side of the coarsest pictures that are refined where DIS cannot search.
_COARSEST_PX = 10
# DIS fails below: its patches of 8 x 8 must fit into the coarsest level of its own pyramid.
_SMALLEST_SEARCH_PX = 32
# Changes of the whole picture's contrast and brightness that are made good first; smaller ones are motion.
_SMALL_GAIN, _SMALL_OFFSET = 0.02, 2.0
_LEAST_SPREAD = 1.0
# They are, if that brings the pictures together by a fifth; what differs by more than so many grey levels has
# changed by itself.
_BETTER, _MOST_APART = 0.8, 24.0


class LucasKanadeFlow(StepEstimator):
    """DIS (Kroeger et al., ECCV 2016) on small pictures, and Lucas-Kanade from there to finer ones, on the
    brightness of both frames.

    ``size`` (width, height) is that of the finest pictures, to even numbers; None: about as many pixels as the
    preset says, in the frame's shape, the sides multiples of 16; about the frame's own size where that is less.
    ``fused``: by kernels of keywarp's own where there are such (:mod:`.gradients`), else by OpenCV. A
    cell of the flow is 2 x 2 of these pixels. Cells that point outside the previous frame are invalid. Where
    pictures are too small for DIS nothing moves at first, on a level of ten pixels.
    """

    def __init__(self, size: Size | None = None, preset: str = DEFAULT, *, fused: bool = True) -> None:
        if preset not in PRESETS:
            raise unknown_name("Lucas-Kanade preset", preset, PRESETS)
        self.name = f"lk:{preset}"
        self._kernel = best_kernel(fused)
        self._size = size
        self._preset = PRESETS[preset]
        self._search: Any = None
        self._search_size: Size | None = None
        self._levels: list[Level] = []
        self._frame_size: Size | None = None

    def step(self, previous: Image, current: Image) -> StepFlow:
        """The step flow on this estimator's grid."""
        if current.size != self._frame_size:
            self._prepare(current.size)
        small = self._levels[0].size
        light = light_between(previous.gray(small), current.gray(small))
        field, size = self._begin(previous, current, light)
        *coarser, finest = self._levels
        for level in coarser:
            pictures = previous.gray(level.size), current.gray(level.size)
            field = level.refine(level.start(field, size), *pictures, light)
            size = level.size
        pictures = previous.gray(finest.size), current.gray(finest.size)
        return finest.finish(finest.start(field, size), *pictures, light)

    def _prepare(self, frame_size: Size) -> None:
        preset = self._preset
        sizes = pyramid_sizes(self._size or picture_size(frame_size, preset.pixels, _SIDE_STEP_PX))
        searched = (_part(sizes[-1], preset.searched), sizes[-1])
        self._search_size = next((size for size in searched if min(size) >= _SMALLEST_SEARCH_PX), None)
        refined = sizes[-preset.levels :] if self._search_size else sizes
        self._levels = [make_level(size, self._kernel) for size in refined]
        self._frame_size = frame_size
        # anew for each size: it keeps what it chose for small pictures
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def _begin(self, previous: Image, current: Image, light: Gray | None) -> tuple[Field, Size]:
        """A first field, in pixels of pictures of the size beside it."""
        size = self._search_size
        if size is None:
            return np.zeros((1, 1, 2), np.float32), self._levels[0].size
        before = _lit(previous.gray(size), light)
        return self._search.calc(*map(np.ascontiguousarray, (current.gray(size), before)), None), size


def _lit(picture: Gray, light: Gray | None) -> Gray:
    return picture if light is None else cv2.LUT(picture, light)


def light_between(before: Gray, now: Gray) -> Gray | None:
    """A table (256,) that gives each grey level of ``before`` the brightness that it has in ``now``, where exposure
    or light changed the whole picture, by its mean and standard deviation; None where they hardly did.
    """
    (mean_before, spread_before), (mean_now, spread_now) = (
        (float(mean[0, 0]), float(spread[0, 0])) for mean, spread in map(cv2.meanStdDev, (before, now))
    )
    if min(spread_before, spread_now) < _LEAST_SPREAD or (
        abs(spread_now / spread_before - 1) < _SMALL_GAIN and abs(mean_now - mean_before) < _SMALL_OFFSET
    ):
        return None
    levels = spread_now / spread_before * (np.arange(256) - mean_before) + mean_now
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    as_it_is, lit = (
        cv2.mean(cv2.min(cv2.absdiff(now, picture), _MOST_APART))[0]
        for picture in (before, cv2.LUT(before, table))
    )
    return table if lit < _BETTER * as_it_is else None


def pyramid_sizes(size: Size) -> list[Size]:
    """About ``size``, and its halves down to a shorter side of 10 pixels; coarsest first, all sides even."""
    sizes = [_even(*size)]
    while min(sizes[-1]) > _COARSEST_PX:
        sizes.append(_even(*(side / 2 for side in sizes[-1])))
    return sizes[::-1]


def _part(size: Size, share: float) -> Size:
    """A size with about this share of the sides."""
    if share == 1:
        return size
    width, height = (_SIDE_STEP_PX * max(1, round(share * side / _SIDE_STEP_PX)) for side in size)
    return width, height


def _even(*sides: float) -> Size:
    width, height = (max(2, 2 * math.floor(min(side, _LONGEST_SIDE_PX) / 2 + 0.5)) for side in sides)
    return width, height
