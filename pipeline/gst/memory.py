"""The pictures in GStreamer's buffers as arrays, without a copy, and arrays as buffers."""

from __future__ import annotations

import ctypes
import threading
import weakref
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from keywarp.flow.base import Size, readonly
from keywarp.pipeline.picture import Picture, plane_view

from .native import (
    FORMAT_TIME,
    MAP_READ,
    MAP_WRITE,
    NONE_NS,
    Buffer,
    FormatInfo,
    MapInfo,
    VideoFrame,
    VideoInfo,
    library,
)

Pixels = NDArray[np.uint8]

# GStreamer's name, FFmpeg's name, and of each plane: how many pixels a sample spans across and down, and its bytes
_LAYOUTS: dict[str, tuple[str, tuple[tuple[int, int, int], ...]]] = {
    "NV12": ("nv12", ((1, 1, 1), (2, 2, 2))),
    "I420": ("yuv420p", ((1, 1, 1), (2, 2, 1), (2, 2, 1))),
    "GRAY8": ("gray", ((1, 1, 1),)),
    "BGR": ("bgr24", ((1, 1, 3),)),
    "YUY2": ("yuyv422", ((2, 1, 4),)),
}
FORMATS = tuple(_LAYOUTS)
"""The raw formats that are taken, in order of preference."""

_FULL_RANGE, _LIMITED_RANGE = 2, 1  # AVColorRange
_GST_FULL_RANGE = 1  # GST_VIDEO_COLOR_RANGE_0_255
# GstVideoColorMatrix, GstVideoColorPrimaries and GstVideoTransferFunction as FFmpeg counts them; 2: not known
_MATRICES = {1: 0, 2: 4, 3: 1, 4: 6, 5: 7, 6: 9}
_PRIMARIES = {1: 1, 2: 4, 3: 5, 4: 6, 5: 7, 6: 8, 7: 9}
_TRANSFERS = {1: 8, 5: 1, 6: 7, 7: 13, 13: 14, 11: 14, 14: 16, 15: 18, 16: 6}
_UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture out of a pipeline, with its time and its running time in ns; None where it has none.

    ``borrowed``: the picture's memory is the buffer itself, which goes back when the picture dies.
    """

    picture: Picture
    pts_ns: int | None
    running_ns: int | None
    borrowed: bool


class Lending:
    """How many buffers of one pipeline are held by pictures now, and how many may be.

    A pool that cannot grow (a camera's, a hardware converter's) would run dry; half of it may be held, and further
    pictures are copied. ``most`` None: no limit.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.held = 0
        self.copied = 0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether one more may be held; it then is."""
        with self._lock:
            if self.most is not None and self.held >= self.most:
                self.copied += 1
                return False
            self.held += 1
            return True

    def give_back(self) -> None:
        """One less is held."""
        with self._lock:
            self.held -= 1


class _Mapped:
    """A buffer mapped for reading; unmapped and given back when this object dies."""

    def __init__(self, info: VideoInfo, buffer: int, lending: Lending | None) -> None:
        self.frame = frame = VideoFrame()
        if not library().gst_video_frame_map(ctypes.byref(frame), ctypes.byref(info), buffer, MAP_READ):
            if lending is not None:
                lending.give_back()
            raise BufferError("the buffer cannot be read by the processor")
        finalizer = weakref.finalize(self, _release, frame, lending)
        finalizer.atexit = False  # GStreamer itself may be gone by then

    def plane(self, index: int, height: int, row_bytes: int) -> Pixels:
        """A (height, row_bytes) view that keeps the buffer."""
        return np.asarray(_PlaneMemory(self, index, height, row_bytes))


class _PlaneMemory:
    """One plane in numpy's array interface; the array made of it holds on to it, and so to the mapping."""

    def __init__(self, mapped: _Mapped, index: int, height: int, row_bytes: int) -> None:
        frame = mapped.frame
        self._mapped = mapped
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (height, row_bytes),
            "strides": (frame.info.stride[index], 1),
            # Not marked read-only: DLPack, by which FFmpeg borrows it, cannot say so. Nobody else sees this array.
            "data": (frame.data[index], False),
        }


def _release(frame: VideoFrame, lending: Lending | None) -> None:
    library().gst_video_frame_unmap(ctypes.byref(frame))
    if lending is not None:
        lending.give_back()


def read_sample(sample: int, lending: Lending) -> Sample:
    """The picture of a GstSample, by pointer, in one of ``FORMATS``; the sample stays the caller's.

    Raises :class:`BufferError` where the memory cannot be mapped, as on a graphics card.
    """
    lib = library()
    buffer = lib.gst_sample_get_buffer(sample)
    info = VideoInfo()
    if buffer is None or not lib.gst_video_info_from_caps(
        ctypes.byref(info), lib.gst_sample_get_caps(sample)
    ):
        raise BufferError("the sample holds no picture")
    # By the sample's own caps: those of the appsink may already be those of the next one
    format_name = FormatInfo.from_address(info.finfo).name.decode()
    if format_name not in _LAYOUTS:
        raise BufferError(f"it gives '{format_name}' pictures (accepted: {', '.join(FORMATS)})")
    pts_ns = Buffer.from_address(buffer).pts
    segment = lib.gst_sample_get_segment(sample)
    running_ns = (
        lib.gst_segment_to_running_time(segment, FORMAT_TIME, pts_ns) if pts_ns != NONE_NS else NONE_NS
    )
    borrowed = lending.take()
    picture, shares = _picture(
        _Mapped(info, buffer, lending if borrowed else None), format_name, copy=not borrowed
    )
    return Sample(
        picture,
        None if pts_ns == NONE_NS else pts_ns,
        None if running_ns == NONE_NS else running_ns,
        borrowed and shares,
    )


