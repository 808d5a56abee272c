"""Step flow chosen cell by cell among a codec's motion vectors and gradients, by what the pictures say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from .base import Field, Image, Mask, Size, StepEstimator, StepFlow, resize_mask
from .compose import cell_grid, inside
from .lucas_kanade import LucasKanadeFlow
from .motion_vectors import Direction, MotionVectors, VectorChain, block_grid, joined_past, step_grid

Fields = NDArray[np.float32]
Residuals = NDArray[np.float32]

# Pictures that vectors are compared on: cells of so many pixels a side, and about so many pixels at most.
_CELL_PX = 4
_MOST_PIXELS = 100_000
# OpenCV cannot warp to pictures that are higher; those of all guesses lie one below another.
_MOST_ROWS = 32766
# The frames that a vector may lead over: x264 puts three B-frames between others by default.
_DISTANCES = (1, 2, 3)
_NEAR = (1, 2)
# So many of the fields are looked at closely, and that of gradients.
_KEPT = 2
# In grey levels: a vector that leaves less than this less than gradients' flow is as likely worse.
_MARGIN = 1.5


class MeasuredFlow(StepEstimator):
    """For each cell what fits the pictures best: the flow of :class:`.LucasKanadeFlow`, or one of the vectors that
    the codec tells of there.

    FFmpeg does not say which frame a vector leads to. So those of this frame and of the previous one are tried as
    if they led over one frame or two, or three where there may be B-frames, at an even speed, and what leaves the
    smallest difference of brightness between the previous frame, warped, and this one is taken. A frame without
    vectors has the flow of gradients alone, and so has a source without, on that flow's own grid; else the grid is
    that of :class:`.codec.CodecFlow`. ``size`` and ``fused`` are those of the gradients' flow.
    """

    name = "auto"
    wants_vectors = True

    def __init__(self, size: Size | None = None, *, fused: bool = True) -> None:
        self._gradients = LucasKanadeFlow(size, fused=fused)

    def step(self, previous: Image, current: Image) -> StepFlow:
        """The step flow, on the grid of vectors where the source has any."""
        flow = self._gradients.step(previous, current)
        if not current.vectors:
            return flow
        grid = step_grid(current.size)
        blocks = block_grid(current.vectors[-1] or (previous.vectors or (None,))[-1], current.size)
        guesses = list(_guesses(previous.vectors, current.vectors, blocks))
        if not guesses:
            return flow.resized(grid)
        fitting, better = choose(guesses, flow.field, previous, current)
        chosen = resize_mask(better, grid)[..., np.newaxis]
        field = np.where(chosen, _in_blocks(fitting, grid), flow.resized(grid).field)
        return StepFlow(field, inside(field))


def choose(guesses: Sequence[Field], usual: Field, previous: Image, current: Image) -> tuple[Field, Mask]:
    """For each cell the vector of the guess that leaves the smallest difference between the two pictures, and
    whether it leaves clearly less than the ``usual`` flow.

    All ``guesses`` are on one grid, ``usual`` may be on another. Where there are many, the best two of each cell,
    by a coarser look, are compared.
    """
    stack = np.stack(guesses)  # (N, H, W, 2)
    cells = _decision_grid(stack)
    if len(stack) > _KEPT + 1:
        coarse = _residuals(stack, previous, current, cells, _CELL_PX // 2)
        stack = np.stack([_pick(stack, chosen) for chosen in _smallest(coarse, _KEPT)])
    fine = _residuals(stack, previous, current, cells, _CELL_PX)
    bound = _residuals(usual[np.newaxis], previous, current, cells, _CELL_PX)[0] - _MARGIN
    better = resize_mask(fine.min(axis=0) < bound, (stack.shape[2], stack.shape[1]))
    return _pick(stack, fine.argmin(axis=0)), better


def _guesses(before: VectorChain, now: VectorChain, grid: Size) -> Iterator[Field]:
    """Step flows that the vectors of the frame, and those of the one before it, may mean."""
    if len(now) != 1:  # frames were dropped
        joined = joined_past(now, grid)
        if joined is not None:
            yield joined.field
        return
    frame, earlier = now[0], before[-1] if before else None
    in_order = all(vectors is not None and not vectors.has_future for vectors in (frame, earlier))
    distances = _NEAR if in_order else _DISTANCES
    yield from _scaled(frame, "past", grid, distances)
    yield from _scaled(frame, "future", grid, distances)
    yield from _scaled(earlier, "future", grid, distances)
    yield from _scaled(earlier, "past", grid, (1,) if in_order else distances)


def _scaled(
    vectors: MotionVectors | None, direction: Direction, grid: Size, distances: Sequence[int]
) -> Iterator[Field]:
    found = None if vectors is None else vectors.painted(direction, grid)
    if found is not None:
        sign = 1 if direction == "past" else -1
        for frames in distances:
            yield found.field * np.float32(sign / frames)


def _residuals(fields: Fields, previous: Image, current: Image, cells: Size, cell_px: int) -> Residuals:
    """(N, rows, columns): the mean difference between the current picture and the previous one, warped, by cell."""
    width, height = size = cells[0] * cell_px, cells[1] * cell_px
    count = len(fields)
    maps = np.empty((count, height, width, 2), np.float32)
    for place, field in zip(maps, fields, strict=True):
        cv2.add(_in_blocks(field, size, place), cell_grid(size), dst=place)
    warped = cv2.remap(
        np.ascontiguousarray(previous.gray(size)),
        maps.reshape(count * height, width, 2),
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    difference = cv2.absdiff(warped, cv2.repeat(current.gray(size), count, 1))
    means = cv2.resize(
        difference.astype(np.float32), (cells[0], count * cells[1]), interpolation=cv2.INTER_AREA
    )
    return means.reshape(count, cells[1], cells[0])


def _smallest(residuals: Residuals, count: int) -> Iterator[NDArray[np.intp]]:
    """Of each cell the number of the field with the smallest residual, then of that with the next one, ...

    Writes over ``residuals``.
    """
    for _ in range(count):
        chosen = residuals.argmin(axis=0)
        yield chosen
        np.put_along_axis(residuals, chosen[np.newaxis], np.inf, axis=0)


def _decision_grid(fields: Fields) -> Size:
    """The cells in which one field is chosen: blocks, or squares of them where pictures would become too large."""
    count, height, width, _ = fields.shape
    blocks = 1
    while True:
        columns, rows = -(-width // blocks), -(-height // blocks)
        if columns * rows * _CELL_PX**2 <= _MOST_PIXELS and count * rows * _CELL_PX <= _MOST_ROWS:
            return columns, rows
        blocks *= 2


def _pick(fields: Fields, chosen: NDArray[np.intp]) -> Field:
    """Of each cell the vector of the field that is chosen there; ``chosen`` may be coarser."""
    count, height, width, _ = fields.shape
    which = cv2.resize(chosen.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    flat = fields.reshape(count, height * width, 2).view(np.complex64)[..., 0]
    picked = flat[which.ravel(), np.arange(height * width)]
    return picked.view(np.float32).reshape(height, width, 2)


def _in_blocks(field: Field, size: Size, out: Field | None = None) -> Field:
    """The same motion on a grid of ``size``, by nearest neighbour: blocks keep their edges. Written to ``out``."""
    height, width = field.shape[:2]
    factors = size[0] / width, size[1] / height, 0.0, 0.0
    return cv2.resize(cv2.multiply(field, factors), size, dst=out, interpolation=cv2.INTER_NEAREST)
