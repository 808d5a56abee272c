"""Decoding past damage: every frame that decodes, and the count of those that do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

# A demuxer that fails this often in a row is at the end of what it can read.
_MOST_READ_ERRORS = 32


class Decoder:
    """The frames of one stream, in order of presentation, with the damaged ones left out.

    ``packets`` counts what was read, without pre-roll that an edit list hides; ``decoded`` the frames that
    came out, ``errors`` the packets that were refused. ``broken_off`` is why reading ended early, if it did.
    Once ``stopped`` is set, by any thread, no more packets are read.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._context = stream.codec_context
        self._length_prefixed = any(name in container.format.name for name in ("mov", "matroska"))
        self.indexed_frames = _indexed_frames(container, stream)
        self.packets = 0
        self.decoded = 0
        self.errors = 0
        self.stopped = False
        self.broken_off: av.FFmpegError | None = None

    def lost(self, at_end: bool = True) -> int:
        """Frames that should have come out by now: at the end by the file's index, where it has one."""
        if at_end and self.indexed_frames is not None:
            return max(0, self.indexed_frames - self.decoded)
        return self.errors

    def frames(self) -> Iterator[VideoFrame]:
        """Decode to the end of the stream."""
        for packet in self._packets():
            yield from self._decode(packet)
        yield from self._decode(None)

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        for packet in self._read():
            if not packet.size:  # the decoder would take an empty one for the end
                continue
            self.packets += not packet.is_discard
            # The last packet of a file that was cut off. Refused at the very end, it would take frames with
            # it that a decoder with several threads still holds.
            if packet.is_corrupt and self._length_prefixed:
                self.errors += 1
            else:
                yield packet

    def _read(self) -> Iterator[Packet[VideoStream]]:
        failures = 0
        while failures <= _MOST_READ_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    if self.stopped:
                        return
                    failures = 0
                    yield packet
            except av.error.InvalidDataError:  # noqa: PERF203 - to try again is the point
                failures += 1
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
            return ()
        self.decoded += len(frames)
        return frames


def _indexed_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """How many frames the index of an mp4 lists, without those that its edit list hides; None elsewhere."""
    if "mov" not in container.format.name or not stream.frames:
        return None
    return sum(1 for entry in stream.index_entries if entry.size and not entry.is_discard)
