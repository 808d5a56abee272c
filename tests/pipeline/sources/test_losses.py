"""Every frame that does not come is counted once, and none of a healthy film is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.packet import Packet

from keywarp.engines.errors import SourceError
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources import container
from keywarp.pipeline.sources.tally import Tally
from keywarp.pipeline.sources.video import VideoSource

from .fields import in_fields
from .films import Pixels, pictures, read_all, remux, write_film

FRAMES = 40


def _noisy(count: int = FRAMES) -> list[Pixels]:
    noise = np.random.default_rng(0).integers(0, 60, (count, 48, 64, 3), np.uint8)
    return [pixels + extra for pixels, extra in zip(pictures(count), noise, strict=True)]


def _x264(path: Path, **options: str) -> Path:
    chosen = {"bf": "2", "preset": "medium", "x264-params": "keyint=10:scenecut=0", **options}
    return write_film(path, _noisy(), options=chosen)


def _encode(path: Path, codec: str, pix_fmt: str = "yuv420p", **options: str) -> Path:
    """As :func:`write_film`, with options for any codec."""
    return _encode_all(path, _noisy(), codec, pix_fmt, **options)


def _encode_all(
    path: Path, given: list[Pixels], codec: str, pix_fmt: str = "yuv420p", **options: str
) -> Path:
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for index, pixels in enumerate(given):
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24").reformat(format=pix_fmt)
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def _av1(path: Path) -> Path:
    """In a thread of its own: for root this encoder makes the thread that opens it, and all that it starts,
    real-time ones of the highest priority, beside which whatever waits for others in a busy loop waits for ever.
    """
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(_encode, path, "libsvtav1", preset="12").result()


B_FRAMES = {"bf": "2", "g": "12"}
NO_CUTS = "1000000000"
# A key frame each 12 and at no cut; with B-frames the second is shown after two that come after it.
GROUPS = {"g": "12", "sc_threshold": NO_CUTS, "b": "2000000"}
GROUPS_WITH_B = {**GROUPS, "bf": "2"}
HEALTHY: dict[str, Callable[[Path], Path]] = {
    "open groups.ts": lambda path: _x264(path, **{"x264-params": "keyint=10:open-gop=1:bframes=3"}),
    "open groups.mkv": lambda path: _x264(path, **{"x264-params": "keyint=10:open-gop=1:bframes=3"}),
    "pyramid.ts": lambda path: _x264(path, **{"x264-params": "bframes=8:b-adapt=0:ref=8:keyint=30"}),
    "refresh.ts": lambda path: _x264(path, **{"x264-params": "intra-refresh=1:bframes=0"}),
    "interlaced.ts": lambda path: _x264(path, **{"x264-params": "interlaced=1"}),
    "fragments.mp4": lambda path: write_film(
        path, _noisy(), container={"movflags": "frag_keyframe+empty_moov"}
    ),
    "flash.flv": lambda path: _x264(path),
    "hevc.mkv": lambda path: _encode(
        path, "libx265", **{"x265-params": "open-gop=1:keyint=10:log-level=none"}
    ),
    "hevc.ts": lambda path: _encode(
        path, "libx265", **{"x265-params": "open-gop=1:keyint=10:log-level=none"}
    ),
    "vp8.webm": lambda path: _encode(path, "libvpx", **{"auto-alt-ref": "1", "lag-in-frames": "16"}),
    "vp9.webm": lambda path: _encode(path, "libvpx-vp9", **{"auto-alt-ref": "1", "lag-in-frames": "16"}),
    "av1.mkv": _av1,
    "mpeg4.avi": lambda path: _encode(path, "mpeg4", **B_FRAMES),
    "mpeg4.m4v": lambda path: _encode(path, "mpeg4", **B_FRAMES),
    "mpeg2.ts": lambda path: _encode(path, "mpeg2video", **B_FRAMES),
    "mpeg2.mpg": lambda path: _encode(path, "mpeg2video", **B_FRAMES, flags="+cgop", sc_threshold=NO_CUTS),
    "mpeg2 laced.mkv": lambda path: _encode(path, "mpeg2video", flags="+ildct+ilme"),
    "mpeg1.mpg": lambda path: _encode(path, "mpeg1video", **B_FRAMES),
    "mjpeg.avi": lambda path: _encode(path, "mjpeg", "yuvj420p"),
    "wmv.wmv": lambda path: _encode(path, "wmv2"),
    "divx 3.avi": lambda path: _encode(path, "msmpeg4", **GROUPS),
    "h263.avi": lambda path: _encode(path, "h263p", **GROUPS),
    "sorenson.flv": lambda path: _encode(path, "flv", **GROUPS),
}


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_of_a_healthy_film_is_lost(tmp_path: Path, name: str, threads: int) -> None:
    source = VideoSource(HEALTHY[name](tmp_path / name), threads=threads)
    _, frames = read_all(source)
    assert len(frames) == FRAMES
    assert source.losses.total == 0
    assert source.notes == []


@pytest.mark.parametrize("frames_read", [1, 3, 20])
@pytest.mark.parametrize("name", ["open groups.ts", "mpeg2.ts", "mpeg2.mpg", "hevc.ts"])
def test_nothing_is_lost_by_stopping_early(tmp_path: Path, name: str, frames_read: int) -> None:
    source = VideoSource(HEALTHY[name](tmp_path / name))
    source.open()
    stream = source.frames()
    for _ in range(frames_read):
        next(stream)
    del stream
    source.close()
    assert source.losses.total == 0
    assert source.notes == []


# --- films that begin in the middle


def _without_start(path: Path, packets: int) -> Path:
    """The same film without its first packets."""
    cut = path.with_name(f"cut{path.suffix}")
    with av.open(str(path)) as given, av.open(str(cut), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(given.demux(video=0)):
            if number >= packets and packet.size:
                packet.stream = stream
                output.mux(packet)
    return cut


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("name", ["closed.ts", "open groups.ts", "mpeg2.ts"])
def test_frames_before_the_first_that_decodes_are_counted(tmp_path: Path, name: str, threads: int) -> None:
    film = _x264(tmp_path / name) if name == "closed.ts" else HEALTHY[name](tmp_path / name)
    source = VideoSource(_without_start(film, 3), threads=threads)
    _, frames = read_all(source)
    lost = FRAMES - 3 - len(frames)
    assert lost >= 6
    assert source.losses.by_cause == {"undecodable": lost}
    (note,) = source.notes
    assert "begins with frames that need earlier ones, which it does not hold: 37 packets were read, " in note
    assert f"{len(frames)} frames decoded, {lost} frames lost" in note


def test_the_start_of_a_raw_film(tmp_path: Path) -> None:
    """Without times, by what the packets are."""
    raw = remux(_x264(tmp_path / "film.ts"), tmp_path / "film.h264")
    data = raw.read_bytes()
    raw.write_bytes(
        data[data.index(b"\0\0\1", data.index(b"\0\0\1\x65") + 4) :]
    )  # from the second picture on
    data = raw.read_bytes()
    parameters = data[data.index(b"\0\0\1\x67") : data.index(b"\0\0\1\x65")]
    raw.write_bytes(parameters + data)
    source = VideoSource(raw)
    _, frames = read_all(source)
    assert len(frames) == 30
    assert source.losses.by_cause == {"undecodable": 9}
    assert "39 packets were read, 30 frames decoded, 9 frames lost" in source.notes[0]


def test_what_was_lost_at_the_start_is_counted_when_a_run_is_stopped(tmp_path: Path) -> None:
    source = VideoSource(_without_start(_x264(tmp_path / "film.ts"), 3), threads=1)
    source.open()
    stream = source.frames()
    next(stream)
    del stream
    source.close()
    assert source.losses.by_cause == {"undecodable": 7}


def test_later_damage_is_told_from_the_start(tmp_path: Path) -> None:
    film = _without_start(_x264(tmp_path / "film.mkv"), 3)
    data = bytearray(film.read_bytes())
    key = data.index(b"\x65\x88", len(data) * 2 // 3) - 4
    data[key : key + 400] = b"\xff" * 400
    film.write_bytes(data)
    source = VideoSource(film, threads=1)
    _, frames = read_all(source)
    lost = source.losses.by_cause["undecodable"]
    assert lost > 7
    assert f"is damaged: {lost + len(frames)} packets were read" in source.notes[0]
    assert f"{lost} frames lost, 7 of them at its start" in source.notes[0]


def test_a_film_without_a_key_frame_says_so(tmp_path: Path) -> None:
    film = _x264(tmp_path / "film.ts", **{"x264-params": "keyint=250:scenecut=0"})
    with pytest.raises(
        SourceError, match=r"39 packets were read.: decoding begins at a key frame .intra frame."
    ):
        VideoSource(_without_start(film, 1)).open()


# --- of codecs whose decoders make up what is missing

MADE_UP: dict[str, tuple[str, dict[str, str]]] = {
    "mpeg4.avi": ("mpeg4", GROUPS),
    "mpeg4.mp4": ("mpeg4", GROUPS),
    "b-frames.avi": ("mpeg4", GROUPS_WITH_B),
    "b-frames.mp4": ("mpeg4", GROUPS_WITH_B),
    "b-frames.mkv": ("mpeg4", GROUPS_WITH_B),
    "b-frames.ts": ("mpeg4", GROUPS_WITH_B),
    "divx 2.avi": ("msmpeg4v2", GROUPS),
    "divx 3.avi": ("msmpeg4", GROUPS),
    "wmv 1.avi": ("wmv1", GROUPS),
    "wmv 2.wmv": ("wmv2", GROUPS),
    "h263.avi": ("h263p", GROUPS),
    "sorenson.flv": ("flv", GROUPS),
}


def _pictures_of(frames: list[Frame]) -> list[bytes]:
    return [frame.gray().tobytes() for frame in frames]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("cut", [1, 3])
@pytest.mark.parametrize("name", MADE_UP)
def test_a_film_begins_at_its_first_intra_frame(tmp_path: Path, name: str, cut: int, threads: int) -> None:
    codec, options = MADE_UP[name]
    film = _encode(tmp_path / name, codec, **options)
    begun = _without_start(film, cut)
    source = VideoSource(begun, threads=threads)
    _, frames = read_all(source)
    assert len(frames) == 28
    assert frames[0].picture_type == "I"
    assert _pictures_of(frames) == _pictures_of(read_all(VideoSource(film))[1])[-28:], "none is smeared"
    read = _to_be_shown(begun)
    lost = read - 28
    assert source.losses.by_cause == {"undecodable": lost}
    (note,) = source.notes
    assert "begins with frames that need earlier ones, which it does not hold: " in note
    assert f"{read} packets were read, 28 frames decoded, {lost} frames lost" in note


def _to_be_shown(film: Path) -> int:
    """How many packets there are, without those that the edit list of an .mp4 hides."""
    with av.open(str(film)) as given:
        return sum(packet.size > 0 and not packet.is_discard for packet in given.demux(video=0))


@pytest.mark.parametrize("name", ["b-frames.avi", "sorenson.flv"])
def test_what_was_made_up_is_counted_when_a_run_is_stopped(tmp_path: Path, name: str) -> None:
    codec, options = MADE_UP[name]
    source = VideoSource(_without_start(_encode(tmp_path / name, codec, **options), 3), threads=1)
    source.open()
    stream = source.frames()
    next(stream)
    del stream
    source.close()
    assert source.losses.by_cause == {"undecodable": 9}


@pytest.mark.parametrize("name", MADE_UP)
def test_a_film_of_made_up_frames_alone_says_so(tmp_path: Path, name: str) -> None:
    codec, options = MADE_UP[name]
    film = _without_start(_encode(tmp_path / name, codec, **{**options, **ONE_GROUP}), 1)
    read = _to_be_shown(film)
    with pytest.raises(
        SourceError, match=rf"{read} packets were read.: decoding begins at a key frame .intra frame."
    ):
        VideoSource(film).open()


def test_a_key_frame_that_is_damaged_is_not_called_missing(tmp_path: Path) -> None:
    film = _encode(tmp_path / "film.avi", "mpeg4", **ONE_GROUP)
    key, *others = _contents(film)
    damaged = _written(tmp_path / "damaged.avi", film, [b"\xff" * len(key), *others])
    with pytest.raises(SourceError, match=r"holds no frame that can be decoded .*; it is damaged"):
        VideoSource(damaged).open()


def test_made_up_frames_in_which_nothing_changes_are_counted(tmp_path: Path) -> None:
    """Packets so small that they may hold no picture; these do."""
    film = _encode_all(tmp_path / "film.avi", [_noisy(1)[0]] * FRAMES, "mpeg4", **GROUPS)
    assert sum(len(content) < 20 for content in _contents(film)) > 20
    source = VideoSource(_without_start(film, 3))
    _, frames = read_all(source)
    assert len(frames) == 28
    assert source.losses.by_cause == {"undecodable": 9}
    assert "begins with frames that need earlier ones" in source.notes[0]


def test_frames_after_a_key_frame_that_an_edit_list_hides_are_sound(tmp_path: Path) -> None:
    film, path = _encode(tmp_path / "film.mp4", "mpeg4", **ONE_GROUP), tmp_path / "late.mp4"
    whole = _pictures_of(read_all(VideoSource(film))[1])
    with (
        av.open(str(film)) as given,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as output,
    ):
        stream = output.add_stream_from_template(given.streams.video[0])
        packet: Any
        for packet in given.demux(video=0):
            if packet.size:
                packet.pts -= round(8 / (25 * packet.time_base))
                packet.dts = packet.pts
                packet.stream = stream
                output.mux(packet)
    source = VideoSource(path)
    _, frames = read_all(source)
    assert _pictures_of(frames) == whole[8:]
    assert {frame.picture_type for frame in frames} == {"P"}
    assert source.losses.total == 0
    assert source.notes == []


def _read_live(data: bytes) -> tuple[VideoSource, list[Frame]]:
    """What comes of ``data`` by TCP."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(data)

        sender = threading.Thread(target=send)
        sender.start()
        source = VideoSource(f"tcp://127.0.0.1:{server.getsockname()[1]}", read_timeout_s=5)
        info, frames = read_all(source)
        sender.join()
    assert info.live
    return source, frames


