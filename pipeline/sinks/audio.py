"""Audio copied beside a video, packet by packet, without decoding it."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from keywarp.pipeline.sources.container import in_words, open_file

from .audio_times import SHORTEST_S, AudioPackets, move_by
from .audio_trial import Rehearsal, add_audio, fits

_log = logging.getLogger("keywarp")

_FILES = {"mp4": "an .mp4 file", "mov": "a .mov file", "matroska": "an .mkv file"}
# With fewer, some codecs have not filled a packet of the container's.
_TRIAL_PACKETS = 8


class AudioCopy:
    """A file's audio, on its way into ``target``, on the same time line as the video.

    Nothing that is wrong with it fails the film: a packet that cannot be written is left out. ``notes`` say how
    many were, and where the audio could not be read to its end.
    """

    def __init__(self, source: _Source, target: OutputContainer) -> None:
        self._source = source
        self._target = target
        self._rehearsal = Rehearsal(target, source.stream, source.config)
        self._copy = add_audio(target, source.stream, source.config)
        self._next = next(source.packets, None)
        self._refused = 0
        self._has_begun = False

    @property
    def notes(self) -> list[str]:
        """What of the audio is not in the film, and why."""
        return self._source.notes(self._refused)

    def copy_until(self, time_s: Fraction) -> None:
        """Write the packets that begin before ``time_s``."""
        while self._next is not None and _start_s(self._next) < time_s:
            self._write(self._next)
            self._next = next(self._source.packets, None)

    def finish(self, end_s: Fraction) -> None:
        """Write what is left before ``end_s``, where the video ends."""
        self.copy_until(end_s)
        if self._next is not None and not self._has_begun and not self._can_be_empty():
            move_by(self._next, max(Fraction(0), end_s - SHORTEST_S) - _start_s(self._next))
            self._write(self._next)

    def _can_be_empty(self) -> bool:
        """Whether the file can be opened without audio: not an mp4 with AC-3, which describes itself."""
        kind = self._target.format.name
        return kind == "matroska" or self._source.fits(kind, self._target, ())

    def _write(self, packet: Packet[AudioStream]) -> None:
        if self._is_written(packet):
            self._has_begun = True
        else:
            self._refused += 1

    def _is_written(self, packet: Packet[AudioStream]) -> bool:
        if not self._rehearsal.takes(packet):
            return False
        packet.stream = self._copy
        try:
            self._target.mux_one(packet)
        except av.FFmpegError:
            _log.debug("a packet of audio was refused after the rehearsal", exc_info=True)
            return False
        return True

    def close(self) -> None:
        """Close the file that the audio comes from."""
        self._rehearsal.close()
        self._source.close()


def copy_audio(path: Path, target: OutputContainer, shift_s: Fraction = Fraction(0)) -> AudioCopy | list[str]:
    """Start copying; where there is nothing to copy, or no way to, what to say of it: nothing, or a sentence.

    ``shift_s``: by how much the film is moved from the source's times.
    """
    try:
        container = open_file(path)
    except (av.FFmpegError, ValueError) as error:
        return [f"the audio of '{path}' cannot be read ({in_words(error)}); the output is silent"]
    stream = next(iter(container.streams.audio), None)
    if stream is None or stream.codec_context is None:
        container.close()
        return (
            [] if stream is None else [f"the audio of '{path}' is of an unknown kind; the output is silent"]
        )
    # Matroska has no times before 0 and would move the video too: an encoder's priming packet stays out.
    source = _Source(container, stream, shift_s, may_be_negative=target.format.name != "matroska")
    copy = _copy(source, target, path)
    if not isinstance(copy, AudioCopy):
        source.close()
    return copy


def _copy(source: _Source, target: OutputContainer, path: Path) -> AudioCopy | list[str]:
    packets = source.first(_TRIAL_PACKETS)
    if not packets:
        notes = source.notes(0)
        return [*notes, "the output is silent"] if notes else []
    fitting = (kind for kind in _FILES if source.fits(kind, target, packets))
    if source.fits(target.format.name, target, packets):
        return AudioCopy(source, target)
    return [_cannot_hold(path, target.format.name, source.stream.codec_context.name, list(fitting))]


def _cannot_hold(path: Path, kind: str, codec: str, fitting: list[str]) -> str:
    if fitting:
        others = " or ".join(_FILES[other] for other in fitting)
        return f"{_FILES[kind]} cannot hold {codec} audio; the output is silent ({others} can)"
    return (
        f"the {codec} audio of '{path}' fits into no file that keywarp writes (.mp4, .mov, .mkv); the output is "
        f"silent (to hear it, convert it first: ffmpeg -i {shlex.quote(str(path))} -c:v copy -c:a aac FILE.mkv)"
    )


class _Source:
    """The first audio stream of a file, as packets that a container can take.

    ``config`` is what a decoder needs to know beforehand, where the packets told it and not the file's head.
    """

    def __init__(
        self, container: InputContainer, stream: AudioStream, shift_s: Fraction, *, may_be_negative: bool
    ) -> None:
        self.stream = stream
        self.config: bytes | None = None
        self._container = container
        self._timed = AudioPackets(container, stream)
        self._damaged = 0
        # Some packets have finer ticks than the stream: all are moved by as much.
        tick_s = stream.time_base or Fraction(1, 90_000)
        self._shift_s = round(shift_s / tick_s) * tick_s
        self._may_be_negative = may_be_negative
        # As broadcast, AAC has a head in every packet (ADTS); in a file it has one for all.
        has_heads = stream.codec_context.name == "aac" and not stream.codec_context.extradata
        self._filter = BitStreamFilterContext("aac_adtstoasc", stream) if has_heads else None
        self.packets = self._read()

    def first(self, count: int) -> list[Packet[AudioStream]]:
        """The first packets; ``packets`` still has them."""
        packets = list(islice(self.packets, count))
        if self._filter is not None and packets:
            self.config = bytes(packets[0].get_sidedata("new_extradata")) or None
        self.packets = chain(packets, self.packets)
        return packets

    def fits(self, kind: str, target: OutputContainer, packets: Sequence[Packet[AudioStream]]) -> bool:
        """Whether a file of that kind, made as ``target`` is, can be opened with these packets in it."""
        options = {**target.options, **target.container_options}
        return fits(kind, options, self.stream, self.config, packets)

    def notes(self, refused: int) -> list[str]:
        """What was not passed on, or was and then ``refused``."""
        notes = []
        lost = self._timed.left_out + self._damaged + refused
        if lost:
            packets = "1 packet of it" if lost == 1 else f"{lost} packets of it"
            notes.append(f"the audio has gaps: {packets} could not be copied")
        if self._timed.broken_off is not None:
            notes.append(f"the audio ends early ({in_words(self._timed.broken_off)})")
        elif self._timed.skipped is not None and not lost:
            notes.append(f"the audio may have gaps ({in_words(self._timed.skipped)})")
        return notes

    def _read(self) -> Iterator[Packet[AudioStream]]:
        for packet in self._timed:
            move_by(packet, self._shift_s)
            if self._may_be_negative or _start_s(packet) >= 0:
                yield from self._filtered(packet)

    def _filtered(self, packet: Packet[AudioStream]) -> list[Packet[AudioStream]]:
        if self._filter is None:
            return [packet]
        try:
            return self._filter.filter(packet)
        except av.FFmpegError:
            self._damaged += 1
            return []

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def _start_s(packet: Packet[AudioStream]) -> Fraction:
    assert packet.pts is not None
    return packet.pts * packet.time_base
