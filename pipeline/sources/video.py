"""Video files and streams, through PyAV (FFmpeg)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path

from av.container import InputContainer
from av.format import Flags as FormatFlags
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from keywarp.engines.errors import SourceError
from keywarp.flow.base import Size
from keywarp.flow.motion_vectors import VECTOR_CODECS, VectorChain
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.stage import StreamInfo

from .base import Source
from .capture import capture_ns
from .container import Location, in_words, is_hls, is_live, open_container, video_stream
from .decoder import Decoder
from .length import Announced, announced, frame_count
from .pace import Pace
from .timeline import Timeline
from .upright import Upright
from .vectors import vectors_of

UNDECODABLE = "undecodable"
CORRUPT = "corrupt"

# Above this a rate is an artefact of a stream that does not say any.
_MOST_RATE = 1000
_NS = 10**9

# av.video.frame.PictureType, by what a frame of that type is predicted from
_PICTURE_TYPES = {1: "I", 2: "P", 3: "B", 4: "P", 5: "I", 6: "P", 7: "B"}
# Codecs of intra frames alone that FFmpeg does not call so.
_INTRA_CODECS = frozenset(["cfhd", "ffv1", "png"])


class VideoSource(Source):
    """A video file, or a stream by URL.

    Delivers each frame that decodes once, with the container's own times (integer ``pts`` in an exact
    ``time_base``; variable rates stay so) and the decoder's planes as they are, without a copy. Phone videos
    come upright and interlaced ones deinterlaced, frame by frame. Frames whose size changes on the way are
    scaled to that of the first. What does not decode is left out, counted as ``undecodable`` and noted, also
    before the first frame that does. That a file announces clearly more than came is noted.

    ``rtsp``, ``rtmp``, ``udp`` and the like are live, and so is what comes by HTTP without a length or an end
    (HLS, motion JPEG). A live frame's ``capture_ns`` is the sender's own time where it is known
    (:func:`~keywarp.pipeline.sources.capture.capture_ns`), else that of its packet's arrival. HLS comes in
    bursts and is played at its own rate. Pictures smeared by damage are left out and counted as ``corrupt``, up
    to the next sound key frame.

    ``threads``: of the decoder; None leaves it to FFmpeg. ``read_timeout_s``: after how many seconds a network that
    says nothing counts as broken off, ``READ_TIMEOUT_S`` where it is None.
    The audio of a URL goes into no output, which ``notes`` says; that of a file does.
    User, password and query of a URL appear in no name and no message.
    """

    def __init__(
        self, path_or_url: str | Path, *, threads: int | None = None, read_timeout_s: float | None = None
    ) -> None:
        super().__init__()
        self._location = Location(str(path_or_url))
        self._threads = threads
        self._read_timeout_s = read_timeout_s
        self._live = self._location.live
        self._pace: Pace | None = None
        self._counted: dict[str, int] = {}
        self._container: InputContainer | None = None
        self._decoder: Decoder | None = None
        self._ready: Iterator[VideoFrame] = iter(())
        self._first: VideoFrame | None = None
        self._time_base = Fraction(1, 1)
        self._size: Size = (0, 0)
        self._announced: Announced | None = None
        self._resized: dict[Size, int] = {}
        self._interrupted = False
        self._wants_vectors = False
        self._has_vectors = False
        self._tells_types = True
        self._with_vectors = self._without_vectors = 0
        self._upright: Upright | None = None

    def want_vectors(self) -> None:
        """Let frames carry the motion vectors of H.264, MPEG-4 and their older relatives."""
        self._wants_vectors = True

    def open(self) -> StreamInfo:
        """Open the stream and decode its first frame."""
        self._interrupted = False
        location = self._location
        self._container = container = open_container(location, self._read_timeout_s)
        try:
            self._live = is_live(container, location)
            stream = video_stream(container, location)
            rate = self._start(container, stream)
        except BaseException:
            self.close()
            raise
        again = location.path is not None and location.path.is_file()
        if container.streams.audio and not again:
            self.notes.append(f"the audio of '{location.name}' is not copied: it is for local files only")
        return StreamInfo(
            name=location.name,
            size=self._size,
            rate=rate,
            time_base=self._time_base,
            frame_count=None if self._live else self._frame_count(container, stream, rate),
            live=self._live,
            audio=location.path if container.streams.audio and again else None,
            paths=() if location.path is None else (location.path,),
            codec=stream.codec_context.name,
            has_vectors=self._has_vectors,
        )

    def _frame_count(
        self, container: InputContainer, stream: VideoStream, rate: Fraction | None
    ) -> int | None:
        self._announced = announced(container, stream, rate)
        indexed = None if self._decoder is None else self._decoder.indexed_frames
        return frame_count(container, stream, rate, indexed)

    def _start(self, container: InputContainer, stream: VideoStream) -> Fraction | None:
        """Set the decoder up and get the first frame. Returns the mean frame rate."""
        context = stream.codec_context
        self._has_vectors = self._wants_vectors and context.name in VECTOR_CODECS
        # Frame threads are faster and hold back as many frames: nothing for a live stream. With them FFmpeg tells
        # the vectors of H.264's reordered frames before another thread has decoded all of them.
        unfinished = self._has_vectors and context.name == "h264" and context.has_b_frames
        stream.thread_type = "SLICE" if self._live or unfinished else "AUTO"
        context.thread_count = self._threads or 0
        timed = not (self._live and FormatFlags(container.format.flags) & FormatFlags.no_timestamps)
        rate = (stream.average_rate or stream.guessed_rate or stream.base_rate) if timed else None
        if self._live and rate and rate > _MOST_RATE:
            rate = None
        self._time_base = Fraction(stream.time_base or Fraction(1, 90_000)) if timed else Fraction(1, 90_000)
        self._pace = Pace() if self._live and is_hls(container) else None
        stamped = self._live and self._pace is None
        self._tells_types = not _is_intra_only(stream)
        self._decoder = Decoder(
            container, stream, self._stamp if stamped else None, vectors=self._has_vectors
        )
        timeline = Timeline(self._time_base, Fraction(rate) if rate else None)
        frames = (
            self._decoder.frames() if timed else _timed_by_arrival(self._decoder.frames(), self._time_base)
        )
        self._upright = Upright(_timed(frames, timeline), self._time_base, self._threads or 1)
        self._ready = iter(self._upright)
        self._first = next(self._ready, None)
        if self._first is None:
            raise SourceError(self._no_frame(self._decoder))
        self._size = self._first.width, self._first.height
        return Fraction(rate) if rate else None

    def _stamp(self, packet: Packet[VideoStream]) -> int:
        return capture_ns(packet, self.clock)

    def _no_frame(self, decoder: Decoder) -> str:
        kind, name = self._location.kind, self._location.name
        if self._interrupted:
            return f"{kind} '{name}' was interrupted before its first frame"
        if decoder.broken_off is not None:
            return f"{kind} '{name}' broke off before its first frame: {in_words(decoder.broken_off)}"
        packets = decoder.tally.packets
        if packets == 0:
            return f"{kind} '{name}' holds no frame: its video track is empty; give one with pictures in it"
        no_frame = f"{kind} '{name}' holds no frame that can be decoded ({packets} packets were read)"
        if not decoder.tally.has_key or (decoder.skipped and not decoder.errors):
            return (
                f"{no_frame}: decoding begins at a key frame (intra frame), and there is none, as in a piece from "
                "the middle of a recording; get one that holds a key frame"
            )
        return f"{no_frame}; it is damaged: get another copy"

    def frames(self) -> Iterator[Frame]:
        """The frames, to the end of the stream.

        A live stream that breaks off by itself raises :class:`SourceError`.
        """
        if self._decoder is None or self._first is None:
            raise SourceError(f"{self._location.kind} '{self._location.name}' is not open; call open() first")
        decoder, frame = self._decoder, self._first
        start = end = frame.pts or 0
        self._first = None  # it must not live as long as the source
        at_end = False
        due = _Due(self._time_base)
        try:
            for index in count():
                if self._pace is not None and not self._pace.wait_until(
                    self.clock, due.of(frame, self.clock.now_ns())
                ):
                    break
                end = (frame.pts or 0) + (frame.duration or 0)
                yield self._deliver(index, frame)
                following = next(self._ready, None)
                if self._live:
                    self._count_losses(decoder)
                if following is None or self._interrupted:
                    break
                frame = following
            at_end = not self._interrupted
        finally:
            self._sum_up(decoder, at_end, (end - start) * self._time_base)
        if decoder.broken_off is not None and self._live and not self._interrupted:
            reason = in_words(decoder.broken_off)
            raise SourceError(
                f"stream '{self._location.name}' broke off after {decoder.tally.frames} frames: {reason}"
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
            _captured_ns(frame) or self.clock.now_ns(),
            picture,
            _PICTURE_TYPES.get(frame.pict_type) if self._tells_types else None,
            vectors=self._vectors(frame),
        )

    def _vectors(self, frame: VideoFrame) -> VectorChain:
        """What the codec says of this frame's motion; nothing of one whose references are lost or that is
        deinterlaced."""
        decoder, way = self._decoder, self._upright
        if not self._has_vectors or decoder is None or way is None:
            return ()
        unsure = decoder.unsure or way.interlaced
        found = None if unsure else vectors_of(frame, decoder.codec, way.turn)
        self._with_vectors += found is not None
        self._without_vectors += found is None and _PICTURE_TYPES.get(frame.pict_type) != "I"
        return (found,)

    def _tell_of_vectors(self, name: str, at_end: bool) -> None:
        missing = ""
        if self._without_vectors:
            count = f"{self._without_vectors} {'frame' if self._without_vectors == 1 else 'frames'}"
            missing = f"to go by on {count} beside its intra frames"
        elif at_end and self._has_vectors and not self._with_vectors:
            missing = "at all, since each of its frames is coded by itself"
        if missing:
            self.notes.append(
                f"'{name}' has no motion vectors {missing}: flow 'codec' and 'auto' are 'lk' there"
            )

    def _sum_up(self, decoder: Decoder, at_end: bool, covered_s: Fraction) -> None:
        name = self._location.name
        for (width, height), index in self._resized.items():
            self.notes.append(
                f"'{name}' changes its size to {width}x{height} at frame {index}: "
                f"scaled to {self._size[0]}x{self._size[1]}"
            )
        if not self._live:
            self._tell_of_vectors(name, at_end)
        self._with_vectors = self._without_vectors = 0
        if self._live:
            self._count_losses(decoder)
            if self.losses.total:
                self.notes.append(
                    f"'{name}' came damaged in places: what could not be shown is left out and counted"
                )
            return
        lost = decoder.lost(at_end)
        if lost:
            self.losses.add(UNDECODABLE, lost)
        if lost or (at_end and decoder.broken_off is not None):
            self.notes.append(_damage(name, decoder, lost))
        whole, came = self._announced, decoder.tally.frames
        damaged = lost > 0 or decoder.unreadable
        if whole is not None and at_end and whole.falls_short(came + lost, covered_s, damaged):
            self.notes.append(
                f"'{name}' announces about {whole.frames} frames, {came} came: it may have been cut off or damaged"
            )

    def _count_losses(self, decoder: Decoder) -> None:
        """Count what was lost since the last time: a live stream may never end."""
        for cause, lost in ((UNDECODABLE, decoder.errors), (CORRUPT, decoder.corrupt)):
            new = lost - self._counted.get(cause, 0)
            if new:
                self._counted[cause] = lost
                self.losses.add(cause, new)

    def interrupt(self) -> None:
        """End the stream with the read under way; one of a network takes its timeout at most."""
        self._interrupted = True
        pace = self._pace
        if pace is not None:
            pace.stop()
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


class _Due:
    """When to show the frames of a stream that comes in bursts; a stall moves all that follows."""

    def __init__(self, time_base: Fraction) -> None:
        self._ns_per_tick = time_base * _NS
        self._offset_ns: int | None = None

    def of(self, frame: VideoFrame, now_ns: int) -> int:
        time_ns = round((frame.pts or 0) * self._ns_per_tick)
        if self._offset_ns is None or time_ns + self._offset_ns < now_ns:
            self._offset_ns = now_ns - time_ns
        return time_ns + self._offset_ns


def _is_intra_only(stream: VideoStream) -> bool:
    codec = stream.codec_context.codec
    return codec.intra_only or codec.name in _INTRA_CODECS


def _captured_ns(frame: VideoFrame) -> int | None:
    """What the decoder's ``stamp`` said of the packet of this frame; None for a film."""
    return int(frame.opaque[1]) if isinstance(frame.opaque, tuple) else None


