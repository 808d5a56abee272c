"""Step flow by OpenCV's DIS (Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016)."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from keywarp.engines.errors import unknown_name

from .base import Image, Size, StepEstimator, StepFlow, resize_field
from .compose import inside
from .sizes import picture_size

# The preset, how many pixels wide a cell of the flow that it really computes is, and how far its patches of 8 x 8
# are apart where that is not the preset's own. DIS stops at a coarser level of its pyramid and enlarges the rest:
# keeping its own cells loses nothing and makes all that follows up to sixteen times cheaper. `sparse` is
# `ultrafast` with half the patches, on half again as many pixels for the same time: more accurate (docs/flow.md).
PRESETS = {
    "sparse": (cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST, 4, 6),
    "ultrafast": (cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST, 4, None),
    "fast": (cv2.DISOPTICAL_FLOW_PRESET_FAST, 4, None),
    "medium": (cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 2, None),
}
_DEFAULT_PIXELS = 352 * 264
# The pyramid halves the picture, and is less accurate where that leaves half a pixel over.
_SIDE_STEP_PX = 8
# DIS fails below this, in wide pictures by a crash: its patches of 8 x 8 must fit into the coarsest level of its
# pyramid, which the width chooses.
_SMALLEST_SIDE_PX = 32


class DisFlow(StepEstimator):
    """DIS on the brightness of both frames, scaled to ``size`` (width, height; None: about 352 x 264 pixels in
    the frame's shape).

    The flow's grid is that of DIS's finest level, a quarter of ``size`` (``medium``: half). Cells that point
    outside the previous frame are invalid. Pictures too small for DIS have no flow that it could find: they
    count as still.
    """

    def __init__(self, size: Size | None = None, preset: str = "sparse") -> None:
        if preset not in PRESETS:
            raise unknown_name("DIS preset", preset, PRESETS)
        self.name = f"dis:{preset}"
        self._size = size
        self._preset, self._cell_px, self._patch_stride_px = PRESETS[preset]
        self._dis: Any = None
        self._made_for: Size | None = None

    def step(self, previous: Image, current: Image) -> StepFlow:
        """The step flow on this estimator's grid."""
        size = self._size or picture_size(current.size, _DEFAULT_PIXELS, _SIDE_STEP_PX)
        grid = math.ceil(size[0] / self._cell_px), math.ceil(size[1] / self._cell_px)
        if min(size) < _SMALLEST_SIDE_PX:
            return StepFlow.still(grid)
        if size != self._made_for:  # anew for each size: it keeps what it chose for another
            self._dis, self._made_for = self._make(), size
        now, before = (np.ascontiguousarray(frame.gray(size)) for frame in (current, previous))
        field = resize_field(self._dis.calc(now, before, None), grid)
        return StepFlow(field, inside(field))

    def _make(self) -> Any:
        dis = cv2.DISOpticalFlow.create(self._preset)
        if self._patch_stride_px is not None:
            dis.setPatchStride(self._patch_stride_px)
        return dis
