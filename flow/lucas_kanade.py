"""Step flow by a coarse search and by gradients: DIS on small pictures, refined from level to level of a pyramid.

A level warps the previous picture along the field so far, and each of its cells takes the one Gauss-Newton step
that explains best what still differs around it: Lucas and Kanade, "An iterative image registration technique with
an application to stereo vision" (IJCAI 1981), on a pyramid as Bouguet's "Pyramidal implementation of the Lucas
Kanade feature tracker" (2001) has it, but dense. DIS finds what is far, and is not led astray by what comes into
the picture; gradients find the edges of what moves, in a fraction of the time of a finer search (docs/flow.md).
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from keywarp.engines.errors import unknown_name

from .base import Field, Image, Size, StepEstimator, StepFlow
from .compose import cell_grid, inside
from .sizes import picture_size

PRESETS = {"quick": (192 * 144, 2), "fine": (384 * 288, 3)}
"""About how many pixels the finest pictures have, and on how many levels the flow is refined. DIS searches the
second of them, counted from the coarsest."""

_CELL_PX = 2
# The default's sides are multiples of this: they can be halved evenly, and averaged quickly.
_SIDE_STEP_PX = 16
# OpenCV cannot warp pictures that are much longer.
_LONGEST_SIDE_PX = 16384
# The shorter side of the coarsest pictures that are refined where DIS cannot search.
_COARSEST_PX = 10
# DIS fails below: its patches of 8 x 8 must fit into the coarsest level of its own pyramid.
_SMALLEST_SEARCH_PX = 32
# The sums of a cell are weighted over 5 x 5 cells: smaller windows follow noise, larger ones blur edges of motion.
_WINDOW = (5, 5)
# Changes of the whole picture's contrast and brightness that are made good first; smaller ones are motion.
_SMALL_GAIN, _SMALL_OFFSET = 0.02, 2.0
_LEAST_SPREAD = 1.0
# They are, if that brings the pictures together by a fifth; what differs by more than so many grey levels has
# changed by itself.
_BETTER, _MOST_APART = 0.8, 24.0
# What differs evenly over as much as this is light, not motion.
_LIGHT_PX = 16
# Added to the squared gradients, in grey levels per pixel: what is flatter than this stays where it is.
_DAMPING = 3.0
# In pixels; a longer step is beyond what gradients can tell.
_LONGEST_STEP = 2.0
_SOBEL_SCALE = 1 / 8

Gray = NDArray[np.uint8]


class LucasKanadeFlow(StepEstimator):
    """DIS (Kroeger et al., ECCV 2016) on small pictures, and Lucas-Kanade from there to finer ones, on the
    brightness of both frames.

    ``size`` (width, height) is that of the finest pictures, to even numbers; None: about as many pixels as the
    preset says, in the frame's shape, the sides multiples of 16; about the frame's own size where that is less. A
    cell of the flow is 2 x 2 of these pixels. Cells that point outside the previous frame are invalid. Where
    pictures are too small for DIS nothing moves at first, on a level of ten pixels.
    """

    def __init__(self, size: Size | None = None, preset: str = "quick") -> None:
        if preset not in PRESETS:
            raise unknown_name("Lucas-Kanade preset", preset, PRESETS)
        self.name = f"lk:{preset}"
        self._size = size
        self._pixels, self._refined = PRESETS[preset]
        self._search: Any = None
        self._search_size: Size | None = None
        self._levels: list[_Level] = []
        self._frame_size: Size | None = None

    def step(self, previous: Image, current: Image) -> StepFlow:
        """The step flow on this estimator's grid."""
        if current.size != self._frame_size:
            self._prepare(current.size)
        small = self._levels[0].size
        light = light_between(previous.gray(small), current.gray(small))
        field, size = self._begin(previous, current, light)
        for level in self._levels:
            before = _lit(previous.gray(level.size), light)
            field = level.refine(level.start(field, size), before, current.gray(level.size))
            size = level.size
        field *= np.float32(1 / _CELL_PX)
        return StepFlow(field, inside(field))

    def _prepare(self, frame_size: Size) -> None:
        sizes = pyramid_sizes(self._size or picture_size(frame_size, self._pixels, _SIDE_STEP_PX))
        refined = sizes[-self._refined :]
        self._search_size = next((size for size in refined[1:2] if min(size) >= _SMALLEST_SEARCH_PX), None)
        self._levels = [_Level(size) for size in (refined if self._search_size else sizes)]
        self._frame_size = frame_size
        if self._search is None:
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


def _even(*sides: float) -> Size:
    width, height = (max(2, 2 * math.floor(min(side, _LONGEST_SIDE_PX) / 2 + 0.5)) for side in sides)
    return width, height


