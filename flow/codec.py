"""Step flow of a codec's motion vectors, taken at their word."""

from __future__ import annotations

import logging

import numpy as np

from .base import Image, Size, StepEstimator, StepFlow
from .compose import inside
from .lucas_kanade import LucasKanadeFlow
from .motion_vectors import joined_past, step_grid

_log = logging.getLogger(__name__)

# Where more than this share of a frame has no vector, neighbours say too little of it.
_MOST_FILLED = 0.25


class CodecFlow(StepEstimator):
    """The stream's own motion vectors, each into the past taken to lead to the previous frame.

    True of streams without B-frames whose frames have one reference; :class:`MeasuredFlow` is for the others, and a
    B-frame is warned of once.
    Vectors of frames that were dropped are joined. Cells that no vector tells of take after those around them and
    are invalid; where they are more than a quarter of the frame they take the flow of
    :class:`.LucasKanadeFlow`, and so does a frame without any vector; ``size`` and ``fused`` are its
    own. The grid has cells of 4 pixels, or of 8 and more in large pictures.
    """

    name = "codec"
    wants_vectors = True
    needs_vectors = True

    def __init__(self, size: Size | None = None, *, fused: bool = True) -> None:
        self._gradients = LucasKanadeFlow(size, fused=fused)
        self._warned = False

    def step(self, previous: Image, current: Image) -> StepFlow:
        """The step flow on the grid of vectors."""
        grid = step_grid(current.size)
        self._warn_of_b(current)
        found = joined_past(current.vectors, grid)
        if found is None:
            return self._gradients.step(previous, current).resized(grid)
        if 1 - found.share <= _MOST_FILLED:
            return StepFlow(found.field, np.logical_and(found.told, inside(found.field)))
        other = self._gradients.step(previous, current).resized(grid)
        field = np.where(found.told[..., np.newaxis], found.field, other.field)
        return StepFlow(field, np.where(found.told, inside(field), other.valid))

    def _warn_of_b(self, current: Image) -> None:
        if self._warned:
            return
        future = any(vectors is not None and vectors.has_future for vectors in current.vectors)
        if (
            future or current.picture_type == "B"
        ):  # MPEG-4's have no vectors, and those after them lead past them
            self._warned = True
            _log.warning(
                "the stream has B-frames: their motion vectors do not lead to the previous frame, as flow 'codec' "
                "takes them to; use --flow auto or lk"
            )
