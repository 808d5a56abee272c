"""Sinks by their text, as ``--sink`` takes it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from keywarp.engines.errors import UsageError
from keywarp.pipeline.controls import Controls
from keywarp.pipeline.keys import OVERLAY
from keywarp.pipeline.stage import Sink

from .jsonl import JsonLinesSink
from .null import NullSink
from .places import shown
from .png import PngSink
from .video import CONTAINERS, VideoSink
from .window import WindowSink

_ACCEPTED = (
    "FILE.mp4, .mov, .m4v or .mkv; FILE.jsonl or 'jsonl:-'; 'png:FOLDER' or 'FOLDER/'; 'record:FOLDER'; "
    "'snapshot:FOLDER'; 'window'; 'rtsp://HOST:PORT/PATH'; 'rtp://HOST:PORT'; 'udp://HOST:PORT'; "
    "'webhook:URL'; 'mqtt://HOST/TOPIC'; 'v4l2:/dev/videoN'; 'null'; 'null:overlay'"
)


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What a sink may need beside its text."""

    encoder: str
    crf: int
    threads: int | None
    on_quit: Callable[[], None] | None
    controls: Controls | None


_Make = Callable[[str, _Wishes], Sink]


def make_sink(
    text: str,
    *,
    encoder: str = "libx264:veryfast",
    crf: int = 23,
    threads: int | None = None,
    on_quit: Callable[[], None] | None = None,
    controls: Controls | None = None,
) -> Sink:
    """The sink that ``text`` names.

    ``encoder``, ``crf`` and ``threads`` are for video, ``on_quit`` is called when a window is closed. ``controls``
    turn recordings on and off; one that is asked for here is on from the start, unless its text ends in ``,off``.
    Raises :class:`UsageError` that lists what is accepted.
    """
    wishes = _Wishes(encoder, crf, threads, on_quit, controls)
    kind, colon, place = text.partition(":")
    if text in _WORDS:
        return _WORDS[text](text, wishes)
    if colon and place.startswith("//") and kind in _SCHEMES:
        return _SCHEMES[kind](text, wishes)
    if colon and place and kind in _KINDS:
        return _KINDS[kind](place, wishes)
    return _file(text, wishes)


def _file(text: str, wishes: _Wishes) -> Sink:
    suffix = Path(text).suffix.lower()
    if text.endswith("/") and ":" not in text:
        return PngSink(text)
    if suffix == ".jsonl":
        return JsonLinesSink(text)
    if suffix in CONTAINERS:
        return VideoSink(text, encoder=wishes.encoder, crf=wishes.crf, threads=wishes.threads)
    raise UsageError(f"unknown sink '{shown(text)}'{_nearest(text, suffix)} (accepted: {_ACCEPTED})")


def _record(place: str, wishes: _Wishes) -> Sink:
    from .record import RecordSink, parse_recording

    folder, limits, is_on = parse_recording(place)
    controls = wishes.controls or Controls()
    if is_on:
        controls.change({"recording": True})
    return RecordSink(
        folder,
        limits=limits,
        controls=controls,
        encoder=wishes.encoder,
        crf=wishes.crf,
        threads=wishes.threads,
    )


def _snapshot(place: str, _wishes: _Wishes) -> Sink:
    from .snapshot import SnapshotSink

    return SnapshotSink.parse(place)


def _webhook(place: str, _wishes: _Wishes) -> Sink:
    from .webhook import WebhookSink

    return WebhookSink.parse(place)


def _mqtt(text: str, _wishes: _Wishes) -> Sink:
    from .mqtt import MqttSink

    return MqttSink.parse(text)


def _loopback(place: str, _wishes: _Wishes) -> Sink:
    from .loopback import LoopbackSink

    return LoopbackSink(place)


def _rtsp(text: str, wishes: _Wishes) -> Sink:
    from .stream import RtspServerSink

    return RtspServerSink(text, encoder=wishes.encoder, crf=wishes.crf, threads=wishes.threads)


def _udp(text: str, wishes: _Wishes) -> Sink:
    from .stream import UdpSink

    return UdpSink(text, encoder=wishes.encoder, crf=wishes.crf, threads=wishes.threads)


_WORDS: Mapping[str, _Make] = {
    "null": lambda _text, _wishes: NullSink(),
    "null:overlay": lambda _text, _wishes: NullSink(OVERLAY),
    "window": lambda _text, wishes: WindowSink(on_quit=wishes.on_quit),
}
_SCHEMES: Mapping[str, _Make] = {"rtsp": _rtsp, "rtp": _udp, "udp": _udp, "mqtt": _mqtt, "mqtts": _mqtt}
_KINDS: Mapping[str, _Make] = {
    "jsonl": lambda place, _wishes: JsonLinesSink(place),
    "png": lambda place, _wishes: PngSink(place),
    "record": _record,
    "snapshot": _snapshot,
    "webhook": _webhook,
    "v4l2": _loopback,
}


def _nearest(text: str, suffix: str) -> str:
    kind, colon, _place = text.lower().partition(":")
    words = [*_WORDS, *(f"{name}:" for name in _KINDS), *(f"{name}://" for name in _SCHEMES)]
    given = kind + colon + ("//" if "://" in text else "")
    near = difflib.get_close_matches(given, words, n=1, cutoff=0.7)
    if near:
        return f"; did you mean '{near[0]}'?"
    near = (
        difflib.get_close_matches(suffix, [*CONTAINERS, ".jsonl"], n=1) if suffix and ":" not in text else []
    )
    return f"; did you mean '{text[: -len(suffix)]}{near[0]}'?" if near else ""
