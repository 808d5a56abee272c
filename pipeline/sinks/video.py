"""Video files: H.264 with the source's timestamps, audio beside it, playable whatever happens."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet as EncodedPacket
from av.video.stream import VideoStream

from keywarp.engines.errors import SinkError, unknown_name
from keywarp.flow.base import Size
from keywarp.pipeline.keys import OVERLAY
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.picture import Picture, yuv_planes
from keywarp.pipeline.sources.container import open_file
from keywarp.pipeline.stage import Sink, StreamInfo
from keywarp.pipeline.stages.colors import copy_tags

from .audio import AudioCopy, copy_audio
from .encoder import HARDWARE_ENCODERS, EncoderChoice
from .fragments import cut_to_fragments
from .output import Claim, OutputFile, cannot_write, check_not_source, ran_out

__all__ = ["CONTAINERS", "HARDWARE_ENCODERS", "VideoSink"]

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's container by the file's suffix."""

_FRAGMENT_US = 1_000_000
_SMALLEST_TIMESCALE = 10_000


class VideoSink(Sink):
    """Encodes pictures to H.264 in an mp4, mov or mkv file.

    Presentation times are the source's, exactly, gaps and changing rates too (mkv itself keeps milliseconds
    only; a stream that begins before 0 is moved to begin at 0). ``picture`` names what is encoded, None for
    the frame's own picture. Odd sizes grow to even ones: the last column or row is repeated, since 4:2:0 has
    no half samples. ``encoder`` is ``NAME`` or ``NAME:PRESET`` of FFmpeg, ``crf`` the quality from 0 to 51,
    ``threads`` the encoder's (None: its choice). Live streams are encoded without look-ahead and B-frames.
    The source's audio is copied, cut where the video ends. What of it cannot be is left out, which ``notes`` say:
    no fault of the audio fails the film.

    A file that is cut short, by a kill or a full disk, plays up to its last second: mp4 is written in
    fragments and stays so. A full disk raises :class:`SinkError` with how many frames
    were kept, which ``written`` then counts; a file without any is removed. A file that was there before is
    replaced once the encoder has accepted a frame; without a frame it stays, and no new one is made.
    ``from_zero``: the file's times begin at 0, wherever the stream's are by then.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        encoder: str = "libx264:veryfast",
        crf: int = 23,
        threads: int | None = None,
        picture: Key[Picture] | None = OVERLAY,
        from_zero: bool = False,
    ) -> None:
        self._path = Path(path)
        self._from_zero = from_zero
        if self._path.suffix.lower() not in CONTAINERS:
            raise unknown_name("video file type", self._path.suffix, CONTAINERS)
        self.name = self._path.suffix.lower().lstrip(".")
        self.notes: list[str] = []
        self._choice = EncoderChoice.parse(encoder, crf, threads)
        self._picture = picture
        self.reads = () if picture is None else (picture,)
        self._claim: Claim | None = None
        self._info: StreamInfo | None = None
        self._film: _Film | None = None

    def open(self, info: StreamInfo) -> None:
        """Claim the file and try the encoder out."""
        check_not_source(self._path, info)
        if self._choice.name in HARDWARE_ENCODERS:
            self._choice.try_out(_even(info.size), info.rate, info.live)
        self._claim = Claim(self._path)
        self._info = info

    def process(self, packet: Packet) -> None:
        """Encode one frame."""
        picture = packet.frame.picture if self._picture is None else packet[self._picture]
        frame = _own_copy(picture.av_frame())
        try:
            if self._film is None:
                self._film = self._start(frame, packet.frame.pts)
            self._film.add(frame, packet.frame.pts)
        except av.FFmpegError as error:
            raise self._refused(packet, error) from error
        self._check_disk()
        self.written += 1

    def close(self) -> None:
        """Finish the file."""
        try:
            if self._film is not None:
                self._film.finish()
                self._film.close()  # some disks tell only now that they are full
                self._check_disk()
        except av.FFmpegError as error:
            raise SinkError(f"'{self._path}' could not be finished: {error.strerror}") from error
        finally:
            self._drop_film()
            if self._claim is not None and self.written == 0:
                self._claim.give_up()
            self._claim = None

    @property
    def size_bytes(self) -> int:
        """What has been written to the file so far; up to a second of the stream is still on its way."""
        return 0 if self._film is None else self._film.file.tell()

    def _refused(self, packet: Packet, error: av.FFmpegError) -> SinkError:
        if self.written > 0:
            return SinkError(f"'{self._path}' could not take frame {packet.frame.index}: {error.strerror}")
        self._drop_film()  # the encoder opens with the first frame
        return SinkError(self._choice.refusal(_even(packet.frame.size)))

    def _start(self, first: av.VideoFrame, first_pts: int) -> _Film:
        assert self._info is not None
        shift = -first_pts if self._from_zero else max(0, -first_pts)
        return _Film(self._path, self._info, self._choice, first, shift)

    def _check_disk(self) -> None:
        """Leave the file as it is, and say so, once a part of it could not be written."""
        film = self._film
        if film is None or film.file.error is None:
            return
        error = film.file.error
        self._drop_film()
        if not film.file.is_started:
            raise cannot_write(self._path, error) from error
        is_matroska = CONTAINERS[self._path.suffix.lower()] == "matroska"
        can_be_played = is_matroska or cut_to_fragments(self._path)
        self.written = kept = _frames_in(self._path) if can_be_played else 0
        if kept == 0:
            self._path.unlink(missing_ok=True)
        remark = f"{kept} frames were kept in it and can be played" if kept else "no frame was kept"
        raise ran_out(self._path, error, remark) from error

    def _drop_film(self) -> None:
        film, self._film = self._film, None
        if film is None:
            return
        film.close()
        self.notes.extend(film.notes)
        if not film.file.is_started:
            self.written = 0


class _Film:
    """The container, the encoder and the audio of one file."""

    def __init__(
        self, path: Path, info: StreamInfo, choice: EncoderChoice, first: av.VideoFrame, shift: int
    ) -> None:
        self.file = OutputFile(path)
        self._time_base = info.time_base
        self._shift = shift
        kind = CONTAINERS[path.suffix.lower()]
        self._container = av.open(
            self.file, "w", format=kind, options=_container_options(kind, info.time_base)
        )
        self._stream = _add_stream(self._container, info, choice, first)
        self._pixel_format = choice.pixel_format
        self._end_s = Fraction(0)
        self._step_s = 1 / info.rate if info.rate else Fraction(0)
        shift_s = shift * info.time_base
        audio = [] if info.audio is None else copy_audio(info.audio, self._container, shift_s)
        self._audio = audio if isinstance(audio, AudioCopy) else None
        self._notes = [] if isinstance(audio, AudioCopy) else audio

    @property
    def notes(self) -> list[str]:
        """What became of the audio, where not all of it was copied."""
        return self._notes if self._audio is None else self._audio.notes

    def add(self, frame: av.VideoFrame, pts: int) -> None:
        if self._pixel_format != frame.format.name:
            frame = frame.reformat(format=self._pixel_format)
        frame.pts = pts + self._shift
        frame.time_base = self._time_base
        self._end_s = frame.pts * self._time_base + self._step_s
        self._write(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what encoder and container still hold."""
        self._write(self._stream.encode(None))
        if self._audio is not None:
            self._audio.finish(self._end_s)
        self._container.close()

    def close(self) -> None:
        """Close the file; what was not finished before stays as it is on disk."""
        self.file.close()
        self._container.close()
        if self._audio is not None:
            self._audio.close()

    def _write(self, packets: list[EncodedPacket[VideoStream]]) -> None:
        for packet in packets:
            time_s = None if packet.dts is None else packet.dts * packet.time_base
            self._container.mux_one(packet)
            if self._audio is not None and time_s is not None:
                self._audio.copy_until(min(time_s, self._end_s))


