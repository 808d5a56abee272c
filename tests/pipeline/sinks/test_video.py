"""Video files, read back by PyAV's demuxers and decoders."""

from __future__ import annotations

import errno
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from keywarp.engines.errors import SinkError
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.picture import Picture, yuv_planes
from keywarp.pipeline.sinks import audio, output, video
from keywarp.pipeline.sinks.encoder import h264_encoders
from keywarp.pipeline.sinks.output import OutputFile
from keywarp.pipeline.sinks.video import HARDWARE_ENCODERS, VideoSink
from keywarp.pipeline.sources.container import open_file

from .stream import decode, make_info, make_packet, make_packets, make_yuv, run_sink, seconds, times_of

# x264 at crf 23 on flat pictures
LEVELS = 2


def irregular(time_base: Fraction, count: int = 60) -> list[int]:
    """Times about 25 to a second, with jitter and a gap where the time base has room for them."""
    step = max(1, int(Fraction(1, 25) / time_base))
    jitter = [(index * 7) % max(1, step // 3) for index in range(count)]
    return [index * step + jitter[index] + (5 * step if index > 40 else 0) for index in range(count)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("start", [0, 7, 1001])
@pytest.mark.parametrize(
    "time_base",
    [Fraction(1, 25), Fraction(1, 12800), Fraction(1, 90000), Fraction(6, 179), Fraction(1, 30000)],
)
def test_times_are_the_source_s_exactly(tmp_path: Path, time_base: Fraction, start: int, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    ticks = [start + tick for tick in irregular(time_base)]
    packets = (make_packet(index, tick, time_base) for index, tick in enumerate(ticks))
    run_sink(VideoSink(path), packets, make_info(time_base=time_base))
    assert times_of(path) == [tick * time_base for tick in ticks]


def test_mkv_has_them_to_the_millisecond(tmp_path: Path) -> None:
    time_base = Fraction(1, 90000)
    ticks = irregular(time_base)
    packets = (make_packet(index, tick, time_base) for index, tick in enumerate(ticks))
    run_sink(VideoSink(tmp_path / "out.mkv"), packets, make_info(time_base=time_base))
    times = times_of(tmp_path / "out.mkv")
    assert len(times) == len(ticks)
    assert all(
        abs(time - tick * time_base) <= Fraction(1, 1000) for time, tick in zip(times, ticks, strict=True)
    )


def test_a_stream_from_before_zero_is_moved(tmp_path: Path) -> None:
    packets = [make_packet(index, tick) for index, tick in enumerate([-80, -40, 3, 40])]
    run_sink(VideoSink(tmp_path / "out.mp4"), packets)
    assert times_of(tmp_path / "out.mp4") == [Fraction(ms, 1000) for ms in (0, 40, 83, 120)]


def test_pictures_come_back_in_order(tmp_path: Path) -> None:
    packets = list(make_packets(30))
    run_sink(VideoSink(tmp_path / "out.mp4"), packets)
    wanted = [packet.frame.gray().mean() for packet in packets]
    found = [yuv_planes(frame).y.mean() for frame in decode(tmp_path / "out.mp4")]
    assert np.allclose(found, wanted, atol=LEVELS)


def test_the_packet_s_picture_is_left_alone(tmp_path: Path) -> None:
    packet = make_packet(0, 1234)
    shared = packet.frame.picture.av_frame()
    before = shared.pts, shared.time_base, shared.to_ndarray().copy()
    run_sink(VideoSink(tmp_path / "out.mp4"), [packet])
    assert (shared.pts, shared.time_base) == before[:2]
    assert np.array_equal(shared.to_ndarray(), before[2])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("count", [1, 2, 24, 25, 26, 27, 50, 51, 52])
def test_no_frame_is_lost_where_a_fragment_of_a_second_ends(count: int, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    run_sink(VideoSink(path), make_packets(count))
    with av.open(str(path)) as film:
        assert sum(1 for _ in film.decode(video=0)) == count


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_cut_short_plays_but_for_its_last_seconds(tmp_path: Path, suffix: str) -> None:
    path, copy = tmp_path / f"out{suffix}", tmp_path / f"copy{suffix}"
    sink = VideoSink(path, threads=1)
    sink.open(make_info())
    for packet in noisy_packets(150):
        sink.process(packet)
    shutil.copy(path, copy)  # what a kill would leave
    sink.close()
    times = times_of(copy)
    assert times == [Fraction(index, 25) for index in range(len(times))]
    assert len(times) >= 70  # six seconds less the encoder's 40 frames less one fragment


def noisy_packets(count: int) -> list[Packet]:
    random = np.random.default_rng(1)
    packets = []
    for index in range(count):
        frame = make_yuv((64, 48))
        yuv_planes(frame).y[:] = random.integers(16, 235, (48, 64))
        packets.append(make_packet(index, index * 40, overlay=Picture.from_av(frame)))
    return packets


_FILL = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from tests.pipeline.sinks.test_video import noisy_packets
from tests.pipeline.sinks.stream import run_sink
from keywarp.pipeline.sinks.video import VideoSink
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
run_sink(VideoSink(sys.argv[1], threads=1), noisy_packets(400))
"""


def fill(path: Path, limit_bytes: int) -> str:
    """Encode 400 frames into a file that may not grow beyond a limit; returns the error's last line."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", _FILL, str(path), str(root), str(limit_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


@pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits (RLIMIT_FSIZE)")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("limit_bytes", [100_000, 300_000, 500_001])
def test_a_full_disk_keeps_what_was_written(tmp_path: Path, suffix: str, limit_bytes: int) -> None:
    path = tmp_path / f"out{suffix}"
    message = fill(path, limit_bytes)
    found = re.search(
        r"SinkError: '.*' could not be finished: the disk is full; (\d+) frames were kept in it", message
    )
    assert found, message
    kept = int(found[1])
    assert kept > 10
    assert len(times_of(path)) == kept


@pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits (RLIMIT_FSIZE)")
def test_a_disk_that_is_full_from_the_start_leaves_no_file(tmp_path: Path) -> None:
    assert "the disk is full; no frame was kept" in fill(tmp_path / "out.mp4", 20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits (RLIMIT_FSIZE)")
def test_a_disk_that_fills_at_the_end_keeps_the_fragments(tmp_path: Path) -> None:
    assert fill(tmp_path / "whole.mp4", 10_000_000) == ""
    fragmented = (tmp_path / "whole.mp4").stat().st_size - 2000  # room for less than the last index
    message = fill(tmp_path / "out.mp4", fragmented)
    assert "the disk is full" in message
    assert len(times_of(tmp_path / "out.mp4")) == int(message.split("full; ")[1].split()[0]) > 350


def test_a_frame_that_cannot_be_encoded_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    size = (20_000, 2)  # wider than H.264 allows
    with pytest.raises(SinkError, match="encoder 'libx264' cannot be opened for pictures of 20000x2"):
        run_sink(VideoSink(tmp_path / "out.mp4"), [make_packet(0, 0, size=size)], make_info(size))
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_refuses_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"precious")
    with pytest.raises(SinkError, match="cannot be opened"):
        run_sink(VideoSink(tmp_path / "out.mp4"), [make_packet(0, 0, size=(20_000, 2))])
    assert (tmp_path / "out.mp4").read_bytes() == b"precious"


class SmallDisk(OutputFile):
    """A file on a disk with room for ``limit_bytes``; it may tell only when the file is closed."""

    limit_bytes = 0
    late = False

    def write(self, data: bytes) -> int:
        room = len(data) if self.late else max(0, self.limit_bytes - self.tell())
        super().write(data[:room])
        if room < len(data):
            self.error = OSError(errno.ENOSPC, "No space left on device")
        return len(data)

    def close(self) -> None:
        super().close()
        if self.late:
            self.error = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "a:b.mp4"])
@pytest.mark.parametrize(("limit_bytes", "late"), [(10, False), (200_000, False), (0, True)])
def test_what_a_full_disk_left_is_told_truly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit_bytes: int, late: bool
) -> None:
    monkeypatch.setattr(SmallDisk, "limit_bytes", limit_bytes)
    monkeypatch.setattr(SmallDisk, "late", late)
    monkeypatch.setattr(video, "OutputFile", SmallDisk)
    path = tmp_path / "new" / name
    sink = VideoSink(path, threads=1)
    with pytest.raises(SinkError, match="the disk is full; ") as caught:
        run_sink(sink, noisy_packets(200))
    if limit_bytes == 10:
        assert "no frame was kept" in str(caught.value)
        assert sink.written == 0
        assert list(tmp_path.iterdir()) == []
    else:
        assert f"; {sink.written} frames were kept in it and can be played" in str(caught.value)
        assert len(times_of(path)) == sink.written > 10


def test_a_file_that_cannot_be_opened_any_more_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.mp4").write_bytes(b"precious")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(output, "FileIO", refuse)
    sink = VideoSink(tmp_path / "out.mp4")
    with pytest.raises(SinkError, match="cannot be written: permission denied"):
        run_sink(sink, make_packets(9))
    assert sink.written == 0
    assert (tmp_path / "out.mp4").read_bytes() == b"precious"


@pytest.mark.parametrize("size", [(641, 359), (33, 16), (32, 17), (1, 1)])
def test_odd_sizes_repeat_their_last_row_and_column(tmp_path: Path, size: tuple[int, int]) -> None:
    frame = make_yuv(size, 50)
    yuv_planes(frame).y[:, -1], yuv_planes(frame).y[-1, :] = 200, 200
    packet = make_packet(0, 0, size=size, overlay=Picture.from_av(frame))
    run_sink(VideoSink(tmp_path / "out.mp4", crf=1), [packet], make_info(size))
    found = decode(tmp_path / "out.mp4")[0]
    assert (found.width, found.height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    y = yuv_planes(found).y
    assert np.allclose(y[: size[1], : size[0]], yuv_planes(frame).y, atol=12)
    assert np.allclose(y[size[1] - 1 :, :], 200, atol=12)
    assert np.allclose(y[:, size[0] - 1 :], 200, atol=12)


def test_colour_tags_are_carried(tmp_path: Path) -> None:
    frame = make_yuv((64, 48))
    frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc = 2, 1, 1, 13
    run_sink(VideoSink(tmp_path / "out.mp4"), [make_packet(0, 0, overlay=Picture.from_av(frame))])
    found = decode(tmp_path / "out.mp4")[0]
    assert (found.color_range, found.colorspace, found.color_primaries, found.color_trc) == (2, 1, 1, 13)


def test_live_streams_hold_no_frame_back(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    run_sink(VideoSink(path, encoder="libx264:medium"), make_packets(30), make_info(live=True))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert all(packet.pts == packet.dts for packet in packets)


def test_the_source_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"precious")
    (tmp_path / "link.mp4").symlink_to(path)
    with pytest.raises(SinkError, match="is the source itself"):
        run_sink(VideoSink(tmp_path / "link.mp4"), make_packets(2), make_info(paths=(path,)))
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("name", [name for name in HARDWARE_ENCODERS if name in h264_encoders()])
def test_hardware_that_is_missing_is_said_in_a_sentence(tmp_path: Path, name: str) -> None:
    sink = VideoSink(tmp_path / "out.mp4", encoder=name)
    info = make_info((320, 240))
    if can_open(name):
        run_sink(sink, make_packets(3, size=info.size), info)
        assert len(decode(tmp_path / "out.mp4")) == 3
        return
    with pytest.raises(
        SinkError, match=f"encoder '{name}' cannot be opened: .*'libx264:veryfast' runs everywhere"
    ):
        run_sink(sink, make_packets(3, size=info.size), info)
    assert list(tmp_path.iterdir()) == []


def can_open(name: str) -> bool:
    context = av.VideoCodecContext.create(name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.time_base, context.pix_fmt = 320, 240, Fraction(1, 25), "nv12"
    try:
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return True


def write_audio(path: Path, codec: str, start_s: Fraction, seconds: int = 4) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000)
        assert isinstance(stream, av.AudioStream)
        context = stream.codec_context
        context.format, context.layout, context.bit_rate = "fltp", "stereo", 64_000
        context.open()
        samples = context.frame_size
        for index in range(seconds * 48_000 // samples):
            tone = np.sin(np.arange(samples, dtype=np.float32) * (0.01 + index % 7 * 0.01))
            frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), "fltp", "stereo")
            frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
            frame.pts = index * samples + int(start_s * 48_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def audio_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(audio=0) if packet.size]
        return [(seconds(packet.pts, packet.time_base), bytes(packet)) for packet in found]


@pytest.mark.parametrize(
    ("source", "codec", "suffix"),
    [("a.m4a", "aac", ".mp4"), ("a.m4a", "aac", ".mkv"), ("a.mov", "aac", ".mov")],
)
@pytest.mark.parametrize("start_s", [Fraction(0), Fraction(1, 2)])
def test_audio_is_copied_and_cut_at_the_last_frame(
    tmp_path: Path, source: str, codec: str, suffix: str, start_s: Fraction
) -> None:
    audio, path = tmp_path / source, tmp_path / f"out{suffix}"
    write_audio(audio, codec, start_s)
    sink = VideoSink(path)
    run_sink(sink, make_packets(50), make_info(audio=audio))  # two seconds
    assert sink.notes == []
    wanted, found = audio_packets(audio), audio_packets(path)
    if suffix == ".mkv":  # it has no times before 0
        wanted = [(time, data) for time, data in wanted if time >= 0]
    assert [data for _, data in found] == [data for _, data in wanted[: len(found)]]
    off = [abs(time - other) for (time, _), (other, _) in zip(found, wanted, strict=False)]
    assert max(off) <= Fraction(1, 1000)
    assert Fraction(195, 100) < found[-1][0] < 2
    assert times_of(path) == [Fraction(index, 25) for index in range(50)]


def test_audio_lies_beside_the_video_it_belongs_to(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.m4a", "aac", Fraction(0), seconds=10)
    path = tmp_path / "out.mp4"
    run_sink(VideoSink(path), make_packets(250), make_info(audio=tmp_path / "a.m4a"))
    with av.open(str(path)) as container:
        order = [
            (packet.pos, seconds(packet.dts, packet.time_base)) for packet in container.demux() if packet.size
        ]
    times = [time for _, time in sorted(order)]
    assert all(after > before - Fraction(3, 2) for before, after in pairwise(times))


def test_audio_that_mp4_cannot_hold_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_audio(tmp_path / "a.wma", "wmav2", Fraction(0))
    sink = VideoSink(tmp_path / "out.mp4")
    with caplog.at_level(logging.WARNING, logger="keywarp"):
        run_sink(sink, make_packets(10), make_info(audio=tmp_path / "a.wma"))
    assert len(decode(tmp_path / "out.mp4")) == 10
    source = tmp_path / "a.wma"
    assert sink.notes == [
        f"the wmav2 audio of '{source}' fits into no file that keywarp writes (.mp4, .mov, .mkv); the output is "
        f"silent (to hear it, convert it first: ffmpeg -i {source} -c:v copy -c:a aac FILE.mkv)"
    ]
    assert caplog.text == ""  # the notes are for the user, once


def test_relative_names_with_a_colon_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_audio(tmp_path / "a.m4a", "aac", Fraction(0))
    (tmp_path / "a.m4a").rename("a:b.m4a")
    sink = VideoSink("a:b.mp4")
    run_sink(sink, make_packets(50), make_info(audio=Path("a:b.m4a")))
    assert sink.notes == []
    assert len(decode(tmp_path / "a:b.mp4")) == 50
    assert len(audio_packets(tmp_path / "a:b.mp4")) > 80


def test_audio_that_breaks_off_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_audio(tmp_path / "a.m4a", "aac", Fraction(0))

    class Breaking:
        """As much of a container as is read, and then an error."""

        def __init__(self, container: av.container.InputContainer) -> None:
            self.streams, self.close, self._container = container.streams, container.close, container

        def demux(self, stream: av.AudioStream) -> Iterator[Any]:
            yield from islice(self._container.demux(stream), 20)
            raise av.error.OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(audio, "open_file", lambda path: Breaking(open_file(path)))
    sink = VideoSink(tmp_path / "out.mp4")
    run_sink(sink, make_packets(50), make_info(audio=tmp_path / "a.m4a"))
    assert sink.notes == ["the audio ends early (Input/output error)"]
    assert len(audio_packets(tmp_path / "out.mp4")) == 20


@pytest.mark.parametrize("content", [b"", b"this is no film"])
def test_audio_that_cannot_be_read_is_no_failure(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    sink = VideoSink(tmp_path / "out.mp4")
    run_sink(sink, make_packets(10), make_info(audio=tmp_path / "a.mp4"))
    assert len(decode(tmp_path / "out.mp4")) == 10
    assert "the output is silent" in sink.notes[0]