class _Level:
    """Pictures of ``size``, and a field that has a cell for every 2 x 2 of their pixels, and is in these pixels.

    Of a cell's window of the current picture c, with gradient g, and of the previous one warped along the field, w,
    the step d solves ``(sum g g' + damping) d = sum g (c - w)``. Works in arrays of its own: one thread at a time.

    The products lie in one array below each other, with empty rows between, so that two calls sum all of them. What
    the windows miss beyond the edges they miss in all sums alike.
    """

    def __init__(self, size: Size) -> None:
        width, height = self.size = size
        columns, rows = self.grid = width // _CELL_PX, height // _CELL_PX
        self._places = cell_grid(size)
        self._source = np.empty((height, width, 2), np.float32)
        self._warped = np.empty((height, width), np.uint8)
        self._light = np.empty((height, width), np.float32)
        self._few = max(1, width // _LIGHT_PX), max(1, height // _LIGHT_PX)
        self._gradient = np.empty((2, height, width), np.float32)
        self._difference = np.empty((height, width), np.float32)
        empty = _WINDOW[1] // 2
        self._products = np.zeros((5, height + _CELL_PX * empty, width), np.float32)
        self._means = np.empty((5 * (rows + empty), columns), np.float32)
        self._blurred = np.empty_like(self._means)
        self._sums = self._blurred.reshape(5, rows + empty, columns)[:, :rows]
        self._determinant, self._square = np.empty((2, rows, columns), np.float32)
        self._solved, self._other = np.empty((2, 2, rows, columns), np.float32)
        self._step = np.empty((rows, columns, 2), np.float32)

    def start(self, field: Field, size: Size) -> Field:
        """A field in pixels of pictures of ``size``, on this level's grid and in its pixels."""
        if field.shape[0] > self.grid[1]:  # scale the vectors where there are fewer of them
            field = cv2.resize(field, self.grid, interpolation=cv2.INTER_LINEAR)
            return cv2.multiply(field, _factors(size, self.size))
        return cv2.resize(
            cv2.multiply(field, _factors(size, self.size)), self.grid, interpolation=cv2.INTER_LINEAR
        )

    def refine(self, field: Field, previous: Gray, current: Gray) -> Field:
        """A better field than ``field``."""
        self._compare(field, previous, current)
        across, down = self._gradient
        cv2.Sobel(current, cv2.CV_32F, 1, 0, dst=across, scale=_SOBEL_SCALE)
        cv2.Sobel(current, cv2.CV_32F, 0, 1, dst=down, scale=_SOBEL_SCALE)
        products = self._products[:, : self.size[1]]
        np.multiply(self._gradient, self._difference, out=products[0:2])
        np.multiply(self._gradient, self._gradient, out=products[2:4])
        np.multiply(across, down, out=products[4])
        stacked = self._products.reshape(-1, self.size[0])
        cv2.resize(stacked, self._means.shape[::-1], dst=self._means, interpolation=cv2.INTER_AREA)
        cv2.GaussianBlur(self._means, _WINDOW, 0, dst=self._blurred, borderType=cv2.BORDER_CONSTANT)
        return cv2.add(field, self._solve())

    def _compare(self, field: Field, previous: Gray, current: Gray) -> None:
        """What the current picture has more than the previous one, warped, without what the light changed by."""
        source, difference = self._source, self._difference
        cv2.resize(field, self.size, dst=source, interpolation=cv2.INTER_NEAREST)
        cv2.add(source, self._places, dst=source)
        np.copyto(self._warped, current)  # what came from outside differs in nothing
        border = cv2.BORDER_TRANSPARENT
        cv2.remap(previous, source, None, cv2.INTER_LINEAR, dst=self._warped, borderMode=border)
        cv2.subtract(current, self._warped, dst=difference, dtype=cv2.CV_32F)
        light = cv2.resize(difference, self._few, interpolation=cv2.INTER_AREA)
        cv2.resize(light, self.size, dst=self._light, interpolation=cv2.INTER_LINEAR)
        difference -= self._light

    def _solve(self) -> Field:
        """The step of each cell: two equations with two unknowns, by Cramer's rule."""
        right, right_swapped = self._sums[0:2], self._sums[1::-1]
        squares, squares_swapped, mixed = self._sums[2:4], self._sums[3:1:-1], self._sums[4]
        squares += _DAMPING
        determinant = np.multiply(squares[0], squares[1], out=self._determinant)
        determinant -= np.multiply(mixed, mixed, out=self._square)
        step = np.multiply(squares_swapped, right, out=self._solved)
        step -= np.multiply(mixed, right_swapped, out=self._other)
        step /= determinant
        np.clip(step, -_LONGEST_STEP, _LONGEST_STEP, out=step)
        return cv2.merge([step[0], step[1]], dst=self._step)


def _factors(before: Size, after: Size) -> tuple[float, float, float, float]:
    return after[0] / before[0], after[1] / before[1], 0.0, 0.0