def _picture(mapped: _Mapped, format_name: str, *, copy: bool) -> tuple[Picture, bool]:
    """The picture, and whether it lies in the buffer."""
    info = mapped.frame.info
    size = info.width, info.height
    name, planes = _LAYOUTS[format_name]
    views = [
        mapped.plane(index, -(-size[1] // down), -(-size[0] // across) * count)
        for index, (across, down, count) in enumerate(planes)
    ]
    if format_name == "BGR":
        rows = views[0].copy() if copy else views[0]
        return Picture.from_bgr(readonly(rows.reshape(size[1], -1)).reshape(size[1], size[0], 3)), not copy
    frame = None if copy else _borrow(views, name, size)
    shares = frame is not None
    if frame is None:
        frame = _copy(views, name, size)
    _tag(frame, info)
    return Picture.from_av(frame), shares


def _borrow(views: list[Pixels], name: str, size: Size) -> av.VideoFrame | None:
    """A frame of FFmpeg's on the planes as they lie; None where it has no way for that."""
    if name not in ("nv12", "yuv420p", "gray") or (name != "gray" and (size[0] % 2 or size[1] % 2)):
        return None
    try:
        return av.VideoFrame.from_dlpack(views, format=name, width=size[0], height=size[1])
    except (AttributeError, NotImplementedError, ValueError, TypeError):  # a PyAV that cannot yet
        return None


def _copy(views: list[Pixels], name: str, size: Size) -> av.VideoFrame:
    frame = av.VideoFrame(*size, name)
    for index, view in enumerate(views):
        plane = frame.planes[index]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows[: view.shape[0], : view.shape[1]] = view
    return frame


def _tag(frame: av.VideoFrame, info: VideoInfo) -> None:
    """Give the frame the colour tags of the caps."""
    colors = info.colorimetry
    frame.colorspace = _MATRICES.get(colors.matrix, _UNKNOWN)
    frame.color_primaries = _PRIMARIES.get(colors.primaries, _UNKNOWN)
    frame.color_trc = _TRANSFERS.get(colors.transfer, _UNKNOWN)
    frame.color_range = _FULL_RANGE if colors.range == _GST_FULL_RANGE else _LIMITED_RANGE


def pool_limit(sample: int) -> int | None:
    """How many buffers of a sample's pool may be held: half of a pool that cannot grow, None for any number."""
    lib = library()
    buffer = lib.gst_sample_get_buffer(sample)
    pool = None if buffer is None else Buffer.from_address(buffer).pool
    if not pool:
        return None
    config = lib.gst_buffer_pool_get_config(pool)
    most = ctypes.c_uint()
    lib.gst_buffer_pool_config_get_params(config, None, None, None, ctypes.byref(most))
    lib.gst_structure_free(config)
    return most.value // 2 if most.value else None


def i420_buffer(source: av.VideoFrame) -> tuple[int, int]:
    """A new GstBuffer with a yuv420p frame as I420, grown to even size by repeating its last row and column.

    Returns its pointer, which belongs to the caller (or to the appsrc that it is pushed into), and its bytes.
    """
    lib = library()
    width, height = source.width + source.width % 2, source.height + source.height % 2
    luma_stride, chroma_stride = _round4(width), _round4(width // 2)
    total = luma_stride * height + chroma_stride * height
    buffer = lib.gst_buffer_new_allocate(None, total, None)
    mapped = MapInfo()
    if not buffer or not lib.gst_buffer_map(buffer, ctypes.byref(mapped), MAP_WRITE):
        raise MemoryError(f"no buffer of {total} bytes can be had")
    try:
        flat = np.ctypeslib.as_array((ctypes.c_uint8 * total).from_address(mapped.data))
        ends = luma_stride * height, luma_stride * height + chroma_stride * height // 2
        luma = flat[: ends[0]].reshape(height, luma_stride)
        luma[: source.height, : source.width] = plane_view(source, 0, source.height, source.width)
        luma[source.height :, : source.width] = luma[source.height - 1 : source.height, : source.width]
        luma[:, source.width : width] = luma[:, source.width - 1 : source.width]
        for index, chroma in ((1, flat[ends[0] : ends[1]]), (2, flat[ends[1] :])):
            rows = chroma.reshape(height // 2, chroma_stride)
            rows[:, : width // 2] = plane_view(source, index, height // 2, width // 2)
    finally:
        lib.gst_buffer_unmap(buffer, ctypes.byref(mapped))
    return buffer, total


def colorimetry_of(frame: av.VideoFrame) -> str:
    """A frame's colour tags as caps have them; BT.601 of limited range where it has none."""
    full = frame.color_range == _FULL_RANGE
    matrices = {ours: gst for gst, ours in _MATRICES.items()}
    primaries = {ours: gst for gst, ours in _PRIMARIES.items()}
    transfers = {ours: gst for gst, ours in _TRANSFERS.items()}
    matrix = matrices.get(int(frame.colorspace), 4)
    transfer = transfers.get(int(frame.color_trc), 5)
    return f"{1 if full else 2}:{matrix}:{transfer}:{primaries.get(int(frame.color_primaries), 4)}"


def _round4(number: int) -> int:
    return (number + 3) // 4 * 4


def video_frame_info(caps: Any) -> tuple[str, Size, tuple[int, int]]:
    """Format, size and frame rate (numerator, denominator; 0 where unknown) of raw video caps of the bindings."""
    first = caps.get_structure(0)
    found, numerator, denominator = first.get_fraction("framerate")
    size = first.get_int("width")[1], first.get_int("height")[1]
    return first.get_string("format") or "", size, (numerator, denominator) if found else (0, 1)
