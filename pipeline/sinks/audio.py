"""Audio copied beside a video, packet by packet, without decoding it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from keywarp.pipeline.sources.container import in_words, open_file

_log = logging.getLogger("keywarp")


class AudioCopy:
    """The first audio stream of ``source``, on its way into ``target``, on the same time line as the video.

    ``note`` says so where the audio could not be read to its end.
    """

    def __init__(self, source: InputContainer, stream: AudioStream, target: OutputContainer) -> None:
        self.note: str | None = None
        self._source = source
        self._target = target
        self._copy = target.add_stream_from_template(stream)
        # Matroska has no times before 0 and would move the video too: an encoder's priming packet stays out.
        earliest_s = 0 if target.format.name == "matroska" else None
        self._packets = self._read(stream, earliest_s)
        self._next = next(self._packets, None)

    def copy_until(self, time_s: Fraction) -> None:
        """Write the packets that begin before ``time_s``."""
        while self._next is not None and _start_s(self._next) < time_s:
            self._next.stream = self._copy
            self._target.mux_one(self._next)
            self._next = next(self._packets, None)

    def _read(self, stream: AudioStream, earliest_s: int | None) -> Iterator[Packet[AudioStream]]:
        try:
            for packet in self._source.demux(stream):
                if (
                    packet.size
                    and packet.pts is not None
                    and (earliest_s is None or _start_s(packet) >= earliest_s)
                ):
                    yield packet
        except av.FFmpegError as error:
            self.note = f"the audio ends early ({in_words(error)})"

    def close(self) -> None:
        """Close the file that the audio comes from."""
        self._source.close()


def copy_audio(path: Path, target: OutputContainer) -> AudioCopy | str | None:
    """Start copying; None where there is no audio, a sentence where there is and it cannot be copied."""
    try:
        source = open_file(path)
    except (av.FFmpegError, ValueError) as error:
        return f"the audio of '{path}' cannot be read ({in_words(error)}); the output is silent"
    stream = next(iter(source.streams.audio), None)
    if stream is None:
        source.close()
        return None
    codec, container = stream.codec_context.name, target.format.name
    try:
        if codec in target.supported_codecs:
            return AudioCopy(source, stream, target)
    except av.FFmpegError:
        _log.debug("audio stream cannot be copied", exc_info=True)
    source.close()
    return f"a {container} file cannot hold {codec} audio; the output is silent (an .mkv file can)"


def _start_s(packet: Packet[AudioStream]) -> Fraction:
    assert packet.pts is not None
    return packet.pts * packet.time_base
