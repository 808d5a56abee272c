from __future__ import annotations

import av
import pytest

from keywarp.engines.errors import UsageError
from keywarp.pipeline.sinks import encoder as encoder_module
from keywarp.pipeline.sinks.encoder import h264_encoders
from keywarp.pipeline.sinks.jsonl import JsonLinesSink
from keywarp.pipeline.sinks.null import NullSink
from keywarp.pipeline.sinks.parse import make_sink
from keywarp.pipeline.sinks.png import PngSink
from keywarp.pipeline.sinks.video import VideoSink
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
