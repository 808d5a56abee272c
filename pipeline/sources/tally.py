"""How many pictures went into a decoder, and how many of them never came out."""

from __future__ import annotations

from collections.abc import Sequence

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

# A picture comes out of a decoder at most this many packets late: H.264 and HEVC reorder no more.
MOST_REORDERED = 16

# Codecs, by their canonical names, whose decoders may swallow a packet without a word, and make one frame of each
# other packet, but for what `pictures_in` and `Tally.lost` know of. Others refuse what they do not decode.
_ONE_EACH = frozenset(["h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9", "av1"])

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
    ``has_key`` says that a packet with a key frame was among them.
    """

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self.packets = 0
        self.pictures = 0
        self.frames = 0
        self.has_key = False
        self._interlaced = 0
        self._to_watch = MOST_REORDERED  # packets after the first frame
        self._times: list[int] = []
        self._before_key = 0
        self._first: int | None = None

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
        if self._to_watch:
            self._to_watch -= self.frames > 0
            self.has_key = self.has_key or packet.is_keyframe
            self._before_key += not self.has_key
            if packet.pts is not None:
                self._times.append(packet.pts)

    def got(self, frames: Sequence[VideoFrame]) -> None:
        """Count frames that came out."""
        if frames and not self.frames:
            self._first = frames[0].pts
        self.frames += len(frames)
        self._interlaced += sum(frame.interlaced_frame for frame in frames)

    def lost(self, errors: int, listed: int | None = None) -> int:
        """The frames that will not come, once the decoder is at its end.

        ``errors``: refused packets; ``listed``: how many packets the file's index lists (None: those that came).
        """
        pictures = self.pictures if listed is None else listed + self.pictures - self.packets
        missing = max(0, pictures - self.frames)
        alone = (
            max(missing - self._second_fields(missing), min(errors, missing)) if self._interlaced else missing
        )
        return self._as_frames(alone, missing)

    @property
    def lost_at_start(self) -> int:
        """Those of them that are before the first frame: what they are predicted from came before the file."""
        missing = max(0, self.pictures - self.frames)
        return self._as_frames(min(self._before, missing), missing)

    @property
    def _before(self) -> int:
        """Packets before the first frame, by their times where they have such."""
        first = self._first
        if first is None or not self._times:
            return self._before_key
        return sum(time < first for time in self._times)

    def _second_fields(self, missing: int) -> int:
        """A picture in two fields is one frame of two packets: so many are missing for that, and not lost."""
        return max(0, min(self._interlaced, missing - self._before))

    def _as_frames(self, packets: int, missing: int) -> int:
        in_fields = 2 * self._second_fields(missing) > self._interlaced
        return (packets + 1) // 2 if in_fields else packets
