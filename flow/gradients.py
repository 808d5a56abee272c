"""One level of a pyramid: a field made better by a few steps of Lucas and Kanade for each of its cells.

Of a cell's window of the current picture c, with gradient g, and of the previous one warped along the field, w, the
step d solves ``(sum g g' + damping) d = sum g (c - w)``: B. Lucas and T. Kanade, "An iterative image registration
technique with an application to stereo vision" (IJCAI 1981), for all cells at once. The first sum is the same in
all steps.

:class:`KernelLevel` does it in one pass (``_gradients.cpp``, compiled when keywarp is installed, for each
instruction set that a processor may have; :func:`kernels` lists those of this one), :class:`OpenCvLevel` in a dozen
calls of OpenCV, in about four times the time. OpenCV samples at 32nds of a pixel and to whole grey levels, goes on
up to a pixel beyond the border, and cuts blocks of light at fractions of a pixel where the kernel takes whole
cells: on films their fields differ by 0.03 to 0.1 pixels of the pictures on average.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import cv2
import numpy as np
from numpy.typing import NDArray

from .base import Field, Size, StepFlow
from .compose import cell_grid, inside

try:
    from . import _gradients
except ImportError as error:
    _gradients = None  # type: ignore[assignment]
    _why: str | None = str(error)
else:
    _why = None

Gray = NDArray[np.uint8]

CELL_PX = 2
# The sums of a cell are weighted over 5 x 5 cells: smaller windows follow noise, larger ones blur edges of motion.
_WINDOW = (5, 5)
# What differs evenly over as much as this is light, not motion.
_LIGHT_PX = 16
# Added to the squared gradients, in grey levels per pixel: what is flatter than this stays where it is.
_DAMPING = 3.0
# More find little more (docs/flow.md).
_STEPS = 3
# In pixels: what comes into the picture would else drag along what stands still beside it.
_LONGEST_STEP = 0.75
_SOBEL_SCALE = 1 / 8


def kernels() -> tuple[str, ...]:
    """Those that run here, the quickest first, of ``avx512``, ``avx2``, ``plain``; none if none were compiled."""
    return () if _gradients is None else _gradients.kernels()


def best_kernel(fused: bool = True) -> str | None:
    """The quickest of :func:`kernels`; None where there are none, or ``fused`` is false: OpenCV does the work."""
    return next(iter(kernels()), None) if fused else None


def missing() -> str | None:
    """None where there are kernels, else why not."""
    return _why


def make_level(size: Size, kernel: str | None) -> Level:
    """A level of pictures of ``size``, by one of :func:`kernels`; None: by OpenCV."""
    return OpenCvLevel(size) if kernel is None else KernelLevel(size, kernel)


class Level(ABC):
    """Pictures of ``size``, and a field that has a cell for every 2 x 2 of their pixels, and is in these pixels.

    Sides are even. ``light`` is a table (256,): the grey levels of the previous picture as they are in the light of
    the current one; None: the same. May work in arrays of its own: one thread at a time.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self.grid: Size = size[0] // CELL_PX, size[1] // CELL_PX

    def start(self, field: Field, size: Size) -> Field:
        """A field in pixels of pictures of ``size``, on this level's grid and in its pixels; a new array."""
        if field.shape[0] > self.grid[1]:  # scale the vectors where there are fewer of them
            field = cv2.resize(field, self.grid, interpolation=cv2.INTER_LINEAR)
            return cv2.multiply(field, _factors(size, self.size))
        return cv2.resize(
            cv2.multiply(field, _factors(size, self.size)), self.grid, interpolation=cv2.INTER_LINEAR
        )

    @abstractmethod
    def refine(self, field: Field, previous: Gray, current: Gray, light: Gray | None) -> Field:
        """A better field than ``field``, which may be written over."""

    @abstractmethod
    def finish(self, field: Field, previous: Gray, current: Gray, light: Gray | None) -> StepFlow:
        """The better field as step flow, in cells; those that point outside are invalid."""


class KernelLevel(Level):
    """By one of :func:`kernels`, in one pass."""

    def __init__(self, size: Size, kernel: str) -> None:
        super().__init__(size)
        self._kernel = kernel
        self._scratch = np.empty(_gradients.scratch_bytes(*size), np.uint8)

    def refine(self, field: Field, previous: Gray, current: Gray, light: Gray | None) -> Field:
        """See :meth:`Level.refine`."""
        return self._run(field, previous, current, light, None, 1.0)

    def finish(self, field: Field, previous: Gray, current: Gray, light: Gray | None) -> StepFlow:
        """See :meth:`Level.finish`."""
        valid = np.empty(field.shape[:2], np.bool_)
        return StepFlow(self._run(field, previous, current, light, valid, 1 / CELL_PX), valid)

    def _run(
        self,
        field: Field,
        previous: Gray,
        current: Gray,
        light: Gray | None,
        valid: NDArray[np.bool_] | None,
        scale: float,
    ) -> Field:
        _gradients.refine(
            self._kernel,
            field,
            np.ascontiguousarray(previous),
            np.ascontiguousarray(current),
            light,
            valid,
            self._scratch,
            *self.size,
            _STEPS,
            _DAMPING,
            _LONGEST_STEP,
            scale,
        )
        return field