def _timed_by_arrival(frames: Iterator[VideoFrame], time_base: Fraction) -> Iterator[VideoFrame]:
    """Frames of a stream without times: counted from the arrival of the first."""
    start_ns: int | None = None
    for frame in frames:
        captured_ns = _captured_ns(frame)
        assert captured_ns is not None
        start_ns = captured_ns if start_ns is None else start_ns
        frame.pts = round(Fraction(captured_ns - start_ns, _NS) / time_base)
        yield frame


def _timed(frames: Iterator[VideoFrame], timeline: Timeline) -> Iterator[VideoFrame]:
    for frame in frames:
        frame.pts = timeline.place(frame.pts)
        yield frame


def _damage(name: str, decoder: Decoder, lost: int) -> str:
    tally, early = decoder.tally, decoder.lost_at_start
    cause = "is damaged"
    if decoder.broken_off is not None:
        cause = f"could not be read to the end ({in_words(decoder.broken_off)})"
    elif decoder.indexed_frames is not None and tally.packets < decoder.indexed_frames:
        cause = "is cut short"
    elif early >= lost:
        cause = "begins with frames that need earlier ones, which it does not hold"
    losses = f", {lost} {'frame' if lost == 1 else 'frames'} lost" if lost else ""
    at_start = f", {early} of them at its start" if 0 < early < lost else ""
    return f"'{name}' {cause}: {tally.packets} packets were read, {tally.frames} frames decoded{losses}{at_start}"
