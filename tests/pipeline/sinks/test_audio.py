"""Audio that FFmpeg would refuse: the film is whole whatever becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.packet import Packet
from keywarp.pipeline.sinks import audio
from keywarp.pipeline.sinks.audio_times import Sections
from keywarp.pipeline.sinks.video import VideoSink
from keywarp.pipeline.sources.container import open_file
from keywarp.pipeline.sources.timeline import Timeline
from keywarp.pipeline.sources.video import VideoSource

from .stream import decode, make_info, make_packet, make_yuv, run_sink, seconds, times_of

RATE = 48_000
TICK_S = Fraction(1, 90_000)
SUFFIXES = [".mp4", ".mov", ".mkv"]
FORMATS = {
    "libopus": "flt",
    "flac": "s16",
    "mp2": "s16",
    "pcm_s16le": "s16",
    "pcm_u8": "u8",
    "pcm_mulaw": "s16",
}
# The audio is written packet by packet, so it begins and ends by up to one beside the pictures.
PACKET_S = Fraction(12, 100)


def make_film(
    path: Path,
    codec: str,
    *,
    frames: int = 50,
    audio_s: float = 2.0,
    start_s: float = 0.0,
    first: int = 0,
    rate: int = RATE,
    preset: str = "ultrafast",
) -> Path:
    """A film of 25 frames a second, with tones that are another in every packet from ``first`` on."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": preset, "g": "10"})
        sound = container.add_stream(codec, rate=rate)
        assert isinstance(video, av.VideoStream)
        assert isinstance(sound, av.AudioStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound.codec_context.format = FORMATS.get(codec, "fltp")
        sound.codec_context.layout = "stereo"
        sound.codec_context.bit_rate = 128_000
        sound.codec_context.open()
        tones = make_tones(sound, audio_s, start_s, first)
        later = next(tones, None)
        for index in range(frames):
            frame = make_yuv((64, 48), 40 + index * 3 % 160)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            while later is not None and seconds(later.pts, later.time_base) < Fraction(index, 25):
                container.mux(sound.encode(later))
                later = next(tones, None)
            container.mux(video.encode(frame))
        while later is not None:
            container.mux(sound.encode(later))
            later = next(tones, None)
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path


def make_tones(
    stream: av.AudioStream, length_s: float, start_s: float, first: int
) -> Iterator[av.AudioFrame]:
    context = stream.codec_context
    count, rate = context.frame_size or 1024, context.sample_rate
    name = context.format.name
    kind = np.dtype({"u8": "uint8", "s16": "int16", "flt": "float32", "fltp": "float32"}[name])
    for index in range(int(length_s * rate) // count):
        tone = np.sin(np.arange(count) * (0.01 + (first + index) * 0.0007)) * 0.5
        if kind.kind == "u":
            tone = tone * 127 + 128
        elif kind.kind == "i":
            tone = tone * 32767
        both = np.stack([tone, tone]).astype(kind)
        array = both if context.format.is_planar else np.ascontiguousarray(both.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(array, name, "stereo")
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = index * count + int(start_s * rate)
        yield frame


def copy_film(source: Path, path: Path) -> VideoSink:
    """Source and sink of a run, without the network between."""
    film, sink = VideoSource(source), VideoSink(path, picture=None, threads=1)
    info = film.open()
    try:
        run_sink(sink, (Packet(frame, ManualClock()) for frame in film.frames()), info)
    finally:
        film.close()
    return sink


def packets_of(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        found = [packet for packet in container.demux(audio=0) if packet.size]
        return [(seconds(packet.pts, packet.time_base), bytes(packet)) for packet in found]


def sound_of(path: Path) -> tuple[Fraction, Fraction]:
    """When the audio begins, and for how long it can be decoded."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    start = seconds(frames[0].pts, frames[0].time_base)
    return start, Fraction(sum(frame.samples for frame in frames), RATE)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", [".ts", ".avi"])
def test_aac_as_it_is_broadcast_gets_one_head_for_all(tmp_path: Path, kind: str, suffix: str) -> None:
    source, path = make_film(tmp_path / "a.ts", "aac"), tmp_path / f"out{suffix}"
    if kind == ".avi":
        source = remux(source, tmp_path / "a.avi")
    assert copy_film(source, path).notes == []
    wanted, found = packets_of(source), packets_of(path)
    heads = 7  # ADTS, without a checksum
    assert wanted[0][1][:1] == b"\xff"
    assert [data for _, data in found] == [data[heads:] for _, data in wanted[: len(found)]]
    assert len(decode(path)) == 50
    assert sound_of(path)[1] > Fraction(19, 10)
    lag = offset(source)
    assert abs(offset(path) - lag) <= Fraction(2, 1000)


def remux(source: Path, path: Path) -> Path:
    with open_file(source) as given, av.open(str(path), "w") as target:
        # AVI counts packets of one length.
        video = target.add_stream_from_template(given.streams.video[0], time_base=Fraction(1, 25))
        sound = target.add_stream_from_template(given.streams.audio[0], time_base=Fraction(1024, RATE))
        sound.codec_context.codec_tag = "\x10\x16\0\0"  # FFmpeg's for AAC with heads
        for packet in given.demux(given.streams.video[0], given.streams.audio[0]):
            if packet.size:
                packet.stream = video if isinstance(packet.stream, av.VideoStream) else sound
                target.mux_one(packet)
    return path


def offset(path: Path) -> Fraction:
    """How much later than the pictures the audio begins."""
    return packets_of(path)[0][0] - times_of(path)[0]


@pytest.mark.parametrize("kind", [".avi", ".mkv", ".mov"])
def test_pcm_makes_an_mp4_that_can_be_opened(tmp_path: Path, kind: str) -> None:
    source, path = make_film(tmp_path / f"a{kind}", "pcm_s16le"), tmp_path / "out.mp4"
    assert copy_film(source, path).notes == []
    assert len(decode(path)) == 50
    assert abs(sound_of(path)[1] - 2) <= PACKET_S
    assert offset(path) == offset(source)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("audio_s", "codec"), [([2.0, 2.0, 2.0], "aac"), ([2.0, 1.2, 2.0], "mp2"), ([3.1, 0.8, 2.4], "ac3")]
)
def test_joined_recordings_stay_in_step(
    tmp_path: Path, audio_s: list[float], codec: str, suffix: str
) -> None:
    parts = [
        make_film(tmp_path / f"{number}.ts", codec, audio_s=length_s, first=100 * number)
        for number, length_s in enumerate(audio_s)
    ]
    joined, path = tmp_path / "joined.ts", tmp_path / f"out{suffix}"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert copy_film(joined, path).notes == []
    times = times_of(path)
    assert len(times) == 150
    found = packets_of(path)
    assert all(before < after for (before, _), (after, _) in pairwise(found))
    for number, part in enumerate(parts):
        wanted = packets_of(part)
        begin = times[50 * number] + wanted[10][0] - times_of(part)[0]
        assert [time for time, data in found if wanted[10][1].endswith(data)] == [
            pytest.approx(begin, abs=0.0015)
        ]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("early", [0, 0.3, 0.9])
def test_no_packet_is_lost_where_recordings_were_joined(
    tmp_path: Path, early: float, rate: int, suffix: str
) -> None:
    # The audio of each recording lasts for a part of a packet longer than its pictures.
    packet_s = 1024 / rate
    count = int(2 / packet_s) + 1
    part = make_film(
        tmp_path / "a.ts",
        "aac",
        audio_s=(count + 0.5) * packet_s,
        start_s=2 - (count - early) * packet_s,
        rate=rate,
    )
    joined, path = tmp_path / "joined.ts", tmp_path / f"out{suffix}"
    joined.write_bytes(part.read_bytes() * 3)
    assert copy_film(joined, path).notes == []
    assert_is_whole(part, joined, path)


def assert_is_whole(part: Path, joined: Path, path: Path) -> None:
    """Whether all audio is there, but what begins after the pictures that it was recorded with."""
    sounds, end_s = packets_of(part), times_of(part)[-1] + Fraction(1, 25)
    wanted = [data[7:] for time, data in sounds if time < end_s] * 3
    assert len(packets_of(joined)) == len(sounds) * 3
    found = packets_of(path)
    if path.suffix == ".mkv":  # nothing before 0
        wanted = wanted[len(wanted) - len(found) :]
        assert len(wanted) >= len(sounds) * 3 - 4
    assert [data for _, data in found] == wanted


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shift", [0, 36_915, 36_945])  # in ticks of 1/90 ms
@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("ticks", [0, 1])
def test_packets_of_one_time_are_all_copied(
    tmp_path: Path, ticks: int, rate: int, shift: int, suffix: str
) -> None:
    part, joined = make_film(tmp_path / "a.mkv", "aac", rate=rate), tmp_path / "joined.mkv"
    join(part, joined, ticks)
    given, path = packets_of(joined), tmp_path / f"out{suffix}"
    times = [time for time, _ in given]
    assert sum(b - a == Fraction(ticks, 1000) for a, b in pairwise(times)) == 1
    pictures = (make_packet(index, index * 3600 - shift, TICK_S) for index in range(150))
    sink = VideoSink(path)
    run_sink(sink, pictures, make_info(time_base=TICK_S, audio=joined))
    assert sink.notes == []
    found = packets_of(path)
    lost = len(given) - len(found)
    assert lost <= (1 if suffix == ".mkv" and not shift else 0)  # nothing before 0
    assert [data for _, data in found] == [data for _, data in given[lost:]]
    off = [time - other - shift * TICK_S for (time, _), other in zip(found, times[lost:], strict=True)]
    assert max(map(abs, off)) <= Fraction(1, 1000)


def join(part: Path, path: Path, ticks: int) -> None:
    """Two times the same film; in the second its audio begins ``ticks`` after the last packet of the first."""
    sounds = [time for time, _ in packets_of(part)]
    later = round((sounds[-1] - sounds[0]) * 1000) + ticks
    with av.open(str(path), "w") as target:
        for again in range(2):
            with open_file(part) as given:
                streams = [given.streams.video[0], given.streams.audio[0]]
                if not again:
                    for stream in streams:
                        target.add_stream_from_template(stream)
                for packet in given.demux(*streams):
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + again * later, packet.dts + again * later
                        packet.stream = target.streams[streams.index(packet.stream)]
                        target.mux_one(packet)


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_packets_shorter_than_a_tick_keep_their_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    # As TrueHD has them, 40 samples long: in an .mkv five follow another within four ticks.
    source, path = make_film(tmp_path / "a.mkv", "ac3", frames=100, audio_s=3.9), tmp_path / f"out{suffix}"
    base = 100

    def crowd(number: int, packet: Any) -> None:
        packet.pts = packet.dts = base + round(number * 40 / 48)
        packet.duration = 1

    sink = copy_edited(monkeypatch, source, path, crowd)
    assert sink.notes == []
    given, found = packets_of(source), packets_of(path)
    assert [data for _, data in found] == [data for _, data in given]
    off = [time * 1000 - base - round(number * 40 / 48) for number, (time, _) in enumerate(found)]
    assert max(map(abs, off)) < (Fraction(1, 1000) if suffix == ".mkv" else Fraction(2, 10))


@pytest.mark.parametrize("frames", [[50, 30, 40], [30, 4, 30]])
@pytest.mark.parametrize("preset", ["ultrafast", "veryfast"])  # without and with B-frames
def test_sound_is_moved_by_as_much_as_the_pictures(tmp_path: Path, preset: str, frames: list[int]) -> None:
    joined = tmp_path / "joined.ts"
    parts = [
        make_film(tmp_path / f"{number}.ts", "mp2", frames=count, audio_s=count / 25, preset=preset)
        for number, count in enumerate(frames)
    ]
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_file(joined) as container:
        stream = container.streams.video[0]
        timeline = Timeline(Fraction(stream.time_base or 0), stream.average_rate or stream.guessed_rate)
        by_pictures = [
            (timeline.place(frame.pts) - frame.pts) * frame.time_base
            for frame in container.decode(stream)
            if frame.pts is not None and frame.time_base is not None
        ]
    with open_file(joined) as container:
        sections = Sections(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.size:
                sections.see(packet)
        sections.end()
    wanted = [sections.offset_s(number) for number, count in enumerate(frames) for _ in range(count)]
    assert sections.known == 3
    assert by_pictures == wanted
    assert len(set(wanted)) == 3


@pytest.mark.parametrize(
    ("kind", "codec", "suffix", "name", "others"),
    [
        (".mkv", "flac", ".mov", "flac", "an .mp4 file or an .mkv file"),
        (".mkv", "libopus", ".mov", "opus", "an .mp4 file or an .mkv file"),
        (".avi", "pcm_u8", ".mp4", "pcm_u8", "a .mov file or an .mkv file"),
        (".avi", "pcm_mulaw", ".mkv", "pcm_mulaw", "a .mov file"),
    ],
)
def test_audio_that_a_container_refuses_leaves_the_film(
    tmp_path: Path, kind: str, codec: str, suffix: str, name: str, others: str
) -> None:
    source, path = make_film(tmp_path / f"a{kind}", codec), tmp_path / f"out{suffix}"
    article = "a" if suffix == ".mov" else "an"
    assert copy_film(source, path).notes == [
        f"{article} {suffix} file cannot hold {name} audio; the output is silent ({others} can)"
    ]
    assert len(decode(path)) == 50
    assert packets_of(path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_audio_that_none_can_hold_is_to_be_converted(tmp_path: Path, suffix: str) -> None:
    source = make_film(tmp_path / "it's.wmv", "wmav2")
    sink = copy_film(source, tmp_path / f"out{suffix}")
    assert len(decode(tmp_path / f"out{suffix}")) == 50
    (note,) = sink.notes
    assert f"wmav2 audio of '{source}' fits into no file that keywarp writes (.mp4, .mov, .mkv)" in note
    assert "the output is silent" in note
    assert "it'\"'\"'s.wmv' -c:v copy -c:a aac FILE.mkv" in note


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("codec", ["aac", "ac3", "eac3", "flac", "libopus", "mp2", "libmp3lame"])
def test_ordinary_audio_is_copied_bit_by_bit(tmp_path: Path, codec: str, suffix: str) -> None:
    source, path = make_film(tmp_path / "a.mkv", codec, audio_s=2.5), tmp_path / f"out{suffix}"
    notes = copy_film(source, path).notes
    wanted, found = packets_of(source), packets_of(path)
    assert len(decode(path)) == 50
    if suffix == ".mov" and codec in ("flac", "libopus"):
        assert len(notes) == 1
        return
    assert notes == []
    end_s = times_of(path)[-1] + Fraction(1, 25)
    wanted = [(time, data) for time, data in wanted if time < end_s and (time >= 0 or suffix != ".mkv")]
    assert [data for _, data in found] == [data for _, data in wanted]
    off = [abs(time - other) for (time, _), (other, _) in zip(found, wanted, strict=True)]
    assert max(off) <= Fraction(1, 1000)


class Edited:
    """As much of a container as is read, with packets of audio changed by ``edit``, which gets their number."""

    def __init__(self, path: Path, edit: Callable[[int, Any], None]) -> None:
        self._container = open_file(path)
        self.streams, self.close, self._edit = self._container.streams, self._container.close, edit
        self._number = 0

    def demux(self, *streams: Any) -> Iterator[Any]:
        for packet in self._container.demux(*streams):
            if packet.size and isinstance(packet.stream, av.AudioStream):
                self._number += 1
                self._edit(self._number - 1, packet)
            yield packet


def copy_edited(
    monkeypatch: pytest.MonkeyPatch, source: Path, path: Path, edit: Callable[[int, Any], None]
) -> VideoSink:
    monkeypatch.setattr(audio, "open_file", lambda path: Edited(path, edit))
    return copy_film(source, path)


def move(first: int, last: int, ticks: int) -> Callable[[int, Any], None]:
    def edit(number: int, packet: Any) -> None:
        if first <= number <= last:
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks

    return edit


def forget(number: int, packet: Any) -> None:
    if 20 <= number < 25:
        packet.pts = packet.dts = None


def forget_the_first(number: int, packet: Any) -> None:
    if number < 2:
        packet.pts = packet.dts = None


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("edit", "left_out"),
    [
        (move(30, 30, -400), [30]),
        (move(30, 34, -400), [30, 31, 32, 33, 34]),
        (move(30, 30, 90_000), [30]),
        (move(30, 34, 90_000), [30, 31, 32, 33, 34]),
        (move(30, 30, -30), []),
        (move(30, 1000, 2000), []),
        (forget, []),
        (forget_the_first, [0, 1]),
    ],
)
def test_times_that_lead_astray_are_not_followed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edit: Callable[[int, Any], None],
    left_out: list[int],
    suffix: str,
) -> None:
    source, path = (
        make_film(tmp_path / "a.mkv", "ac3", frames=100, audio_s=3.9, start_s=0.1),
        tmp_path / f"out{suffix}",
    )
    sink = copy_edited(monkeypatch, source, path, edit)
    assert len(decode(path)) == 100
    wanted, found = packets_of(source), packets_of(path)
    times = {data: time for time, data in wanted}
    assert len(times) == len(wanted)
    kept = [data for number, (_, data) in enumerate(wanted) if number not in left_out]
    assert [data for _, data in found] == kept[: len(found)]
    assert found[-1][0] > Fraction(37, 10)
    if left_out:
        packets = "1 packet" if len(left_out) == 1 else f"{len(left_out)} packets"
        assert sink.notes == [f"the audio has gaps: {packets} of it could not be copied"]
    else:
        assert sink.notes == []


@pytest.mark.parametrize("codec", ["eac3", "ac3"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_packets_that_are_refused_are_counted(tmp_path: Path, codec: str, suffix: str) -> None:
    source, spoilt = make_film(tmp_path / "a.mkv", codec), tmp_path / "b.mkv"
    content = source.read_bytes()
    for number in (20, 30):  # their heads
        data = packets_of(source)[number][1]
        content = content.replace(data[:64], bytes(64))
    spoilt.write_bytes(content)
    path = tmp_path / f"out{suffix}"
    sink = copy_film(spoilt, path)
    assert len(decode(path)) == 50
    assert sink.written == 50
    if suffix != ".mkv":
        assert sink.notes == ["the audio has gaps: 2 packets of it could not be copied"]
    else:
        assert sink.notes == []
    assert packets_of(path)[-1][0] > Fraction(19, 10)


def test_a_damaged_head_of_aac_costs_that_packet(tmp_path: Path) -> None:
    source, path = make_film(tmp_path / "a.ts", "aac"), tmp_path / "out.mp4"
    avi = remux(source, tmp_path / "a.avi")
    data = packets_of(avi)[40][1]
    avi.write_bytes(avi.read_bytes().replace(data, bytes(len(data))))
    sink = copy_film(avi, path)
    assert len(decode(path)) == 50
    assert sink.notes == ["the audio has gaps: 1 packet of it could not be copied"]
    assert packets_of(path)[-1][0] > Fraction(19, 10)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("codec", ["aac", "ac3", "eac3", "flac"])
def test_audio_that_begins_after_the_film_leaves_it_playable(tmp_path: Path, codec: str, suffix: str) -> None:
    source, path = make_film(tmp_path / "a.mkv", codec, start_s=8), tmp_path / f"out{suffix}"
    copy_film(source, path)
    times = times_of(path)
    assert len(times) == 50
    with av.open(str(path)) as container:
        assert container.duration is None or container.duration < 2_100_000


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_audio_is_moved_with_a_film_from_before_zero(tmp_path: Path, suffix: str) -> None:
    source, path = make_film(tmp_path / "a.mkv", "mp2", audio_s=1), tmp_path / f"out{suffix}"
    earlier = (make_packet(index, index * 40 - 400) for index in range(50))
    run_sink(VideoSink(path), earlier, make_info(audio=source))
    assert times_of(path)[0] == 0
    assert offset(path) == pytest.approx(offset(source) + Fraction(4, 10), abs=0.0015)


@pytest.mark.parametrize(
    ("is_over", "note"),
    [(lambda number: number >= 20, "ends early"), (lambda number: number == 20, "may have gaps")],
)
def test_audio_that_cannot_be_read_costs_no_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_over: Callable[[int], bool], note: str
) -> None:
    source, path = make_film(tmp_path / "a.mkv", "ac3", frames=25, audio_s=3), tmp_path / "out.mp4"

    def fail(number: int, packet: Any) -> None:
        if is_over(number):
            raise av.error.InvalidDataError(1094995529, "Invalid data found when processing input")

    sink = copy_edited(monkeypatch, source, path, fail)
    assert len(decode(path)) == 25
    assert sink.notes == [f"the audio {note} (Invalid data found when processing input)"]
