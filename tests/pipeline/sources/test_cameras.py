from __future__ import annotations

import errno
import json
import struct
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from keywarp.engines.errors import SourceError
from keywarp.pipeline.cli.cameras import print_cameras
from keywarp.pipeline.sources import v4l2
from keywarp.pipeline.sources.cameras import Camera, CameraFormat, CameraMode, describe_camera, list_cameras

# The requests as the kernel's header makes them, from: printf("%#lx", VIDIOC_QUERYCAP) and so on, x86-64.
QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
S_FMT = 0xC0D05605
CAPTURE, STREAMING, DEVICE_CAPS, METADATA, OUTPUT = 0x1, 0x4000000, 0x80000000, 0x800000, 0x2


class Driver:
    """Answers requests with bytes laid out by hand: two formats, sizes one by one and as a range."""

    def __init__(
        self, caps: int = CAPTURE | STREAMING, all_caps: int = CAPTURE | METADATA | DEVICE_CAPS
    ) -> None:
        self.capability = b"uvcvideo".ljust(16, b"\0") + "Café Camera: HD".encode().ljust(32, b"\0")
        self.capability += b"usb-0000:00:14.0-1".ljust(32, b"\0")
        self.capability += struct.pack("=III", 0x060100, all_caps, caps) + bytes(12)
        self.endless = False

    def __call__(self, handle: int, request: int, structure: bytearray) -> int:
        assert handle == 7
        structure[:] = self._answer(request, bytes(structure))
        return 0

    def _answer(self, request: int, given: bytes) -> bytes:
        if request == QUERYCAP:
            assert len(given) == 104
            return self.capability
        index = int.from_bytes(given[:4], sys.byteorder)
        if request == ENUM_FMT:
            return self._format(0 if self.endless else index, given)
        if request == ENUM_FRAMESIZES:
            return self._size(index, given)
        assert request == ENUM_FRAMEINTERVALS
        return self._interval(index, given)

    def _format(self, index: int, given: bytes) -> bytes:
        assert len(given) == 64
        assert struct.unpack("=I", given[4:8]) == (1,)  # V4L2_BUF_TYPE_VIDEO_CAPTURE
        formats = [(b"Motion-JPEG", b"MJPG"), (b"YUYV 4:2:2", b"YUYV"), (b"Greyscale", b"GREY")]
        if index >= len(formats):
            raise OSError(errno.EINVAL, "the list has ended")
        name, code = formats[index]
        return struct.pack("=III", index, 1, 0) + name.ljust(32, b"\0") + code + bytes(16)

    def _size(self, index: int, given: bytes) -> bytes:
        assert len(given) == 44
        code = given[4:8]
        if code == b"GREY":
            raise OSError(errno.ENOTTY, "an old driver")
        if code == b"YUYV":
            head = struct.pack("=I4sI6I", index, code, 3, 160, 1280, 16, 120, 720, 8)  # stepwise
            return head + bytes(8)
        sizes = [(640, 480), (1920, 1080)]
        if index >= len(sizes):
            raise OSError(errno.EINVAL, "the list has ended")
        return struct.pack("=I4sI2I", index, code, 1, *sizes[index]) + bytes(24)

    def _interval(self, index: int, given: bytes) -> bytes:
        assert len(given) == 52
        code, width, height = given[4:8], *struct.unpack("=II", given[8:16])
        if code == b"YUYV":
            assert (width, height) == (1280, 720)
            return struct.pack("=I4sIII6I", index, code, width, height, 3, 1, 10, 1, 5, 1, 1) + bytes(8)
        intervals = [(1, 15), (1001, 30_000)] if width == 640 else [(1, 30), (0, 0)]
        if index >= len(intervals):
            raise OSError(errno.EINVAL, "the list has ended")
        return struct.pack("=I4sIII2I", index, code, width, height, 1, *intervals[index]) + bytes(24)


EXPECTED = Camera(
    "/dev/video0",
    "Café Camera: HD",
    "uvcvideo",
    (
        CameraFormat(
            "MJPG",
            "Motion-JPEG",
            (
                CameraMode((1920, 1080), (Fraction(30),)),
                CameraMode((640, 480), (Fraction(30_000, 1001), Fraction(15))),
            ),
        ),
        CameraFormat(
            "YUYV", "YUYV 4:2:2", (CameraMode((160, 120), (Fraction(10), Fraction(5)), (1280, 720)),)
        ),
        CameraFormat("GREY", "Greyscale"),
    ),
)


@pytest.mark.skipif(struct.calcsize("P") != 8, reason="the numbers are those of 64-bit machines")
def test_requests_are_the_kernel_s() -> None:
    requests = v4l2.QUERYCAP, v4l2.ENUM_FMT, v4l2.ENUM_FRAMESIZES, v4l2.ENUM_FRAMEINTERVALS, v4l2.S_FMT
    assert requests == (QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS, S_FMT)


def test_a_camera_is_read_from_what_its_driver_answers() -> None:
    assert describe_camera("/dev/video0", 7, Driver()) == EXPECTED


@pytest.mark.parametrize(
    ("caps", "all_caps"),
    [(METADATA, CAPTURE | METADATA | DEVICE_CAPS), (OUTPUT, OUTPUT | DEVICE_CAPS), (CAPTURE, OUTPUT)],
)
def test_what_captures_no_pictures_is_left_out(caps: int, all_caps: int) -> None:
    assert describe_camera("/dev/video1", 7, Driver(caps, all_caps)) is None


def test_a_list_without_end_ends() -> None:
    driver = Driver()
    driver.endless = True
    camera = describe_camera("/dev/video0", 7, driver)
    assert camera is not None
    assert len(camera.formats) == 256


@pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")
def test_devices_are_looked_at_in_order_and_files_are_none(tmp_path: Path) -> None:
    for name in ("video10", "video2", "video-like", "audio0"):
        (tmp_path / name).touch()
    assert list_cameras(tmp_path) == []
    (tmp_path / "video2").unlink()
    (tmp_path / "video2").symlink_to(tmp_path / "nothing")
    (camera,) = list_cameras(tmp_path)
    assert camera.device == str(tmp_path / "video2")
    assert camera.problem == "no such file or directory"


@pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")
def test_this_machine_is_listed_without_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    cameras = list_cameras()
    print_cameras()
    out = capsys.readouterr().out
    if not any(Path("/dev").glob("video*")):
        assert cameras == []
        assert "no camera found; plug one in" in out


def test_other_systems_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SourceError, match="on Linux only, not on win32"):
        list_cameras()


def test_the_table_has_every_mode(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    locked = Camera(
        "/dev/video1", "", "", problem="no permission: sudo usermod -aG video $USER, and log in again"
    )
    print_cameras(cameras=[EXPECTED, locked])
    out = capsys.readouterr().out
    for text in ("Café Camera: HD (uvcvideo)", "1920x1080 at 30; 640x480 at 29.97, 15", "no permission"):
        assert text in out
    assert "160x120 to 1280x720 at 10, 5" in out


def test_json_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    print_cameras(json=True, cameras=[EXPECTED])
    (camera,) = json.loads(capsys.readouterr().out)
    assert camera["formats"][0]["modes"][1] == {"size": [640, 480], "rates": [29.97, 15.0], "largest": None}
    assert (camera["driver"], camera["problem"]) == ("uvcvideo", None)
