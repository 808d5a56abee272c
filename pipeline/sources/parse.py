"""Sources by their text, as the command line and configurations have it."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from keywarp.engines.errors import SourceError, UsageError, unknown_name
from keywarp.flow.base import Size

from .base import Source
from .container import Location
from .images import SUFFIXES, ImageSource
from .location import check_exists
from .rate import Rate, exact_rate
from .scaled import ScaledSource
from .street import StreetSource
from .video import VideoSource
from .webcam import WebcamSource

STREET = "street:"
ACCEPTED = (
    "a video file, a URL (http, rtsp, ...), a folder or glob of pictures, a camera (0 or /dev/video0), "
    "or street: (a made-up drive)"
)


def open_source(
    text: str, *, size: Size | None = None, rate: Rate | None = None, threads: int | None = None
) -> Source:
    """The source that ``text`` names, not opened yet; what can be checked without opening it is checked.

    ``street:`` takes options: ``street:seed=3,size=640x360,rate=30,length=300,live=1``. ``size``: of the frames
    delivered; a camera and ``street:`` are asked for it, and what comes at another size is scaled. ``rate``:
    frames a second of cameras, pictures and ``street:``; a video has its own. ``threads``: of the decoder.
    Raises :class:`UsageError` where ``rate`` contradicts what ``text`` says.
    """
    text = text.strip()
    if text.startswith(STREET):
        return _street(text, size, rate)
    source = _other(text, size, rate, threads)
    return source if size is None else ScaledSource(source, size)


def _other(text: str, size: Size | None, rate: Rate | None, threads: int | None) -> Source:
    if not text:
        raise SourceError(f"no source is given; give {ACCEPTED}")
    if text.isdecimal() or re.fullmatch(r"/dev/(video\d+|v4l/.+)", text):
        return WebcamSource(text, size=size, rate=rate)
    location = Location(text)
    if location.path is not None:
        if _is_pictures(location.path):
            return ImageSource(location.path) if rate is None else ImageSource(location.path, rate=rate)
        check_exists(location.path, "source")
    if rate is not None:
        raise UsageError(
            f"rate {rate} cannot be had from '{location.name}': a video has its own times; "
            "a rate is for cameras, pictures and street:"
        )
    return VideoSource(text, threads=threads)


def _is_pictures(path: Path) -> bool:
    if path.is_dir() or (path.suffix.lower() in SUFFIXES and path.is_file()):
        return True
    return glob.has_magic(str(path)) and not path.exists()


def _street(text: str, size: Size | None, rate: Rate | None) -> Source:
    options: dict[str, Any] = {}
    for part in filter(None, text.removeprefix(STREET).split(",")):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in _STREET_OPTIONS:
            raise unknown_name("option of street:", key, _STREET_OPTIONS)
        read, accepted = _STREET_OPTIONS[key]
        try:
            options[key] = read(value)
        except (ValueError, KeyError, ZeroDivisionError):
            raise UsageError(f"street: option '{key}' is {accepted}; given: '{value}'") from None
    for key, wish in (("size", size), ("rate", rate)):
        if wish is not None:
            options.setdefault(key, wish)
    source = StreetSource(**options)
    if rate is not None and exact_rate(rate) != source.scene.rate:
        raise UsageError(f"rate {rate} contradicts '{text}'; give only one of the two")
    return source if size is None or size == source.scene.size else ScaledSource(source, size)


def _read_size(text: str) -> Size:
    width, height = text.lower().split("x")
    return int(width), int(height)


def _read_length(text: str) -> int | None:
    return None if text in ("none", "endless") else int(text)


def _read_switch(text: str) -> bool:
    return {"1": True, "true": True, "0": False, "false": False}[text.lower()]


_STREET_OPTIONS: dict[str, tuple[Callable[[str], object], str]] = {
    "seed": (int, "a whole number from 0 up"),
    "size": (_read_size, "WIDTHxHEIGHT in pixels, such as 640x360"),
    "rate": (Fraction, "a number of frames a second, such as 30 or 30000/1001"),
    "length": (_read_length, "a number of frames, or endless"),
    "live": (_read_switch, "1 or 0"),
}
