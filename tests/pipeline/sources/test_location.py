"""What may be shown of a URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from keywarp.pipeline.sources.location import local_path, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://host/a.mp4", "http://host/a.mp4"),
        ("http://host:8080", "http://host:8080"),
        ("rtsp://anna:secret@host:554/cam/1", "rtsp://host:554/cam/1"),
        ("rtsp://anna:se@cret@host/cam", "rtsp://host/cam"),
        ("rtsp://anna@host", "rtsp://host"),
        ("rtsp://anna:se/cret@host/cam", "rtsp://host/cam"),
        ("rtsp://anna:se#cret@host/cam", "rtsp://host/cam"),
        ("rtsp://anna:se?cret@host/cam", "rtsp://host/cam"),
        ("https://host/a@b.m3u8?token=secret#part", "https://host/a@b.m3u8"),
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
    ],
)
def test_names_without_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_paths() -> None:
    assert local_path("file:///a/b%20c.mp4") == Path("/a/b c.mp4")
    assert local_path("a/b%20c.mp4") == Path("a/b%20c.mp4")
    assert local_path("~/a.mp4") == Path.home() / "a.mp4"
