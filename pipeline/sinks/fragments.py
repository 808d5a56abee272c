"""Fragments of an mp4 file: what a reader can use of one that was not finished."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_HEADER_BYTES = 8
_LARGE_HEADER_BYTES = 16


def cut_to_fragments(path: Path) -> bool:
    """Cut a fragmented file behind its last whole fragment; False where it has none, and stays as it is.

    Strict readers fail at a fragment that ends in the middle.
    """
    with path.open("r+b") as file:
        end = _end_of_fragments(file)
        if end is not None:
            file.truncate(end)
    return end is not None


def _end_of_fragments(file: BinaryIO) -> int | None:
    """Where the last ``mdat`` box after a ``moof`` box ends, None without one."""
    end, before = None, b""
    for kind, box_end in _whole_boxes(file):
        if kind == b"mdat" and before == b"moof":
            end = box_end
        before = kind
    return end


def _whole_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and end of each outermost box that lies in the file wholly (ISO/IEC 14496-12, section 4.2)."""
    total, start = file.seek(0, 2), 0
    while start + _HEADER_BYTES <= total:
        file.seek(start)
        header = file.read(_LARGE_HEADER_BYTES)
        size, kind = struct.unpack(">I4s", header[:_HEADER_BYTES])
        if size == 1 and len(header) == _LARGE_HEADER_BYTES:
            (size,) = struct.unpack(">Q", header[_HEADER_BYTES:])
        start += size
        if size < _HEADER_BYTES or start > total:
            return
        yield kind, start
