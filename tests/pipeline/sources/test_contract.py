"""What sources/base.py promises, asked of every source."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources.base import Source
from keywarp.pipeline.sources.images import ImageSource
from keywarp.pipeline.sources.scaled import ScaledSource
from keywarp.pipeline.sources.street import StreetSource
from keywarp.pipeline.sources.synthetic import SyntheticSource
from keywarp.pipeline.sources.video import VideoSource
from keywarp.pipeline.sources.webcam import WebcamSource

from .films import JumpingClock, pictures, read_all, write_film
from .test_webcam import FakeCamera, plug_in

COUNT = 6
Make = Callable[[], Source]


def _film(folder: Path) -> Path:
    return write_film(folder / "film.mp4", pictures(COUNT))


def _folder(folder: Path) -> Path:
    for index, pixels in enumerate(pictures(COUNT)):
        cv2.imwrite(str(folder / f"picture{index}.png"), pixels)
    return folder


SOURCES = (
    "video", "images", "street", "street live", "synthetic", "synthetic live", "scaled", "webcam", "http"
)  # fmt: skip


def _live_street() -> Source:
    source = StreetSource(size=(64, 48), length=3, rate=5, live=True)
    source.clock = JumpingClock(20)  # a busy machine makes no frame late
    return source


@pytest.fixture(params=SOURCES)
def make(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[[Path], str],
) -> Make:
    match request.param:
        case "video":
            film = _film(tmp_path)
            return lambda: VideoSource(film, threads=1)
        case "images":
            folder = _folder(tmp_path)
            return lambda: ImageSource(folder)
        case "street":
            return lambda: StreetSource(size=(64, 48), length=COUNT)
        case "street live":
            return _live_street
        case "synthetic":
            return lambda: SyntheticSource(length=COUNT)
        case "synthetic live":
            return lambda: SyntheticSource(length=COUNT, live=True)
        case "scaled":
            film = _film(tmp_path)
            return lambda: ScaledSource(VideoSource(film), (33, 21))
        case "webcam":
            plug_in(monkeypatch, tmp_path, lambda: FakeCamera(pictures(COUNT)))
            return WebcamSource
        case _:
            _film(tmp_path)
            url = serve(tmp_path)
            return lambda: VideoSource(f"{url}/film.mp4")


@pytest.fixture
def source(make: Make) -> Iterator[Source]:
    source = make()
    yield source
    source.close()


def _three(source: Source) -> list[Frame]:
    """Three frames and no more: a camera never ends."""
    return list(islice(source.frames(), 3))


def test_frames_are_as_announced(source: Source) -> None:
    info = source.open()
    frames = _three(source)

    assert len(frames) == 3
    assert info.name
    assert all(a.index < b.index and a.pts < b.pts for a, b in pairwise(frames))
    for frame in frames:
        assert frame.size == info.size == (frame.bgr.shape[1], frame.bgr.shape[0])
        assert frame.time_base == info.time_base
        assert isinstance(frame.pts, int)
        assert frame.picture_type in (None, "I", "P", "B")


def test_arrays_are_bgr_bytes_that_cannot_be_written(source: Source) -> None:
    info = source.open()
    frame = next(source.frames())

    assert frame.bgr.dtype == np.uint8
    assert frame.bgr.shape == (info.size[1], info.size[0], 3)
    assert frame.bgr.flags.c_contiguous
    planes = frame.picture.yuv()
    for array in (frame.bgr, frame.gray(), frame.gray((16, 12)), planes.y, planes.u, planes.v):
        assert not array.flags.writeable


def test_a_file_ends_and_holds_as_many_frames_as_it_says(source: Source) -> None:
    info = source.open()
    if info.live:
        pytest.skip("a live stream has no number of frames")
    assert len(list(source.frames())) == info.frame_count
    assert source.losses.total == 0
    assert source.notes == []


def test_a_fresh_source_gives_the_same_frames(make: Make) -> None:
    runs = []
    for source in (make(), make()):
        source.open()
        runs.append(_three(source))
        source.close()
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one.bgr, other.bgr)


def test_closing_is_always_possible(make: Make) -> None:
    source = make()
    source.close()
    source = make()
    source.open()
    source.close()
    source.close()


def test_frames_stay_good_after_the_source_is_closed(make: Make) -> None:
    source = make()
    source.open()
    stream = source.frames()
    frame = next(stream)
    del stream  # left early, as a graph that is stopped does
    source.close()
    assert frame.bgr.size
    assert frame.known_step is None or frame.known_step.size == frame.size


def test_the_clock_is_the_one_that_was_set(source: Source) -> None:
    source.clock = ManualClock(start_ns=5_000)
    source.open()
    assert next(source.frames()).capture_ns == 5_000


def test_known_steps_are_flows_of_the_frame(source: Source) -> None:
    source.open()
    for frame in _three(source):
        step = frame.known_step
        if step is not None:
            assert step.field.dtype == np.float32
            assert step.valid.dtype == np.bool_
            assert step.field.shape[:2] == step.valid.shape


def test_everything_read_is_counted(make: Make) -> None:
    source = make()
    if isinstance(source, WebcamSource):
        pytest.skip("a camera does not end by itself")
    info, frames = read_all(source)
    assert frames[-1].index + 1 == len(frames) + source.losses.total
    assert info.frame_count in (None, len(frames))


def test_an_interrupt_is_always_possible_and_no_error(make: Make) -> None:
    source = make()
    source.interrupt()
    source.open()
    stream = source.frames()
    next(stream)
    source.interrupt()
    start_s = time.monotonic()
    next(stream, None)
    assert time.monotonic() - start_s < 1
    source.close()
    source.interrupt()


def test_an_interrupt_before_opening_is_forgotten(make: Make) -> None:
    source = make()
    source.interrupt()
    source.open()
    assert len(_three(source)) == 3
    source.close()


def test_the_files_that_frames_come_from_are_named(make: Make, tmp_path: Path) -> None:
    source = make()
    info = source.open()
    source.close()
    inner = source.source if isinstance(source, ScaledSource) else source
    if isinstance(inner, ImageSource):
        assert info.paths == (tmp_path,)
    elif isinstance(inner, VideoSource) and "://" not in info.name:
        assert info.paths == (tmp_path / "film.mp4",)
    else:
        assert info.paths == ()
