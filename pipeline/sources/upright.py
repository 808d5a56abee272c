"""Frames as they are meant to be seen: turned upright and deinterlaced, with FFmpeg's filters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from keywarp.flow.motion_vectors import UPRIGHT, Turn

Filters = tuple[tuple[str, str], ...]

# By a, b, c, d of a display matrix, which shows pixel (x, y) at (a x + c y, b x + d y).
# Never vflip: it turns rows around by negative strides.
_TURNS: dict[Turn, tuple[str, ...]] = {
    (0, 1, -1, 0): ("clock",),
    (0, -1, 1, 0): ("cclock",),
    (0, 1, 1, 0): ("cclock_flip",),
    (0, -1, -1, 0): ("clock_flip",),
    (-1, 0, 0, -1): ("clock", "clock"),
    (-1, 0, 0, 1): ("cclock_flip", "clock"),
    (1, 0, 0, -1): ("clock", "cclock_flip"),
}
_DEINTERLACE = ("bwdif", "mode=send_frame:deint=interlaced")


class Upright:
    """The frames, as many, with their times: untouched unless turned by the first one's matrix or interlaced.

    Filters are put in when the first frame needs them and made anew when size or pixel format change. ``turn``: how
    frames are turned; ``interlaced``: whether they are deinterlaced by now. Both count once there is a frame.
    """

    def __init__(self, frames: Iterable[VideoFrame], time_base: Fraction, threads: int) -> None:
        self._frames, self._time_base, self._threads = frames, time_base, threads
        self.turn: Turn = UPRIGHT
        self.interlaced = False

    def __iter__(self) -> Iterator[VideoFrame]:
        chain: _Chain | None = None
        for number, frame in enumerate(self._frames):
            if number == 0:
                self.turn = _turn(frame)
            self.interlaced = self.interlaced or frame.interlaced_frame
            turns = tuple(("transpose", way) for way in _TURNS.get(self.turn, ()))
            filters = (*((_DEINTERLACE,) if self.interlaced else ()), *turns)
            if chain is not None and not chain.fits(frame, filters):
                yield from chain.finish()
                chain = None
            if filters and chain is None:
                chain = _Chain(frame, filters, self._time_base, self._threads)
            if chain is None:
                yield frame
            else:
                yield from chain.push(frame)
        if chain is not None:
            yield from chain.finish()


def _turn(frame: VideoFrame) -> Turn:
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]
    if matrix is None:
        return UPRIGHT
    a, b, c, d = (int(place) for place in np.round(np.frombuffer(matrix, np.int32)[[0, 1, 3, 4]] / 65536))
    return (a, b, c, d) if (a, b, c, d) in _TURNS else UPRIGHT


class _Chain:
    """Filters in a row, for frames of one size and format."""

    def __init__(self, frame: VideoFrame, filters: Filters, time_base: Fraction, threads: int) -> None:
        self._key = (_form(frame), filters)
        self._graph = Graph()
        self._graph.threads = threads
        ticks = f"{time_base.numerator}/{time_base.denominator}"
        self._entry = last = self._graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base=ticks,
            pixel_aspect="1/1",
            colorspace=str(frame.colorspace),
            range=str(frame.color_range),
        )
        # a deinterlacer halves the time base; settb gives the stream's own back
        for name, options in (*filters, ("settb", ticks), ("buffersink", "")):
            following = self._graph.add(name, options)
            last.link_to(following)
            last = following
        self._exit = last
        self._graph.configure()

    def fits(self, frame: VideoFrame, filters: Filters) -> bool:
        return self._key == (_form(frame), filters)

    def push(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        self._entry.push(frame)
        yield from self._ready()

    def finish(self) -> Iterator[VideoFrame]:
        self._entry.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[VideoFrame]:
        while True:
            try:
                frame = self._exit.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, VideoFrame)
            yield frame


def _form(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
