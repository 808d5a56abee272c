"""Cameras on this machine, through OpenCV."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import cv2

from keywarp.engines.errors import SourceError, unknown_name
from keywarp.flow.base import Size, readonly
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.picture import Picture, Pixels
from keywarp.pipeline.stage import StreamInfo

from .base import Source
from .rate import Rate, exact_rate
from .video import UNDECODABLE

_DEVICES = Path("/dev")
_TIME_BASE = Fraction(1, 90_000)
_NS_PER_TICK = Fraction(10**9, 90_000)
_PROCESSES = Path("/proc")
_READ_TIMEOUT_S = 1
_MOST_MISSES = 5

FORMATS = {"mjpeg": "MJPG", "h264": "H264", "yuyv": "YUYV", "uyvy": "UYVY", "nv12": "NV12", "grey": "GREY"}
"""How a camera can be asked to send its pictures, and the four letters for it."""


class WebcamSource(Source):
    """A camera by its number, or on Linux by its device such as ``/dev/video0``. Always live.

    ``size``, ``rate`` and ``format`` (a name in ``FORMATS``) are wishes: a camera takes the nearest mode it has,
    and :meth:`open` tells which. Times are those of the clock when a frame was taken from the driver, in 1/90000 s
    since the first.
    """

    def __init__(
        self,
        camera: int | str = 0,
        *,
        size: Size | None = None,
        rate: Rate | None = None,
        format: str | None = None,  # noqa: A002 - the option's name
    ) -> None:
        super().__init__()
        self._camera = int(camera) if str(camera).isdecimal() else str(camera)
        self._wished_size = size
        if format is not None and format not in FORMATS:
            raise unknown_name("format of a camera", format, FORMATS)
        self._wished_format = format
        self._wished_rate = None if rate is None else exact_rate(rate)
        self._capture: cv2.VideoCapture | None = None
        self._size: Size = (0, 0)
        self._interrupted = False

    @property
    def name(self) -> str:
        """The camera as a user knows it."""
        if isinstance(self._camera, str):
            return self._camera
        return str(_DEVICES / f"video{self._camera}") if _on_linux() else f"camera {self._camera}"

    def open(self) -> StreamInfo:
        """Open the camera and take one frame, to know what it really delivers."""
        self._interrupted = False
        if _on_linux():
            self._check_device(Path(self.name))
            # V4L2 ignores CAP_PROP_READ_TIMEOUT_MSEC and would wait 10 s for a camera that stalls
            os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(_READ_TIMEOUT_S))
        self._capture = capture = cv2.VideoCapture(*self._opencv_place())
        self._wish(capture)
        ok, pixels = capture.read() if capture.isOpened() else (False, None)
        if not ok or pixels is None:
            self.close()
            raise SourceError(self._no_picture())
        self._size = pixels.shape[1], pixels.shape[0]
        rate = capture.get(cv2.CAP_PROP_FPS)
        return StreamInfo(
            name=self.name,
            size=self._size,
            rate=exact_rate(rate) if 0 < rate < 10_000 else None,
            time_base=_TIME_BASE,
            live=True,
        )

    def _no_picture(self) -> str:
        holder = _holder(Path(self.name)) if _on_linux() else None
        if holder is not None:
            return f"camera '{self.name}' is in use by {holder}; end that program, or give another camera"
        return (
            f"camera '{self.name}' gives no picture: it is in use by another program, or no camera that can be "
            "read; close other programs that show it, or give another number"
        )

    def frames(self) -> Iterator[Frame]:
        """The camera's frames, until it is unplugged, which raises :class:`SourceError`."""
        if self._capture is None:
            raise SourceError(f"camera '{self.name}' is not open; call open() first")
        start_ns: int | None = None
        last = -1
        for index in count():
            grabbed = self._grab(self._capture, index)
            if grabbed is None:
                return
            capture_ns, pixels = grabbed
            start_ns = capture_ns if start_ns is None else start_ns
            last = max(last + 1, round((capture_ns - start_ns) / _NS_PER_TICK))
            picture = Picture.from_bgr(readonly(pixels)).scaled(self._size)
            yield Frame(index, last, _TIME_BASE, capture_ns, picture)

    def _grab(self, capture: cv2.VideoCapture, index: int) -> tuple[int, Pixels] | None:
        """When the driver handed the next frame over, and the frame; None where that was interrupted."""
        for _ in range(_MOST_MISSES):
            if self._interrupted:
                return None
            if not capture.grab():
                continue
            capture_ns = self.clock.now_ns()
            ok, pixels = capture.retrieve()
            if ok and pixels is not None and pixels.size:
                return capture_ns, pixels
            self.losses.add(UNDECODABLE)
        if self._interrupted:
            return None
        raise SourceError(f"camera '{self.name}' stopped after {index} frames; was it unplugged?")

    def interrupt(self) -> None:
        """End the stream with the read under way, which takes a second at most."""
        self._interrupted = True

    def close(self) -> None:
        """Give the camera back."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _opencv_place(self) -> tuple[Any, int]:
        if not _on_linux():
            return self._camera, cv2.CAP_ANY
        number = re.fullmatch(r"video(\d+)", Path(self.name).resolve().name)
        return int(number[1]) if number else self.name, cv2.CAP_V4L2

    def _wish(self, capture: cv2.VideoCapture) -> None:
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # an old frame is worth nothing
        capture.set(cv2.CAP_PROP_READ_TIMEOUT_MSEC, 1000 * _READ_TIMEOUT_S)
        wished = self._wished_format
        if wished is None and self._wished_size is not None and self._wished_size[0] > 640:
            wished = "mjpeg"  # over USB 2, raw pictures above 640x480 come at 5 to 10 frames a second
        if wished is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*FORMATS[wished]))
        if self._wished_size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._wished_size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._wished_size[1])
        if self._wished_rate is not None:
            capture.set(cv2.CAP_PROP_FPS, float(self._wished_rate))

    def _check_device(self, device: Path) -> None:
        if not device.exists():
            found = cameras()
            others = f"there are: {', '.join(found)}" if found else "this machine has none"
            raise SourceError(
                f"there is no camera '{device}' ({others}); plug one in, or give another number or a file"
            )
        if not os.access(device, os.R_OK | os.W_OK):
            raise SourceError(
                f"camera '{device}' may not be opened by this user; join its group with: "
                "sudo usermod -aG video $USER, and log in again"
            )


def cameras() -> list[str]:
    """The video devices that Linux lists, such as ``/dev/video0``; empty on other systems."""
    found = [path for path in _DEVICES.glob("video*") if path.name[5:].isdecimal()]
    return [str(path) for path in sorted(found, key=lambda path: int(path.name[5:]))]


def _holder(device: Path) -> str | None:
    """The other program that has ``device`` open, as far as this user may see that."""
    target = device.resolve()
    for link in _PROCESSES.glob("[0-9]*/fd/*"):
        process = link.parent.parent
        try:
            if process.name != str(os.getpid()) and link.readlink() == target:
                return f"'{(process / 'comm').read_text().strip()}' (process {process.name})"
        except OSError:
            continue
    return None


def _on_linux() -> bool:
    return sys.platform.startswith("linux")
