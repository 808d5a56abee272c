"""What may be shown of a URL."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keywarp.engines.errors import SourceError
from keywarp.pipeline.sources.images import ImageSource
from keywarp.pipeline.sources.location import local_path, without_secrets
from keywarp.pipeline.sources.parse import open_source
from keywarp.pipeline.sources.video import VideoSource

from .films import pictures, write_film


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


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["film.mp4", "picture.png"])
@pytest.mark.parametrize(
    "read", [open_source, lambda text: VideoSource(text).open(), lambda text: ImageSource(text).open()]
)
def test_pipes_are_refused_without_waiting(tmp_path: Path, name: str, read: Callable[[str], object]) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(
        SourceError, match=r"is a pipe, not a file; give a file, a camera .0 or /dev/video0.,"
    ):
        read(str(tmp_path / name))


def test_a_pipe_that_is_open_already_is_read(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", pictures(6))
    code = (
        "from keywarp.pipeline.sources.parse import open_source\n"
        "source = open_source('/dev/stdin')\n"
        "assert source.open().audio is None\n"
        "print(sum(1 for _ in source.frames()), source.notes)"
    )
    with subprocess.Popen(["cat", film], stdout=subprocess.PIPE) as cat:
        ended = subprocess.run([sys.executable, "-c", code], stdin=cat.stdout, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("6 []\n", "")


def test_sockets_and_devices_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("film.mp4")
        with pytest.raises(SourceError, match=r"source 'film.mp4' is a socket, not a file"):
            open_source("film.mp4")
    for device in ("/dev/null", "/dev/zero"):
        with pytest.raises(
            SourceError, match=f"'{device}' is a device, not a file; .* gst: and a GStreamer pipeline"
        ):
            open_source(device)


def test_a_link_to_a_film_is_a_film(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"not looked at yet")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "film.mp4")
    assert isinstance(open_source(str(tmp_path / "link.mp4")), VideoSource)