@pytest.mark.parametrize("name", ["mpeg4.mkv", "sorenson.flv"])
def test_a_live_stream_begins_at_its_first_intra_frame(tmp_path: Path, name: str) -> None:
    film = _encode(tmp_path / name, "mpeg4" if name == "mpeg4.mkv" else "flv", **GROUPS)
    source, frames = _read_live(_without_start(film, 3).read_bytes())
    assert _pictures_of(frames) == _pictures_of(read_all(VideoSource(film))[1])[12:]
    assert source.losses.total == 0, "as who joins between two key frames"
    assert source.notes == []


@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video", "mpeg1video"])
def test_b_frames_of_a_live_stream_come_in_order(tmp_path: Path, codec: str) -> None:
    film = _encode(tmp_path / "film.mkv", codec, **GROUPS_WITH_B)
    source, frames = _read_live(film.read_bytes())
    assert "B" in {frame.picture_type for frame in frames}
    assert _pictures_of(frames) == _pictures_of(read_all(VideoSource(film))[1])
    assert [frame.pts for frame in frames] == sorted(frame.pts for frame in frames)
    assert source.losses.total == 0


def test_leading_frames_of_a_live_stream_are_left_out_as_those_of_mpeg2_are(tmp_path: Path) -> None:
    came = []
    for codec in ("mpeg4", "mpeg2video"):
        film = _encode(tmp_path / f"{codec}.mkv", codec, **GROUPS_WITH_B)
        source, frames = _read_live(_without_start(film, 3).read_bytes())
        assert _pictures_of(frames) == _pictures_of(read_all(VideoSource(film))[1])[12:]
        came.append(([frame.pts for frame in frames], source.losses.by_cause))
    assert came[0] == came[1]


