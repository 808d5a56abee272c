"""Video files: real ones, and made ones with every trouble that they come with."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import Flags

from keywarp.flow.base import Size
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources.video import VideoSource

from .films import (
    COLOR_ATOL,
    Pixels,
    ffmpeg,
    pictures,
    probe_pts,
    read_all,
    real,
    remux,
    write_film,
)

# Sizes and counts of shared/data/README.md, counted there by ffmpeg
REAL: dict[str, tuple[Size, int, Fraction]] = {
    "video/solidWhiteRight.mp4": ((960, 540), 221, Fraction(25)),
    "video/carnd_test_video.mp4": ((1280, 720), 38, Fraction(25)),
    "video/carnd_test_small2.mp4": ((1280, 720), 100, Fraction(25)),
    "video/intel_car-detection.mp4": ((768, 432), 377, Fraction(25, 2)),
    "video/intel_bottle-detection.mp4": ((640, 360), 1189, Fraction(179, 6)),
    "camvid/clip_a_15fps_h264_P.mp4": ((480, 360), 51, Fraction(15)),
    "camvid/clip_a_15fps_h264_B.mp4": ((480, 360), 51, Fraction(15)),
    "mv_reference/vid_h264.mp4": ((1280, 720), 337, Fraction(25)),
}


def _pts(frames: list[Frame]) -> list[int]:
    return [frame.pts for frame in frames]


def _brightness(frames: list[Frame]) -> list[float]:
    """Of the part of the picture that grows brighter, frame by frame: the bottom right."""
    return [float(np.mean(frame.gray()[-frame.size[1] // 3 :, -frame.size[0] // 3 :])) for frame in frames]


def _assert_in_order(frames: list[Frame]) -> None:
    assert np.all(np.diff(_brightness(frames)) > 2)


@pytest.mark.parametrize("name", REAL)
def test_real_clips(name: str) -> None:
    path = real(name)
    size, count, rate = REAL[name]
    source = VideoSource(path, threads=1)
    info = source.open()
    pts, types = [], set()
    for frame in source.frames():
        pts.append(frame.pts)
        types.add(frame.picture_type)
    source.close()
    assert (info.size, info.frame_count, info.rate) == (size, count, rate)
    assert len(pts) == count
    assert source.losses.total == 0
    assert source.notes == []
    assert types == ({"I", "P", "B"} if "bottle" in name or "_B" in name else {"I", "P"})
    assert pts == probe_pts(path)


def test_frame_types_equal_an_independent_extractors() -> None:
    known = real("mv_reference/h264_frame_types.txt").read_text().split()
    _, frames = read_all(VideoSource(real("mv_reference/vid_h264.mp4"), threads=1))
    assert [frame.picture_type for frame in frames] == known


def test_frames_are_the_pictures_that_were_encoded(tmp_path: Path) -> None:
    given = pictures(8)
    info, frames = read_all(VideoSource(write_film(tmp_path / "a.mp4", given)))
    assert info.audio is None
    assert info.time_base == frames[0].time_base
    assert [frame.time_s for frame in frames] == [index / 25 for index in range(8)]
    for frame, pixels in zip(frames, given, strict=True):
        np.testing.assert_allclose(
            frame.bgr.astype(int), pixels, atol=3 * COLOR_ATOL
        )  # chroma has half the size


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_change_nothing(tmp_path: Path, threads: int) -> None:
    film = write_film(tmp_path / "b.mp4", pictures(12), options={"bf": "2", "preset": "medium"})
    _, frames = read_all(VideoSource(film, threads=threads))
    assert len(frames) == 12
    assert {frame.picture_type for frame in frames} == {"I", "P", "B"}
    _assert_in_order(frames)


def test_the_decoders_planes_are_kept_without_a_copy(tmp_path: Path) -> None:
    source = VideoSource(write_film(tmp_path / "a.mp4", pictures(2)))
    source.open()
    frame = next(source.frames())
    source.close()
    decoded = frame.picture.av_frame()
    assert decoded.format.name == "yuv420p"
    assert np.shares_memory(frame.gray(), np.frombuffer(memoryview(decoded.planes[0]), np.uint8))


def test_a_variable_rate_is_kept(tmp_path: Path) -> None:
    given = [0, 10, 11, 50, 51, 90, 200]
    film = write_film(tmp_path / "vfr.mp4", pictures(7), pts=given, time_base=Fraction(1, 100))
    _, frames = read_all(VideoSource(film))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(pts, 100) for pts in given]


def test_the_pre_roll_of_an_edit_list_is_hidden(tmp_path: Path) -> None:
    film = write_film(tmp_path / "whole.mp4", pictures(20))
    cut = tmp_path / "cut.mp4"
    ffmpeg("-ss", "0.32", "-i", film, "-c", "copy", cut)
    source = VideoSource(cut)
    info, frames = read_all(source)
    assert info.frame_count == len(frames) == 12
    assert source.losses.total == 0
    assert _pts(frames) == probe_pts(cut)


def test_frames_without_times_get_some(tmp_path: Path) -> None:
    raw = remux(write_film(tmp_path / "a.mp4", pictures(6)), tmp_path / "raw.h264")
    info, frames = read_all(VideoSource(raw))
    assert len(frames) == 6
    assert np.unique(np.diff(_pts(frames))).tolist() == [1 / (info.time_base * (info.rate or 0))]


# --- turned, interlaced, deep and odd


def _corners(frame: Frame) -> str:
    """Where the dark quarter is: top or bottom, left or right."""
    gray = frame.gray()
    height, width = gray.shape
    quarters = {
        "top left": gray[: height // 3, : width // 3],
        "top right": gray[: height // 3, -width // 3 :],
        "bottom left": gray[-height // 3 :, : width // 3],
        "bottom right": gray[-height // 3 :, -width // 3 :],
    }
    return min(quarters, key=lambda name: float(quarters[name].mean()))


ONE = 1 << 16
TURNS = {
    "upright": ((ONE, 0, 0, ONE), (64, 48), "top left"),
    "right": ((0, ONE, -ONE, 0), (48, 64), "top right"),
    "left": ((0, -ONE, ONE, 0), (48, 64), "bottom left"),
    "upside down": ((-ONE, 0, 0, -ONE), (64, 48), "bottom right"),
    "mirrored": ((-ONE, 0, 0, ONE), (64, 48), "top right"),
    "flipped": ((ONE, 0, 0, -ONE), (64, 48), "bottom left"),
    "transposed": ((0, ONE, ONE, 0), (48, 64), "top left"),
    "anti-transposed": ((0, -ONE, -ONE, 0), (48, 64), "bottom right"),
}


@pytest.mark.parametrize("name", TURNS)
def test_turned_films_come_upright(tmp_path: Path, name: str) -> None:
    (a, b, c, d), size, dark = TURNS[name]
    film = write_film(tmp_path / "turned.mp4", pictures(5), matrix=[a, b, 0, c, d, 0, 0, 0, 1 << 30])
    info, frames = read_all(VideoSource(film))
    assert info.size == size
    assert {frame.size for frame in frames} == {size}
    assert _corners(frames[0]) == dark
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(index, 25) for index in range(5)]
    assert frames[0].picture_type == "I"


def _combed(count: int) -> list[Pixels]:
    """A bar that moves on between the two fields of each frame."""
    frames: list[Pixels] = []
    for index in range(count):
        pixels = np.full((64, 96, 3), 30, np.uint8)
        pixels[0::2, 4 * index : 4 * index + 20] = 220
        pixels[1::2, 4 * index + 8 : 4 * index + 28] = 220
        frames.append(pixels)
    return frames


def _combing(frame: Frame) -> float:
    gray = frame.gray().astype(float)
    return float(np.abs(gray[1:-1] - (gray[:-2] + gray[2:]) / 2).mean())


def test_interlaced_films_are_deinterlaced_frame_by_frame(tmp_path: Path) -> None:
    given = _combed(8)
    flags = Flags.interlaced_dct | Flags.interlaced_me
    laced = write_film(tmp_path / "laced.mp4", given, flags=flags, options={"x264-params": "bff=1"})
    plain = write_film(tmp_path / "plain.mp4", given)
    _, woven = read_all(VideoSource(plain))
    info, frames = read_all(VideoSource(laced))
    assert len(frames) == 8
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(index, 25) for index in range(8)]
    assert {frame.size for frame in frames} == {info.size}
    np.testing.assert_array_equal(frames[4].gray()[1::2], woven[4].gray()[1::2], "the first field is kept")
    assert _combing(frames[4]) < 0.6 * _combing(woven[4])


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv444p", "yuv422p", "yuv444p10le"])
def test_deep_and_dense_films(tmp_path: Path, pix_fmt: str) -> None:
    given = pictures(4)
    _, frames = read_all(VideoSource(write_film(tmp_path / "deep.mp4", given, pix_fmt=pix_fmt)))
    _assert_in_order(frames)
    np.testing.assert_allclose(frames[2].bgr.astype(int), given[2], atol=3 * COLOR_ATOL)
    assert frames[2].picture.yuv().y.dtype == np.uint8


@pytest.mark.parametrize("size", [(641, 359), (1, 1), (33, 1), (1, 33), (3, 2)])
def test_odd_sizes(tmp_path: Path, size: Size) -> None:
    film = write_film(
        tmp_path / "odd.mp4", pictures(3, size), pix_fmt="yuv444p", options={"preset": "veryfast"}
    )
    info, frames = read_all(VideoSource(film))
    assert info.size == size
    assert len(frames) == 3
    for frame in frames:
        assert frame.bgr.shape == (size[1], size[0], 3)
        assert frame.gray().shape == (size[1], size[0])
        assert frame.picture.yuv().u.shape == ((size[1] + 1) // 2, (size[0] + 1) // 2)


def test_bottom_up_films(tmp_path: Path) -> None:
    """Uncompressed AVI lies upside down: FFmpeg says so by negative strides."""
    given = pictures(3)
    film = write_film(tmp_path / "raw.avi", given, codec="rawvideo", pix_fmt="bgr24")
    _, frames = read_all(VideoSource(film))
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[1].bgr, given[1])
    assert _corners(frames[1]) == "top left"


@pytest.mark.parametrize("codec", ["mjpeg", "ffv1"])
def test_codecs_of_intra_frames_alone_tell_no_picture_types(tmp_path: Path, codec: str) -> None:
    fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_film(tmp_path / "film.mkv", pictures(4), codec=codec, pix_fmt=fmt)
    assert {frame.picture_type for frame in read_all(VideoSource(path))[1]} == {None}


@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video", "mjpeg"])
@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_other_codecs_and_containers(tmp_path: Path, codec: str, suffix: str) -> None:
    fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    film = write_film(tmp_path / f"a{suffix}", pictures(5), codec=codec, pix_fmt=fmt)
    source = VideoSource(film)
    _, frames = read_all(source)
    assert len(frames) == 5
    assert source.losses.total == 0
    _assert_in_order(frames)


@pytest.mark.parametrize("colorspace", ["bt601", "bt709"])
@pytest.mark.parametrize("color", [(30, 60, 200), (200, 60, 30), (40, 180, 60)], ids=["red", "blue", "green"])
def test_colours_by_the_tag(tmp_path: Path, colorspace: str, color: tuple[int, int, int]) -> None:
    film = write_film(
        tmp_path / "c.mp4",
        [np.full((32, 32, 3), color, np.uint8)] * 2,
        colorspace=colorspace,
        pix_fmt="yuv420p",
    )
    _, frames = read_all(VideoSource(film))
    for got in (frames[1].bgr, frames[1].picture.scaled((16, 16)).bgr):
        np.testing.assert_allclose(got[8, 8].astype(int), color, atol=COLOR_ATOL)


# --- damage


def _faststart(tmp_path: Path, count: int = 40) -> Path:
    noise = np.random.default_rng(0).integers(0, 60, (count, 48, 64, 3), np.uint8)
    frames = [pixels + extra for pixels, extra in zip(pictures(count), noise, strict=True)]
    return write_film(
        tmp_path / "film.mp4",
        frames,
        container={"movflags": "faststart"},
        options={"bf": "2", "preset": "veryfast"},
    )


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_film_cut_short_gives_what_decodes(tmp_path: Path, share: float, threads: int) -> None:
    film = _faststart(tmp_path)
    data = film.read_bytes()
    film.write_bytes(data[: int(len(data) * share)])
    source = VideoSource(film, threads=threads)
    info, frames = read_all(source)
    assert info.frame_count == 40
    assert 0 < len(frames) < 40
    assert source.losses.by_cause == {"undecodable": 40 - len(frames)}
    (note,) = source.notes
    assert "is cut short" in note
    assert f"{len(frames)} frames decoded, {40 - len(frames)} frames lost" in note
    # As many as one thread gets: no frame goes down with the broken last packet.
    assert len(frames) == len(read_all(VideoSource(film, threads=1))[1])


def _damaged(tmp_path: Path) -> Path:
    """A quarter of the film, from a third on, is overwritten."""
    film = _faststart(tmp_path)
    data = bytearray(film.read_bytes())
    start, length = data.index(b"mdat") + len(data) // 3, len(data) // 4
    data[start : start + length] = b"\xff" * length
    film.write_bytes(data)
    return film


@pytest.mark.parametrize("threads", [1, 2])
def test_decoding_goes_on_after_damage(tmp_path: Path, threads: int) -> None:
    source = VideoSource(_damaged(tmp_path), threads=threads)
    _, frames = read_all(source)
    assert 0 < len(frames) < 40
    assert frames[-1].time_s == 39 / 25, "the end is there"
    assert source.losses.by_cause == {"undecodable": 40 - len(frames)}
    assert "is damaged: 40 packets were read" in source.notes[0]


def test_damage_is_counted_too_when_a_run_is_stopped(tmp_path: Path) -> None:
    source = VideoSource(_damaged(tmp_path), threads=1)
    source.open()
    stream = source.frames()
    seen = 0
    for frame in stream:
        seen += 1
        if frame.time_s > 1.2:
            break
    del stream
    source.close()
    assert 0 < source.losses.total < 40 - seen, "what was not read is not lost"


def test_a_size_that_changes_is_scaled_to_the_first(tmp_path: Path) -> None:
    parts = [
        write_film(tmp_path / f"{size[0]}.ts", pictures(4, size), format="mpegts")
        for size in ((64, 48), (96, 80))
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    source = VideoSource(joined, threads=1)
    info, frames = read_all(source)
    assert info.size == (64, 48)
    assert len(frames) == 8
    assert {frame.size for frame in frames} == {(64, 48)}
    assert {frame.bgr.shape for frame in frames} == {(48, 64, 3)}
    assert any("changes its size to 96x80 at frame 4: scaled to 64x48" in note for note in source.notes)
    assert np.all(np.diff(_pts(frames)) > 0), "times rise although the second part starts again"
    np.testing.assert_allclose(np.diff(_pts(frames)) * float(info.time_base), 1 / 25, atol=0.011)


# --- URLs and audio


def test_a_film_over_http(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    film = _faststart(tmp_path)
    source = VideoSource(f"{serve(tmp_path)}/film.mp4?token=hidden")
    info, frames = read_all(source)
    _, local = read_all(VideoSource(film))
    assert not info.live
    assert info.audio is None
    assert "hidden" not in info.name
    assert _pts(frames) == _pts(local)
    np.testing.assert_array_equal(frames[7].bgr, local[7].bgr)


def test_that_the_audio_of_a_url_is_not_copied_is_noted(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    film = write_film(tmp_path / "silent.mp4", pictures(3))
    with av.open(str(film)) as given, av.open(str(tmp_path / "loud.mp4"), "w") as output:
        picture = output.add_stream_from_template(given.streams.video[0])
        sound = output.add_stream("aac", rate=48_000)
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = picture
                output.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    url = serve(tmp_path)
    for name, notes in (
        ("silent.mp4", []),
        ("loud.mp4", [f"the audio of '{url}/loud.mp4' is not copied: it is for local files only"]),
    ):
        source = VideoSource(f"{url}/{name}?token=hidden")
        info, _ = read_all(source)
        assert info.audio is None
        assert source.notes == notes


def test_the_file_with_audio_is_named() -> None:
    path = real("video/solidWhiteRight.mp4")
    for name in (str(path), path.as_uri()):
        source = VideoSource(name)
        assert source.open().audio == path
        source.close()


def test_a_name_with_a_colon_is_no_protocol(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", pictures(2)).rename(tmp_path / "http:a.mp4")
    assert len(read_all(VideoSource(tmp_path / "http:a.mp4"))[1]) == 2
