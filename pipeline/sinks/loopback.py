"""Pictures into a V4L2 loopback device, from which any program takes them as from a camera."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from keywarp.engines.errors import SinkError, UsageError
from keywarp.flow.base import Size
from keywarp.pipeline.keys import OVERLAY
from keywarp.pipeline.packet import Key, Packet
from keywarp.pipeline.picture import Picture
from keywarp.pipeline.sources import v4l2
from keywarp.pipeline.stage import Sink, StreamInfo

from .output import reason

_HELP = "load the driver with: sudo modprobe v4l2loopback video_nr=10 exclusive_caps=1"


class LoopbackSink(Sink):
    """Writes pictures, 4:2:0, to an output device such as ``/dev/video10`` (v4l2loopback). Linux only.

    A last odd column or row is left out. Untested on a real device.
    """

    name = "v4l2"

    def __init__(self, device: Path | str, *, picture: Key[Picture] | None = OVERLAY) -> None:
        self._device = Path(device)
        if not sys.platform.startswith("linux"):
            raise UsageError(f"'v4l2:{device}' works on Linux only, not on {sys.platform}")
        self._picture = picture
        self.reads = () if picture is None else (picture,)
        self._handle: int | None = None
        self._size: Size = (0, 0)

    def open(self, info: StreamInfo) -> None:
        """Open the device and tell it the size."""
        self._size = info.size[0] & ~1, info.size[1] & ~1
        if not all(self._size):
            raise SinkError(f"pictures of {info.size[0]}x{info.size[1]} are too small for '{self._device}'")
        try:
            self._handle = os.open(self._device, os.O_RDWR)
            self._set_format(self._handle)
        except FileNotFoundError as error:
            raise SinkError(f"there is no device '{self._device}'; {_HELP}") from error
        except PermissionError as error:
            raise SinkError(
                f"device '{self._device}' may not be opened by this user; join its group with: "
                "sudo usermod -aG video $USER, and log in again"
            ) from error
        except OSError as error:
            raise SinkError(
                f"'{self._device}' is no video output, or is in use as one ({reason(error)}); {_HELP}"
            ) from error

    def process(self, packet: Packet) -> None:
        """Write one picture."""
        picture = packet.frame.picture if self._picture is None else packet[self._picture]
        assert self._handle is not None
        try:
            os.write(self._handle, _packed(picture, self._size))
        except OSError as error:
            raise SinkError(f"'{self._device}' takes no more pictures: {reason(error)}") from error
        self.written += 1

    def close(self) -> None:
        """Close the device."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _set_format(self, handle: int) -> None:
        import fcntl

        fcntl.ioctl(handle, v4l2.S_FMT, format_for(self._size))


def format_for(size: Size) -> bytearray:
    """The structure ``v4l2_format`` for planar 4:2:0 pictures of an even ``size`` on an output device."""
    width, height = size
    picture = (
        width,
        height,
        v4l2.fourcc("YU12"),
        v4l2.FIELD_NONE,
        width,  # bytes per line of the first plane
        width * height * 3 // 2,
        v4l2.COLORSPACE_SMPTE170M,
        0, 0, 0, 0, 0,
    )  # fmt: skip
    return bytearray(v4l2.FORMAT.pack(v4l2.OUTPUT, *picture))


def _packed(picture: Picture, size: Size) -> bytes:
    """The planes Y, U, V of an even size, one after another, without padding."""
    width, height = size
    planes = picture.yuv()
    half = planes.u[: height // 2, : width // 2], planes.v[: height // 2, : width // 2]
    return b"".join(np.ascontiguousarray(plane).tobytes() for plane in (planes.y[:height, :width], *half))
