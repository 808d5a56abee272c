"""Cameras: none for real here, and a made-up one behind OpenCV's interface."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from keywarp.engines.errors import SourceError
from keywarp.flow.base import Size
from keywarp.pipeline.clock import ManualClock
from keywarp.pipeline.config import ReconnectConfig
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources import webcam
from keywarp.pipeline.sources.supervised import SupervisedSource
from keywarp.pipeline.sources.webcam import WebcamSource

from .films import Pixels, pictures

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="devices are listed on Linux only")


class FakeCamera:
    """As much of cv2.VideoCapture as a camera needs. A frame that is None fails to decode."""

    def __init__(self, frames: list[Any], *, opens: bool = True) -> None:
        self.frames = frames
        self.opens = opens
        self.taken = 0
        self.wishes: dict[int, float] = {}
        self.released = 0

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.opens

    def set(self, key: int, value: float) -> bool:
        self.wishes[key] = value
        return True

    def get(self, key: int) -> float:
        return 30.0 if key == cv2.CAP_PROP_FPS else 0.0

    def grab(self) -> bool:
        self.taken += 1
        return self.taken <= len(self.frames)

    def retrieve(self) -> tuple[bool, Pixels | None]:
        pixels = self.frames[self.taken - 1]
        return pixels is not None, pixels

    def read(self) -> tuple[bool, Pixels | None]:
        return self.retrieve() if self.grab() else (False, None)

    def release(self) -> None:
        self.released += 1


def plug_in(monkeypatch: pytest.MonkeyPatch, folder: Path, make: Callable[[], FakeCamera]) -> None:
    """Let camera 0 be a made-up one."""
    (folder / "video0").touch()
    monkeypatch.setattr(webcam, "_DEVICES", folder)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: make())


@pytest.mark.parametrize("camera", [0, "0", "/dev/video0"])
def test_no_such_camera(camera: int | str) -> None:
    if Path("/dev/video0").exists():
        pytest.skip("this machine has a camera")
    source = WebcamSource(camera)
    with pytest.raises(SourceError, match=r"no camera .*0") as caught:
        source.open()
    source.close()
    assert "this machine has none" in str(caught.value) or "gives no picture" in str(caught.value)


@LINUX
def test_the_cameras_that_exist_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("video10", "video2", "videoX"):
        (tmp_path / name).touch()
    monkeypatch.setattr(webcam, "_DEVICES", tmp_path)
    assert webcam.cameras() == [str(tmp_path / "video2"), str(tmp_path / "video10")]
    with pytest.raises(SourceError, match=r"there are: .*video2, .*video10"):
        WebcamSource(0).open()


@LINUX
def test_no_permission_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plug_in(monkeypatch, tmp_path, lambda: FakeCamera(pictures(1)))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SourceError, match="usermod -aG video"):
        WebcamSource(0).open()


@pytest.mark.parametrize("camera", [FakeCamera([], opens=False), FakeCamera([]), FakeCamera([None])])
def test_a_busy_camera(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, camera: FakeCamera) -> None:
    plug_in(monkeypatch, tmp_path, lambda: camera)
    with pytest.raises(SourceError, match="in use by another program"):
        WebcamSource(0).open()
    assert camera.released == 1


def test_size_and_rate_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    camera = FakeCamera(pictures(2))
    plug_in(monkeypatch, tmp_path, lambda: camera)
    source = WebcamSource(0, size=(1280, 720), rate=60)
    info = source.open()
    source.close()
    wished = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
    assert [camera.wishes[key] for key in wished] == [1280, 720, 60]
    assert info.size == (64, 48), "what the camera delivers counts, not the wish"
    assert info.live
    assert info.rate == 30


@pytest.mark.parametrize(
    ("size", "wished", "code"),
    [(None, "yuyv", "YUYV"), ((1280, 720), "h264", "H264"), ((1280, 720), None, "MJPG")],
)
def test_a_format_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: Size | None, wished: str | None, code: str
) -> None:
    camera = FakeCamera(pictures(1))
    plug_in(monkeypatch, tmp_path, lambda: camera)
    source = WebcamSource(0, size=size, format=wished)
    source.open()
    source.close()
    assert camera.wishes[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*code)


@LINUX
def test_the_program_that_has_the_camera_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plug_in(monkeypatch, tmp_path, lambda: FakeCamera([], opens=False))
    with (tmp_path / "video0").open() as device:
        holder = subprocess.Popen(["sleep", "60"], stdin=device)
    try:
        with pytest.raises(SourceError, match=rf"in use by 'sleep' .process {holder.pid}."):
            WebcamSource(0).open()
    finally:
        holder.kill()
        holder.wait()


def test_an_unplugged_camera_is_found_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = [FakeCamera(pictures(3)), FakeCamera([], opens=False), FakeCamera(pictures(4))]
    plug_in(monkeypatch, tmp_path, lambda: there.pop(0) if there else FakeCamera([], opens=False))
    source = SupervisedSource(lambda: WebcamSource(0), ReconnectConfig(first_s=0.01, tries=2))
    source.open()
    fresh: list[Frame] = []
    with pytest.raises(SourceError, match=r"could not be had back in 2 tries: camera .* gives no picture"):
        fresh.extend(frame for frame in source.frames() if not frame.frozen)
    source.close()
    assert source.status.reconnects == 1
    assert [frame.after_gap for frame in fresh] == [False, False, True, False, False]


def test_frames_have_the_time_of_their_capture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plug_in(monkeypatch, tmp_path, lambda: FakeCamera(pictures(4)))
    source = WebcamSource(0)
    clock = ManualClock()
    source.clock = clock
    source.open()
    stream = source.frames()
    clock.advance_ms(100)
    first = next(stream)
    clock.advance_ms(40)
    second = next(stream)
    third = next(stream)
    source.close()
    assert (first.capture_ns, second.capture_ns) == (100_000_000, 140_000_000)
    assert [frame.pts for frame in (first, second, third)] == [0, 3600, 3601], (
        "times rise, whatever the clock does"
    )


def test_bad_frames_are_counted_and_an_unplugged_camera_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, two, three = pictures(3)
    plug_in(monkeypatch, tmp_path, lambda: FakeCamera([one, two, None, np.empty((0, 0, 3), np.uint8), three]))
    source = WebcamSource(0)
    source.open()
    got: list[Frame] = []
    with pytest.raises(SourceError, match="stopped after 2 frames"):
        got.extend(source.frames())
    source.close()
    assert source.losses.by_cause == {"undecodable": 2}


class StalledCamera(FakeCamera):
    """Gives one frame, then each read waits and fails."""

    def grab(self) -> bool:
        self.taken += 1
        if self.taken > 2:
            time.sleep(0.2)
        return self.taken <= 2


@pytest.mark.parametrize("after_s", [0.0, 0.1])
def test_an_interrupted_camera_that_stalls_ends_with_its_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after_s: float
) -> None:
    camera = StalledCamera(pictures(2))
    plug_in(monkeypatch, tmp_path, lambda: camera)
    source = WebcamSource(0)
    source.open()
    stream = source.frames()
    next(stream)
    interrupt = threading.Timer(after_s, source.interrupt)
    interrupt.start()
    assert list(stream) == []
    interrupt.join()
    source.close()
    assert camera.taken <= 4


@LINUX
def test_a_read_of_v4l2_takes_a_second_at_most(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", raising=False)
    plug_in(monkeypatch, tmp_path, lambda: FakeCamera(pictures(1)))
    source = WebcamSource(0)
    source.open()
    source.close()
    assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == "1"