@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video"])
def test_leading_frames_that_reach_back_to_damage_are_corrupt(tmp_path: Path, codec: str) -> None:
    grain = np.random.default_rng(0).integers(0, 120, (48, 64, 3), np.uint8)
    film = _encode_all(
        tmp_path / "film.ts",
        [grain + np.uint8(3 * number) for number in range(FRAMES)],
        codec,
        **GROUPS_WITH_B,
    )
    data = film.read_bytes()
    packets = [data[place : place + 188] for place in range(0, len(data), 188)]
    first = next(number for number, packet in enumerate(packets) if packet[1:3] == b"\x41\0")
    del packets[first + 5]  # of the first key frame, which all up to the next is predicted from
    source, frames = _read_live(b"".join(packets))
    whole = _pictures_of(read_all(VideoSource(film))[1])
    assert _pictures_of(frames) == whole[12:], "none is smeared, and all from the next on are there, in order"
    assert source.losses.by_cause == {"corrupt": 12}


# --- packets that are not one frame each


@pytest.mark.parametrize("suffix", ["h264", "ts", "mkv", "mp4"])
@pytest.mark.parametrize("threads", [1, 4])
def test_two_fields_are_one_frame(tmp_path: Path, suffix: str, threads: int) -> None:
    raw = tmp_path / "raw.h264"
    raw.write_bytes(in_fields(3, 6))
    with av.open(str(raw)) as given:
        packets = sum(packet.size > 0 for packet in given.demux(video=0))
    assert packets == 36
    film = raw if suffix == "h264" else _copied(raw, tmp_path / f"film.{suffix}")
    source = VideoSource(film, threads=threads)
    _, frames = read_all(source)
    assert len(frames) == 18
    assert source.losses.total == 0
    assert source.notes == []


