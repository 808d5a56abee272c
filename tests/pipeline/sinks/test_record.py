from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from keywarp.engines.errors import SinkError, UsageError
from keywarp.pipeline.controls import Controls
from keywarp.pipeline.keys import OVERLAY
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.picture import Picture, yuv_planes
from keywarp.pipeline.sinks.parse import make_sink
from keywarp.pipeline.sinks.record import RecordLimits, RecordSink, parse_recording

from .stream import decode, make_info, make_packet, make_packets, make_yuv, run_sink, times_of

NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z\.mp4")


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.mp4"))


def level_of(frame: av.VideoFrame) -> int:
    return round(float(yuv_planes(frame).y.mean()))


def noise(count: int, size: tuple[int, int] = (640, 480)) -> Iterator[Packet]:
    """Packets that compress badly: about a megabyte for ten of them."""
    random = np.random.default_rng(0)
    for index in range(count):
        frame = make_yuv(size)
        yuv_planes(frame).y[:] = random.integers(0, 255, (size[1], size[0]), np.uint8)
        yield make_packet(index, index * 100, size=size, overlay=Picture.from_av(frame))


@pytest.mark.parametrize("live", [False, True])
def test_files_change_by_the_stream_s_minutes_and_no_frame_is_lost(tmp_path: Path, live: bool) -> None:
    sink = RecordSink(tmp_path, limits=RecordLimits(minutes=1 / 60))
    packets = [
        make_packet(index, 7_200_000 + index * 40) for index in range(60)
    ]  # the stream is two hours old
    run_sink(sink, packets, make_info(live=live))
    found = files(tmp_path)
    assert all(NAME.fullmatch(path.name) for path in found)
    assert [len(decode(path)) for path in found] == [25, 25, 10]
    assert sink.written == 60
    for path in found:
        times = times_of(path)
        assert times == [Fraction(40 * position, 1000) for position in range(len(times))]
        assert decode(path)[0].key_frame
    levels = [level_of(frame) for path in found for frame in decode(path)]
    assert np.abs(np.array(levels) - [40 + index * 5 % 160 for index in range(60)]).max() <= 2


def test_files_change_by_their_size(tmp_path: Path) -> None:
    sink = RecordSink(tmp_path, limits=RecordLimits(minutes=None, mb=1))
    run_sink(sink, noise(60), make_info((640, 480), live=True))
    found = files(tmp_path)
    assert len(found) >= 3
    assert sum(len(decode(path)) for path in found) == 60 == sink.written
    per_second = sum(path.stat().st_size for path in found) / 6
    assert all(path.stat().st_size < 1e6 + 2.5 * per_second for path in found)


def test_a_time_that_goes_back_begins_a_file(tmp_path: Path) -> None:
    sink = RecordSink(tmp_path)
    packets = [make_packet(index, pts) for index, pts in enumerate([0, 40, 80, 20, 60, 60])]
    run_sink(sink, packets, make_info(live=True))
    assert [len(decode(path)) for path in files(tmp_path)] == [3, 2, 1]
    assert sink.written == 6


def test_only_the_oldest_recordings_beyond_the_limit_are_deleted(tmp_path: Path) -> None:
    others = [
        tmp_path / name
        for name in ("20200101T000000.000Z.mp4.txt", "holiday.mp4", "x20200101T000000.000Z.mp4")
    ]
    for path in others:
        path.write_text("mine")
    old = [tmp_path / f"2020010{day}T000000.000Z.mp4" for day in (1, 2, 3)]
    for path in old:
        path.write_text("an earlier recording")
    sink = RecordSink(tmp_path, limits=RecordLimits(minutes=1 / 60, keep=4))
    run_sink(sink, make_packets(75), make_info(live=True))
    assert all(path.exists() for path in others)
    assert [path.exists() for path in old] == [False, False, True]
    assert sink.written == 75
    assert sink.notes == [f"deleted the 2 oldest recordings in '{tmp_path}'"]


def test_a_limit_of_size_keeps_the_newest(tmp_path: Path) -> None:
    sink = RecordSink(tmp_path, limits=RecordLimits(minutes=1 / 60, keep_gb=0.003))
    run_sink(sink, noise(100), make_info((640, 480), live=True))
    found = files(tmp_path)
    assert 1 <= len(found) < 10
    assert sum(path.stat().st_size for path in found) <= 3e6
    assert len(decode(found[-1])) == 10


def test_nothing_is_deleted_without_a_limit_nor_is_the_source(tmp_path: Path) -> None:
    source = tmp_path / "20200101T000000.000Z.mp4"
    source.write_text("the film that is being read")
    run_sink(RecordSink(tmp_path, limits=RecordLimits(minutes=1 / 60)), make_packets(60))
    assert len(files(tmp_path)) == 4
    limited = RecordSink(tmp_path, limits=RecordLimits(minutes=1 / 60, keep=1))
    run_sink(limited, make_packets(60), make_info(paths=(source,)))
    assert source.exists()
    assert len(files(tmp_path)) == 2


