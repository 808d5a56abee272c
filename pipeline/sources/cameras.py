"""The cameras of a Linux machine, and what each can deliver."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from keywarp.engines.errors import SourceError
from keywarp.flow.base import Size

from . import v4l2
from .v4l2 import Ioctl

_DEVICES = Path("/dev")
_MOST_ENTRIES = 256  # of one list: a driver that never ends one is broken


@dataclass(frozen=True, slots=True)
class CameraMode:
    """One size in pixels, and the frame rates in 1/s that it comes at, the fastest first.

    ``largest``: where any size from ``size`` to this one can be had; the rates are then those of the largest.
    """

    size: Size
    rates: tuple[Fraction, ...] = ()
    largest: Size | None = None


@dataclass(frozen=True, slots=True)
class CameraFormat:
    """A pixel format by its four letters (``MJPG``, ``YUYV``), in words, and its modes, the largest first."""

    code: str
    description: str
    modes: tuple[CameraMode, ...] = ()


@dataclass(frozen=True, slots=True)
class Camera:
    """A capture device. ``problem``: why no more is known of it, such as missing permission; None where all is."""

    device: str
    name: str
    driver: str
    formats: tuple[CameraFormat, ...] = ()
    problem: str | None = None


def list_cameras(devices: Path = _DEVICES) -> list[Camera]:
    """The cameras, in the order of their numbers; devices that only put out or only describe are left out.

    Raises :class:`SourceError` on systems other than Linux.
    """
    if not sys.platform.startswith("linux"):
        raise SourceError(
            f"cameras can be listed on Linux only, not on {sys.platform}; try them by number: keywarp run 0"
        )
    import fcntl

    found = (_describe(path, fcntl.ioctl) for path in _video_devices(devices))
    return [camera for camera in found if camera is not None]


def describe_camera(device: str, handle: int, ioctl: Ioctl) -> Camera | None:
    """What the open device says of itself through ``ioctl``; None where it captures no pictures."""
    answer = _ask(ioctl, handle, v4l2.QUERYCAP, bytearray(v4l2.CAPABILITY.size))
    if answer is None:
        return None
    driver, card, _bus, _version, all_caps, device_caps = v4l2.CAPABILITY.unpack(answer)
    caps = device_caps if all_caps & v4l2.CAP_DEVICE_CAPS else all_caps
    if not caps & v4l2.CAP_VIDEO_CAPTURE:
        return None
    return Camera(device, v4l2.text_of(card), v4l2.text_of(driver), formats=tuple(_formats(handle, ioctl)))


def _video_devices(devices: Path) -> list[Path]:
    found = [path for path in devices.glob("video*") if path.name[5:].isdecimal()]
    return sorted(found, key=lambda path: int(path.name[5:]))


def _describe(path: Path, ioctl: Ioctl) -> Camera | None:
    try:
        with _opened(path) as handle:
            return describe_camera(str(path), handle, ioctl)
    except OSError as error:
        return Camera(str(path), "", "", problem=_problem(error))


def _problem(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "no permission: sudo usermod -aG video $USER, and log in again"
    return (error.strerror or str(error)).lower()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield handle
    finally:
        os.close(handle)


def _ask(ioctl: Ioctl, handle: int, request: int, structure: bytearray) -> bytes | None:
    """The filled structure; None where the device does not know the request, or the list has ended."""
    try:
        ioctl(handle, request, structure)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):
            return None
        raise
    return bytes(structure)


def _entries(ioctl: Ioctl, handle: int, request: int, size: int, *begins_with: int) -> Iterator[bytes]:
    """A list's structures: index 0 and up, each with ``begins_with`` after its index, until the device says no."""
    for index in range(_MOST_ENTRIES):
        head = b"".join(value.to_bytes(4, sys.byteorder) for value in (index, *begins_with))
        answer = _ask(ioctl, handle, request, bytearray(head.ljust(size, b"\0")))
        if answer is None:
            return
        yield answer


def _formats(handle: int, ioctl: Ioctl) -> Iterator[CameraFormat]:
    layout = v4l2.FORMAT_DESCRIPTION
    for entry in _entries(ioctl, handle, v4l2.ENUM_FMT, layout.size, v4l2.CAPTURE):
        _index, _type, _flags, description, code, _bus = layout.unpack(entry)
        modes = sorted(_modes(handle, ioctl, code), key=lambda mode: mode.size, reverse=True)
        yield CameraFormat(v4l2.letters(code), v4l2.text_of(description), tuple(modes))


def _modes(handle: int, ioctl: Ioctl, code: int) -> Iterator[CameraMode]:
    layout = v4l2.FRAME_SIZE
    for entry in _entries(ioctl, handle, v4l2.ENUM_FRAMESIZES, layout.size, code):
        _index, _code, kind, *sizes = layout.unpack(entry)
        if kind == v4l2.DISCRETE:
            size = sizes[0], sizes[1]
            yield CameraMode(size, _rates(handle, ioctl, code, size))
        else:
            smallest_width, largest_width, _step, smallest_height, largest_height, _step = sizes
            largest = largest_width, largest_height
            rates = _rates(handle, ioctl, code, largest)
            yield CameraMode((smallest_width, smallest_height), rates, largest)
            return  # a range is the whole list


def _rates(handle: int, ioctl: Ioctl, code: int, size: Size) -> tuple[Fraction, ...]:
    layout = v4l2.FRAME_INTERVAL
    rates = set()
    for entry in _entries(ioctl, handle, v4l2.ENUM_FRAMEINTERVALS, layout.size, code, *size):
        _index, _code, _width, _height, kind, *parts = layout.unpack(entry)
        is_discrete = kind == v4l2.DISCRETE
        for numerator, denominator in (parts[:2],) if is_discrete else (parts[:2], parts[2:4]):
            if numerator and denominator:
                rates.add(Fraction(denominator, numerator))
        if not is_discrete:
            break
    return tuple(sorted(rates, reverse=True))