def _copied(raw: Path, path: Path) -> Path:
    """A raw film, whose packets have no times, in a container."""
    with av.open(str(raw)) as given, av.open(str(path), "w") as output:
        old = given.streams.video[0]
        stream = output.add_stream_from_template(old)
        for number, packet in enumerate(given.demux(old)):
            if packet.size:
                packet.pts = packet.dts = number * 24_000
                packet.stream = stream
                output.mux(packet)
    return path


def test_lost_fields_are_counted_as_frames(tmp_path: Path) -> None:
    whole = in_fields(3, 6)
    first = whole.index(b"\0\0\0\1\x65")
    second = whole.index(b"\0\0\0\1", whole.index(b"\0\0\0\1", first + 4) + 4)
    raw = tmp_path / "cut.h264"
    raw.write_bytes(whole[:first] + whole[second:])  # without both fields of the first frame
    source = VideoSource(raw, threads=1)
    _, frames = read_all(source)
    assert len(frames) == 12
    assert source.losses.by_cause == {"undecodable": 5}
    assert "34 packets were read, 12 frames decoded, 5 frames lost" in source.notes[0]


def test_hidden_pictures_are_not_missed(tmp_path: Path) -> None:
    """Of VP8: each fourth frame is marked as one that is only predicted from."""
    film = _encode(tmp_path / "film.ivf", "libvpx", **{"auto-alt-ref": "0"})
    data, place, number = bytearray(film.read_bytes()), 32, 0
    while place < len(data):
        if number % 4 == 3:
            data[place + 12] &= ~0x10
        place += 12 + int.from_bytes(data[place : place + 4], "little")
        number += 1
    film.write_bytes(data)
    source = VideoSource(film)
    _, frames = read_all(source)
    assert len(frames) == 30
    assert source.losses.total == 0
    assert source.notes == []


