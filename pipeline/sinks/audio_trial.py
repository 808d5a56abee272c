"""Whether a container takes an audio stream: tried out before the film is at stake."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

# Containers that know only how many channels there are say no more to FFmpeg, and its mp4 cannot be opened then.
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def add_audio(target: OutputContainer, template: AudioStream, extradata: bytes | None) -> AudioStream:
    """A stream for copies of the template's packets. Raises FFmpeg's errors, or :class:`ValueError`."""
    stream = target.add_stream_from_template(template)
    context = stream.codec_context
    layout = context.layout
    if layout.name == f"{layout.nb_channels} channels" and layout.nb_channels in _LAYOUTS:
        context.layout = _LAYOUTS[layout.nb_channels]
    if extradata is not None:
        context.extradata = extradata
    return stream


def fits(
    kind: str,
    options: dict[str, str],
    template: AudioStream,
    extradata: bytes | None,
    packets: Sequence[Packet[AudioStream]],
) -> bool:
    """Whether a file of that kind with these packets, or without any, can be written, and then opened and read."""
    file = BytesIO()
    try:
        with av.open(file, "w", format=kind, container_options=options) as target:
            stream = add_audio(target, template, extradata)
            target.start_encoding()
            for packet in packets:
                target.mux_one(_twin(packet, stream))
        file.seek(0)
        with av.open(file, "r") as written:
            found = next(iter(written.streams.audio), None)
            return found is not None and (not packets or any(packet.size for packet in written.demux(found)))
    except (av.FFmpegError, ValueError):
        return False


def _twin(packet: Packet[AudioStream], stream: AudioStream) -> Packet[AudioStream]:
    """The same packet for another container, which may round its times."""
    twin = cast("Packet[AudioStream]", Packet(bytes(packet)))
    twin.pts, twin.dts, twin.duration = packet.pts, packet.dts, packet.duration
    twin.time_base, twin.is_keyframe = packet.time_base, packet.is_keyframe
    twin.stream = stream
    return twin


class Rehearsal:
    """A container of the film's kind that has the audio alone and is written nowhere.

    FFmpeg sorts packets of several streams before it writes them. What it refuses of the audio so would be told
    with a frame of the film; here it is told with the packet.
    """

    def __init__(self, film: OutputContainer, template: AudioStream, extradata: bytes | None) -> None:
        options = {**film.options, **film.container_options}
        self._target = av.open(_Nowhere(), "w", format=film.format.name, container_options=options)
        self._stream = add_audio(self._target, template, extradata)

    def takes(self, packet: Packet[AudioStream]) -> bool:
        """Whether the film's container will take the packet after those that were taken."""
        packet.stream = self._stream
        try:
            self._target.mux_one(packet)
        except av.FFmpegError:
            return False
        return True

    def close(self) -> None:
        """End it."""
        with suppress(av.FFmpegError):  # nothing of it is kept
            self._target.close()


class _Nowhere:
    """A file that keeps nothing of what is written."""

    def __init__(self) -> None:
        self._place = self._size = 0

    def write(self, data: bytes) -> int:
        self._place += len(data)
        self._size = max(self._size, self._place)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place
