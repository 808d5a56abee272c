"""Motion vectors of a codec: where each block of a frame was copied from, as FFmpeg exports them.

H.264, MPEG-4 and their older relatives describe most blocks of a frame by a vector into another frame, 16 or 8
pixels a side. FFmpeg hands them out (``AVMotionVector``) with the sign of time only: into a frame shown before or
after this one, not into which.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .base import Field, Mask, Size, StepFlow
from .compose import join

VECTOR = np.dtype(
    {
        "names": [
            "source", "w", "h", "src_x", "src_y", "dst_x", "dst_y", "flags", "motion_x", "motion_y", "motion_scale",
        ],
        "formats": ["i4", "u1", "u1", "i2", "i2", "i2", "i2", "u8", "i4", "i4", "u2"],
        "offsets": [0, 4, 5, 6, 8, 10, 12, 16, 24, 28, 32],
        "itemsize": 40,
    }
)  # fmt: skip
"""FFmpeg's ``AVMotionVector``: a block of ``w`` x ``h`` pixels around ``dst`` was copied from ``motion`` /
``motion_scale`` pixels further, in a frame before (``source`` < 0) or after this one."""

VECTOR_CODECS = frozenset(
    [
        "h264", "mpeg4", "mpeg2video", "mpeg1video", "h263", "h263p", "flv", "msmpeg4", "msmpeg4v2", "msmpeg4v1",
        "wmv1", "wmv2",
    ]
)  # fmt: skip
"""FFmpeg's decoders that hand out motion vectors, by name. Those of HEVC, VP9 and AV1 do not."""

Turn = tuple[int, int, int, int]
"""a, b, c, d: what was decoded at (x, y) is seen at (a x + c y, b x + d y), shifted into the picture."""
UPRIGHT: Turn = (1, 0, 0, 1)

BLOCK_PX = 8
"""The smallest block that FFmpeg tells of, and its grid."""
_LARGEST_PX = 16
_NO_MOTION = np.complex64(0)
# A field of this many cells is chained in about the time that a coarse flow takes to be found.
_MOST_CELLS = 60_000

Vectors = NDArray[np.void]
Direction = Literal["past", "future"]


@dataclass(frozen=True, slots=True)
class BlockField:
    """Vectors painted on a grid: ``field`` as in :class:`StepFlow`; ``told``: the cells that a block covers, the
    others, which the codec describes without a vector, take after those around them."""

    field: Field
    told: Mask

    @property
    def share(self) -> float:
        """Of the cells that are told, 0 to 1."""
        return float(cv2.countNonZero(self.told.view(np.uint8))) / self.told.size


@dataclass(frozen=True, slots=True)
class MotionVectors:
    """The vectors of one decoded frame.

    ``blocks``: (N,) of :data:`VECTOR`, read-only, in pixels of the decoded picture; ``size``: its width and height;
    ``turn``: how the picture is turned before it is delivered. The delivered one may have any size: fields are made
    on grids that span the picture.
    """

    blocks: Vectors = field(repr=False)
    size: Size
    turn: Turn = UPRIGHT
    _made: dict[tuple[Direction, Size], BlockField | None] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def has_future(self) -> bool:
        """Whether some lead to a frame that is shown later: a B-frame's."""
        return bool((self.blocks["source"] > 0).any())

    def painted(self, direction: Direction, grid: Size) -> BlockField | None:
        """The vectors into frames of one ``direction`` on ``grid``; None where there are none. Made once.

        A cell takes the vector of the block around its middle, unsmoothed: blocks keep the edges of what moves.
        """
        if (direction, grid) not in self._made:
            self._made[direction, grid] = self._painted(direction, grid)
        return self._made[direction, grid]

    def anew(self) -> MotionVectors:
        """The same vectors with nothing made of them yet."""
        return MotionVectors(self.blocks, self.size, self.turn)

    def _painted(self, direction: Direction, grid: Size) -> BlockField | None:
        chosen = self.blocks["source"] < 0 if direction == "past" else self.blocks["source"] > 0
        if not chosen.any():
            return None
        blocks = self.blocks if chosen.all() else self.blocks[chosen]
        found, told = _paint(blocks, self.size)
        if not told.any():
            return None
        _fill(found, told)
        return self._on_grid(found, told, grid)

    def _on_grid(self, found: NDArray[np.complex64], told: Mask, grid: Size) -> BlockField:
        a, b, c, d = self.turn
        columns, rows = grid if a else grid[::-1]
        height, width = told.shape
        scale = columns / self.size[0], rows / self.size[1], 0.0, 0.0
        scaled = cv2.multiply(found.view(np.float32).reshape(height, width, 2), scale).view(np.complex64)[
            ..., 0
        ]
        down, across = _middles(self.size[1], rows), _middles(self.size[0], columns)
        field = scaled.take(down, 0).take(across, 1).view(np.float32).reshape(rows, columns, 2)
        told = told.take(down, 0).take(across, 1)
        if self.turn == UPRIGHT:
            return BlockField(field, told)
        x, y = field[..., 0], field[..., 1]
        field = np.dstack([a * x + c * y, b * x + d * y])
        return BlockField(
            np.ascontiguousarray(_turned(field, self.turn)),
            np.ascontiguousarray(_turned(told, self.turn)),
        )