def _contents(film: Path) -> list[bytes]:
    with av.open(str(film)) as given:
        return [bytes(packet) for packet in given.demux(video=0) if packet.size]


def _written(path: Path, film: Path, contents: list[bytes]) -> Path:
    """A film of the same kind as ``film``, with other packets."""
    with av.open(str(film)) as given, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        for number, content in enumerate(contents):
            packet: Any = Packet(content)
            packet.stream, packet.is_keyframe = stream, number == 0
            packet.time_base, packet.pts, packet.dts = Fraction(1, 25), number, number
            output.mux(packet)
    return path


ONE_GROUP = {"g": "100", "sc_threshold": NO_CUTS}
NOTHING_CHANGED = b"\0\0\1\xb6\x50\xcf"


def test_packed_b_frames_are_not_missed(tmp_path: Path) -> None:
    """As DivX writes them into AVI: with the picture before them, and then a packet that says nothing."""
    film = _encode(tmp_path / "film.avi", "mpeg4", bf="1", b_strategy="0", **ONE_GROUP)
    key, *others = _contents(film)
    start = key.index(b"\0\0\1\xb6")
    packed = [key[:start] + b"\0\0\1\xb2DivX503b1393p" + key[start:]]
    for number in range(0, len(others) - 1, 2):
        packed += [others[number] + others[number + 1], NOTHING_CHANGED]
    source = VideoSource(_written(tmp_path / "packed.avi", film, packed), threads=1)
    _, frames = read_all(source)
    assert len(frames) == 39
    assert source.losses.total == 0
    assert source.notes == []


