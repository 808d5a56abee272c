"""Decoding past damage: every frame that decodes, and the count of those that do not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .container import MOST_READ_ERRORS
from .footing import MAKE_UP, Beginning, Footing
from .tally import IN_FIELDS, MOST_REORDERED, Tally, number_of, pictures_in

# Codecs, by their canonical names, whose decoders, told not to wait, hand out B-frames after what is shown later.
_OUT_OF_ORDER = frozenset(["mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3", "rv30", "rv40"])


class Decoder:
    """The frames of one stream, in order of presentation, with the damaged ones left out.

    ``tally`` counts packets and the frames that came out, ``errors`` the packets that were refused, ``skipped`` the
    frames left out before the first key frame, made from nothing. ``broken_off`` is why reading ended early, if it
    did; ``unreadable`` says that the container is damaged on the way.
    Once ``stopped`` is set, by any thread, no more packets are read.

    ``vectors``: frames carry the codec's motion vectors, which costs some time; :attr:`unsure` says that something
    that the latest frames may be predicted from is missing, so that theirs lead astray.

    ``stamp`` is for live streams. What it says of each packet is in ``opaque`` of the frame in it, after the
    packet's number. Pictures that damage has smeared are left out, up to the next sound key frame, and counted in
    ``corrupt``; packets that the decoder takes without a word and makes nothing of are ``errors`` too.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        stamp: Callable[[Packet[VideoStream]], int] | None = None,
        *,
        vectors: bool = False,
    ) -> None:
        self._stamp = stamp
        self._owed = _Owed()
        self._footing = Footing()
        self.corrupt = 0
        self._container = container
        self._stream = stream
        self._context = stream.codec_context
        self._length_prefixed = any(name in container.format.name for name in ("mov", "matroska", "flv"))
        self.indexed_frames = _indexed_frames(container, stream)
        self._kind = self._context.codec.canonical_name
        self.tally = Tally(self._kind, watches=stamp is None)
        self._beginning = Beginning(stream) if self._kind in MAKE_UP else None
        self.skipped = 0
        self.errors = 0
        self.stopped = False
        self.unsure = False
        self.unreadable = False
        self.broken_off: av.FFmpegError | None = None
        options = {"flags2": "+export_mvs"} if vectors else {}
        self._numbers = stamp is None and self._kind in IN_FIELDS
        if self._numbers:
            self._context.flags |= Flags.copy_opaque
        if stamp is not None:
            self._context.flags |= Flags.copy_opaque
            if self._kind not in _OUT_OF_ORDER:
                self._context.flags |= Flags.low_delay
            # A slice that lost its middle decodes to the end, of wrong bits: only then are some left over.
            options["err_detect"] = "aggressive"
        if options:
            self._context.options = options

    @property
    def codec(self) -> str:
        """FFmpeg's name of the decoder."""
        return self._context.name

    def lost(self, at_end: bool = True) -> int:
        """Frames that should have come out by now: at the end by the file's index, where it has one, or by the
        packets, where each holds a picture."""
        if at_end and (self.indexed_frames is not None or self.tally.tells):
            return max(self.tally.lost(self.indexed_frames), self.skipped)
        return max(self.errors + self.skipped, self.tally.lost_at_start if self.tally.tells else 0)

    @property
    def lost_at_start(self) -> int:
        """Those of them that are before the first frame, or were left out there."""
        return max(self.tally.lost_at_start, self.skipped)

    def frames(self) -> Iterator[VideoFrame]:
        """Decode to the end of the stream."""
        for packet in self._packets():
            yield from self._decode(packet)
        yield from self._decode(None)

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        for packet in self._read():
            if not packet.size:  # the decoder would take an empty one for the end
                continue
            self.tally.add(packet)
            if self._stamp is not None:
                packet.opaque = self.tally.packets, self._stamp(packet)
            elif self._numbers and not packet.is_discard:
                packet.opaque = self.tally.packets, 0  # PyAV tells objects apart by their place in memory
            # The last packet of a file that was cut off. Refused at the very end, it would take frames with
            # it that a decoder with several threads still holds.
            if packet.is_corrupt and self._length_prefixed:
                self.errors += 1
            else:
                yield packet

    def _read(self) -> Iterator[Packet[VideoStream]]:
        failures = 0
        while failures <= MOST_READ_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    if self.stopped:
                        return
                    failures = 0
                    yield packet
            except av.error.InvalidDataError:  # noqa: PERF203 - to try again is the point
                failures += 1
                self.unreadable = True
            except av.FFmpegError as error:
                self.broken_off = error
                return
            else:
                return

    def _decode(self, packet: Packet[VideoStream] | None) -> Sequence[VideoFrame]:
        try:
            frames = self._context.decode(packet)
        except av.FFmpegError:
            self.errors += 1
            self.unsure = True
            self._footing.lost = self._footing.lost or packet is None or not packet.is_disposable
            return ()
        if self._beginning is not None:
            frames = self._begin(self._beginning, packet, frames)
        self.tally.got(frames)
        if self.unsure and any(frame.key_frame for frame in frames):
            self.unsure = False
        if self._stamp is None:
            return frames
        if packet is not None and pictures_in(packet, self._kind):
            self._owed.add(self.tally.packets)
        self.errors += sum(self._owed.overtaken(frame) for frame in frames)
        return [frame for frame in frames if self._is_sound(frame)]

    def _begin(
        self, beginning: Beginning, packet: Packet[VideoStream] | None, frames: list[VideoFrame]
    ) -> list[VideoFrame]:
        if packet is not None:
            beginning.add(packet)
        sound = beginning.cut(frames)
        self.skipped = beginning.skipped
        if beginning.over:
            self._beginning = None
        return sound

    def _is_sound(self, frame: VideoFrame) -> bool:
        """Whether neither this frame nor one that it may be predicted from is damaged."""
        sound = self._footing.bears(frame) and not frame.is_corrupt
        self._footing.lost = self._footing.lost or frame.is_corrupt
        self.corrupt += not sound
        return sound


class _Owed:
    """The packets that no frame has come of yet."""

    def __init__(self) -> None:
        self._numbers: deque[int] = deque()
        self._begun = False

    def add(self, number: int) -> None:
        """The decoder has taken a packet."""
        self._numbers.append(number)
        if not self._begun and len(self._numbers) > MOST_REORDERED:
            self._numbers.popleft()

    def overtaken(self, frame: VideoFrame) -> int:
        """How many packets nothing more will come of, now that ``frame`` is there.

        Those before the first frame do not count: who joins a stream between two key frames sees nothing of them.
        """
        number = number_of(frame)
        if number is None:
            return 0
        if number in self._numbers:
            self._numbers.remove(number)
        lost = 0
        while self._numbers and (not self._begun or self._numbers[0] < number - MOST_REORDERED):
            self._numbers.popleft()
            # A picture in two fields is one frame of two packets
            lost += self._begun and not frame.interlaced_frame
        self._begun = True
        return lost


def _indexed_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """How many frames the index of an mp4 lists, without those that its edit list hides; None elsewhere."""
    if "mov" not in container.format.name or not stream.frames:
        return None
    return sum(1 for entry in stream.index_entries if entry.size and not entry.is_discard)
