"""Step flow by OpenCV's DIS (Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016)."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from keywarp.engines.errors import unknown_name

from .base import Image, Mask, Size, StepEstimator, StepFlow
from .compose import cell_grid

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
# About 320 x 180: half of a 640 x 360 frame, the features' own grid there. Finer flow costs more than it
# gains (docs/flow.md).
_DEFAULT_CELLS = 320 * 180
# DIS fails below this: its patches of 8 x 8 must fit into the coarsest level of its pyramid.
_SMALLEST_SIDE_PX = 16


class DisFlow(StepEstimator):
    """DIS on a grid of ``size`` (width, height; None: the frame's shape at about 320 x 180 cells), from the
    brightness of both frames.

    Cells that point outside the previous frame are invalid. Pictures too small for DIS have no flow that it
    could find: they count as still.
    """

    def __init__(self, size: Size | None = None, preset: str = "fast") -> None:
        if preset not in PRESETS:
            raise unknown_name("DIS preset", preset, PRESETS)
        self.name = f"dis:{preset}"
        self._size = size
        self._preset = PRESETS[preset]
        self._dis: Any = None

    def step(self, previous: Image, current: Image) -> StepFlow:
        """The step flow on this estimator's grid."""
        size = self._size or default_grid(current.size)
        if min(size) < _SMALLEST_SIDE_PX:
            return StepFlow.still(size)
        if self._dis is None:
            self._dis = cv2.DISOpticalFlow.create(self._preset)
        field = self._dis.calc(current.gray(size), previous.gray(size), None)
        return StepFlow(field, inside(field))


class KnownFlow(StepEstimator):
    """The step flow that the source itself knows: exact for a scene, an error for other sources."""

    name = "source"

    def __init__(self, size: Size | None = None) -> None:
        self._size = size

    def step(self, previous: Image, current: Image) -> StepFlow:
        """The source's step flow on this estimator's grid."""
        step = current.known_step
        if step is None:
            raise unknown_name("flow of this source:", "source", ["dis"])
        return step.resized(self._size or default_grid(current.size))


def default_grid(frame_size: Size) -> Size:
    """The grid of about 320 x 180 cells that has the frame's shape; the frame's own where it is smaller."""
    width, height = frame_size
    shrink = min(1.0, math.sqrt(_DEFAULT_CELLS / (width * height)))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def inside(field: np.ndarray[Any, np.dtype[np.float32]]) -> Mask:
    """(H, W) bool: whether each cell's source ``cell + field[cell]`` lies inside the picture."""
    height, width = field.shape[:2]
    source = cv2.add(cell_grid((width, height)), field)
    return cv2.inRange(source, (-0.5, -0.5), (width - 0.5, height - 0.5)).view(np.bool_)
