"""What of GStreamer is here: for ``keywarp doctor``."""

from __future__ import annotations

from dataclasses import dataclass

from keywarp.engines.errors import MissingPackageError

from .bindings import APT_BASE, EXTRA, has_element, load_gst, load_namespace
from .native import library
from .packages import package_of

_SOFTWARE = (
    "videoconvert",
    "v4l2src",
    "rtspsrc",
    "h264parse",
    "mpegtsmux",
    "rtph264pay",
    "x264enc",
    "avdec_h264",
)
_HARDWARE = (
    "nvarguscamerasrc", "nvv4l2decoder", "nvv4l2h264enc", "nvh264dec", "nvh264enc", "vah264dec", "vah264enc",
    "vaapih264dec", "vaapih264enc", "qsvh264dec", "qsvh264enc", "v4l2h264dec", "v4l2h264enc",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GstPart:
    """One part of GStreamer: whether it is here, what it is (a version, names), and how to get what is missing."""

    name: str
    ok: bool
    detail: str
    cure: str = ""


def gst_report() -> list[GstPart]:
    """The parts, the bindings first; only these where they are missing. Never raises for what is missing."""
    try:
        gst = load_gst()
        library()
    except MissingPackageError as error:
        return [GstPart("gstreamer", False, "not available", str(error))]
    parts = [GstPart("gstreamer", True, gst.version_string().removeprefix("GStreamer "))]
    missing = [name for name in _SOFTWARE if not has_element(name)]
    packages = sorted({package_of(name) or "" for name in missing})
    parts.append(
        GstPart(
            "gstreamer elements",
            not missing,
            f"without {', '.join(missing)}" if missing else f"{', '.join(_SOFTWARE)}",
            f"sudo apt install {' '.join(packages)}" if missing else "",
        )
    )
    hardware = [name for name in _HARDWARE if has_element(name)]
    parts.append(GstPart("gstreamer hardware", True, ", ".join(hardware) or "no codecs of graphics hardware"))
    try:
        load_namespace("GstRtspServer")
        parts.append(GstPart("gstreamer rtsp server", True, "rtsp:// can be served"))
    except MissingPackageError:
        cure = "sudo apt install gir1.2-gst-rtsp-server-1.0"
        parts.append(GstPart("gstreamer rtsp server", False, "rtsp:// cannot be served", cure))
    return parts


INSTALL = f"{APT_BASE} && {EXTRA}"
"""All of it, in one line."""
