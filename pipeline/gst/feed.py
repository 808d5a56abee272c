"""The beginning of a pipeline that pictures are pushed into: an appsrc that never makes one wait."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import av

from keywarp.flow.base import Size

from .bindings import load_gst
from .memory import colorimetry_of, i420_buffer
from .native import library, pointer_of

# Pictures that may wait for the encoder; beyond, new ones are left out.
_MOST_WAITING = 2

NAME = "pictures"
APPSRC = f"appsrc name={NAME} is-live=true do-timestamp=true format=time block=false"
"""How the text of a pipeline that is fed begins."""


class Feed:
    """Pushes yuv420p frames into an appsrc as I420 of even size, copied once. ``skipped`` counts those left out.

    The appsrc comes and goes with its pipeline: without one, frames count as pushed and go nowhere. Times are those
    at which frames are pushed. Any thread may call.
    """

    def __init__(self, size: Size, rate: Fraction | None) -> None:
        self.size: Size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._rate = rate or Fraction(0, 1)
        self._colorimetry: str | None = None  # not known before the first frame
        self._lock = threading.Lock()
        self._appsrc: Any = None
        self._pointer = 0
        self._last: av.VideoFrame | None = None
        self.skipped = 0

    def attach(self, appsrc: Any) -> None:
        """Push into this one from now on."""
        with self._lock:
            self._appsrc, self._pointer = appsrc, pointer_of(appsrc)
            self._set_caps()
            if self._last is not None:  # there is a picture at once, even while no new one comes
                self._push(self._last)

    def detach(self, appsrc: Any = None) -> None:
        """Push into none any more, or not into this one."""
        with self._lock:
            if appsrc is None or appsrc is self._appsrc:
                self._appsrc = None

    def push(self, frame: av.VideoFrame) -> bool:
        """Push a frame, or leave it out; whether it was taken. Does not wait for the encoder."""
        with self._lock:
            colorimetry = colorimetry_of(frame)
            if colorimetry != self._colorimetry:
                self._colorimetry = colorimetry
                self._set_caps()
            self._last = frame
            if self._appsrc is None:
                return True
            lib = library()
            frame_bytes = self.size[0] * self.size[1] * 3 // 2
            if lib.gst_app_src_get_current_level_bytes(self._pointer) >= _MOST_WAITING * frame_bytes:
                self.skipped += 1
                return False
            self._push(frame)
            return True

    def _push(self, frame: av.VideoFrame) -> None:
        buffer, _ = i420_buffer(frame)
        library().gst_app_src_push_buffer(self._pointer, buffer)  # takes the buffer, also where it refuses

    def _set_caps(self) -> None:
        if self._appsrc is None or self._colorimetry is None:
            return
        rate = self._rate.limit_denominator(10_000)
        text = (
            f"video/x-raw,format=I420,width={self.size[0]},height={self.size[1]},"
            f"framerate={rate.numerator}/{rate.denominator},colorimetry={self._colorimetry},interlace-mode=progressive"
        )
        self._appsrc.set_property("caps", load_gst().Caps.from_string(text))