class OpenCvLevel(Level):
    """By OpenCV.

    The products of a sum lie in one array below each other, with empty rows between, so that two calls sum all of
    them. What the windows miss beyond the edges they miss in all sums alike.
    """

    def __init__(self, size: Size) -> None:
        super().__init__(size)
        width, height = size
        columns, rows = self.grid
        self._places = cell_grid(size)
        self._source = np.empty((height, width, 2), np.float32)
        self._warped = np.empty((height, width), np.uint8)
        self._light = np.empty((height, width), np.float32)
        self._few = max(1, width // _LIGHT_PX), max(1, height // _LIGHT_PX)
        self._gradient = np.empty((2, height, width), np.float32)
        self._difference = np.empty((height, width), np.float32)
        self._squares, self._products = _Sums(3, size), _Sums(2, size)
        self._inverse = np.empty((3, rows, columns), np.float32)
        self._solved, self._other = np.empty((2, 2, rows, columns), np.float32)
        self._step = np.empty((rows, columns, 2), np.float32)

    def refine(self, field: Field, previous: Gray, current: Gray, light: Gray | None) -> Field:
        """See :meth:`Level.refine`."""
        if light is not None:
            previous = cv2.LUT(previous, light)
        self._look(current)
        for _ in range(_STEPS):
            self._compare(field, previous, current)
            np.multiply(self._gradient, self._difference, out=self._products.terms)
            field = cv2.add(field, self._solve(self._products.sums()))
        return field

    def finish(self, field: Field, previous: Gray, current: Gray, light: Gray | None) -> StepFlow:
        """See :meth:`Level.finish`."""
        field = self.refine(field, previous, current, light)
        field *= np.float32(1 / CELL_PX)
        return StepFlow(field, inside(field))

    def _look(self, current: Gray) -> None:
        """The gradients of the current picture, and what a step takes them times the difference by: the inverse of
        the sum of their squares, (yy, xy, xx) over the determinant.
        """
        across, down = self._gradient
        cv2.Sobel(current, cv2.CV_32F, 1, 0, dst=across, scale=_SOBEL_SCALE)
        cv2.Sobel(current, cv2.CV_32F, 0, 1, dst=down, scale=_SOBEL_SCALE)
        terms = self._squares.terms
        np.multiply(self._gradient, self._gradient, out=terms[0:2])
        np.multiply(across, down, out=terms[2])
        squares = self._squares.sums()
        squares[0:2] += _DAMPING
        xx, yy, xy = squares
        np.divide((yy, xy, xx), xx * yy - xy * xy, out=self._inverse)

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

    def _solve(self, products: NDArray[np.float32]) -> Field:
        """The step of each cell."""
        step = np.multiply(self._inverse[::2], products, out=self._solved)
        step -= np.multiply(self._inverse[1], products[::-1], out=self._other)
        np.clip(step, -_LONGEST_STEP, _LONGEST_STEP, out=step)
        return cv2.merge([step[0], step[1]], dst=self._step)


class _Sums:
    """``count`` terms (count, height, width), and for each cell their means, weighted over its window."""

    def __init__(self, count: int, size: Size) -> None:
        width, height = size
        columns, rows = width // CELL_PX, height // CELL_PX
        empty = _WINDOW[1] // 2
        stacked = np.zeros((count, height + CELL_PX * empty, width), np.float32)
        self._stacked = stacked.reshape(-1, width)
        self._means = np.empty((count * (rows + empty), columns), np.float32)
        self._weighted = np.empty_like(self._means)
        self.terms = stacked[:, :height]
        self._sums = self._weighted.reshape(count, rows + empty, columns)[:, :rows]

    def sums(self) -> NDArray[np.float32]:
        """(count, rows, columns) of the terms; valid until the next call."""
        cv2.resize(self._stacked, self._means.shape[::-1], dst=self._means, interpolation=cv2.INTER_AREA)
        cv2.GaussianBlur(self._means, _WINDOW, 0, dst=self._weighted, borderType=cv2.BORDER_CONSTANT)
        return self._sums


def _factors(before: Size, after: Size) -> tuple[float, float, float, float]:
    return after[0] / before[0], after[1] / before[1], 0.0, 0.0