def test_the_control_turns_it_on_and_off(tmp_path: Path) -> None:
    controls = Controls()
    sink = make_sink(f"record:{tmp_path / 'clips'},off", controls=controls)
    assert not controls.knobs.recording
    sink.open(make_info(live=True))
    for packet in make_packets(40):
        index = packet.frame.index
        if index % 10 == 0:
            controls.change({"recording": index // 10 % 2 == 1})
        sink.process(packet)
    sink.close()
    assert [len(decode(path)) for path in files(tmp_path / "clips")] == [10, 10]
    assert sink.written == 20


def test_asked_for_it_begins_on(tmp_path: Path) -> None:
    controls = Controls()
    make_sink(f"record:{tmp_path}", controls=controls)
    assert controls.knobs.recording


def test_texts_have_limits() -> None:
    folder, limits, is_on = parse_recording("a,b/clips,minutes=0.5,mb=500,keep_gb=20,keep=100,off")
    assert (folder, is_on) == (Path("a,b/clips"), False)
    assert limits == RecordLimits(0.5, 500, 20, 100)
    assert parse_recording("clips") == (Path("clips"), RecordLimits(), True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("minutes=0", "option 'minutes' of a sink is a number above 0; given: '0'"),
        ("keep=0", "a whole number of 1 or more; given: '0'"),
        ("keep=1.5", "a whole number of 1 or more"),
        ("minuets=3", "unknown option of a sink 'minuets'; did you mean 'minutes'"),
    ],
)
def test_options_are_checked_at_once(options: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        make_sink(f"record:clips,{options}")


def test_audio_is_left_out_and_said(tmp_path: Path) -> None:
    sink = RecordSink(tmp_path)
    run_sink(sink, make_packets(2), make_info(audio=tmp_path / "film.mp4"))
    assert "are silent" in sink.notes[0]


_KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from stream import make_info, make_packets
from keywarp.pipeline.sinks.record import RecordLimits, RecordSink
sink = RecordSink(sys.argv[1], limits=RecordLimits(minutes=0.1))
sink.open(make_info(live=True))
for packet in make_packets(100_000):
    sink.process(packet)
    print(packet.frame.index, flush=True)
    time.sleep(0.0005)
"""


def test_every_file_of_a_killed_process_plays(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 400:
                break
        process.kill()
        last = max(int(line) for line in [line, *process.stdout] if line.strip().isdecimal())
    found = files(tmp_path)
    counts = [len(decode(path)) for path in found]
    assert counts[:2] == [150, 150]
    assert last - 60 <= sum(counts) <= last + 2  # but for the last seconds: 25 frames each


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 3 MB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root on Linux, to mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(place)], check=False, capture_output=True
    )
    if done.returncode != 0:
        pytest.skip("needs the right to mount a small disk (tmpfs)")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_on_a_full_disk_a_live_run_goes_on_without_its_recording(small_disk: Path) -> None:
    controls = Controls()
    controls.change({"recording": True})
    sink = RecordSink(small_disk, limits=RecordLimits(minutes=1 / 60), controls=controls)
    sink.open(make_info((640, 480), live=True))
    for packet in noise(120):
        sink.process(packet)
    assert sink.lost > 0
    for path in files(small_disk):
        path.unlink()
    for recording in (False, True):  # turned off and on, it tries again
        controls.change({"recording": recording})
        for packet in noise(9):
            sink.process(packet)
    before = sink.written
    lost = sink.lost
    sink.close()
    assert len(decode(files(small_disk)[0])) == 9
    assert "the disk is full" in sink.notes[0]
    assert "has stopped" in sink.notes[0]
    assert sink.notes[-1] == f"{lost} frames could not be recorded in '{small_disk}'"
    assert before + lost == 129


def test_on_a_full_disk_what_was_written_plays(small_disk: Path) -> None:
    sink = RecordSink(small_disk, limits=RecordLimits(minutes=None))
    run_sink(sink, noise(120), make_info((640, 480), live=True))
    (found,) = files(small_disk)
    assert len(decode(found)) == sink.written > 10


def test_a_full_disk_ends_the_run_of_a_file(small_disk: Path) -> None:
    sink = RecordSink(small_disk)
    with pytest.raises(SinkError, match="the disk is full"):
        run_sink(sink, noise(120), make_info((640, 480)))
    assert sum(len(decode(path)) for path in files(small_disk)) == sink.written


def test_on_a_full_disk_the_oldest_give_way_where_they_may(small_disk: Path) -> None:
    sink = RecordSink(small_disk, limits=RecordLimits(minutes=1 / 60, keep=1000))
    run_sink(sink, noise(150), make_info((640, 480), live=True))
    found = files(small_disk)
    counts = [len(decode(path)) for path in found]
    assert counts[-1] > 0
    assert sink.written > 100
    assert any("deleted the" in note for note in sink.notes)
    assert any("frames could not be recorded" in note for note in sink.notes)


def test_a_folder_that_goes_away_stops_the_recording_only(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    sink = RecordSink(folder, limits=RecordLimits(minutes=1 / 60))
    sink.open(make_info(live=True))
    for packet in make_packets(60):
        if packet.frame.index == 25:
            sink.process(packet)
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
            folder.write_text("in the way")
        else:
            sink.process(packet)
    sink.close()
    assert "has stopped" in " ".join(sink.notes)


def test_recording_keeps_up(tmp_path: Path) -> None:
    """A change of files costs less than a frame of a usual camera."""
    sink = RecordSink(tmp_path, limits=RecordLimits(minutes=1 / 60))
    sink.open(make_info(live=True))
    longest_s = 0.0
    for packet in make_packets(100):
        start_s = time.perf_counter()
        sink.process(packet)
        longest_s = max(longest_s, time.perf_counter() - start_s)
    sink.close()
    assert longest_s < 0.5  # 5 ms on a machine at rest


def test_the_overlay_is_what_is_recorded(tmp_path: Path) -> None:
    sink = RecordSink(tmp_path)
    assert sink.reads == (OVERLAY,)
    overlay = Picture.from_av(make_yuv((64, 48), 200))
    run_sink(sink, [make_packet(0, 0, overlay=overlay)])
    assert abs(level_of(decode(files(tmp_path)[0])[0]) - 200) <= 2
