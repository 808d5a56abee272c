"""Pictures: pixels in the form they arrived in, and every other form made at most once, when asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from keywarp.flow.base import Size, readonly

Pixels = NDArray[np.uint8]
Made = TypeVar("Made")

# Eight-bit planar formats whose first plane is brightness, one byte a pixel: it can be used as it lies.
_LUMA_FORMATS = frozenset(
    ["gray", "nv12", "nv21"]
    + [f"yuv{full}{layout}p" for full in ("", "j") for layout in ("410", "411", "420", "422", "440", "444")]
)
_YUV420P = frozenset(["yuv420p", "yuvj420p"])

_SMPTE170M = 6  # AVCOL_SPC_SMPTE170M, FFmpeg's name for the matrix of BT.601
_MOST_CONVERTERS = 8


@dataclass(frozen=True, slots=True)
class YuvPlanes:
    """Views of 4:2:0 planes, uint8: ``y`` (H, W); ``u`` and ``v`` ((H + 1) // 2, (W + 1) // 2)."""

    y: Pixels
    u: Pixels
    v: Pixels


def plane_view(frame: av.VideoFrame, index: int, height: int, width: int) -> Pixels:
    """A (height, width) view of one plane's bytes; rows may be further apart than ``width``, or bottom up."""
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, abs(plane.line_size))[:height, :width]
    return rows if plane.line_size > 0 else rows[::-1]


def yuv_planes(frame: av.VideoFrame) -> YuvPlanes:
    """Views of the planes of a yuv420p frame; writable where the frame is."""
    half_height, half_width = (frame.height + 1) // 2, (frame.width + 1) // 2
    return YuvPlanes(
        plane_view(frame, 0, frame.height, frame.width),
        plane_view(frame, 1, half_height, half_width),
        plane_view(frame, 2, half_height, half_width),
    )


class _Converters(threading.local):
    """FFmpeg's converters of this thread, one for each conversion: setting one up costs more than using it."""

    def __init__(self) -> None:
        self.known: dict[object, VideoReformatter] = {}


_converters = _Converters()


def convert(frame: av.VideoFrame, size: Size | None = None, pixel_format: str | None = None) -> av.VideoFrame:
    """``frame`` at another size or in another pixel format, by its own colour tags, in the calling thread.

    None keeps what it is; where nothing changes, the frame itself is returned.
    """
    width, height = size or (frame.width, frame.height)
    known = _converters.known
    key = (frame.width, frame.height, frame.format.name, width, height, pixel_format)
    if key not in known:
        if len(known) >= _MOST_CONVERTERS:
            known.clear()
        known[key] = VideoReformatter()
    return known[key].reformat(frame, width, height, pixel_format, threads=1)


