"""Sources by their text, as the command line and configurations have it."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from keywarp.engines.errors import SourceError, UsageError, unknown_name
from keywarp.flow.base import Size
from keywarp.pipeline.config import LARGEST_SIDE_PX, ReconnectConfig, check_largest
from keywarp.pipeline.gst.presets import is_gst

from .base import Source
from .container import Location
from .images import SUFFIXES, ImageSource, is_animated
from .location import check_exists, check_plain
from .rate import Rate, exact_rate
from .scaled import ScaledSource
from .street import StreetSource
from .supervised import SupervisedSource
from .video import VideoSource
from .webcam import FORMATS, WebcamSource

STREET = "street:"
ENVIRONMENT = "env:"
ACCEPTED = (
    "a video file, a URL (http, rtsp, ...), a folder or glob of pictures, a camera (0 or /dev/video0), "
    "gst: and a GStreamer pipeline, csi:0 (a Jetson's camera), gst-file:, rtsp+gst://, or street: (a made-up drive)"
)

_CAMERA = re.compile(r"(\d+|/dev/(?:video\d+|v4l/[^,]+))((?:,[^,]*)*)")
Options = dict[str, tuple[Callable[[str], object], str]]
# Animated pictures that FFmpeg reads as a film.
_FILMS = (".png",)
# A read that hangs is given up this long after its silence was noticed.
_AFTER_SILENCE_S = 1.0


def from_environment(text: str) -> str:
    """``env:NAME`` is what the environment variable holds: a URL with a password then stands in no process list.

    Any other text is itself. Raises :class:`UsageError` where the variable is not set.
    """
    if not text.startswith(ENVIRONMENT):
        return text
    name = text.removeprefix(ENVIRONMENT).strip()
    value = os.environ.get(name, "").strip()
    if not value:
        raise UsageError(f"source '{text}': the environment variable '{name}' is not set; set it to a source")
    return value


def open_source(
    text: str,
    *,
    size: Size | None = None,
    rate: Rate | None = None,
    threads: int | None = None,
    reconnect: ReconnectConfig | None = None,
) -> Source:
    """The source that ``text`` names, not opened yet; what can be checked without opening it is checked.

    ``street:`` takes options: ``street:seed=3,size=640x360,rate=30,length=300,live=1``. ``size``: of the frames
    delivered; a camera and ``street:`` are asked for it, and what comes at another size is scaled. ``rate``:
    frames a second of cameras, pictures and ``street:``; a video has its own. ``threads``: of the decoder.
    A camera takes options too: ``/dev/video0,format=mjpeg,size=1280x720,rate=30``. URLs, cameras and GStreamer
    pipelines come in a :class:`SupervisedSource`, which gets them back as ``reconnect`` says, unless its ``tries``
    are 0.
    ``env:NAME`` is what that environment variable holds.
    Raises :class:`UsageError` where ``rate`` contradicts what ``text`` says.
    """
    text = from_environment(text.strip())
    if text.startswith(STREET):
        return _street(text, size, rate)
    source = _other(text, size, rate, threads, reconnect or ReconnectConfig())
    return source if size is None else ScaledSource(source, size)


def _other(
    text: str, size: Size | None, rate: Rate | None, threads: int | None, reconnect: ReconnectConfig
) -> Source:
    if not text:
        raise SourceError(f"no source is given; give {ACCEPTED}")
    if camera := _CAMERA.fullmatch(text):
        options = _camera_options(camera[2], size, rate)
        return _supervised(lambda: WebcamSource(camera[1], **options), reconnect)
    if is_gst(text):
        _no_rate(rate, "a GStreamer pipeline", "a pipeline has its own times: say it in the pipeline")
        from .gst import GstSource  # needs GStreamer's bindings

        GstSource(text)  # says at once what is wrong with the text
        return _supervised(lambda: GstSource(text), reconnect)
    location = Location(text)
    if location.path is not None:
        if _is_pictures(location.path) and not is_animated(location.path, _FILMS):
            return ImageSource(location.path) if rate is None else ImageSource(location.path, rate=rate)
        check_exists(location.path, "source")
        check_plain(location.path, "source")
    _no_rate(rate, f"'{location.name}'", "a video has its own times")
    if location.path is not None:
        return VideoSource(text, threads=threads)
    timeout_s = reconnect.silence_s + _AFTER_SILENCE_S
    return _supervised(lambda: VideoSource(text, threads=threads, read_timeout_s=timeout_s), reconnect)


def _supervised(make: Callable[[], Source], reconnect: ReconnectConfig) -> Source:
    return make() if reconnect.tries == 0 else SupervisedSource(make, reconnect)


def _no_rate(rate: Rate | None, given: str, why: str) -> None:
    if rate is not None:
        raise UsageError(
            f"rate {rate} cannot be had from {given}: {why}; a rate is for cameras, pictures and street:"
        )


def _camera_options(text: str, size: Size | None, rate: Rate | None) -> dict[str, Any]:
    """What is asked of a camera: its own text first."""
    return {"size": size, "rate": rate, **_read_options("camera", text, _CAMERA_OPTIONS)}


def _is_pictures(path: Path) -> bool:
    if path.is_dir() or (path.suffix.lower() in SUFFIXES and path.is_file()):
        return True
    return glob.has_magic(str(path)) and not path.exists()


def _street(text: str, size: Size | None, rate: Rate | None) -> Source:
    options = _read_options(STREET, text.removeprefix(STREET), _STREET_OPTIONS)
    for key, wish in (("size", size), ("rate", rate)):
        if wish is not None:
            options.setdefault(key, wish)
    source = StreetSource(**options)
    if rate is not None and exact_rate(rate) != source.scene.rate:
        raise UsageError(f"rate {rate} contradicts '{text}'; give only one of the two")
    return source if size is None or size == source.scene.size else ScaledSource(source, size)


def _read_options(owner: str, text: str, known: Options) -> dict[str, Any]:
    """``key=value`` texts with commas between them."""
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in known:
            raise unknown_name(f"option of {owner}", key, known)
        read, accepted = known[key]
        try:
            options[key] = read(value)
        except (ValueError, KeyError, ZeroDivisionError):
            raise UsageError(f"{owner} option '{key}' is {accepted}; given: '{value}'") from None
    return options


def _read_size(text: str) -> Size:
    width, height = text.lower().split("x")
    size = int(width), int(height)
    check_largest(size)
    return size


def _read_length(text: str) -> int | None:
    return None if text in ("none", "endless") else int(text)


def _read_switch(text: str) -> bool:
    return {"1": True, "true": True, "0": False, "false": False}[text.lower()]


def _read_format(text: str) -> str:
    if text.lower() not in FORMATS:
        raise ValueError
    return text.lower()


_CAMERA_OPTIONS: Options = {
    "format": (_read_format, f"one of {', '.join(FORMATS)}"),
    "size": (_read_size, f"WIDTHxHEIGHT in pixels, such as 1280x720, up to {LARGEST_SIDE_PX} a side"),
    "rate": (Fraction, "a number of frames a second, such as 30"),
}
_STREET_OPTIONS: Options = {
    "seed": (int, "a whole number from 0 up"),
    "size": (_read_size, f"WIDTHxHEIGHT in pixels, such as 640x360, up to {LARGEST_SIDE_PX} a side"),
    "rate": (Fraction, "a number of frames a second, such as 30 or 30000/1001"),
    "length": (_read_length, "a number of frames, or endless"),
    "live": (_read_switch, "1 or 0"),
}
