"""Video4Linux2 as the kernel's header has it: the few calls and structures that keywarp uses itself.

Layouts: linux/videodev2.h and asm-generic/ioctl.h; they are the same on all little-endian machines that Python's
``struct`` calls native, but for the padding that ``FORMAT`` takes from the size of a pointer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

Ioctl = Callable[[int, int, bytearray], object]
"""``fcntl.ioctl``: takes an open device, a request and a structure, which it fills; raises :class:`OSError`."""

CAPABILITY = struct.Struct("=16s32s32sIII12x")
FORMAT_DESCRIPTION = struct.Struct("=III32sII12x")
FRAME_SIZE = struct.Struct("=III6I8x")
FRAME_INTERVAL = struct.Struct("=IIIII6I8x")
# The type, padded to where a pointer may stand, and a union of 200 bytes; of which the picture's format.
_UNION_AT = max(4, struct.calcsize("P"))
FORMAT = struct.Struct(f"=I{_UNION_AT - 4}x12I{200 - 48}x")

CAPTURE, OUTPUT = 1, 2
CAP_VIDEO_CAPTURE, CAP_VIDEO_OUTPUT, CAP_VIDEO_CAPTURE_MPLANE = 0x1, 0x2, 0x1000
CAP_DEVICE_CAPS = 0x8000_0000
DISCRETE = 1
FIELD_NONE, COLORSPACE_SMPTE170M = 1, 1

_READ, _WRITE = 2, 1


def _request(direction: int, number: int, layout: struct.Struct) -> int:
    return direction << 30 | layout.size << 16 | ord("V") << 8 | number


QUERYCAP = _request(_READ, 0, CAPABILITY)
ENUM_FMT = _request(_READ | _WRITE, 2, FORMAT_DESCRIPTION)
S_FMT = _request(_READ | _WRITE, 5, FORMAT)
ENUM_FRAMESIZES = _request(_READ | _WRITE, 74, FRAME_SIZE)
ENUM_FRAMEINTERVALS = _request(_READ | _WRITE, 75, FRAME_INTERVAL)


def fourcc(code: str) -> int:
    """A pixel format by its four letters."""
    return int.from_bytes(code.encode("ascii"), "little")


def letters(code: int) -> str:
    """The four letters of a pixel format."""
    return (code & 0x7FFF_FFFF).to_bytes(4, "little").decode("ascii", "replace").rstrip()


def text_of(field: bytes) -> str:
    """The text in a field that ends at its first zero."""
    return field.partition(b"\0")[0].decode("utf-8", "replace")