class Picture:
    """One image in every form that the pipeline uses.

    Made of a decoder's frame (any pixel format) or of BGR pixels; keeps them as they are, without a copy.
    Each other form is made the first time it is asked for and then kept. All arrays are read-only views,
    uint8, with rows that may be padded unless said otherwise. Any thread may ask.
    """

    __slots__ = ("_av", "_bgr", "_lock", "_made", "size")

    def __init__(self, *, av_frame: av.VideoFrame | None = None, bgr: Pixels | None = None) -> None:
        if (av_frame is None) == (bgr is None):
            raise ValueError("a Picture is made of exactly one of av_frame and bgr")
        self._av = av_frame
        self._bgr = bgr
        self._lock = threading.RLock()
        self._made: dict[object, Any] = {}
        self.size: Size = (av_frame.width, av_frame.height) if av_frame is not None else _size_of(bgr)

    @classmethod
    def from_av(cls, frame: av.VideoFrame) -> Picture:
        """A picture that keeps a decoded frame; its planes must not be written any more."""
        return cls(av_frame=frame)

    @classmethod
    def from_bgr(cls, pixels: Pixels) -> Picture:
        """A picture that keeps (H, W, 3) uint8 BGR pixels; they must not be written any more."""
        return cls(bgr=pixels)

    def anew(self) -> Picture:
        """The same pixels, in no other form yet: what is made of it is not kept with this one."""
        return Picture(av_frame=self._av, bgr=self._bgr)

    @property
    def given_bytes(self) -> int:
        """How much memory the pixels take as they came, without the other forms."""
        if self._bgr is not None:
            return self._bgr.nbytes
        assert self._av is not None
        return sum(plane.buffer_size for plane in self._av.planes)

    @property
    def bgr(self) -> Pixels:
        """(H, W, 3) uint8 BGR, C-contiguous, as OpenCV has it."""
        return self._once("bgr", self._make_bgr)

    def bgr_at(self, size: Size) -> Pixels:
        """:attr:`bgr` scaled to ``size`` (width, height)."""
        return self.scaled(size).bgr

    def gray(self, size: Size | None = None) -> Pixels:
        """Brightness, (H, W) uint8, at ``size`` (None: as it is): the Y plane where there is one."""
        if size is None or size == self.size:
            return self._once("gray", self._make_gray)
        return self._once(("gray", size), lambda: self._small_gray(size))

    def yuv(self) -> YuvPlanes:
        """4:2:0 planes, as encoders take them: the decoder's own where it made such."""
        return self._once("yuv", self._make_yuv)

    def av_frame(self) -> av.VideoFrame:
        """The picture as a yuv420p frame for an encoder. Shared: set no timestamps on it."""
        return self._once("av", self._make_yuv420p)

    def scaled(self, size: Size) -> Picture:
        """The same picture at ``size`` (width, height)."""
        if size == self.size:
            return self
        return self._once(("scaled", size), lambda: self._make_scaled(size))

    def _once(self, key: object, make: Callable[[], Made]) -> Made:
        found = self._made.get(key)
        if found is None:
            with self._lock:
                found = self._made.get(key)
                if found is None:
                    found = self._made[key] = make()
        return found

    def _make_bgr(self) -> Pixels:
        if self._bgr is not None:
            return readonly(np.ascontiguousarray(self._bgr))
        assert self._av is not None
        return readonly(np.ascontiguousarray(convert(self._av, pixel_format="bgr24").to_ndarray()))

    def _make_gray(self) -> Pixels:
        if self._bgr is not None:
            return readonly(cv2.cvtColor(self._bgr, cv2.COLOR_BGR2GRAY))
        assert self._av is not None
        frame = self._av
        if frame.format.name not in _LUMA_FORMATS:
            frame = self.av_frame()
        return readonly(plane_view(frame, 0, frame.height, frame.width))

    def _small_gray(self, size: Size) -> Pixels:
        """As :func:`_resized` makes it; the halves on the way are kept, every smaller size begins with them."""
        pixels = self.gray()
        width, height = self.size
        while width >= 2 * size[0] and height >= 2 * size[1]:
            width, height = half = (width + 1) // 2, (height + 1) // 2
            pixels = self._once(("gray", half), partial(_resized, pixels, half))
        return _resized(pixels, size)

    def _make_yuv(self) -> YuvPlanes:
        planes = yuv_planes(self.av_frame())
        return YuvPlanes(readonly(planes.y), readonly(planes.u), readonly(planes.v))

    def _make_yuv420p(self) -> av.VideoFrame:
        if self._av is not None:
            return self._av if self._av.format.name in _YUV420P else convert(self._av, pixel_format="yuv420p")
        return bgr_to_yuv420p(self.bgr)

    def _make_scaled(self, size: Size) -> Picture:
        if self._bgr is not None:
            return Picture.from_bgr(_resized(self._bgr, size))
        assert self._av is not None
        only_read = self._av.format.has_palette or self._av.format.is_bayer
        return Picture.from_av(convert(self._av, size, "bgr24" if only_read else None))


def bgr_to_yuv420p(pixels: Pixels) -> av.VideoFrame:
    """BGR pixels as a yuv420p frame, tagged as what it is: BT.601, limited range, as OpenCV converts."""
    height, width = pixels.shape[:2]
    even = cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    rows, columns = even.shape[:2]
    flat = cv2.cvtColor(even, cv2.COLOR_BGR2YUV_I420).ravel()
    half = (rows // 2, columns // 2)
    split = rows * columns, rows * columns + half[0] * half[1]
    frame = av.VideoFrame(width, height, "yuv420p")
    frame.colorspace, frame.color_range = _SMPTE170M, ColorRange.MPEG
    planes = yuv_planes(frame)
    planes.y[:] = flat[: split[0]].reshape(rows, columns)[:height, :width]
    planes.u[:] = flat[split[0] : split[1]].reshape(half)
    planes.v[:] = flat[split[1] :].reshape(half)
    return frame


def _resized(pixels: Pixels, size: Size) -> Pixels:
    """Bilinear, after halving as often as fits: as free of aliasing as averaging areas, at a tenth of its cost."""
    height, width = pixels.shape[:2]
    while width >= 2 * size[0] and height >= 2 * size[1]:
        width, height = (width + 1) // 2, (height + 1) // 2
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    if (width, height) != size:
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    return readonly(pixels)


def _size_of(pixels: Pixels | None) -> Size:
    if pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        given = None if pixels is None else f"{pixels.dtype}{list(pixels.shape)}"
        raise ValueError(f"BGR pixels are uint8 [H, W, 3]; given: {given}")
    return pixels.shape[1], pixels.shape[0]
