"""Motion vectors out of FFmpeg's frames."""

from __future__ import annotations

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from keywarp.flow.motion_vectors import VECTOR, MotionVectors, Turn


def vectors_of(frame: VideoFrame, turn: Turn) -> MotionVectors | None:
    """A frame's motion vectors, without a copy; None where it has none. ``turn``: how the frame was turned."""
    found = frame.side_data.get(Type.MOTION_VECTORS)  # type: ignore[call-overload]
    if found is None or not found.buffer_size:
        return None
    size = (frame.width, frame.height) if turn[0] else (frame.height, frame.width)
    return MotionVectors(np.frombuffer(found, VECTOR), size, turn)
