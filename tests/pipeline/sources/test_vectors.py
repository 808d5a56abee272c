"""Motion vectors of real codecs: films encoded here whose motion is known, and an independent reader's arrays."""

from __future__ import annotations

import gc
from contextlib import closing
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.codec.context import Flags
from numpy.typing import NDArray

from keywarp.engines.errors import KeywarpError
from keywarp.flow.base import Size, StepFlow
from keywarp.flow.build import make_step_estimator
from keywarp.flow.motion_vectors import MotionVectors
from keywarp.pipeline.frame import Frame, over_drop
from keywarp.pipeline.keys import SEGMENTATION
from keywarp.pipeline.run import Run
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.sources.scaled import ScaledSource
from keywarp.pipeline.sources.video import VideoSource

from .films import Pixels, pictures, read_all, real, write_film

SIZE = (192, 128)
MOVE = (4, 2)
WIDE, FAST = (320, 192), (36, -20)
ONE = 1 << 16


def moving(count: int, size: Size = SIZE, move: tuple[int, int] = MOVE) -> list[Pixels]:
    """A texture that comes from ``move`` further in each frame."""
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
    wide = cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
    starts = [(20 + move[0] * index, 20 + move[1] * index) for index in range(count)]
    return [np.ascontiguousarray(wide[y : y + size[1], x : x + size[0]]) for x, y in starts]


def fast(count: int) -> list[Pixels]:
    """A fine texture that moves by :data:`FAST`, further than gradients find."""
    noise = np.random.default_rng(0).integers(0, 255, (80, 140, 3)).astype(np.uint8)
    wide = cv2.resize(noise, (840, 480), interpolation=cv2.INTER_CUBIC)
    starts = [(FAST[0] * index, 280 + FAST[1] * index) for index in range(count)]
    return [np.ascontiguousarray(wide[y : y + WIDE[1], x : x + WIDE[0]]) for x, y in starts]


def film(
    folder: Path, codec: str = "libx264", count: int = 12, pix_fmt: str = "yuv420p", **options: str
) -> Path:
    given = {"preset": "fast", "crf": "12", "bf": "0", "refs": "1", "g": "100", **options}
    suffix = {"libx264": "mp4", "mpeg4": "mp4"}.get(codec, "mkv")
    return write_film(
        folder / f"{codec}.{suffix}", moving(count), codec=codec, pix_fmt=pix_fmt, options=given
    )


def wanted(source: Source) -> list[Frame]:
    source.want_vectors()
    return read_all(source)[1]


