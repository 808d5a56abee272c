from __future__ import annotations

import sys
from pathlib import Path

import av
import pytest

from keywarp.engines.errors import MissingPackageError, UsageError
from keywarp.pipeline.sinks import encoder as encoder_module
from keywarp.pipeline.sinks.encoder import h264_encoders
from keywarp.pipeline.sinks.jsonl import JsonLinesSink
from keywarp.pipeline.sinks.loopback import LoopbackSink
from keywarp.pipeline.sinks.null import NullSink
from keywarp.pipeline.sinks.parse import make_sink
from keywarp.pipeline.sinks.places import check_places, place_of, shown
from keywarp.pipeline.sinks.png import PngSink
from keywarp.pipeline.sinks.record import RecordSink
from keywarp.pipeline.sinks.snapshot import SnapshotSink
from keywarp.pipeline.sinks.video import VideoSink
from keywarp.pipeline.sinks.webhook import WebhookSink
from keywarp.pipeline.sinks.window import WindowSink


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("null", NullSink, "null"),
        ("null:overlay", NullSink, "null"),
        ("window", WindowSink, "window"),
        ("out.mp4", VideoSink, "mp4"),
        ("a/b.MKV", VideoSink, "mkv"),
        ("out.mov", VideoSink, "mov"),
        ("out.jsonl", JsonLinesSink, "jsonl"),
        ("jsonl:-", JsonLinesSink, "jsonl"),
        ("jsonl:other.txt", JsonLinesSink, "jsonl"),
        ("png:labels", PngSink, "png"),
        ("labels/", PngSink, "png"),
        ("record:clips", RecordSink, "record"),
        ("record:clips.mp4,minutes=5,off", RecordSink, "record"),
        ("snapshot:shots,every=1min", SnapshotSink, "snapshot"),
        ("webhook:https://example.org/hook,batch=10", WebhookSink, "webhook"),
        pytest.param(
            "v4l2:/dev/video10",
            LoopbackSink,
            "v4l2",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's"),
        ),
        ("jsonl:a,b.txt", JsonLinesSink, "jsonl"),
    ],
)
def test_texts_name_sinks(text: str, kind: type, name: str) -> None:
    sink = make_sink(text)
    assert type(sink) is kind
    assert sink.name == name


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "accepted: "),
        ("out", "accepted: "),
        ("nul", "did you mean 'null'"),
        ("Windows", "did you mean 'window'"),
        ("film.mp3", r"did you mean 'film\.mp4'"),
        ("png:", "accepted: .*png:FOLDER"),
        ("film.avi", "accepted: FILE.mp4"),
        ("recrod:clips", "did you mean 'record:'"),
        ("record:", "accepted: .*'record:FOLDER'"),
        ("rtsps://host:8554/x", "did you mean 'rtsp://'"),
        ("mqt://me:secret@host/topic", r"unknown sink 'mqt://host/topic'; did you mean 'mqtt://'"),
        (
            "webhok:https://me:secret@host/a?b=secret",
            r"unknown sink 'webhok:https://host/a'; did you mean 'webhook:'",
        ),
    ],
)
def test_other_texts_are_refused_with_what_is_accepted(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        make_sink(text)


@pytest.mark.parametrize(
    ("encoder", "crf", "hint"),
    [
        ("libx265", 23, r"unknown H.264 encoder 'libx265'; did you mean 'libx264'\? \(accepted: .*libx264"),
        ("libx264:veryfsat", 23, "unknown preset of libx264 'veryfsat'; did you mean 'veryfast'"),
        ("h264_v4l2m2m:fast", 23, "has no presets|unknown H.264 encoder"),
        ("libx264", 52, "between 0, the best, and 51; given: 52"),
    ],
)
def test_encoders_are_checked_at_once(encoder: str, crf: int, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        make_sink("out.mp4", encoder=encoder, crf=crf)


def test_encoders_that_need_frames_on_a_device_are_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"libx264", "h264_vaapi"})
    real = av.Codec
    monkeypatch.setattr(av, "Codec", lambda name, mode: real(name.replace("h264_vaapi", "libx264"), mode))
    monkeypatch.setattr(encoder_module, "_formats", lambda name: ("vaapi",) if "vaapi" in name else ("nv12",))
    assert h264_encoders.__wrapped__() == ("libx264",)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("record:clips,minutes=5,off", "clips"),
        ("record:a,b,keep=3", "a,b"),
        ("snapshot:shots,every=10s", "shots"),
        ("jsonl:x,y=1", "x,y=1"),
        ("v4l2:/dev/video10", "/dev/video10"),
        ("webhook:https://host/a.mp4", None),
        ("mqtt://host/topic", None),
        ("rtsp://:8554/live", None),
        ("udp://host:5000", None),
        ("null", None),
    ],
)
def test_places_are_found_in_texts(text: str, place: str | None) -> None:
    assert place_of(text) == (None if place is None else Path(place).absolute())


@pytest.mark.parametrize(
    "texts",
    [
        ["record:clips", "record:clips,minutes=1"],
        ["record:clips,off", "snapshot:clips"],
        ["png:clips", "record:./clips"],
        ["v4l2:/dev/video10", "v4l2:/dev/video10"],
    ],
)
def test_no_two_outputs_share_a_place(texts: list[str]) -> None:
    with pytest.raises(UsageError, match="would overwrite output"):
        check_places(texts)


def test_network_outputs_may_go_to_one_place() -> None:
    check_places(["webhook:http://a/b", "webhook:http://a/b,batch=2", "mqtt://a/b", "mqtt://a/b"])


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("webhook:https://me:secret@host:8443/token/path?x=1,batch=3", "webhook:https://host:8443"),
        ("mqtt://me:secret@host/topic,every=2", "mqtt://host/topic,every=2"),
        ("rtsp://me:secret@:8554/live", "rtsp://:8554/live"),
        ("out.mp4", "out.mp4"),
        ("record:a@b,off", "record:a@b,off"),
    ],
)
def test_texts_are_shown_without_secrets(text: str, seen: str) -> None:
    assert shown(text) == seen


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("rtsp://127.0.0.1:8554/live", "RtspServerSink"),
        ("udp://127.0.0.1:5000", "UdpSink"),
        ("rtp://127.0.0.1:5000", "UdpSink"),
        ("mqtt://127.0.0.1/topic", "MqttSink"),
    ],
)
def test_streams_are_told_by_their_scheme(text: str, kind: str) -> None:
    try:
        sink = make_sink(text)
    except MissingPackageError as error:
        pytest.skip(str(error))
    assert type(sink).__name__ == kind
