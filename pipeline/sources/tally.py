"""How many pictures went into a decoder, and how many of them never came out."""

from __future__ import annotations

from collections.abc import Sequence

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

# A picture comes out of a decoder at most this many packets late: H.264 and HEVC reorder no more.
MOST_REORDERED = 16

# Packets that a decoder may be at work on at once: a frame for each of many threads, and those that it reorders.
_MOST_UNDER_WAY = 256

# Codecs, by their canonical names, whose decoders may swallow a packet without a word, and make one frame of each
# other packet, but for what `pictures_in` and `Tally.lost` know of. Others refuse what they do not decode.
_ONE_EACH = frozenset(["h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9", "av1"])

# Of these a packet may be a field, and the frame have the number of the first of its two.
IN_FIELDS = frozenset(["h264"])

# MPEG-4: what a picture begins with, and the most bytes of one that says no more than that nothing has changed.
_VOP_START = b"\0\0\1\xb6"
_MOST_SKIPPED_VOP = 19
_VP8_SHOWN = 0x10


def pictures_in(packet: Packet[VideoStream], codec: str) -> int:
    """How many frames come of one packet: not always one with MPEG-4 and VP8."""
    if codec == "mpeg4":  # may have a P- and a B-picture in one packet, and then one without any
        return max(1, bytes(packet).count(_VOP_START)) if packet.size > _MOST_SKIPPED_VOP else 0
    if codec == "vp8":  # pictures that others are predicted from, but are not shown
        return int(bool(memoryview(packet)[0] & _VP8_SHOWN))
    return 1


class Tally:
    """Counts a decoder's packets and frames.

    ``packets`` and the ``pictures`` in them, without pre-roll that an edit list hides; ``frames`` that came out;
    ``has_key`` says that a packet with a key frame was among them. ``watches``: what is lost at the start is to be
    told.
    """

    def __init__(self, codec: str, *, watches: bool = True) -> None:
        self._codec = codec
        self.packets = 0
        self.pictures = 0
        self.frames = 0
        self.has_key = False
        self._to_watch = MOST_REORDERED if watches else 0  # packets after the first frame
        self._times: list[int] = []
        self._before_key = 0
        self._first: int | None = None
        self._fields = _Fields() if codec in IN_FIELDS else None

    @property
    def tells(self) -> bool:
        """Whether the packets of this codec tell how many frames have to come out."""
        return self._codec in _ONE_EACH

    def add(self, packet: Packet[VideoStream]) -> None:
        """Count a packet, before it is decoded."""
        if packet.is_discard:
            return
        self.packets += 1
        self.pictures += pictures_in(packet, self._codec)
        if self._fields is not None:
            self._fields.add(self.packets)
        self.has_key = self.has_key or packet.is_keyframe
        if self._to_watch:
            self._to_watch -= self.frames > 0
            self._before_key += not self.has_key
            if packet.pts is not None:
                self._times.append(packet.pts)

    def got(self, frames: Sequence[VideoFrame]) -> None:
        """Count frames that came out. ``opaque`` of each begins with the number of its packet, where it has one."""
        if frames and not self.frames:
            self._first = frames[0].pts
        self.frames += len(frames)
        if self._fields is not None:
            for frame in frames:
                self._fields.got(number_of(frame), is_interlaced=frame.interlaced_frame)

    def lost(self, listed: int | None = None) -> int:
        """The frames that will not come, once the decoder is at its end.

        ``listed``: how many packets the file's index lists (None: those that came).
        """
        unread = 0 if listed is None else max(0, listed - self.packets)
        if self._fields is None:
            return max(0, self.pictures + unread - self.frames)
        missing = min(self._fields.missing, max(0, self.pictures - self.frames))
        return self._as_frames(missing + unread)

    @property
    def lost_at_start(self) -> int:
        """Those of them that are before the first frame: what they are predicted from came before the file."""
        return self._as_frames(min(self._before, max(0, self.pictures - self.frames)))

    @property
    def _before(self) -> int:
        """Packets before the first frame, by their times where they have such."""
        first = self._first
        if first is None or not self._times:
            return self._before_key
        return sum(time < first for time in self._times)

    def _as_frames(self, packets: int) -> int:
        """Of a film in fields two packets are one frame."""
        return (packets + 1) // 2 if self._fields is not None and self._fields.are_usual else packets


class _Fields:
    """Which packets no frame came of, and which of these are second fields.

    A frame of two fields has the number of the first one's packet, and nothing comes of the next. So an interlaced
    frame accounts for one packet more at most, the one straight after its own.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, None] = {}  # packets, in the order in which they were read
        self._after_interlaced: set[int] = set()
        self._missing = self._second = self._interlaced = self._read = 0

    def add(self, number: int) -> None:
        """A packet is decoded."""
        self._read = number
        self._waiting[number] = None
        if len(self._waiting) > _MOST_UNDER_WAY:
            self._settle(next(iter(self._waiting)))

    def got(self, number: int | None, *, is_interlaced: bool) -> None:
        """A frame came of it."""
        if number is None:
            return
        self._waiting.pop(number, None)
        self._after_interlaced.discard(number)
        if is_interlaced:
            self._interlaced += 1
            if number + 1 in self._waiting or number == self._read:
                self._after_interlaced.add(number + 1)

    def _settle(self, number: int) -> None:
        """Nothing will come of this packet any more."""
        del self._waiting[number]
        is_second = number in self._after_interlaced
        self._second += is_second
        self._missing += not is_second
        self._after_interlaced.discard(number)

    @property
    def missing(self) -> int:
        """Packets that no frame has come of, nor of the one before them: at the end all of them are lost."""
        return self._missing + len(self._waiting.keys() - self._after_interlaced)

    @property
    def are_usual(self) -> bool:
        """Whether most frames that came are of two packets."""
        second = self._second + len(self._waiting.keys() & self._after_interlaced)
        return second > 0 and 2 * second > self._interlaced


def number_of(frame: VideoFrame) -> int | None:
    """The number of the packet that a frame came of, where its decoder passed it on."""
    return frame.opaque[0] if isinstance(frame.opaque, tuple) else None
