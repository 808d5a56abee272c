"""GStreamer's C libraries, for what its Python bindings can only do by copying: the memory of buffers.

The structures are part of GStreamer 1.x's stable binary interface.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from ctypes import POINTER, Structure, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import lru_cache
from typing import Any

from keywarp.engines.errors import MissingPackageError

from .bindings import load_gst

NONE_NS = (1 << 64) - 1
"""GST_CLOCK_TIME_NONE."""

MAP_READ, MAP_WRITE = 1, 2
FORMAT_TIME = 3
PROBE_QUERY_DOWNSTREAM, PROBE_OK, PROBE_HANDLED = 1 << 9, 1, 4
QUERY_ALLOCATION = (140 << 8) | 6

_FILES = {
    "gstreamer-1.0": {"linux": "libgstreamer-1.0.so.0", "darwin": "libgstreamer-1.0.0.dylib"},
    "gstapp-1.0": {"linux": "libgstapp-1.0.so.0", "darwin": "libgstapp-1.0.0.dylib"},
    "gstvideo-1.0": {"linux": "libgstvideo-1.0.so.0", "darwin": "libgstvideo-1.0.0.dylib"},
}


class MiniObject(Structure):
    """GstMiniObject."""

    _fields_ = [
        ("type", c_size_t),
        ("refcount", c_int),
        ("lockstate", c_int),
        ("flags", c_uint),
        ("functions", c_void_p * 3),
        ("priv_uint", c_uint),
        ("priv_pointer", c_void_p),
    ]


class Query(Structure):
    """GstQuery."""

    _fields_ = [("mini_object", MiniObject), ("type", c_int)]


class ProbeInfo(Structure):
    """GstPadProbeInfo."""

    _fields_ = [("type", c_int), ("id", c_size_t), ("data", c_void_p)]


class Buffer(Structure):
    """GstBuffer."""

    _fields_ = [
        ("mini_object", MiniObject),
        ("pool", c_void_p),
        ("pts", c_uint64),
        ("dts", c_uint64),
        ("duration", c_uint64),
        ("offset", c_uint64),
        ("offset_end", c_uint64),
    ]


class MapInfo(Structure):
    """GstMapInfo."""

    _fields_ = [
        ("memory", c_void_p),
        ("flags", c_int),
        ("data", c_void_p),
        ("size", c_size_t),
        ("maxsize", c_size_t),
        ("user_data", c_void_p * 4),
        ("reserved", c_void_p * 4),
    ]


class Colorimetry(Structure):
    """GstVideoColorimetry."""

    _fields_ = [("range", c_int), ("matrix", c_int), ("transfer", c_int), ("primaries", c_int)]


class FormatInfo(Structure):
    """The beginning of GstVideoFormatInfo."""

    _fields_ = [("format", c_int), ("name", c_char_p)]


class VideoInfo(Structure):
    """GstVideoInfo."""

    _fields_ = [
        ("finfo", c_void_p),
        ("interlace_mode", c_int),
        ("flags", c_int),
        ("width", c_int),
        ("height", c_int),
        ("size", c_size_t),
        ("views", c_int),
        ("chroma_site", c_int),
        ("colorimetry", Colorimetry),
        ("par_n", c_int),
        ("par_d", c_int),
        ("fps_n", c_int),
        ("fps_d", c_int),
        ("offset", c_size_t * 4),
        ("stride", c_int * 4),
        ("reserved", c_void_p * 4),
    ]


class VideoFrame(Structure):
    """GstVideoFrame."""

    _fields_ = [
        ("info", VideoInfo),
        ("flags", c_int),
        ("buffer", c_void_p),
        ("meta", c_void_p),
        ("id", c_int),
        ("data", c_void_p * 4),
        ("map", MapInfo * 4),
        ("reserved", c_void_p * 4),
    ]


_FUNCTIONS: dict[str, dict[str, tuple[Any, list[Any]]]] = {
    "gstreamer-1.0": {
        "gst_mini_object_unref": (None, [c_void_p]),
        "gst_sample_get_buffer": (c_void_p, [c_void_p]),
        "gst_sample_get_caps": (c_void_p, [c_void_p]),
        "gst_sample_get_segment": (c_void_p, [c_void_p]),
        "gst_segment_to_running_time": (c_uint64, [c_void_p, c_int, c_uint64]),
        "gst_buffer_new_allocate": (c_void_p, [c_void_p, c_size_t, c_void_p]),
        "gst_buffer_map": (c_int, [c_void_p, POINTER(MapInfo), c_int]),
        "gst_buffer_unmap": (None, [c_void_p, POINTER(MapInfo)]),
        "gst_buffer_pool_get_config": (c_void_p, [c_void_p]),
        "gst_buffer_pool_config_get_params": (
            c_int, [c_void_p, c_void_p, POINTER(c_uint), POINTER(c_uint), POINTER(c_uint)],
        ),
        "gst_structure_free": (None, [c_void_p]),
        "gst_pad_add_probe": (c_size_t, [c_void_p, c_int, c_void_p, c_void_p, c_void_p]),
        "gst_query_add_allocation_meta": (None, [c_void_p, c_size_t, c_void_p]),
    },
    "gstapp-1.0": {
        "gst_app_sink_try_pull_sample": (c_void_p, [c_void_p, c_uint64]),
        "gst_app_src_push_buffer": (c_int, [c_void_p, c_void_p]),
        "gst_app_src_get_current_level_bytes": (c_uint64, [c_void_p]),
    },
    "gstvideo-1.0": {
        "gst_video_info_from_caps": (c_int, [POINTER(VideoInfo), c_void_p]),
        "gst_video_frame_map": (c_int, [POINTER(VideoFrame), POINTER(VideoInfo), c_void_p, c_int]),
        "gst_video_frame_unmap": (None, [POINTER(VideoFrame)]),
        "gst_video_meta_api_get_type": (c_size_t, []),
    },
}  # fmt: skip


class Library:
    """Functions of GStreamer's libraries by their names; calls let other Python threads run."""

    def __init__(self) -> None:
        load_gst()
        for library, functions in _FUNCTIONS.items():
            loaded = _load(library)
            for name, (result, arguments) in functions.items():
                function = getattr(loaded, name)
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'{name}' is not among the functions of GStreamer that are declared here")


@lru_cache(maxsize=1)
def library() -> Library:
    """The libraries, loaded once. Raises :class:`MissingPackageError`."""
    return Library()


def _load(name: str) -> ctypes.CDLL:
    file = _FILES[name].get("darwin" if sys.platform == "darwin" else "linux", name)
    try:
        return ctypes.CDLL(file)
    except OSError:
        found = ctypes.util.find_library(name)
        if found is None:
            raise MissingPackageError(
                f"GStreamer's library '{file}' is not installed; install it with: sudo apt install "
                "gstreamer1.0-plugins-base"
            ) from None
        return ctypes.CDLL(found)


def pointer_of(gobject: Any) -> int:
    """Where the C object of a GObject of the Python bindings lies; it lives as long as ``gobject`` is held."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = c_void_p, [ctypes.py_object, c_char_p]
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = c_char_p, [ctypes.py_object]
    capsule = gobject.__gpointer__
    return int(get(capsule, name(capsule)))
