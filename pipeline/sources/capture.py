"""When the picture of a network stream was captured, as well as can be known."""

from __future__ import annotations

import sys
import time

from av.packet import Packet
from av.video.stream import VideoStream

from keywarp.pipeline.clock import Clock

# A sender's clock that is further behind than this is wrong, not slow.
_MOST_AGE_NS = 60 * 10**9


def capture_ns(packet: Packet[VideoStream], clock: Clock) -> int:
    """``clock``'s time when what is in ``packet``, which has just been read, was captured.

    That is the sender's own time where it sends any (RTP with RTCP sender reports) and its clock agrees with ours:
    not in the future, and less than a minute ago. Otherwise it is now.
    """
    now_ns = clock.now_ns()
    sent_ns = _sender_ns(packet)
    age_ns = 0 if sent_ns is None else time.time_ns() - sent_ns
    return now_ns - age_ns if 0 < age_ns < _MOST_AGE_NS else now_ns


def _sender_ns(packet: Packet[VideoStream]) -> int | None:
    """The sender's wall clock, in ns since 1970: FFmpeg's "producer reference time"."""
    if not packet.has_sidedata("prft"):
        return None
    reference = bytes(packet.get_sidedata("prft"))
    return 1000 * int.from_bytes(reference[:8], sys.byteorder, signed=True)
