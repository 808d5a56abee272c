"""Videos that cannot be: one clear sentence each."""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from keywarp.engines.errors import SourceError
from keywarp.pipeline.frame import Frame
from keywarp.pipeline.sources import container
from keywarp.pipeline.sources.video import VideoSource

from .films import pictures, write_film


def _text(path: Path) -> None:
    path.write_text("this is no film, only a few lines\nof text – mit Umlauten: äöü\n" * 20)


def _noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def _audio(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _no_index(path: Path) -> None:
    write_film(path, pictures(20))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


def _bytes_missing(path: Path) -> None:
    """A film whose index no longer stands where its sizes say."""
    write_film(path, pictures(20))
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + data[start + 50 :])


def _no_frames(path: Path) -> None:
    """A film whose only key frame was overwritten."""
    write_film(path, pictures(3), options={"x264-params": "keyint=250"}, container={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)


def _empty_track(path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.start_encoding()


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "does not exist"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "empty": (lambda path: path.touch(), "is empty"),
    "text": (_text, "is a text file, not a video"),
    "noise": (_noise, "is no video"),
    "audio only": (_audio, "holds only audio"),
    "cut before its index": (_no_index, "index .'moov'. is missing"),
    "bytes missing": (_bytes_missing, "bytes are missing or added before its index .'moov'."),
    "nothing decodes": (_no_frames, "holds no frame that can be decoded .* packets"),
    "no frames": (_empty_track, "holds no frame"),
}


@pytest.mark.parametrize("case", CASES)
def test_unfit_files(tmp_path: Path, case: str) -> None:
    make, message = CASES[case]
    path = tmp_path / "film.mp4"
    make(path)
    source = VideoSource(path)
    with pytest.raises(SourceError, match=message) as caught:
        source.open()
    source.close()
    assert str(path) in str(caught.value), "the message names what was given"
    assert "\n" not in str(caught.value)


def test_a_text_file_is_not_filmed(tmp_path: Path) -> None:
    """FFmpeg itself would show a .txt as a terminal."""
    _text(tmp_path / "notes.txt")
    with pytest.raises(SourceError, match="is a text file"):
        VideoSource(tmp_path / "notes.txt").open()


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write_film(tmp_path / "film.mp4", pictures(1))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SourceError, match="may not be read by this user"):
        VideoSource(film).open()


@pytest.fixture
def silent_peer() -> Iterator[int]:
    """A port of this machine that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("scheme", ["http", "rtsp", "rtmp"])
def test_a_server_that_refuses(scheme: str) -> None:
    url = f"{scheme}://anna:hunter2@127.0.0.1:{_closed_port()}/live/cam?token=hunter2"
    _assert_fails_without_secrets(url, "cannot be opened")


def _send(port: int, count: int) -> None:
    """A camera that sends ``count`` frames of MPEG-TS in packets, and then nothing more."""
    with av.open(f"udp://127.0.0.1:{port}?pkt_size=1316", "w", format="mpegts") as output:
        stream = output.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 5
        for pixels in pictures(count):
            output.mux(
                stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24").reformat(format="yuv420p"))
            )
            time.sleep(0.01)
        output.mux(stream.encode(None))


def test_a_live_stream_that_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "READ_TIMEOUT_S", 1.0)
    port = _closed_port()
    camera = threading.Thread(target=_send, args=(port, 150))
    camera.start()
    source = VideoSource(f"udp://127.0.0.1:{port}")
    info = source.open()
    frames: list[Frame] = []
    with pytest.raises(SourceError, match=r"broke off after .* frames: nothing came for too long"):
        frames.extend(source.frames())
    source.close()
    camera.join()
    assert info.live
    assert info.frame_count is None
    assert 10 < len(frames) <= 150


def test_a_live_stream_that_breaks_off_after_an_interrupt_just_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "READ_TIMEOUT_S", 1.0)
    port = _closed_port()
    camera = threading.Thread(target=_send, args=(port, 150))
    camera.start()
    source = VideoSource(f"udp://127.0.0.1:{port}")
    source.open()

    def interrupt_the_silence() -> None:
        camera.join()
        source.interrupt()

    interrupting = threading.Thread(target=interrupt_the_silence)
    interrupting.start()
    frames = list(source.frames())
    source.close()
    interrupting.join()
    assert frames
    assert source.notes == []


def test_an_interrupt_ends_a_film_without_a_word(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", pictures(3))
    source = VideoSource(film)
    source.open()
    source.interrupt()
    assert len(list(source.frames())) == 1
    assert source.losses.total == 0
    assert source.notes == []
    source.close()


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_never_answers(scheme: str, silent_peer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "OPEN_TIMEOUT_S", 0.3)
    _assert_fails_without_secrets(
        f"{scheme}://anna:hunter2@127.0.0.1:{silent_peer}/cam", "did not answer within"
    )


def test_a_server_that_has_no_such_film(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    _assert_fails_without_secrets(f"{serve(tmp_path)}/none.mp4?key=hunter2", "cannot be opened.*404")


def test_a_server_that_sends_no_film(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    _noise(tmp_path / "film.mp4")
    _assert_fails_without_secrets(f"{serve(tmp_path)}/film.mp4", "answers with something that is no video")


def test_an_unknown_host_and_an_unknown_scheme() -> None:
    _assert_fails_without_secrets("rtsp://anna:hunter2@no-such-host.invalid/cam", "cannot be opened|no video")
    _assert_fails_without_secrets(
        "gopher://anna:hunter2@host/film", "unknown scheme 'gopher' .accepted: http,"
    )


def _assert_fails_without_secrets(url: str, message: str) -> None:
    source = VideoSource(url)
    with pytest.raises(SourceError, match=message) as caught:
        source.open()
    source.close()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in repr(source)


def test_a_film_whose_server_falls_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "READ_TIMEOUT_S", 0.5)
    noise = np.random.default_rng(0).integers(0, 255, (30, 120, 160, 3), np.uint8)
    film = write_film(tmp_path / "film.mp4", noise, container={"movflags": "faststart"})
    data = film.read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = VideoSource(f"http://127.0.0.1:{server.getsockname()[1]}/film.mp4")
        peers: list[socket.socket] = []

        def answer() -> None:
            peer, _ = server.accept()
            peers.append(peer)
            peer.recv(4096)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            peer.sendall(head + data[: len(data) * 2 // 3])

        thread = threading.Thread(target=answer)
        thread.start()
        source.open()
        frames = list(source.frames())
        source.close()
        thread.join()
        for peer in peers:
            peer.close()
    assert 0 < len(frames) < 30
    assert source.losses.by_cause == {"undecodable": 30 - len(frames)}
    assert "could not be read to the end (nothing came for too long)" in source.notes[0]