VectorChain = tuple[MotionVectors | None, ...]
"""The vectors of the frames since the previous delivered one, the delivered frame's own last; None: a frame that
has none. Empty: nothing is known."""


def step_grid(size: Size) -> Size:
    """The grid on which the steps of a coded picture of ``size`` are kept: cells of 4 pixels, or of 8 and more in
    large pictures."""
    cell_px = BLOCK_PX // 2
    while _cells(size[0], cell_px) * _cells(size[1], cell_px) > _MOST_CELLS:
        cell_px *= 2
    return _cells(size[0], cell_px), _cells(size[1], cell_px)


def block_grid(vectors: MotionVectors | None, size: Size) -> Size:
    """The grid of blocks of the picture that the vectors are of, as it is seen; without any of one of ``size``."""
    if vectors is not None:
        size = vectors.size if vectors.turn[0] else vectors.size[::-1]
    return _cells(size[0], BLOCK_PX), _cells(size[1], BLOCK_PX)


def joined_past(chain: VectorChain, grid: Size) -> BlockField | None:
    """The vectors into the past of one frame, or of several in a row, the last one delivered: each taken to lead to
    the frame before it. None where a frame has none.
    """
    fields = [None if vectors is None else vectors.painted("past", grid) for vectors in chain]
    if not fields or any(found is None for found in fields):
        return None
    if len(fields) == 1:
        return fields[0]
    steps = [StepFlow(found.field, found.told) for found in fields if found is not None]
    step = reduce(lambda earlier, later: join(later, earlier), steps)
    return BlockField(step.field, step.valid)


def _paint(blocks: Vectors, size: Size) -> tuple[NDArray[np.complex64], Mask]:
    """x + iy in pixels on a grid of blocks of 8 pixels, and which of them a vector covers."""
    width, height = (_cells(side, _LARGEST_PX) * _LARGEST_PX // BLOCK_PX for side in size)
    wide, high = blocks["w"] > BLOCK_PX, blocks["h"] > BLOCK_PX
    x = (blocks["dst_x"].astype(np.intp) - (blocks["w"] >> 1)) // BLOCK_PX
    y = (blocks["dst_y"].astype(np.intp) - (blocks["h"] >> 1)) // BLOCK_PX
    motion = np.empty((len(blocks), 2), np.float32)
    scale = np.maximum(blocks["motion_scale"], 1)
    np.divide(blocks["motion_x"], scale, out=motion[:, 0], casting="same_kind")
    np.divide(blocks["motion_y"], scale, out=motion[:, 1], casting="same_kind")
    vectors = motion.view(np.complex64)[:, 0]
    good = (x >= 0) & (y >= 0) & (x + wide < width) & (y + high < height)
    if not good.all():
        x, y, vectors, wide, high = x[good], y[good], vectors[good], wide[good], high[good]
    found = np.full(width * height, _NO_MOTION, np.complex64)
    told = np.zeros(width * height, np.bool_)
    first = y * width + x
    for offset, covers in ((0, None), (1, wide), (width, high), (width + 1, wide & high)):
        places = first + offset if covers is None else first[covers] + offset
        found[places] = vectors if covers is None else vectors[covers]
        told[places] = True
    return found.reshape(height, width), told.reshape(height, width)


def _fill(found: NDArray[np.complex64], told: Mask) -> None:
    """Give the cells that no block covers the mean of their neighbours that are told, else the nearest one's."""
    if told.all():
        return
    height, width = told.shape
    known = found.view(np.float32).reshape(height, width, 2)  # nothing moves where nothing is told
    around, total = (
        cv2.boxFilter(array, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        for array in (told.astype(np.float32), known)
    )
    means = total.view(np.complex64)[..., 0] / np.maximum(around, 1)
    near = around > 0
    if not near.all():
        means = np.where(near, means, _nearest(found, told))
    np.copyto(found, means, where=np.logical_not(told))


def _nearest(found: NDArray[np.complex64], told: Mask) -> NDArray[np.complex64]:
    holes = np.logical_not(told).view(np.uint8)
    labels = cv2.distanceTransformWithLabels(
        holes, cv2.DIST_L2, cv2.DIST_MASK_3, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    by_label = np.zeros(int(labels.max()) + 1, np.complex64)
    by_label[labels[told]] = found[told]
    return by_label[labels]


@lru_cache(maxsize=32)
def _middles(side: int, cells: int) -> NDArray[np.intp]:
    """The block in which the middle of each of ``cells`` cells along a side of so many pixels lies."""
    return ((2 * np.arange(cells) + 1) * side // (2 * cells)) // BLOCK_PX


def _turned(array: NDArray[np.generic], turn: Turn) -> NDArray[np.generic]:
    a, b, c, d = turn
    if not a:
        array = array.swapaxes(0, 1)
    across, down = a + c, b + d
    return array[:: down or 1, :: across or 1]


def _cells(side: int, cell_px: int) -> int:
    return -(-side // cell_px)
