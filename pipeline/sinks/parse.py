"""Sinks by their text, as ``--sink`` takes it."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from keywarp.engines.errors import UsageError
from keywarp.pipeline.keys import OVERLAY
from keywarp.pipeline.stage import Sink

from .jsonl import JsonLinesSink
from .null import NullSink
from .png import PngSink
from .video import CONTAINERS, VideoSink
from .window import WindowSink

_WORDS = ("null", "window", "jsonl:", "png:")
_ACCEPTED = (
    "FILE.mp4, .mov, .m4v or .mkv; FILE.jsonl or 'jsonl:-'; 'png:FOLDER' or 'FOLDER/'; 'window'; 'null'; "
    "'null:overlay'"
)


def make_sink(
    text: str,
    *,
    encoder: str = "libx264:veryfast",
    crf: int = 23,
    threads: int | None = None,
    on_quit: Callable[[], None] | None = None,
) -> Sink:
    """The sink that ``text`` names.

    ``encoder``, ``crf`` and ``threads`` are for video files, ``on_quit`` is called when a window is closed.
    Raises :class:`UsageError` that lists what is accepted.
    """
    kind, colon, place = text.partition(":")
    suffix = Path(text).suffix.lower()
    if text == "null":
        return NullSink()
    if text == "null:overlay":
        return NullSink(OVERLAY)
    if text == "window":
        return WindowSink(on_quit=on_quit)
    if colon and place and kind == "jsonl":
        return JsonLinesSink(place)
    if colon and place and kind == "png":
        return PngSink(place)
    if text.endswith("/") and not colon:
        return PngSink(text)
    if suffix == ".jsonl":
        return JsonLinesSink(text)
    if suffix in CONTAINERS:
        return VideoSink(text, encoder=encoder, crf=crf, threads=threads)
    raise UsageError(f"unknown sink '{text}'{_nearest(text, suffix)} (accepted: {_ACCEPTED})")


def _nearest(text: str, suffix: str) -> str:
    near = difflib.get_close_matches(text.lower(), _WORDS, n=1, cutoff=0.7)
    if near:
        return f"; did you mean '{near[0]}'?"
    near = difflib.get_close_matches(suffix, [*CONTAINERS, ".jsonl"], n=1) if suffix else []
    return f"; did you mean '{text[: -len(suffix)]}{near[0]}'?" if near else ""