def _container_options(kind: str, time_base: Fraction) -> dict[str, str]:
    if kind == "matroska":
        return {"cluster_time_limit": str(_FRAGMENT_US // 1000)}
    timescale = time_base.denominator
    while timescale < _SMALLEST_TIMESCALE:  # as the muxer chooses the track's own
        timescale *= 2
    return {
        # Not hybrid_fragmented: FFmpeg 8 then ends the track before a frame that is alone in the last fragment.
        "movflags": "frag_keyframe+delay_moov",
        "frag_duration": str(_FRAGMENT_US),
        "movie_timescale": str(timescale),  # edit lists count in it: the first frame's time stays exact
    }


def _add_stream(
    container: OutputContainer, info: StreamInfo, choice: EncoderChoice, first: av.VideoFrame
) -> VideoStream:
    stream = container.add_stream(choice.name, options=choice.options(info.live))
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    choice.set_up(context, (first.width, first.height), info.rate, info.live)
    context.time_base = stream.time_base = info.time_base
    context.color_range, context.colorspace = first.color_range, first.colorspace
    context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
    return stream


def _even(size: Size) -> Size:
    return size[0] + size[0] % 2, size[1] + size[1] % 2


def _own_copy(shared: av.VideoFrame) -> av.VideoFrame:
    """A yuv420p frame of even size that may get a timestamp, and says nothing of how the source coded it."""
    width, height = _even((shared.width, shared.height))
    frame = av.VideoFrame(width, height, "yuv420p")
    source, target = yuv_planes(shared), yuv_planes(frame)
    target.y[: shared.height, : shared.width] = source.y
    target.y[shared.height :, : shared.width] = source.y[-1:]
    target.y[:, shared.width :] = target.y[:, shared.width - 1 : shared.width]
    target.u[:], target.v[:] = source.u, source.v
    copy_tags(shared, frame)
    return frame


def _frames_in(path: Path) -> int:
    """How many whole frames a file holds."""
    try:
        with open_file(path) as container:
            return sum(packet.size > 0 and not packet.is_corrupt for packet in container.demux(video=0))
    except av.FFmpegError:
        return 0
