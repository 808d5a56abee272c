"""Middlebury's ``.flo`` files (Baker et al. 2011): one field, dense, as the FlyingChairs have it.

Four bytes ``PIEH`` (the number 202021.25 as float32), width and height as int32, then for each pixel x and y as
float32, rows from the top; all little-endian.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keywarp.engines.errors import UsageError

from .base import Field, Mask

_MAGIC = b"PIEH"
_HEADER_BYTES = 12
_BYTES_A_PIXEL = 8
_MOST_SIDE_PX = 1 << 16
# Middlebury writes 1e10 where the flow is not known, and takes everything above 1e9 for that.
_UNKNOWN = 1e9


def read_flo(path: Path) -> Field:
    """(H, W, 2) float32, x then y, in pixels. Raises :class:`UsageError` for a file that is no such field."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"flow file '{path}' cannot be read: {error.strerror}") from error
    if data[:4] != _MAGIC:
        raise UsageError(
            f"flow file '{path}' is no .flo file: it begins with {data[:4]!r} instead of {_MAGIC!r}; "
            "give one as Middlebury writes them"
        )
    if len(data) < _HEADER_BYTES:
        raise UsageError(f"flow file '{path}' ends in its header ({len(data)} bytes); get another copy")
    width, height = (int(side) for side in np.frombuffer(data, "<i4", 2, offset=4))
    if not (0 < width <= _MOST_SIDE_PX and 0 < height <= _MOST_SIDE_PX):
        raise UsageError(f"flow file '{path}' says that it is {width}x{height}; it is damaged")
    wanted = _HEADER_BYTES + width * height * _BYTES_A_PIXEL
    if len(data) != wanted:
        raise UsageError(
            f"flow file '{path}' is {width}x{height}, which takes {wanted} bytes, and has {len(data)}; "
            "get another copy"
        )
    values = np.frombuffer(data, "<f4", offset=_HEADER_BYTES)
    return values.reshape(height, width, 2).astype(np.float32)


def write_flo(path: Path, field: Field) -> None:
    """Write (H, W, 2) as float32. Raises :class:`UsageError` for another shape, OSError if it cannot."""
    if field.ndim != 3 or field.shape[2] != 2 or not field.size:
        raise UsageError(f"a field is (height, width, 2); given: {field.shape}")
    height, width = field.shape[:2]
    size = np.array([width, height], "<i4").tobytes()
    path.write_bytes(_MAGIC + size + np.ascontiguousarray(field, "<f4").tobytes())


def known(field: Field) -> Mask:
    """(H, W) bool: where a field that was read says what the flow is."""
    return np.asarray((np.abs(field) <= _UNKNOWN).all(axis=2))  # NaN compares as False
