"""Short texts for pipelines that many need: a CSI camera of a Jetson, a file, an RTSP camera."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from keywarp.engines.errors import UsageError, unknown_name

from .bindings import has_element
from .secrets import without_credentials

GST = "gst:"
CSI = "csi:"
GST_FILE = "gst-file:"
_RTSP = ("rtsp+gst://", "rtsps+gst://")
PREFIXES = (GST, CSI, GST_FILE, *_RTSP)
"""What the text of a GStreamer source starts with."""

FLIPS = ("none", "left", "180", "right", "horizontal", "transpose", "vertical", "anti-transpose")
"""How ``csi:`` turns pictures; the place in the list is nvvidconv's number."""

_TO_MAIN_MEMORY = " ! nvvidconv ! video/x-raw,format=NV12"


def is_gst(text: str) -> bool:
    """Whether ``text`` names a GStreamer source."""
    return text.startswith(PREFIXES)


def expand(text: str, has: Callable[[str], bool] = has_element) -> str:
    """The pipeline, as ``gst-launch-1.0`` takes it and still without its ``appsink``, that ``text`` stands for.

    ``gst: PIPELINE`` is that pipeline. ``csi:N[,size=WxH,rate=R,flip=HOW]`` is camera N of a Jetson.
    ``gst-file:PATH`` and ``rtsp+gst://...`` are decoded by whatever element suits best, hardware first. ``has``
    tells which elements there are. Raises :class:`UsageError`.
    """
    if text.startswith(GST):
        return _raw(text)
    if text.startswith(CSI):
        return _csi(text)
    if text.startswith(GST_FILE):
        place = str(Path(text.removeprefix(GST_FILE)).expanduser())
        return f"filesrc location={quote(place)} ! {_decode(has)}"
    if text.startswith(_RTSP):
        url = text.replace("+gst://", "://", 1)
        # TCP, since packets that UDP loses leave smears; the jitter buffer then has little to wait for
        reader = f"rtspsrc location={quote(url)} protocols=tcp latency=100"
        return f"{reader} ! application/x-rtp,media=video ! {_decode(has)}"
    raise unknown_name("GStreamer source", without_credentials(text), PREFIXES)


def quote(value: str) -> str:
    """``value`` as one property value in a pipeline's text."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _raw(text: str) -> str:
    pipeline = text.removeprefix(GST).strip()
    if not pipeline:
        raise UsageError(
            "'gst:' is followed by a pipeline, such as: gst: v4l2src ! video/x-raw,width=640,height=480 ! appsink"
        )
    return pipeline


def _decode(has: Callable[[str], bool]) -> str:
    # decodebin takes the decoder of the highest rank, and hardware ranks first; Jetson's leaves pictures in its own
    # memory, from which only nvvidconv gets them
    return "decodebin" + (_TO_MAIN_MEMORY if has("nvvidconv") else "")


def _csi(text: str) -> str:
    number, *parts = text.removeprefix(CSI).split(",")
    if not number.strip().isdecimal():
        raise UsageError(f"'csi:' is followed by the camera's number, such as csi:0; given: '{text}'")
    options = {"size": "1280x720", "rate": "30", "flip": "none"}
    for part in filter(None, (part.strip() for part in parts)):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in options:
            raise unknown_name("option of csi:", name, options)
        options[name] = value
    size = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", options["size"].lower())
    if size is None:
        raise UsageError(
            f"csi: option 'size' is WIDTHxHEIGHT in pixels, such as 1280x720; given: '{options['size']}'"
        )
    rate = _rate(options["rate"])
    if options["flip"] not in FLIPS:
        raise unknown_name("flip of csi:", options["flip"], FLIPS)
    return (
        f"nvarguscamerasrc sensor-id={int(number)} ! "
        f"video/x-raw(memory:NVMM),width={size[1]},height={size[2]},format=NV12,"
        f"framerate={rate.numerator}/{rate.denominator} ! "
        f"nvvidconv flip-method={FLIPS.index(options['flip'])} ! video/x-raw,format=NV12"
    )


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise UsageError(
            f"csi: option 'rate' is a number of frames a second, such as 30 or 30000/1001; given: '{text}'"
        )
    return rate
