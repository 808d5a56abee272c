"""Video files and streams, through PyAV (FFmpeg)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from keywarp.engines.errors import SourceError
from keywarp.flow.base import Size
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.stage import StreamInfo

from .base import Source
from .container import Location, in_words, open_container, video_stream
from .decoder import Decoder
from .timeline import Timeline
from .upright import upright

UNDECODABLE = "undecodable"

# av.video.frame.PictureType, by what a frame of that type is predicted from
_PICTURE_TYPES = {1: "I", 2: "P", 3: "B", 4: "P", 5: "I", 6: "P", 7: "B"}


class VideoSource(Source):
    """A video file, or a stream by URL.

    Delivers each frame that decodes once, with the container's own times (integer ``pts`` in an exact
    ``time_base``; variable rates stay so) and the decoder's planes as they are, without a copy. Phone videos
    come upright and interlaced ones deinterlaced, frame by frame. Frames whose size changes on the way are
    scaled to that of the first. What does not decode is left out, counted as ``undecodable`` and noted.

    ``threads``: of the decoder; None leaves it to FFmpeg. ``rtsp``, ``rtmp``, ``udp`` and the like are live.
    The audio of a URL goes into no output, which ``notes`` says; that of a file does.
    User, password and query of a URL appear in no name and no message.
    """

    def __init__(self, path_or_url: str | Path, *, threads: int | None = None) -> None:
        super().__init__()
        self._location = Location(str(path_or_url))
        self._threads = threads
        self._container: InputContainer | None = None
        self._decoder: Decoder | None = None
        self._ready: Iterator[VideoFrame] = iter(())
        self._first: VideoFrame | None = None
        self._time_base = Fraction(1, 1)
        self._size: Size = (0, 0)
        self._resized: dict[Size, int] = {}
        self._interrupted = False

    def open(self) -> StreamInfo:
        """Open the stream and decode its first frame."""
        self._interrupted = False
        location = self._location
        self._container = container = open_container(location)
        try:
            stream = video_stream(container, location)
            rate = self._start(container, stream)
        except BaseException:
            self.close()
            raise
        if location.is_url and container.streams.audio:
            self.notes.append(f"the audio of '{location.name}' is not copied: it is for local files only")
        return StreamInfo(
            name=location.name,
            size=self._size,
            rate=rate,
            time_base=self._time_base,
            frame_count=None if location.live else _frame_count(self._decoder, container, stream, rate),
            live=location.live,
            audio=location.path if container.streams.audio else None,
            paths=() if location.path is None else (location.path,),
        )

    def _start(self, container: InputContainer, stream: VideoStream) -> Fraction | None:
        """Set the decoder up and get the first frame. Returns the mean frame rate."""
        # Frame threads are faster and hold back as many frames: nothing for a live stream.
        stream.thread_type = "SLICE" if self._location.live else "AUTO"
        stream.codec_context.thread_count = self._threads or 0
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        self._time_base = Fraction(stream.time_base or Fraction(1, 90_000))
        self._decoder = Decoder(container, stream)
        timeline = Timeline(self._time_base, Fraction(rate) if rate else None)
        self._ready = upright(_timed(self._decoder, timeline), self._time_base, self._threads or 1)
        self._first = next(self._ready, None)
        if self._first is None:
            raise SourceError(self._no_frame(self._decoder))
        self._size = self._first.width, self._first.height
        return Fraction(rate) if rate else None

    def _no_frame(self, decoder: Decoder) -> str:
        kind, name = self._location.kind, self._location.name
        if self._interrupted:
            return f"{kind} '{name}' was interrupted before its first frame"
        if decoder.broken_off is not None:
            return f"{kind} '{name}' broke off before its first frame: {in_words(decoder.broken_off)}"
        if decoder.packets == 0:
            return f"{kind} '{name}' holds no frame: its video track is empty; give one with pictures in it"
        return (
            f"{kind} '{name}' holds no frame that can be decoded ({decoder.packets} packets were read); "
            "it is damaged: get another copy"
        )

    def frames(self) -> Iterator[Frame]:
        """The frames, to the end of the stream.

        A live stream that breaks off by itself raises :class:`SourceError`.
        """
        if self._decoder is None or self._first is None:
            raise SourceError(f"{self._location.kind} '{self._location.name}' is not open; call open() first")
        decoder, frame = self._decoder, self._first
        self._first = None  # it must not live as long as the source
        at_end = False
        try:
            for index in count():
                yield self._deliver(index, frame)
                following = next(self._ready, None)
                if following is None or self._interrupted:
                    break
                frame = following
            at_end = not self._interrupted
        finally:
            self._sum_up(decoder, at_end)
        if decoder.broken_off is not None and self._location.live and not self._interrupted:
            reason = in_words(decoder.broken_off)
            raise SourceError(
                f"stream '{self._location.name}' broke off after {decoder.decoded} frames: {reason}"
            )

    def _deliver(self, index: int, frame: VideoFrame) -> Frame:
        picture = Picture.from_av(frame)
        if picture.size != self._size:
            self._resized.setdefault(picture.size, index)
            picture = picture.scaled(self._size)
        return Frame(
            index,
            frame.pts or 0,
            self._time_base,
            self.clock.now_ns(),
            picture,
            _PICTURE_TYPES.get(frame.pict_type),
        )

    def _sum_up(self, decoder: Decoder, at_end: bool) -> None:
        name = self._location.name
        for (width, height), index in self._resized.items():
            self.notes.append(
                f"'{name}' changes its size to {width}x{height} at frame {index}: "
                f"scaled to {self._size[0]}x{self._size[1]}"
            )
        lost = decoder.lost(at_end)
        if lost:
            self.losses.add(UNDECODABLE, lost)
            self.notes.append(_damage(name, decoder, lost))

    def interrupt(self) -> None:
        """End the stream with the read under way; one of a network takes ``READ_TIMEOUT_S`` at most."""
        self._interrupted = True
        decoder = self._decoder
        if decoder is not None:
            decoder.stopped = True

    def close(self) -> None:
        """Close the file or connection. Frames that were delivered stay good."""
        self._first = None
        self._ready = iter(())
        self._decoder = None
        if self._container is not None:
            self._container.close()
            self._container = None


def _timed(decoder: Decoder, timeline: Timeline) -> Iterator[VideoFrame]:
    for frame in decoder.frames():
        frame.pts = timeline.place(frame.pts)
        yield frame


def _frame_count(
    decoder: Decoder | None, container: InputContainer, stream: VideoStream, rate: Fraction | None
) -> int | None:
    """By the index, by the container's word, or by the duration; None where nothing is known."""
    if decoder is not None and decoder.indexed_frames is not None:
        return decoder.indexed_frames
    if stream.frames:
        return stream.frames
    if not rate:
        return None
    if stream.duration and stream.time_base:
        return round(stream.duration * Fraction(stream.time_base) * rate)
    if container.duration:
        return round(Fraction(container.duration, 1_000_000) * rate)
    return None


def _damage(name: str, decoder: Decoder, lost: int) -> str:
    cause = "is damaged"
    if decoder.broken_off is not None:
        cause = f"could not be read to the end ({in_words(decoder.broken_off)})"
    elif decoder.indexed_frames is not None and decoder.packets < decoder.indexed_frames:
        cause = "is cut short"
    return (
        f"'{name}' {cause}: {decoder.packets} packets were read, {decoder.decoded} frames decoded, "
        f"{lost} {'frame' if lost == 1 else 'frames'} lost"
    )
