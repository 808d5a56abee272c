"""Motion vectors out of FFmpeg's frames."""

from __future__ import annotations

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame

from keywarp.flow.motion_vectors import VECTOR, MotionVectors, Turn

_B = 3  # av.video.frame.PictureType.B
# The others say zero of every block of a B-frame.
_TELL_OF_B = frozenset(["h264", "mpeg1video", "mpeg2video"])


def vectors_of(frame: VideoFrame, codec: str, turn: Turn) -> MotionVectors | None:
    """A frame's motion vectors, copied; None where it has none. ``codec``: FFmpeg's decoder, ``turn``: how the
    frame was turned."""
    if frame.pict_type == _B and codec not in _TELL_OF_B:
        return None
    # Not frame.side_data: the frame would keep what refers to it, and only the garbage collector would free it.
    found = SideDataContainer(frame).get(Type.MOTION_VECTORS)  # type: ignore[call-arg]
    if found is None or not found.buffer_size:
        return None
    size = (frame.width, frame.height) if turn[0] else (frame.height, frame.width)
    blocks = np.frombuffer(found, VECTOR).copy()  # a view would keep the whole picture
    blocks.flags.writeable = False
    return MotionVectors(blocks, size, turn)
