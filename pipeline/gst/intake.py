"""The end of a pipeline that pictures are taken from: an appsink, set up to lend its buffers."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keywarp.engines.errors import UsageError

from .bindings import load_gst
from .launch import elements_of, factory_of
from .memory import FORMATS
from .native import (
    PROBE_HANDLED,
    PROBE_OK,
    PROBE_QUERY_DOWNSTREAM,
    QUERY_ALLOCATION,
    ProbeInfo,
    Query,
    library,
    pointer_of,
)

# Pictures that may wait in the appsink: enough to go on while one is taken, few enough to be fresh.
_WAITING = 2
_CAPS = "; ".join(f"video/x-raw, format={form}" for form in FORMATS)
_APPSINK = re.compile(r"!\s*appsink\b")

_PROBE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


def with_appsink(text: str) -> str:
    """``text`` with an appsink at its end, if it has none, and a converter before it.

    The converter passes what is taken anyway through as it is.
    """
    if _APPSINK.search(text):
        return _APPSINK.sub("! videoconvert ! appsink", text)
    return f"{text.rstrip().rstrip('!').rstrip()} ! videoconvert ! appsink"


def find_appsink(pipeline: Any, text: str) -> Any:
    """The pipeline's only appsink, set up. What ``text`` itself says of ``sync`` and the like stays as it is."""
    found = [element for element in elements_of(pipeline) if factory_of(element) == "appsink"]
    if len(found) != 1:
        raise UsageError(
            f"a GStreamer source has one appsink, from which the frames come; this pipeline has {len(found)}"
        )
    appsink = found[0]
    said = " ".join(_APPSINK.split(text)[1:])
    for name, value in (
        ("sync", False),
        ("max-buffers", _WAITING),
        ("drop", False),
        ("enable-last-sample", False),
    ):
        if not re.search(rf"\b{name}\s*=", said):
            appsink.set_property(name, value)
    if appsink.get_property("caps") is None:
        appsink.set_property("caps", load_gst().Caps.from_string(_CAPS))
    _accept_any_layout(appsink)
    return appsink


def _accept_any_layout(appsink: Any) -> None:
    """Say that planes may lie anywhere (GstVideoMeta), else decoders and cameras copy them together."""
    pad = appsink.get_static_pad("sink")
    library().gst_pad_add_probe(pointer_of(pad), PROBE_QUERY_DOWNSTREAM, _ON_QUERY, None, None)


def _on_query(_pad: int | None, info: int, _data: int | None) -> int:
    query = ProbeInfo.from_address(info).data
    if not query or Query.from_address(query).type != QUERY_ALLOCATION:
        return PROBE_OK
    lib = library()
    lib.gst_query_add_allocation_meta(query, lib.gst_video_meta_api_get_type(), None)
    return PROBE_HANDLED


_ON_QUERY = _PROBE(_on_query)  # held, since GStreamer knows only where it lies


@contextmanager
def pulled(appsink: Any, timeout_ns: int) -> Iterator[int | None]:
    """The next sample of an appsink, by pointer and only inside the block; None where none came in time."""
    lib = library()
    sample = lib.gst_app_sink_try_pull_sample(pointer_of(appsink), timeout_ns)
    try:
        yield sample
    finally:
        if sample is not None:
            lib.gst_mini_object_unref(sample)