def median(step: StepFlow, size: Size = SIZE) -> NDArray[np.float64]:
    """The middle of the motion away from the border, in pixels of the picture."""
    height, width = step.valid.shape
    middle = step.field[height // 4 : -height // 4, width // 4 : -width // 4]
    return np.median(middle, axis=(0, 1)) * [size[0] / width, size[1] / height]


def errors_px(name: str, frames: list[Frame], move: tuple[int, int]) -> NDArray[np.floating]:
    """Of the cells away from the border, over all frames, in pixels of the picture."""
    found = []
    for previous, current in pairwise(frames):
        step = make_step_estimator(name).step(previous, current)
        height, width = step.valid.shape
        middle = step.field[height // 4 : -height // 4, width // 4 : -width // 4]
        scale = current.size[0] / width, current.size[1] / height
        found.append(np.linalg.norm(middle * scale - move, axis=2))
    return np.stack(found)


def error_px(name: str, frames: list[Frame], move: tuple[int, int] = MOVE) -> float:
    """The mean error over all frames."""
    return float(errors_px(name, frames, move).mean())


def one(frame: Frame) -> MotionVectors:
    (vectors,) = frame.vectors
    assert vectors is not None
    return vectors


# --- what is read


def test_vectors_equal_an_independent_readers() -> None:
    """Arrays by LukasBommes/mv-extractor, tests/reference/h264, of the first 60 frames."""
    path, reference = real("mv_reference/vid_h264.mp4"), np.load(real("mv_reference/h264_mvs_first60.npz"))
    types = real("mv_reference/h264_frame_types.txt").read_text().split()
    source = VideoSource(path)
    source.want_vectors()
    with closing(source):
        assert source.open().has_vectors
        for index, frame in enumerate(source.frames()):
            assert frame.picture_type == types[index]
            if index < 60:
                np.testing.assert_array_equal(columns(frame), reference[f"f{index:03d}"])
        assert index + 1 == len(types)


def columns(frame: Frame) -> NDArray[np.int64]:
    """(N, 10), as the reference has them: all but the flags."""
    (vectors,) = frame.vectors
    if vectors is None:
        return np.zeros((0, 10), np.int64)
    names = ("source", "w", "h", "src_x", "src_y", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale")
    return np.stack([vectors.blocks[name].astype(np.int64) for name in names], axis=1)


def test_vectors_outlive_the_source(tmp_path: Path) -> None:
    frames = wanted(VideoSource(film(tmp_path)))
    blocks = one(frames[3]).blocks
    kept = blocks.copy()
    del frames
    np.testing.assert_array_equal(blocks, kept)
    with pytest.raises(ValueError, match="read-only"):
        blocks["w"] = 0


def test_frames_with_vectors_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    source = VideoSource(film(tmp_path, count=24), threads=1)
    source.want_vectors()
    with closing(source):
        source.open()
        kept = []
        gc.collect()
        before = _video_frames()
        gc.disable()
        try:
            for frame in source.frames():
                kept.append(frame.vectors)
            del frame
            assert _video_frames() - before <= 6
        finally:
            gc.enable()
    assert sum(vectors != (None,) for vectors in kept) == 23


def _video_frames() -> int:
    # by type: some objects do something when they are asked what they are an instance of
    return sum(type(each) is av.VideoFrame for each in gc.get_objects())


def test_nobody_pays_who_does_not_want_them(tmp_path: Path) -> None:
    info, frames = read_all(VideoSource(film(tmp_path)))
    assert not info.has_vectors
    assert info.codec == "h264"
    assert {frame.vectors for frame in frames} == {()}


@pytest.mark.parametrize("threads", [None, 4])
def test_vectors_are_the_same_with_any_threads(tmp_path: Path, threads: int | None) -> None:
    path = film(tmp_path)
    expected = [columns(frame) for frame in wanted(VideoSource(path, threads=1))]
    found = [columns(frame) for frame in wanted(VideoSource(path, threads=threads))]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_vectors_of_b_frames_are_whole_with_any_threads() -> None:
    """With frame threads FFmpeg tells them before another thread has decoded the whole frame."""
    path = real("video/intel_bottle-detection.mp4")

    def told(threads: int) -> list[list[NDArray[np.void]]]:
        with closing(VideoSource(path, threads=threads)) as source:
            source.want_vectors()
            source.open()
            return [
                [vectors.blocks.copy() for vectors in frame.vectors if vectors is not None]
                for frame in islice(source.frames(), 300)
            ]

    expected, counts = told(1), []
    for ours, theirs in zip(told(8), expected, strict=True):
        counts.append(sum(map(len, theirs)))
        for name in ("source", "dst_x", "dst_y", "motion_x", "motion_y"):
            assert [each[name].tolist() for each in ours] == [each[name].tolist() for each in theirs]
    assert np.mean(np.array(counts) > 0) > 0.9


# --- what they mean


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
def test_a_picture_that_moves_has_its_motion(tmp_path: Path, codec: str) -> None:
    frames = wanted(VideoSource(film(tmp_path, codec)))
    assert [frame.picture_type for frame in frames[:3]] == ["I", "P", "P"]
    assert frames[0].vectors == (None,)
    step = make_step_estimator("codec").step(frames[4], frames[5])
    np.testing.assert_allclose(median(step), MOVE, atol=0.26)
    assert error_px("codec", frames) < 0.7
    assert error_px("auto", frames) < 0.7


def test_quarters_of_a_pixel_are_kept(tmp_path: Path) -> None:
    wide = [
        cv2.resize(p, (SIZE[0] // 2, SIZE[1] // 2), interpolation=cv2.INTER_AREA)
        for p in moving(8, move=(3, 1))
    ]
    path = write_film(
        tmp_path / "half.mp4", wide, options={"preset": "slow", "crf": "8", "bf": "0", "refs": "1"}
    )
    frames = wanted(VideoSource(path))
    step = make_step_estimator("codec").step(frames[4], frames[5])
    np.testing.assert_allclose(median(step, wide[0].shape[1::-1]), (1.5, 0.5), atol=0.13)


@pytest.mark.parametrize(
    "options",
    [{"bf": "3", "refs": "4"}, {"bf": "2", "refs": "1"}, {"bf": "0", "refs": "5", "preset": "slower"}],
    ids=["B and references", "B", "references"],
)
def test_auto_is_right_whatever_the_vectors_lead_to(tmp_path: Path, options: dict[str, str]) -> None:
    # threads: several search only as far as the others have got, which is not the same each time
    search = "me=esa:merange=64:b-adapt=0:scenecut=0:threads=1"
    path = write_film(
        tmp_path / "fast.mp4",
        fast(14),
        options={"preset": "fast", "crf": "12", "g": "100", "x264-params": search, **options},
    )
    frames = wanted(VideoSource(path))
    assert ("B" in {frame.picture_type for frame in frames}) == (options["bf"] != "0")
    right = {name: (errors_px(name, frames, FAST) < 0.5).mean() for name in ("lk", "codec", "auto")}
    assert right["auto"] > 0.95
    assert right["lk"] < 0.1, "so it is from the vectors"
    if options["bf"] != "0":
        assert any(
            vectors is not None and vectors.has_future for frame in frames for vectors in frame.vectors
        )
        assert right["codec"] < 0.8


@pytest.mark.parametrize(
    ("matrix", "move"),
    [
        ((0, ONE, -ONE, 0), (-2, 4)),
        ((0, -ONE, ONE, 0), (2, -4)),
        ((-ONE, 0, 0, -ONE), (-4, -2)),
        ((-ONE, 0, 0, ONE), (-4, 2)),
    ],
    ids=["right", "left", "upside down", "mirrored"],
)
def test_vectors_of_turned_films_are_turned(
    tmp_path: Path, matrix: tuple[int, int, int, int], move: tuple[int, int]
) -> None:
    a, b, c, d = matrix
    path = write_film(
        tmp_path / "turned.mp4",
        moving(8),
        matrix=[a, b, 0, c, d, 0, 0, 0, 1 << 30],
        options={"preset": "fast", "bf": "0", "refs": "1"},
    )
    frames = wanted(VideoSource(path))
    assert frames[0].size == (SIZE if a else SIZE[::-1])
    assert error_px("lk", frames, move) < 1, "this is the motion that is seen"
    assert error_px("codec", frames, move) < 0.5


def test_vectors_of_scaled_frames_span_the_picture(tmp_path: Path) -> None:
    frames = wanted(ScaledSource(VideoSource(film(tmp_path)), (96, 128)))
    np.testing.assert_allclose(
        median(make_step_estimator("codec").step(*frames[4:6]), (96, 128)), (2, 2), atol=0.2
    )


def test_a_size_that_changes_on_the_way(tmp_path: Path) -> None:
    sizes = [SIZE, (128, 192)]
    parts = [
        write_film(
            tmp_path / f"{size[0]}.ts",
            moving(6, size),
            format="mpegts",
            options={"preset": "fast", "bf": "0", "refs": "1"},
        )
        for size in sizes
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    source = VideoSource(joined, threads=1)
    frames = wanted(source)
    assert {frame.size for frame in frames} == {SIZE}
    first_after = next(
        i for i, frame in enumerate(frames) if frame.vectors[0] and one(frame).size == sizes[1]
    )
    assert frames[first_after - 1].vectors == (None,), "an intra frame: nothing leads over the change"
    for name in ("codec", "auto"):
        found = median(make_step_estimator(name).step(frames[first_after], frames[first_after + 1]))
        np.testing.assert_allclose(found, (MOVE[0] * 192 / 128, MOVE[1] * 128 / 192), atol=0.4)
        for previous, current in pairwise(frames):
            assert np.isfinite(make_step_estimator(name).step(previous, current).field).all()


def test_steps_over_dropped_frames_are_joined(tmp_path: Path) -> None:
    frames = wanted(VideoSource(film(tmp_path)))
    over = over_drop(frames[5], frames[6])
    assert len(over.vectors) == 2
    np.testing.assert_allclose(
        median(make_step_estimator("codec").step(frames[4], over)), (2 * MOVE[0], 2 * MOVE[1]), atol=0.3
    )
    np.testing.assert_allclose(
        median(make_step_estimator("auto").step(frames[4], over)), (2 * MOVE[0], 2 * MOVE[1]), atol=0.5
    )


def test_a_long_row_of_dropped_frames_is_not_joined(tmp_path: Path) -> None:
    frames = wanted(VideoSource(film(tmp_path, count=24)))
    last = frames[2]
    for frame in frames[3:]:
        last = over_drop(last, frame)
    assert last.vectors == ()


# --- frames without


def test_intra_frames_have_none_and_take_the_flow_of_dis(tmp_path: Path) -> None:
    source = VideoSource(film(tmp_path, g="4"))
    frames = wanted(source)
    assert not source.notes, "that is how films are"
    assert [frame.vectors == (None,) for frame in frames[:9]] == [i % 4 == 0 for i in range(9)]
    step = make_step_estimator("codec").step(frames[7], frames[8])
    np.testing.assert_allclose(median(step), MOVE, atol=0.5)


def test_a_stream_that_starts_without_an_intra_frame(tmp_path: Path) -> None:
    whole = film(tmp_path, count=30, g="10", **{"x264-params": "repeat-headers=1"})
    cut = tmp_path / "cut.ts"
    with av.open(str(whole)) as given, av.open(str(cut), "w", format="mpegts") as output:
        old = given.streams.video[0]
        new = output.add_stream_from_template(old)
        for packet in islice(given.demux(old), 4, None):
            if packet.size:
                packet.stream = new
                output.mux(packet)
    frames = wanted(VideoSource(cut))
    assert len(frames) >= 18
    for name in ("codec", "auto"):
        assert error_px(name, frames[-12:]) < 1


def test_after_a_packet_that_does_not_decode_vectors_are_not_trusted(tmp_path: Path) -> None:
    path = film(tmp_path, codec="mpeg4", count=24, g="12")
    source = VideoSource(path, threads=1)
    source.want_vectors()
    with closing(source):
        source.open()
        assert source._decoder is not None
        found: list[Frame] = []
        for index, frame in enumerate(source.frames()):
            found.append(frame)
            if index == 4:
                source._decoder.unsure = True  # what a refused packet leaves
    trusted = [frame.vectors != (None,) for frame in found]
    assert trusted[1:5] == [True] * 4
    assert not any(trusted[5:13]), "up to the next key frame"
    assert all(trusted[13:])


def test_deinterlaced_frames_have_none(tmp_path: Path) -> None:
    path = write_film(
        tmp_path / "laced.mp4",
        moving(6),
        flags=Flags.interlaced_dct | Flags.interlaced_me,
        options={"x264-params": "bff=1", "bf": "0"},
    )
    assert {frame.vectors for frame in wanted(VideoSource(path))} == {(None,)}


def test_a_film_of_intra_frames_alone_says_that_it_has_none(tmp_path: Path) -> None:
    path = write_film(tmp_path / "intra.mp4", moving(5), options={"g": "1"})
    source = VideoSource(path)
    assert {frame.vectors for frame in wanted(source)} == {(None,)}
    assert source.notes == [
        f"'{path}' has no motion vectors at all, since each of its frames is coded by itself: "
        "flow 'codec' and 'auto' are 'lk' there"
    ]
    unasked = VideoSource(path)
    read_all(unasked)
    assert unasked.notes == []


def test_a_film_that_was_read_in_part_says_nothing_of_its_other_frames(tmp_path: Path) -> None:
    source = VideoSource(film(tmp_path))
    source.want_vectors()
    with closing(source):
        source.open()
        frames = source.frames()
        assert next(frames).vectors == (None,)
        frames.close()  # type: ignore[attr-defined]
    assert source.notes == []


def test_b_frames_of_mpeg4_have_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """FFmpeg says zero for every block of them."""
    path = tmp_path / "b.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=25, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", 4_000_000
        for pixels in moving(12):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        output.mux(stream.encode(None))
    source = VideoSource(path)
    frames = wanted(source)
    types = [frame.picture_type for frame in frames]
    assert types.count("B") >= 4
    assert {frame.picture_type for frame in frames if frame.vectors != (None,)} == {"P"}
    assert error_px("auto", frames) <= error_px("lk", frames) + 0.05
    codec = make_step_estimator("codec")
    for before, now in pairwise(frames):
        codec.step(before, now)
    (warning,) = caplog.messages
    assert warning.startswith("the stream has B-frames")
    (note,) = source.notes
    without = sum(frame.vectors == (None,) and frame.picture_type != "I" for frame in frames)
    assert f"no motion vectors to go by on {without} frames beside its intra frames" in note
    live = VideoSource(path)
    live.want_vectors()
    with closing(live):
        live.open()
        live._live = True
        assert sum(frame.vectors == (None,) for frame in live.frames()) > 1
    assert not live.notes


# --- sources without


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("mjpeg", "yuvj420p"), ("libx265", "yuv420p"), ("ffv1", "yuv420p")]
)
def test_codec_is_refused_where_there_are_no_vectors(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    path = film(tmp_path, codec, count=4, pix_fmt=pix_fmt)
    name = {"libx265": "hevc"}.get(codec, codec)
    with pytest.raises(KeywarpError, match=rf"'codec'.*{codec}\.mkv' is {name} video.*--flow lk"):
        list(Run(str(path), flow={"method": "codec"}, models=["enet"], level="result", interval=2))


def test_codec_is_refused_for_pictures(tmp_path: Path) -> None:
    for index, pixels in enumerate(pictures(3)):
        cv2.imwrite(str(tmp_path / f"{index}.png"), pixels)
    with pytest.raises(KeywarpError, match=r"no video with any.*use --flow lk"):
        list(Run(str(tmp_path), flow={"method": "codec"}, level="result"))


def test_auto_is_lk_where_there_are_no_vectors(tmp_path: Path) -> None:
    path = film(tmp_path, "mjpeg", count=4, pix_fmt="yuvj420p")
    auto, dis = (
        list(Run(str(path), flow={"method": method}, level="result", interval=4)) for method in ("auto", "lk")
    )
    for ours, theirs in zip(auto, dis, strict=True):
        np.testing.assert_array_equal(ours[SEGMENTATION].labels, theirs[SEGMENTATION].labels)


@pytest.mark.parametrize("method", ["codec", "auto"])
def test_a_run_reads_vectors_where_its_flow_wants_them(tmp_path: Path, method: str) -> None:
    path = film(tmp_path)
    packets = list(Run(str(path), flow={"method": method}, level="result", interval=4, size="96x64"))
    assert len(packets) == 12
    assert sum(packet.frame.vectors not in ((), (None,)) for packet in packets) == 11
    assert not any(
        p.frame.vectors for p in Run(str(path), flow={"method": "dis"}, level="result", interval=4)
    )


def test_the_flow_can_be_changed_to_codec_where_vectors_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = film(tmp_path)
    for method, said in (("auto", 0), ("dis", 1)):
        run = Run(str(path), flow={"method": method}, level="result", interval=100)
        run.controls.change({"flow": "codec"})
        caplog.clear()
        assert len(list(run)) == 12
        assert sum("are not read" in record.getMessage() for record in caplog.records) == said


def test_times_and_pictures_are_the_same_with_vectors(tmp_path: Path) -> None:
    path = film(tmp_path, bf="2")
    plain, with_vectors = read_all(VideoSource(path))[1], wanted(VideoSource(path))
    assert [f.pts * f.time_base for f in plain] == [f.pts * f.time_base for f in with_vectors]
    assert plain[1].time_base > Fraction(0)
    for ours, theirs in zip(with_vectors, plain, strict=True):
        np.testing.assert_array_equal(ours.gray(), theirs.gray())