def test_pictures_that_say_that_nothing_has_changed_are_not_missed(tmp_path: Path) -> None:
    film = _encode(tmp_path / "film.avi", "mpeg4", **ONE_GROUP)
    still = [part for content in _contents(film) for part in (content, NOTHING_CHANGED)]
    source = VideoSource(_written(tmp_path / "still.avi", film, still), threads=1)
    _, frames = read_all(source)
    assert len(frames) >= FRAMES
    assert source.losses.total == 0


# --- less than was announced


@pytest.mark.parametrize("suffix", ["mkv", "webm", "avi", "flv"])
@pytest.mark.parametrize("threads", [1, 4])
def test_a_film_that_is_cut_off_says_how_much_is_missing(tmp_path: Path, suffix: str, threads: int) -> None:
    path = tmp_path / f"film.{suffix}"
    film = _encode(path, "libvpx-vp9") if suffix == "webm" else _x264(path)
    data = film.read_bytes()
    film.write_bytes(data[: len(data) // 2])
    source = VideoSource(film, threads=threads)
    _, frames = read_all(source)
    assert 5 < len(frames) < 35
    note = source.notes[-1]
    assert "announces about 4" in note
    assert f" frames, {len(frames)} came: it may have been cut off or damaged" in note


def test_a_run_that_is_stopped_misses_nothing(tmp_path: Path) -> None:
    source = VideoSource(_x264(tmp_path / "film.mkv"), threads=1)
    source.open()
    stream = source.frames()
    next(stream)
    source.interrupt()
    list(stream)
    source.close()
    assert source.notes == []


def test_a_film_with_a_gap_in_its_times_is_whole(tmp_path: Path) -> None:
    film = write_film(tmp_path / "gap.mkv", _noisy(20), pts=[*range(10), *range(90, 100)])
    source = VideoSource(film)
    read_all(source)
    assert source.notes == []


def test_longer_sound_is_no_loss(tmp_path: Path) -> None:
    path = tmp_path / "loud.mkv"
    with av.open(str(path), "w") as output:
        picture, sound = output.add_stream("mpeg4", rate=25), output.add_stream("aac", rate=48_000)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        for pixels in pictures(10):
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24").reformat(format="yuv420p")
            output.mux(picture.encode(frame))
        output.mux(picture.encode(None))
        for number in range(100):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate, silence.pts = 48_000, 1024 * number
            output.mux(sound.encode(silence))
        output.mux(sound.encode(None))
    source = VideoSource(path)
    info, frames = read_all(source)
    assert len(frames) == info.frame_count == 10
    assert source.notes == []


def test_a_server_that_falls_silent_is_noted_where_nothing_tells_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "READ_TIMEOUT_S", 0.5)
    data = _x264(tmp_path / "film.ts").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = VideoSource(f"http://127.0.0.1:{server.getsockname()[1]}/film.ts")
        peers: list[socket.socket] = []

        def answer() -> None:
            peer, _ = server.accept()
            peers.append(peer)
            peer.recv(4096)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            peer.sendall(head + data[: len(data) * 2 // 3 // 188 * 188])

        thread = threading.Thread(target=answer)
        thread.start()
        source.open()
        frames = list(source.frames())
        source.close()
        thread.join()
        for peer in peers:
            peer.close()
    assert 0 < len(frames) < FRAMES
    assert "could not be read to the end (nothing came for too long): " in source.notes[-1]


@pytest.mark.parametrize("threads", [1, 4])
def test_of_interlaced_frames_with_a_packet_each_no_loss_is_taken_for_a_second_field(
    tmp_path: Path, threads: int
) -> None:
    film = tmp_path / "film.mp4"
    options = {"x264-params": "interlaced=1:bframes=2:keyint=10:scenecut=0"}
    write_film(film, _noisy(), options=options, container={"movflags": "faststart"})
    whole = film.read_bytes()
    cut, damaged = tmp_path / "cut.mp4", tmp_path / "damaged.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    damaged.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 8) + whole[len(whole) * 5 // 8 :])
    for broken, excused in ((cut, 1), (damaged, 3)):
        source = VideoSource(broken, threads=threads)
        _, frames = read_all(source)
        assert len(frames) < FRAMES - 3
        lost = source.losses.by_cause["undecodable"]
        assert FRAMES - len(frames) - excused <= lost <= FRAMES - len(frames)


def test_packets_that_nothing_comes_of_are_counted_however_many_they_are() -> None:
    packet: Any = Packet(b"\0\0\1\x41")
    tally = Tally("h264")
    for _ in range(5000):
        tally.add(packet)
    assert tally.lost() == 5000


def test_frames_whose_packet_is_not_known_are_no_losses() -> None:
    packet: Any = Packet(b"\0\0\1\x41")
    tally = Tally("h264")
    for _ in range(10):
        tally.add(packet)
    tally.got([av.VideoFrame(64, 48, "yuv420p") for _ in range(8)])
    assert tally.lost() == 2


def test_a_last_frame_that_is_shown_for_long_is_no_loss(tmp_path: Path) -> None:
    film, path = write_film(tmp_path / "film.mkv", _noisy(20)), tmp_path / "long.mkv"
    with av.open(str(film)) as given, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        packets = [packet for packet in given.demux(video=0) if packet.size]
        packets[-1].duration = round(8 / packets[-1].time_base)
        for packet in packets:
            packet.stream = stream
            output.mux(packet)
    source = VideoSource(path)
    _, frames = read_all(source)
    assert len(frames) == 20
    assert source.notes == []


def test_an_avi_of_unknown_length_announces_nothing(tmp_path: Path) -> None:
    class Pipe:
        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> int:
            self.data += data
            return len(data)

    film, pipe, path = _encode(tmp_path / "film.avi", "mpeg4"), Pipe(), tmp_path / "piped.avi"
    with av.open(str(film)) as given, av.open(pipe, "w", format="avi") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    path.write_bytes(pipe.data)
    with av.open(str(path)) as written:
        assert written.streams.video[0].frames >= 1 << 30
    source = VideoSource(path)
    info, frames = read_all(source)
    assert len(frames) == FRAMES
    assert info.frame_count is None
    assert source.notes == []
